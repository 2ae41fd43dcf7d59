"""`POST /api/generate` and `POST /api/chat`: streamed as lines unless `stream` is false. With nothing to answer they load or unload a model."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hausgeist.engines import Operation
from hausgeist.gateway.bodies import json_body
from hausgeist.gateway.ollama import decode
from hausgeist.gateway.ollama.durations import seconds
from hausgeist.gateway.ollama.encode import Lines, answer, idle
from hausgeist.gateway.ollama.errors import OLLAMA, failure_line
from hausgeist.gateway.ollama.options import context_of
from hausgeist.gateway.ollama.schema import ChatRequest, GenerateRequest
from hausgeist.gateway.prefill import without_prefill
from hausgeist.gateway.services import Services
from hausgeist.http.endpoint import Endpoint
from hausgeist.http.streaming import EventStream, attend
from hausgeist.serving import Answer, Call

__all__ = ["LINES", "endpoints"]

LINES = "application/x-ndjson"


def endpoints(services: Services) -> list[Endpoint]:
    """The routes of this resource."""

    async def generate(request: Request) -> Response:
        wanted = await json_body(request, GenerateRequest)
        if decode.only_loads(wanted):
            return await _load(services, request, wanted)
        operation, body = decode.generate(wanted, services.door.model(request.state.principal, wanted.model))
        return await _answer(services, request, wanted, operation, body)

    async def chat(request: Request) -> Response:
        wanted = await json_body(request, ChatRequest)
        if decode.only_loads(wanted):
            return await _load(services, request, wanted)
        body = decode.chat(wanted, services.door.model(request.state.principal, wanted.model))
        return await _answer(services, request, wanted, "chat", body)

    return [
        Endpoint(
            method="POST",
            path="/api/generate",
            handle=attend(generate),
            dialect=OLLAMA,
            summary="Answer a prompt",
            body=GenerateRequest,
            operations=("generate",),
        ),
        Endpoint(
            method="POST",
            path="/api/chat",
            handle=attend(chat),
            dialect=OLLAMA,
            summary="Answer a conversation",
            body=ChatRequest,
            operations=("chat",),
        ),
    ]


async def _answer(
    services: Services, request: Request, wanted: GenerateRequest | ChatRequest, operation: Operation, body: Mapping[str, Any]
) -> Response:
    await services.converter.convert(body.get("messages") or (), param="images")
    streaming = wanted.stream is not False
    given = await services.door.call(
        request.state.principal,
        Call(
            model=wanted.model,
            operation=operation,
            body=body,
            origin=request.state.origin,
            stream=streaming,
            context=context_of(wanted.options),
            keep_alive=seconds(wanted.keep_alive),
        ),
    )
    chatting, alternatives = isinstance(wanted, ChatRequest), wanted.top_logprobs or 0
    if streaming:
        lines = _lines(given, Lines(wanted.model, chat=chatting, alternatives=alternatives))
        return await EventStream.begin(lines, failure=failure_line, media_type=LINES)
    async with given:
        reply = without_prefill(await given.json(), body, given.model)
        return JSONResponse(answer(wanted.model, reply, given.usage, chat=chatting, alternatives=alternatives))


async def _lines(given: Answer, lines: Lines) -> AsyncGenerator[bytes, None]:
    async with given:
        async for event in given.events():
            if said := lines.feed(event):
                yield said
        yield lines.end(given.usage)


async def _load(services: Services, request: Request, wanted: GenerateRequest | ChatRequest) -> Response:
    who, origin = request.state.principal, request.state.origin
    keep_alive = seconds(wanted.keep_alive)
    chatting = isinstance(wanted, ChatRequest)
    if keep_alive == 0:
        await services.door.unload(who, wanted.model, origin=origin)
        return JSONResponse(idle(wanted.model, chat=chatting, reason="unload"))
    await services.door.load(who, wanted.model, origin=origin, keep_alive=keep_alive, context=context_of(wanted.options))
    return JSONResponse(idle(wanted.model, chat=chatting, reason="load"))

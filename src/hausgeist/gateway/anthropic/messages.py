"""Anthropic's Messages API: `POST /v1/messages`, whole or streamed, and `POST /v1/messages/count_tokens`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace
from functools import partial

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hausgeist.errors import EngineFailed, NotSupported, shown
from hausgeist.gateway.anthropic.decode import cache_seconds, decode, image_addresses
from hausgeist.gateway.anthropic.encode import MessageEvents, message
from hausgeist.gateway.anthropic.errors import ANTHROPIC, failure_event, request_id
from hausgeist.gateway.anthropic.schema import CountTokensRequest, MessagesRequest
from hausgeist.gateway.bodies import json_body
from hausgeist.gateway.defaults import with_defaults
from hausgeist.gateway.images import resolve_images
from hausgeist.gateway.prefill import without_prefill
from hausgeist.gateway.services import Services
from hausgeist.http.endpoint import Endpoint, Handler
from hausgeist.http.streaming import EventStream, attend
from hausgeist.identity import Origin, Principal
from hausgeist.model import InstalledModel
from hausgeist.serving import Answer, Call

__all__ = ["endpoints"]

_HEADERS = {
    "anthropic-user-profile-id": "requests act for whoever their key belongs to",
    "anthropic-workspace-id": "a key belongs to one project; use a key of the project that is meant",
}


def endpoints(services: Services) -> list[Endpoint]:
    """The routes of this resource."""
    return [
        Endpoint(
            method="POST",
            path="/v1/messages",
            handle=attend(_create(services)),
            dialect=ANTHROPIC,
            summary="Create a message",
            body=MessagesRequest,
            operations=tuple(f"{space}messages.{verb}" for space in ("", "beta.") for verb in ("create", "stream", "parse")),
        ),
        Endpoint(
            method="POST",
            path="/v1/messages/count_tokens",
            handle=attend(_count_tokens(services)),
            dialect=ANTHROPIC,
            summary="Count the tokens of a message",
            body=CountTokensRequest,
            operations=("messages.count_tokens", "beta.messages.count_tokens"),
        ),
    ]


def _create(services: Services) -> Handler:
    async def create(request: Request) -> Response:
        _check_headers(request)
        wanted = await json_body(request, MessagesRequest)
        who, origin = request.state.principal, request.state.origin
        model = services.door.model(who, wanted.model)
        images = await resolve_images(image_addresses(wanted), services, who, origin)
        body = with_defaults(model, decode(wanted, model, images))
        await services.converter.convert(body["messages"])
        streaming = bool(wanted.stream)
        answer = await services.door.call(
            who,
            Call(
                model=wanted.model,
                operation="chat",
                body=body,
                origin=_signed(origin, wanted),
                stream=streaming,
                keep_alive=_keep_alive(services, who, model, wanted),
                report_stop=bool(wanted.stop_sequences),
            ),
        )
        identifier = request_id(request)
        headers = {"request-id": identifier} if identifier else {}
        if streaming:
            return await EventStream.begin(_events(answer, wanted), failure=partial(failure_event, identifier=identifier), headers=headers)
        async with answer:
            reply = without_prefill(await answer.json(), body, model)
            return JSONResponse(message(wanted, reply, answer.usage, context=answer.context), headers=headers)

    return create


def _count_tokens(services: Services) -> Handler:
    async def count_tokens(request: Request) -> Response:
        _check_headers(request)
        wanted = await json_body(request, CountTokensRequest)
        who, origin = request.state.principal, request.state.origin
        model = services.door.model(who, wanted.model)
        images = await resolve_images(image_addresses(wanted), services, who, origin)
        body = with_defaults(model, decode(wanted, model, images))
        await services.converter.convert(body["messages"])
        async with await services.door.call(who, Call(model=wanted.model, operation="count_chat", body=body, origin=origin)) as answer:
            counted = (await answer.json()).get("input_tokens")
        if not isinstance(counted, int):
            raise EngineFailed("The engine did not count the tokens.")
        return JSONResponse({"input_tokens": counted}, headers={"request-id": request_id(request)})

    return count_tokens


async def _events(answer: Answer, wanted: MessagesRequest) -> AsyncGenerator[bytes, None]:
    async with answer:
        events = MessageEvents(wanted, context=answer.context)
        async for chunk in answer.events():
            if said := events.feed(chunk):
                yield said
        yield events.end(answer.usage)


def _check_headers(request: Request) -> None:
    """`anthropic-beta` only permits parameters, each of which is served or refused itself; these two would change who asks."""
    for name, reason in _HEADERS.items():
        if request.headers.get(name):
            raise NotSupported(f"The header '{name}' is not supported here: {reason}.", param=name)


def _signed(origin: Origin, wanted: MessagesRequest) -> Origin:
    """`metadata.user_id` says for whom an application asks: it goes into the audit table, beside the client's own name."""
    user = wanted.metadata.user_id if wanted.metadata is not None else None
    if not user:
        return origin
    return replace(origin, agent=f"{origin.agent} user_id={shown(user, 512)}".strip())


def _keep_alive(services: Services, who: Principal, model: InstalledModel, wanted: MessagesRequest) -> float | None:
    """`cache_control` asks for a prompt to be kept for a while. It is, as long as the model stays in memory, so that is what is prolonged, for
    callers who may decide on that; for others the prompt is kept as long as the model happens to stay."""
    if not services.governor.decide(who, "model.load").allowed:
        return None
    usual = model.options.keep_alive if model.options.keep_alive is not None else services.settings.keep_alive
    asked = cache_seconds(wanted)
    return asked if 0 <= usual < asked else None

"""The models themselves in Ollama's tongue: tags, show, ps, version; create with uploaded blobs, copy, delete. `pull` and `push` have modules of
their own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hausgeist import __version__
from hausgeist.errors import InvalidRequest, ModelNotFound, NotFound, NotSupported
from hausgeist.gateway.bodies import announced, json_body, refuse
from hausgeist.gateway.ollama import describe
from hausgeist.gateway.ollama.answers import LINES
from hausgeist.gateway.ollama.durations import stamp
from hausgeist.gateway.ollama.encode import line
from hausgeist.gateway.ollama.errors import OLLAMA, failure_line
from hausgeist.gateway.ollama.metadata import file_metadata
from hausgeist.gateway.ollama.pull import pulled, pulling
from hausgeist.gateway.ollama.push import pushing
from hausgeist.gateway.ollama.schema import CopyRequest, CreateRequest, ModelRequest, ShowRequest, TransferRequest
from hausgeist.gateway.services import Services
from hausgeist.http.endpoint import Endpoint, Handler
from hausgeist.http.streaming import EventStream
from hausgeist.library.reference import public
from hausgeist.store.blobs import parse_digest

__all__ = ["OLLAMA_API", "endpoints"]

OLLAMA_API = "0.13.0"
"""The version of Ollama whose API this is; clients ask for it to know what they may use."""

_UNSERVED = {
    "quantize": "quantise the file before it is uploaded (llama-quantize)",
}
_SHOW_OVERRIDES = {
    "system": "create a model with it to see how that looks",
    "template": "create a model with it to see how that looks",
    "options": "create a model with them to see how that looks",
}


def endpoints(services: Services) -> list[Endpoint]:
    """The routes of this resource."""

    def route(method: Any, path: str, handle: Handler, summary: str, **more: Any) -> Endpoint:
        return Endpoint(method=method, path=path, handle=handle, dialect=OLLAMA, summary=summary, **more)

    return [
        route("GET", "/api/tags", _tags(services), "List models", operations=("list",)),
        route("POST", "/api/show", _show(services), "Describe a model", action="model.list", body=ShowRequest, operations=("show",)),
        route("GET", "/api/ps", _ps(services), "List models in memory", operations=("ps",)),
        route("GET", "/api/version", _version, "The version of the API"),
        route("POST", "/api/create", _create(services), "Create a model", body=CreateRequest, operations=("create",)),
        route("HEAD", "/api/blobs/{digest}", _has_blob(services), "Whether a file was uploaded", action="model.create"),
        route("POST", "/api/blobs/{digest}", _add_blob(services), "Upload a file", action="model.create", upload=True, operations=("create_blob",)),
        route("POST", "/api/copy", _copy(services), "Copy a model", body=CopyRequest, operations=("copy",)),
        route("DELETE", "/api/delete", _delete(services), "Delete a model", body=ModelRequest, operations=("delete",)),
        route("POST", "/api/pull", pulling(services), "Download a model", body=TransferRequest, operations=("pull",)),
        route("POST", "/api/push", pushing(services), "Upload a model to a registry", body=TransferRequest, operations=("push",)),
    ]


def _tags(services: Services) -> Handler:
    async def tags(request: Request) -> Response:
        models = sorted(services.door.models(request.state.principal), key=lambda model: model.modified, reverse=True)
        return JSONResponse({"models": [describe.summary(model) for model in models]})

    return tags


def _show(services: Services) -> Handler:
    async def show(request: Request) -> Response:
        wanted = await json_body(request, ShowRequest)
        refuse(wanted, _SHOW_OVERRIDES)
        model = services.door.model(request.state.principal, wanted.model)
        keys, fills = describe.shape_info(model.shape), False
        tensors: list[dict[str, Any]] = []
        if model.path is not None and model.engine == "llamacpp":
            found, tensors, fills = await asyncio.to_thread(file_metadata, model.path, verbose=bool(wanted.verbose))
            keys |= found
        return JSONResponse(
            {
                "license": model.licence,
                "modelfile": describe.modelfile(model),
                "parameters": describe.parameter_text(model.parameters),
                "template": model.template or model.shape.chat_template,
                "system": model.system,
                "details": describe.summary(model)["details"],
                "model_info": keys,
                "tensors": tensors,
                "capabilities": describe.capabilities(model, fills=fills),
                "modified_at": stamp(model.modified),
                # Not Ollama's: what callers should know, such as that the weights are random.
                **({"notice": model.notice} if model.notice else {}),
            }
        )

    return show


def _ps(services: Services) -> Handler:
    async def ps(request: Request) -> Response:
        return JSONResponse({"models": [describe.loaded(one) for one in services.door.loaded(request.state.principal)]})

    return ps


async def _version(request: Request) -> Response:
    return JSONResponse({"version": OLLAMA_API, "hausgeist": __version__})


def _create(services: Services) -> Handler:
    async def create(request: Request) -> Response:
        wanted = await json_body(request, CreateRequest)
        await _demand_create(services, request, f"{wanted.model} from {public(wanted.from_ or 'files')}")
        refuse(wanted, _UNSERVED)
        if not (wanted.from_ or wanted.files):
            raise InvalidRequest("Give a model to start from ('from') or uploaded files with weights ('files').", param="from")
        if wanted.stream is not False:
            return await EventStream.begin(_creation(services, request, wanted), failure=failure_line, media_type=LINES)
        async with aclosing(_creation(services, request, wanted)) as lines:
            async for _ in lines:
                pass
        return JSONResponse({"status": "success"})

    return create


async def _creation(services: Services, request: Request, wanted: CreateRequest) -> AsyncGenerator[bytes, None]:
    """Status lines, as Ollama's; the first is sent when the request has been found to be right."""
    if wanted.from_ and not _is_here(services, wanted.from_):
        async with aclosing(pulled(services, request, wanted.from_)) as lines:
            async for one in lines:
                yield one
    given = wanted.parameters.model_dump(exclude_none=True) if wanted.parameters is not None else None
    yield line({"status": "reading model metadata"})
    model = await services.library.create(
        wanted.model,
        source=wanted.from_ or None,
        files=wanted.files,
        adapters=wanted.adapters,
        template=wanted.template,
        system=wanted.system,
        parameters=given,
        messages=_examples(wanted),
        licence=wanted.license,
    )
    yield line({"status": "writing manifest", "digest": f"sha256:{model.digest}"})
    yield line({"status": "success"})


def _is_here(services: Services, name: str) -> bool:
    try:
        services.library.get(name)
    except ModelNotFound:
        return False
    return True


def _examples(wanted: CreateRequest) -> list[dict[str, str]] | None:
    if wanted.messages is None:
        return None
    for index, message in enumerate(wanted.messages):
        if message.images or message.tool_calls or message.thinking:
            raise NotSupported("Example messages of a model are texts; leave images, tool calls and thinking out.", param=f"messages.{index}")
    return [{"role": message.role, "content": message.content or ""} for message in wanted.messages]


async def _demand_create(services: Services, request: Request, target: str) -> None:
    """Decided here and not by the route, whose row would not say which model it was about."""
    await services.governor.demand(request.state.principal, "model.create", target=target, origin=request.state.origin)


def _has_blob(services: Services) -> Handler:
    async def has_blob(request: Request) -> Response:
        if not services.blobs.has(_digest(request)):
            raise NotFound("There is no such file here; upload it first.")
        return Response(status_code=200)

    return has_blob


def _add_blob(services: Services) -> Handler:
    async def add_blob(request: Request) -> Response:
        digest = _digest(request)
        known = services.blobs.has(digest)
        if known:
            # Read what is sent all the same: clients write first and look for the answer later.
            async for _ in request.stream():
                pass
        else:
            await services.blobs.add(request.stream(), expected=digest, size=announced(request))
        return Response(status_code=200 if known else 201)

    return add_blob


def _copy(services: Services) -> Handler:
    async def copy(request: Request) -> Response:
        wanted = await json_body(request, CopyRequest)
        await _demand_create(services, request, f"{wanted.destination} from {wanted.source}")
        await services.library.copy(wanted.source, wanted.destination)
        return Response(status_code=200)

    return copy


def _delete(services: Services) -> Handler:
    async def delete(request: Request) -> Response:
        wanted = await json_body(request, ModelRequest)
        await services.door.remove(request.state.principal, wanted.model, origin=request.state.origin)
        return Response(status_code=200)

    return delete


def _digest(request: Request) -> str:
    return parse_digest(request.path_params["digest"])

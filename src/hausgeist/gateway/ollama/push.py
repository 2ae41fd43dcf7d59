"""`POST /api/push`: a model to a registry, told as Ollama tells it. The model's own name says where to: host/owner/name:tag."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hausgeist.gateway.bodies import json_body
from hausgeist.gateway.ollama.answers import LINES
from hausgeist.gateway.ollama.encode import line
from hausgeist.gateway.ollama.errors import failure_line
from hausgeist.gateway.ollama.schema import TransferRequest
from hausgeist.gateway.services import Services
from hausgeist.http.endpoint import Handler
from hausgeist.http.streaming import EventStream, attend
from hausgeist.library.transfer import Progress

__all__ = ["push_line", "pushing"]


def push_line(told: Progress) -> dict[str, Any] | None:
    """Ollama's line for what a push tells, but for "success". Pure."""
    match told.stage:
        case "resolving":
            return {"status": "retrieving manifest"}
        case "uploading":
            found: dict[str, Any] = {"status": f"pushing {told.digest[:12]}", "digest": f"sha256:{told.digest}", "total": told.total}
            return {**found, "completed": told.done} if told.done else found
        case "verifying":
            # Ollama has no files in place, and no words for reading one.
            return {"status": f"reading {told.name}", "total": told.total, "completed": told.done}
        case "publishing":
            return {"status": "pushing manifest"}
        case "downloading" | "installing" | "done":
            return None


def pushing(services: Services) -> Handler:
    """The handler. `insecure` changes nothing: which addresses may be asked without TLS is for the settings to say."""

    async def push(request: Request) -> Response:
        wanted = await json_body(request, TransferRequest)
        who, origin = request.state.principal, request.state.origin
        if not services.governor.decide(who, "model.push").allowed:
            await services.governor.demand(who, "model.push", target=wanted.model, origin=origin)
        plan = services.pusher.plan(wanted.model)
        await services.governor.demand(who, "model.push", target=plan.target, origin=origin)
        if wanted.stream is not False:
            return await EventStream.begin(_pushed(services, request, wanted.model), failure=failure_line, media_type=LINES)
        return await attend(_to_the_end)(request)

    async def _to_the_end(request: Request) -> Response:
        wanted = await json_body(request, TransferRequest)
        async with aclosing(_pushed(services, request, wanted.model)) as lines:
            async for _ in lines:
                pass
        return JSONResponse({"status": "success"})

    return push


async def _pushed(services: Services, request: Request, model: str) -> AsyncGenerator[bytes, None]:
    async with aclosing(services.pusher.push(model, who=request.state.principal, origin=request.state.origin)) as push:
        async for told in push:
            if said := push_line(told):
                yield line(said)
    yield line({"status": "success"})

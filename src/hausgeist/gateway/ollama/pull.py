"""`POST /api/pull`: a model from its source, told as Ollama tells it, a line for each state of each file."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hausgeist.gateway.bodies import json_body
from hausgeist.gateway.ollama.encode import line
from hausgeist.gateway.ollama.errors import failure_line
from hausgeist.gateway.ollama.schema import TransferRequest
from hausgeist.gateway.services import Services
from hausgeist.http.endpoint import Handler
from hausgeist.http.streaming import EventStream, attend
from hausgeist.library.reference import Reference, public
from hausgeist.library.transfer import Progress

__all__ = ["PullLines", "pulled", "pulling"]

_LINES = "application/x-ndjson"


class PullLines:
    """From what a pull tells to Ollama's lines, but for "success". Pure."""

    def __init__(self) -> None:
        self._verifying = False

    def feed(self, told: Progress) -> list[dict[str, Any]]:
        match told.stage:
            case "resolving":
                return [{"status": told.note or "pulling manifest"}]
            case "downloading":
                found: dict[str, Any] = {"status": f"pulling {told.digest[:12] or told.name}"}
                if told.digest:
                    found["digest"] = f"sha256:{told.digest}"
                if told.total:
                    found["total"] = told.total
                if told.done:
                    found["completed"] = told.done
                return [found]
            case "verifying":
                return self._verify()
            case "installing":
                return [*self._verify(), {"status": "writing manifest"}]
            case "uploading" | "publishing" | "done":
                return []

    def _verify(self) -> list[dict[str, Any]]:
        if self._verifying:
            return []
        self._verifying = True
        return [{"status": "verifying sha256 digest"}]


def pulling(services: Services) -> Handler:
    """The handler. `insecure` changes nothing: which addresses may be asked without TLS is for the settings to say."""

    async def pull(request: Request) -> Response:
        wanted = await json_body(request, TransferRequest)
        Reference.parse(wanted.model)
        await services.governor.demand(request.state.principal, "model.create", target=public(wanted.model), origin=request.state.origin)
        if wanted.stream is not False:
            return await EventStream.begin(_whole(services, request, wanted.model), failure=failure_line, media_type=_LINES)
        return await attend(_to_the_end)(request)

    async def _to_the_end(request: Request) -> Response:
        wanted = await json_body(request, TransferRequest)
        async with aclosing(_whole(services, request, wanted.model)) as lines:
            async for _ in lines:
                pass
        return JSONResponse({"status": "success"})

    return pull


async def _whole(services: Services, request: Request, model: str) -> AsyncGenerator[bytes, None]:
    async with aclosing(pulled(services, request, model)) as lines:
        async for one in lines:
            yield one
    yield line({"status": "success"})


async def pulled(services: Services, request: Request, model: str) -> AsyncGenerator[bytes, None]:
    """The lines of a pull but the last: more may follow for whoever makes a model from this one."""
    lines = PullLines()
    who, origin = request.state.principal, request.state.origin
    async with aclosing(services.installer.pull(Reference.parse(model), who=who, origin=origin)) as pull:
        async for told in pull:
            for said in lines.feed(told):
                yield line(said)

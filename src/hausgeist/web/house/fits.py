"""/house/v1/models/fits: whether models fit this machine and how fast they are here, many at once. The whole plan of one is /house/v1/plan's."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from starlette.requests import Request
from starlette.responses import Response

from hausgeist.errors import InvalidRequest, shown
from hausgeist.http.endpoint import Endpoint
from hausgeist.http.house import HOUSE
from hausgeist.http.packing import packed
from hausgeist.web.house.queries import number_in
from hausgeist.web.parts import Parts

if TYPE_CHECKING:
    from hausgeist.serving.sizing import Glance, Glances

__all__ = ["endpoints"]

_PATH = "/house/v1/models/fits"
_ASKED = ("model", "context", "precisions")
_MOST: Final = 64
_LONGEST_NAME: Final = 350
_LONGEST_CONTEXT: Final = 2**24
_USUAL: Final = 8192


def endpoints(parts: Parts) -> list[Endpoint]:
    """The route."""

    async def fits(request: Request) -> Response:
        for name in request.query_params:
            if name not in _ASKED:
                raise InvalidRequest(f"There is no parameter '{shown(name)}' here; there are {', '.join(_ASKED)}.", param=name[:64])
        names = [one[:_LONGEST_NAME] for one in request.query_params.getlist("model")]
        if len(names) > _MOST:
            raise InvalidRequest(f"{len(names)} models are too many at once; {_MOST} are possible.", param="model")
        context = number_in(request, "context", _USUAL, least=1, most=_LONGEST_CONTEXT)
        each = request.query_params.get("precisions", "") in ("yes", "true", "1")
        if each and len(names) != 1:
            raise InvalidRequest("All precisions of one model: name it.", param="model")
        return await packed(request, await asyncio.to_thread(_looked, parts.sizing().glances, names, context, each))

    summary = "Whether models fit this machine, and how fast they are here"
    return [Endpoint(method="GET", path=_PATH, handle=fits, dialect=HOUSE, summary=summary, action="model.list", query=_ASKED)]


def _looked(glances: Glances, names: list[str], context: int, each: bool) -> dict[str, Any]:
    from hausgeist.serving.sizing import Unknown

    there = glances.target
    told: dict[str, Any] = {
        "machine": {"title": there.title, "processor": there.host.title, "memory_bytes": there.host.memory_bytes, "device_bytes": there.device_bytes}
    }
    if each:
        found, told["chosen"] = glances.precisions(names[0], context=context)
        return {**told, "data": [_told(one) for one in found]}
    answers = glances.at(names, context=context)
    return {**told, "data": [{"model": one.model, "error": one.reason} if isinstance(one, Unknown) else _told(one) for one in answers]}


def _told(one: Glance) -> dict[str, Any]:
    return {**asdict(one), "fits": one.placed != "no"}

"""/house/v1/machine: what the machine has, what is in its memory, and how that was over the last day."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hausgeist import __version__
from hausgeist.hardware import Device
from hausgeist.http.endpoint import Endpoint
from hausgeist.http.house import HOUSE
from hausgeist.serving.machine import Present, Seen
from hausgeist.web.house.addresses import address_of
from hausgeist.web.house.queries import only, time_in
from hausgeist.web.parts import Parts, who_asks

__all__ = ["endpoints", "present"]

_PATH = "/house/v1/machine"


def endpoints(parts: Parts) -> list[Endpoint]:
    """The routes of this resource."""

    async def read(request: Request) -> Response:
        only(request)
        seen = await parts.machine.seen()
        told = {"version": __version__, "started": seen.started, "uptime": round(seen.uptime, 3), "offline": parts.settings.offline, **_seen(seen)}
        if who_asks(request).house_role == "owner":
            told["address"] = await address_of(request, parts.settings)
        return JSONResponse(told)

    async def history(request: Request) -> Response:
        only(request, "since")
        step, samples = parts.machine.history(time_in(request, "since") or 0.0)
        return JSONResponse({"step": step, "data": [sample._asdict() for sample in samples]})

    return [
        Endpoint(
            method="GET", path=_PATH, handle=read, dialect=HOUSE, summary="What the machine has, and what is in its memory", action="machine.read"
        ),
        Endpoint(
            method="GET",
            path=f"{_PATH}/history",
            handle=history,
            dialect=HOUSE,
            summary="The memory of the machine over the last day",
            action="machine.read",
            query=("since",),
        ),
    ]


def present(one: Present) -> dict[str, Any]:
    """A model in memory, as all routes tell of it."""
    return asdict(one)


def _seen(seen: Seen) -> dict[str, Any]:
    return {
        "memory": {"total": seen.memory.total, "available": seen.memory.available, "server": seen.server, "models": seen.workers},
        "disk": {"total": seen.disk.total, "free": seen.disk.free, "home_bytes": seen.home} if seen.disk is not None else None,
        "processors": {"name": seen.cpu.model, "cores": seen.cpu.cores},
        "devices": [_device(one) for one in seen.devices],
        "models": [present(one) for one in seen.models],
    }


def _device(one: Device) -> dict[str, Any]:
    """Where a driver does not tell its memory, nothing is free that could be told either."""
    return {"name": one.name, "kind": one.kind, "memory": one.total, "free": one.free if one.total else None}

"""/house/v1/models/pulls: pulls as things of their own, which go on when whoever asked for them has left, and can be looked at and stopped."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hausgeist.errors import InvalidRequest
from hausgeist.http.bodies import Body, json_body
from hausgeist.http.endpoint import Endpoint
from hausgeist.http.house import HOUSE
from hausgeist.library.reference import Reference, public
from hausgeist.store.jobs import Job
from hausgeist.web.house.paths import called, may_see_paths, without_folders
from hausgeist.web.parts import Parts, origin_of, who_asks

__all__ = ["endpoints", "told"]

_PATH = "/house/v1/models/pulls"
_ONE = f"{_PATH}/{{pull}}"


class NewPull(Body):
    """Install `model` from its source, as `name` (default: what it is called there). `upgrade`: what its source has now of one that is installed."""

    model: str = Field(min_length=1, max_length=4096)
    name: str | None = Field(None, min_length=1, max_length=350)
    upgrade: bool = False


def endpoints(parts: Parts) -> list[Endpoint]:
    """The routes of this resource."""
    upkeep = parts.upkeep

    def shown(request: Request, job: Job) -> dict[str, Any]:
        return told(job, paths=may_see_paths(parts, who_asks(request)))

    async def index(request: Request) -> Response:
        return JSONResponse({"data": [shown(request, job) for job in upkeep.installer.lately()]})

    async def create(request: Request) -> Response:
        wanted = await json_body(request, NewPull)
        action = "model.update" if wanted.upgrade else "model.create"
        reference = None if wanted.upgrade else Reference.parse(wanted.model)
        await parts.governor.demand(who_asks(request), action, target=public(wanted.model), origin=origin_of(request))
        name = wanted.name or ""
        if reference is None:
            if wanted.name is not None:
                raise InvalidRequest("What is upgraded keeps its name.", param="name")
            reference, name = upkeep.versions.upgradable(wanted.model), upkeep.versions.history(wanted.model).model.id
        job = await upkeep.installer.start(reference, name=name, who=who_asks(request), origin=origin_of(request))
        return JSONResponse(shown(request, job), 202, headers={"location": f"{_PATH}/{job.id}"})

    async def read(request: Request) -> Response:
        return JSONResponse(shown(request, upkeep.installer.find(request.path_params["pull"])))

    async def stop(request: Request) -> Response:
        found = upkeep.installer.find(request.path_params["pull"])
        await parts.governor.demand(who_asks(request), "model.create", target=f"{found.payload.get('name')}, stopped", origin=origin_of(request))
        return JSONResponse(shown(request, await upkeep.installer.stop(found.id)))

    def route(method: Any, path: str, handle: Any, summary: str, **more: Any) -> Endpoint:
        return Endpoint(method=method, path=path, handle=handle, dialect=HOUSE, summary=summary, **more)

    return [
        route("GET", _PATH, index, "List the pulls that are not finished, or were lately", action="model.list"),
        route("POST", _PATH, create, "Install a model from its source, in the background", body=NewPull),
        route("GET", _ONE, read, "How far a pull is", action="model.list"),
        route("DELETE", _ONE, stop, "Stop a pull; what was fetched stays for the next attempt"),
    ]


def told(job: Job, *, paths: bool) -> dict[str, Any]:
    """A pull or push as it stands. `paths`: say where files lie, not only what they are called."""
    reference = public(str(job.payload.get("reference", "")))
    return {
        "id": job.id,
        "model": job.payload.get("name"),
        "reference": reference if paths else called(reference),
        "status": job.status,
        "done": int(job.done),
        "total": int(job.total) if job.total is not None else None,
        "attempts": job.attempts,
        "error": job.error if paths or job.error is None else without_folders(job.error),
        "created": job.created,
        "finished": job.finished,
    }

"""/house/v1/projects/{project}/retention: for how many days a project keeps what is said in it."""

from __future__ import annotations

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hausgeist.conversations.retention import MOST_DAYS
from hausgeist.http.bodies import Body, json_body
from hausgeist.http.endpoint import Endpoint
from hausgeist.http.house import HOUSE
from hausgeist.web.parts import Parts, demand_in, who_asks

__all__ = ["endpoints"]

_PATH = "/house/v1/projects/{project}/retention"


class Days(Body):
    """Chats in which nothing was said for so many days go, and answers that are older; null: everything is kept."""

    days: int | None = Field(ge=1, le=MOST_DAYS)


def endpoints(parts: Parts) -> list[Endpoint]:
    """The routes of this resource."""
    retention = parts.retention

    async def read(request: Request) -> Response:
        project = parts.workspace.visible_project(request.path_params["project"], who_asks(request))
        await demand_in(request, parts, "retention.read", project.id, project.id)
        return JSONResponse({"project": project.id, "days": retention.days(project.id)})

    async def write(request: Request) -> Response:
        body = await json_body(request, Days)
        project = parts.workspace.visible_project(request.path_params["project"], who_asks(request))
        told = "for ever" if body.days is None else f"{body.days} days"
        await demand_in(request, parts, "retention.update", project.id, f"{project.id} {told}")
        await retention.set_days(project.id, body.days)
        return JSONResponse({"project": project.id, "days": body.days})

    return [
        Endpoint(method="GET", path=_PATH, handle=read, dialect=HOUSE, summary="How long a project keeps what is said"),
        Endpoint(method="PUT", path=_PATH, handle=write, dialect=HOUSE, summary="Say how long a project keeps what is said", body=Days),
    ]

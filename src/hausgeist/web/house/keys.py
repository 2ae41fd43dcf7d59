"""/house/v1/keys: API keys of a project, made, listed, revoked. A secret is in the answer that makes it and never again."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hausgeist.errors import NotAllowed, NotFound
from hausgeist.http.bodies import Body, json_body
from hausgeist.http.endpoint import Endpoint
from hausgeist.http.house import HOUSE
from hausgeist.identity import Role
from hausgeist.web.parts import Parts, demand_in, who_asks
from hausgeist.workspace.records import Key

__all__ = ["NewKey", "endpoints"]

_PATH = "/house/v1/keys"


class NewKey(Body):
    """A key for `project` (default: the one that the request is made in) with the rights of `role`, in the name of `user` (default: the caller)."""

    name: str = Field(min_length=1, max_length=256)
    project: str | None = Field(None, min_length=1, max_length=256)
    role: Role = "member"
    user: str | None = Field(None, min_length=1, max_length=256)


def endpoints(parts: Parts) -> list[Endpoint]:
    """The routes of this resource."""
    workspace = parts.workspace

    async def index(request: Request) -> Response:
        who = who_asks(request)
        named = request.query_params.get("project")
        project = workspace.visible_project(named or who.project, who)
        await demand_in(request, parts, "key.list", project.id, project.id)
        keys = workspace.keys(project.id)
        if named is None and who.house_role == "owner":
            # Keys that name no project are the house's; nobody but its owners sees them.
            keys += [key for key in workspace.keys(None) if key.project is None]
        return JSONResponse({"data": [_key(key) for key in keys]})

    async def create(request: Request) -> Response:
        body = await json_body(request, NewKey)
        who = who_asks(request)
        project = workspace.visible_project(body.project or who.project, who)
        acting = await demand_in(request, parts, "key.create", project.id, f"{body.name} ({body.role}) in {project.name}")
        user = body.user or acting.user
        if user != acting.user and acting.house_role != "owner" and workspace.user(user).id != acting.user:
            raise NotAllowed("A key acts in the name of its user: only an owner of the server makes one for somebody else.")
        key, secret = await workspace.create_key(project=project.id, name=body.name, role=body.role, user=user)
        return JSONResponse({**_key(key), "key": secret}, 201)

    async def delete(request: Request) -> Response:
        who = who_asks(request)
        wanted = request.path_params["key"]
        mine = {project.id for project in workspace.projects(who)}
        key = next((one for one in workspace.keys(None) if one.id == wanted), None)
        if key is None or not (who.house_role == "owner" if key.project is None else key.project in mine):
            raise NotFound("There is no key with this id.")
        await demand_in(request, parts, "key.delete", key.project or who.project, f"{key.id} ({key.name})")
        await workspace.revoke_key(key.id)
        return Response(status_code=204)

    return [
        Endpoint(method="GET", path=_PATH, handle=index, dialect=HOUSE, summary="List the keys of a project"),
        Endpoint(method="POST", path=_PATH, handle=create, dialect=HOUSE, summary="Make a key", body=NewKey),
        Endpoint(method="DELETE", path=f"{_PATH}/{{key}}", handle=delete, dialect=HOUSE, summary="Revoke a key"),
    ]


def _key(key: Key) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "prefix": key.prefix,
        "project": key.project,
        "role": key.role,
        "user": key.user,
        "created": key.created,
        "last_used": key.last_used,
    }

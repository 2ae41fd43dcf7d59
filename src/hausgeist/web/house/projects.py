"""/house/v1/projects: projects and who works in them."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hausgeist.errors import Conflict
from hausgeist.governance.erasure import Subject
from hausgeist.http.bodies import Body, json_body
from hausgeist.http.endpoint import Endpoint
from hausgeist.http.house import HOUSE
from hausgeist.identity import Role
from hausgeist.web.house.erasures import told
from hausgeist.web.parts import Parts, demand_in, origin_of, who_asks
from hausgeist.workspace.membership import demand_removable
from hausgeist.workspace.records import Member, Project

__all__ = ["MemberRole", "ProjectName", "endpoints"]

_PATH = "/house/v1/projects"


class ProjectName(Body):
    """What a project is called."""

    name: str = Field(min_length=1, max_length=256)


class MemberRole(Body):
    """What a member may do."""

    role: Role


def endpoints(parts: Parts) -> list[Endpoint]:
    """The routes of this resource."""
    workspace, governor = parts.workspace, parts.governor

    async def visible(request: Request, action: str, target: str = "") -> Project:
        """The project of the path, once the caller was found to be allowed this."""
        project = workspace.visible_project(request.path_params["project"], who_asks(request))
        await demand_in(request, parts, action, project.id, f"{project.id} {target}".strip())
        return project

    async def index(request: Request) -> Response:
        return JSONResponse({"data": [_project(project) for project in workspace.projects(who_asks(request))]})

    async def create(request: Request) -> Response:
        body, who = await json_body(request, ProjectName), who_asks(request)
        await governor.demand(who, "project.create", target=body.name, origin=origin_of(request))
        return JSONResponse(_project(await workspace.create_project(body.name)), 201)

    async def read(request: Request) -> Response:
        return JSONResponse(_project(await visible(request, "project.list")))

    async def update(request: Request) -> Response:
        body = await json_body(request, ProjectName)
        project = await visible(request, "project.update", f"name {body.name}")
        return JSONResponse(_project(await workspace.rename_project(project.id, body.name)))

    async def delete(request: Request) -> Response:
        project = await visible(request, "project.delete")
        demand_removable(project)
        # Also from the memory of engines and wherever else it is kept; what is said meanwhile goes with the project's row.
        receipt = await parts.erasure.erase(who_asks(request), "erasure.create", Subject(project=project.id), origin=origin_of(request))
        if receipt.failed:
            why = " ".join(receipt.failed.values())
            raise Conflict(f"Not all that was said in '{project.name}' could be erased, so it was not removed; try again. {why}")
        await workspace.remove_project(project.id)
        return JSONResponse({"id": project.id, "name": project.name, "erasure": told(receipt)})

    async def members(request: Request) -> Response:
        project = await visible(request, "project.list")
        return JSONResponse({"data": [_member(member) for member in workspace.members(project.id)]})

    async def set_member(request: Request) -> Response:
        body, user = await json_body(request, MemberRole), request.path_params["user"]
        project = await visible(request, "project.update", f"member {user} {body.role}")
        return JSONResponse(_member(await workspace.set_member(project.id, user, body.role)))

    async def remove_member(request: Request) -> Response:
        user = request.path_params["user"]
        project = await visible(request, "project.update", f"without {user}")
        await workspace.remove_member(project.id, user)
        return Response(status_code=204)

    one, people = f"{_PATH}/{{project}}", f"{_PATH}/{{project}}/members"
    return [
        Endpoint(method="GET", path=_PATH, handle=index, dialect=HOUSE, summary="List projects", action="project.list"),
        Endpoint(method="POST", path=_PATH, handle=create, dialect=HOUSE, summary="Make a project", body=ProjectName),
        Endpoint(method="GET", path=one, handle=read, dialect=HOUSE, summary="One project"),
        Endpoint(method="PATCH", path=one, handle=update, dialect=HOUSE, summary="Rename a project", body=ProjectName),
        Endpoint(method="DELETE", path=one, handle=delete, dialect=HOUSE, summary="Remove a project, with its keys and all that was said in it"),
        Endpoint(method="GET", path=people, handle=members, dialect=HOUSE, summary="List the members of a project"),
        Endpoint(
            method="PUT",
            path=f"{people}/{{user}}",
            handle=set_member,
            dialect=HOUSE,
            summary="Add a member, or change what one may do",
            body=MemberRole,
        ),
        Endpoint(method="DELETE", path=f"{people}/{{user}}", handle=remove_member, dialect=HOUSE, summary="Remove a member, and revoke their keys"),
    ]


def _project(project: Project) -> dict[str, Any]:
    return {"id": project.id, "name": project.name, "created": project.created}


def _member(member: Member) -> dict[str, Any]:
    return {"user": member.user, "name": member.name, "role": member.role, "created": member.created}

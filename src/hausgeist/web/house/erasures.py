"""/house/v1/erasures: all that a person or a project has said goes, and a receipt says what went."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hausgeist.governance.erasure import Receipt, Subject
from hausgeist.http.bodies import Body, json_body
from hausgeist.http.endpoint import Endpoint
from hausgeist.http.house import HOUSE
from hausgeist.identity import Principal
from hausgeist.web.parts import Parts, acting_in, origin_of, who_asks

__all__ = ["endpoints", "told"]


class NewErasure(Body):
    """Whose traces: those of a `user` ("me", an id or a name), of a `project`, or of a user in a project."""

    user: str | None = Field(None, min_length=1, max_length=256)
    project: str | None = Field(None, min_length=1, max_length=256)


def endpoints(parts: Parts) -> list[Endpoint]:
    """The routes of this resource."""

    async def create(request: Request) -> Response:
        body, who = await json_body(request, NewErasure), who_asks(request)
        if body.user is not None and _is_me(body.user, who, parts):
            receipt = await _own(request, body.project)
        else:
            receipt = await _any(request, body)
        return JSONResponse(told(receipt), 201)

    async def _own(request: Request, named: str | None) -> Receipt:
        """A key erases where it acts; somebody who is here in person, wherever they have said something."""
        who = who_asks(request)
        project = parts.workspace.visible_project(named, who).id if named is not None else who.project if who.kind == "key" else None
        acting = acting_in(request, parts, project) if project is not None else who
        return await parts.erasure.erase(acting, "erasure.own", Subject(user=who.user, project=project), origin=origin_of(request))

    async def _any(request: Request, body: NewErasure) -> Receipt:
        """Decided before anything is looked up: who may not learns of nobody."""
        who, origin = who_asks(request), origin_of(request)
        if not parts.governor.decide(who, "erasure.create").allowed:
            await parts.governor.demand(who, "erasure.create", target=f"{body.user or ''} {body.project or ''}".strip(), origin=origin)
        user = parts.workspace.user(body.user).id if body.user is not None else None
        project = parts.workspace.project(body.project).id if body.project is not None else None
        return await parts.erasure.erase(who, "erasure.create", Subject(user=user, project=project), origin=origin)

    return [
        Endpoint(
            method="POST",
            path="/house/v1/erasures",
            handle=create,
            dialect=HOUSE,
            summary="Erase what a person or a project has said",
            body=NewErasure,
        )
    ]


def _is_me(named: str, who: Principal, parts: Parts) -> bool:
    return named in ("me", who.user) or (who.kind == "user" and named == who.name)


def told(receipt: Receipt) -> dict[str, Any]:
    """A receipt, as all routes tell of it."""
    return {
        "id": receipt.id,
        "user": receipt.subject.user,
        "project": receipt.subject.project,
        "at": receipt.at,
        "seconds": round(receipt.seconds, 3),
        "erased": dict(receipt.counts),
        "remains": list(receipt.remains),
        "failed": dict(receipt.failed),
        "complete": not receipt.failed and not receipt.remains,
    }

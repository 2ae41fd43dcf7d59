"""/house/v1/users: the people who may sign in. Owners of the house see and change them; everybody changes their own password."""

from __future__ import annotations

import time
from collections.abc import Awaitable
from typing import Any, Final, TypeVar

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hausgeist.errors import Conflict, HausgeistError
from hausgeist.governance.erasure import Subject
from hausgeist.http.access import counting_session
from hausgeist.http.bodies import Body, json_body
from hausgeist.http.endpoint import Endpoint, Handler
from hausgeist.http.facts import RequestFacts
from hausgeist.http.house import HOUSE
from hausgeist.identity import Principal, Role
from hausgeist.web.house.addresses import address_of
from hausgeist.web.house.erasures import told
from hausgeist.web.house.queries import only
from hausgeist.web.house.session import set_cookie
from hausgeist.web.parts import Parts, origin_of, who_asks
from hausgeist.workspace.access import SESSION_SECONDS
from hausgeist.workspace.records import Membership, User
from hausgeist.workspace.service import LINK_SECONDS

__all__ = ["endpoints"]

_PATH: Final = "/house/v1/users"
T = TypeVar("T")


class NewUser(Body):
    """A person. Without a `password`, the answer brings a link that lets them in once and has them choose one."""

    name: str = Field(min_length=1, max_length=256)
    role: Role = "member"
    password: str | None = Field(None, max_length=1024)


class UserRole(Body):
    """What a person may do on the whole server."""

    role: Role


class NewPassword(Body):
    """`current`: the one so far, for one's own. Owners of the house set those of others without it."""

    password: str = Field(max_length=1024)
    current: str | None = Field(None, max_length=1024)


def endpoints(parts: Parts) -> list[Endpoint]:
    """The routes of this resource."""

    def route(method: Any, path: str, handle: Handler, summary: str, **more: Any) -> Endpoint:
        return Endpoint(method=method, path=f"{_PATH}{path}", handle=handle, dialect=HOUSE, summary=summary, **more)

    return [
        route("GET", "", _index(parts), "List the people who may sign in", action="user.list"),
        route("POST", "", _create(parts), "Add a person", body=NewUser),
        route("PATCH", "/{user}", _update(parts), "Change what a person may do on the server", body=UserRole),
        route("DELETE", "/{user}", _delete(parts), "Remove a person, with all that they have said"),
        route("POST", "/{user}/invite", _invite(parts), "Make a one-time link that lets a person in"),
        route("POST", "/{user}/password", _password(parts), "Choose a password", body=NewPassword),
    ]


def _index(parts: Parts) -> Handler:
    async def index(request: Request) -> Response:
        only(request)
        memberships: dict[str, list[Membership]] = {}
        for one in parts.workspace.memberships():
            memberships.setdefault(one.user, []).append(one)
        return JSONResponse({"data": [_user(user, memberships.get(user.id, [])) for user in parts.workspace.users()]})

    return index


def _create(parts: Parts) -> Handler:
    async def create(request: Request) -> Response:
        body = await json_body(request, NewUser)
        await _demand(parts, request, "user.create", f"{body.name} ({body.role})")
        user = await parts.workspace.create_user(body.name, role=body.role, password=body.password)
        link = await _link(parts, request, user) if body.password is None else {}
        return JSONResponse({**_told(parts, user), **link}, 201)

    return create


def _update(parts: Parts) -> Handler:
    async def update(request: Request) -> Response:
        body, who = await json_body(request, UserRole), who_asks(request)
        user = await _found(parts, request, "user.update", f"role {body.role}")
        changed = parts.workspace.set_role(user.id, body.role, from_afar=who.kind != "local")
        return JSONResponse(_told(parts, await _done(parts, request, "user.update", f"{user.id} role {body.role}", changed)))

    return update


def _delete(parts: Parts) -> Handler:
    async def delete(request: Request) -> Response:
        who = who_asks(request)
        user = await _found(parts, request, "user.delete")
        afar = who.kind != "local"
        parts.workspace.demand_removable(user.id, from_afar=afar)
        # Also from the memory of engines and wherever else it is kept; what is said meanwhile goes with the person's row.
        receipt = await parts.erasure.erase(who, "erasure.create", Subject(user=user.id), origin=origin_of(request))
        if receipt.failed:
            why = " ".join(receipt.failed.values())
            raise Conflict(f"Not all that '{user.name}' has said could be erased, so they were not removed; try again. {why}")
        await _done(parts, request, "user.delete", user.id, parts.workspace.remove_user(user.id, from_afar=afar))
        await parts.files.collect()
        return JSONResponse({"id": user.id, "name": user.name, "erasure": told(receipt)})

    return delete


def _invite(parts: Parts) -> Handler:
    async def invite(request: Request) -> Response:
        user = await _found(parts, request, "user.create", "link")
        return JSONResponse(await _link(parts, request, user), 201)

    return invite


def _password(parts: Parts) -> Handler:
    async def change(request: Request) -> Response:
        body, who = await json_body(request, NewPassword), who_asks(request)
        if who.kind == "local" or not _is_me(request.path_params["user"], who, parts):
            user = await _found(parts, request, "user.update", "password")
            await parts.workspace.set_password(user.id, body.password)
            return Response(status_code=204)
        await parts.governor.demand(who, "password.update", target=who.user, origin=origin_of(request))
        work = parts.workspace.change_password(who.user, body.current or "", body.password)
        token, _ = await _done(parts, request, "password.update", who.user, work)
        response = Response(status_code=204)
        if who.kind == "user" and counting_session(RequestFacts.of(request.scope), request.state.rules) is not None:
            # All sessions have ended, this one with them; who sits here goes on in a new one.
            set_cookie(request, response, token, SESSION_SECONDS)
        else:
            await parts.workspace.sign_out(token)
        return response

    return change


async def _demand(parts: Parts, request: Request, action: str, target: str) -> None:
    """Decided here and not by the route, whose row would not say what it was about."""
    await parts.governor.demand(who_asks(request), action, target=target, origin=origin_of(request))


async def _found(parts: Parts, request: Request, action: str, what: str = "") -> User:
    """The user of the path, once the caller was found to be allowed this: who may not learns of nobody."""
    named = request.path_params["user"]
    if not parts.governor.decide(who_asks(request), action).allowed:
        await _demand(parts, request, action, f"{named} {what}".strip())
    user = parts.workspace.user(named)
    await _demand(parts, request, action, f"{user.id} {what}".strip())
    return user


async def _done(parts: Parts, request: Request, action: str, target: str, verb: Awaitable[T]) -> T:
    """What was allowed and then failed gets a row that says so."""
    try:
        return await verb
    except HausgeistError as error:
        who, origin = who_asks(request), origin_of(request)
        await parts.governor.record(who, action, target=target, origin=origin, outcome="failed", detail=error.message)
        raise


async def _link(parts: Parts, request: Request, user: User) -> dict[str, Any]:
    token = await parts.workspace.invite(user.id)
    return {"link": f"{await address_of(request, parts.settings)}/sign-in#{token}", "expires": int(time.time() + LINK_SECONDS)}


def _is_me(named: str, who: Principal, parts: Parts) -> bool:
    return named in ("me", who.user) or parts.workspace.user(who.user).name.casefold() == named.casefold()


def _told(parts: Parts, user: User) -> dict[str, Any]:
    return _user(user, [one for one in parts.workspace.memberships() if one.user == user.id])


def _user(user: User, memberships: list[Membership]) -> dict[str, Any]:
    return {
        "id": user.id,
        "name": user.name,
        "role": user.role,
        "created": user.created,
        "projects": [{"id": one.project, "name": one.name, "role": one.role} for one in memberships],
        "last_seen": user.last_seen,
        "has_password": user.has_password,
        "invited": user.invited,
    }

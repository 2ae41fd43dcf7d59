"""/house/v1/session: sign in with a key, a password or a one-time link; who am I; sign out."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hausgeist.errors import Busy, HausgeistError, InvalidRequest, NotAllowed, NotAuthenticated
from hausgeist.governance.refusals import Refusals
from hausgeist.http.access import cookie_name, counting_session, secure
from hausgeist.http.bodies import Body, json_body
from hausgeist.http.endpoint import Endpoint
from hausgeist.http.facts import RequestFacts
from hausgeist.http.house import HOUSE
from hausgeist.identity import Principal
from hausgeist.web.house.throttle import SignInThrottle
from hausgeist.web.parts import Parts, origin_of, who_asks
from hausgeist.workspace.access import SESSION_SECONDS

__all__ = ["SignIn", "endpoints", "set_cookie"]

_PATH = "/house/v1/session"


class SignIn(Body):
    """One of: `key`; `name` and `password`; `link`, with the `password` to use from now on."""

    key: str | None = Field(None, max_length=512)
    name: str | None = Field(None, max_length=256)
    password: str | None = Field(None, max_length=1024)
    link: str | None = Field(None, max_length=512)


def endpoints(parts: Parts) -> list[Endpoint]:
    """The routes of this resource."""
    throttle, refusals = SignInThrottle(), Refusals(parts.governor, "session.create")

    async def create(request: Request) -> Response:
        body = await json_body(request, SignIn)
        token, who = await _sign_in(request, parts, throttle, refusals, body)
        response = JSONResponse(_person(who), 201)
        set_cookie(request, response, token, SESSION_SECONDS)
        return response

    async def read(request: Request) -> Response:
        return JSONResponse(_person(who_asks(request)))

    async def delete(request: Request) -> Response:
        who: Principal | None = request.state.principal
        token = counting_session(RequestFacts.of(request.scope), request.state.rules)
        if token is not None:
            if who is not None:
                await parts.governor.demand(who, "session.delete", origin=origin_of(request))
            await parts.workspace.sign_out(token)
        response = Response(status_code=204)
        set_cookie(request, response, "", 0)
        return response

    return [
        Endpoint(method="POST", path=_PATH, handle=create, dialect=HOUSE, summary="Sign in", body=SignIn, open=True),
        Endpoint(method="GET", path=_PATH, handle=read, dialect=HOUSE, summary="Who am I", action="session.read"),
        Endpoint(method="DELETE", path=_PATH, handle=delete, dialect=HOUSE, summary="Sign out", open=True),
    ]


async def _sign_in(request: Request, parts: Parts, throttle: SignInThrottle, refusals: Refusals, body: SignIn) -> tuple[str, Principal]:
    origin = origin_of(request)
    label = "a key" if body.key is not None else "a link" if body.link is not None else body.name or ""
    guarded = label.strip().casefold()
    try:
        throttle.check(guarded, origin.address)
        token, who = await _check(parts, body)
        throttle.succeeded(guarded, origin.address)
    except (NotAuthenticated, NotAllowed, Busy) as error:
        if not isinstance(error, Busy):
            throttle.failed(guarded, origin.address)
        refusals.record(label, origin, error)
        raise
    try:
        await parts.governor.record(who, "session.create", target=label, origin=origin, outcome="allowed")
    except HausgeistError:
        await parts.workspace.sign_out(token)
        raise
    return token, who


async def _check(parts: Parts, body: SignIn) -> tuple[str, Principal]:
    match body:
        case SignIn(key=str(key), name=None, password=None, link=None):
            return await parts.workspace.sign_in_key(key)
        case SignIn(key=None, name=None, link=str(link)):
            return await parts.workspace.sign_in_link(link, body.password)
        case SignIn(key=None, name=str(name), password=str(password), link=None):
            return await parts.workspace.sign_in(name, password)
    raise InvalidRequest("Sign in with a 'key', with 'name' and 'password', or with a 'link' (and the 'password' to use from now on).")


def set_cookie(request: Request, response: Response, token: str, seconds: float) -> None:
    """The session of a browser; with no seconds, its end."""
    facts, rules = RequestFacts.of(request.scope), request.state.rules
    tls = secure(facts, rules) or rules.tls
    response.set_cookie(cookie_name(rules, tls=tls), token, max_age=int(seconds), path="/", secure=tls, httponly=True, samesite="strict")


def _person(who: Principal) -> dict[str, Any]:
    return {
        "kind": who.kind,
        "id": who.id,
        "name": who.name,
        "user": who.user,
        "role": who.role,
        "house_role": who.house_role,
        "project": who.project,
    }

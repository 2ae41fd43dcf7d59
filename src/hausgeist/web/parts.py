"""What the routes of `web` are handed by `app.py`, and what they share: bodies in, rows out, who is acting where."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import from_json
from starlette.requests import Request

from hausgeist.errors import InvalidRequest
from hausgeist.governance.service import Governor
from hausgeist.http.access import identify
from hausgeist.http.endpoint import Endpoint
from hausgeist.http.facts import RequestFacts
from hausgeist.identity import Origin, Principal
from hausgeist.settings import Settings
from hausgeist.telemetry import Metrics
from hausgeist.workspace.service import Workspace

__all__ = ["Body", "Parts", "acting_in", "demand_in", "origin_of", "read_body", "who_asks"]

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """`ready`: whether requests can be answered. `every`: all endpoints of the server, for the OpenAPI document."""

    settings: Settings
    workspace: Workspace
    governor: Governor
    metrics: Metrics
    ready: Callable[[], bool]
    every: Callable[[], Sequence[Endpoint]]


class Body(BaseModel):
    """Base of request bodies: what is not named is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


async def read_body(request: Request, model: type[M]) -> M:
    """The request's body as `model`. Raises `InvalidRequest`; its message never repeats what was sent, which may be a password."""
    try:
        data = from_json(await request.body(), allow_inf_nan=False, cache_strings="none")
    except ValueError as error:
        raise InvalidRequest("The request body is not valid JSON.") from error
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"])[:100]
        raise InvalidRequest(f"{place or 'body'}: {first['msg'].removeprefix('Value error, ')}", param=place or None) from None


def who_asks(request: Request) -> Principal:
    """The caller of an endpoint that is not open."""
    who: Principal = request.state.principal
    return who


def origin_of(request: Request) -> Origin:
    """From where."""
    origin: Origin = request.state.origin
    return origin


def acting_in(request: Request, parts: Parts, project: str) -> Principal:
    """The caller, with the rights that they have in `project` (an id), as if the header OpenAI-Project had named it."""
    who = who_asks(request)
    if who.project == project or who.kind == "local":
        return who if who.project == project else replace(who, project=project)
    facts = RequestFacts.of(request.scope, origin_of(request).request_id)
    named = replace(facts, headers={**facts.headers, "openai-project": [project]})
    return identify(named, request.state.rules, parts.workspace)[0]


async def demand_in(request: Request, parts: Parts, action: str, project: str, target: str) -> Principal:
    """Decide, and have the decision on disk. Raises `NotAllowed`."""
    who = acting_in(request, parts, project)
    await parts.governor.demand(who, action, target=target, origin=origin_of(request), project=project)
    return who

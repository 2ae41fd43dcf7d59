"""What the routes of `web` are handed by `app.py`, and what they share: who asks, from where, and with which rights in a project."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from starlette.requests import Request

from hausgeist.conversations.responses import Responses
from hausgeist.conversations.retention import Retention
from hausgeist.files import Files
from hausgeist.governance.consumption import Consumption
from hausgeist.governance.erasure import Erasure
from hausgeist.governance.service import Governor
from hausgeist.http.access import identify
from hausgeist.http.endpoint import Endpoint
from hausgeist.http.facts import RequestFacts
from hausgeist.identity import Origin, Principal
from hausgeist.knowledge.stores.documents import Documents
from hausgeist.knowledge.stores.search import Search
from hausgeist.knowledge.stores.service import Stores
from hausgeist.library.push import Pusher
from hausgeist.library.upkeep.parts import Upkeep
from hausgeist.serving.machine import Machine
from hausgeist.settings import Settings
from hausgeist.store.database import Database
from hausgeist.telemetry import Metrics
from hausgeist.workspace.service import Workspace

if TYPE_CHECKING:
    from hausgeist.knowledge.parse.process import Parsers
    from hausgeist.serving.sizing import Sizing

__all__ = ["Parts", "acting_in", "demand_in", "origin_of", "who_asks"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """`sizing`, `parsers`: made when first asked for. `ready`: whether requests can be answered. `every`: all endpoints, for the OpenAPI document."""

    settings: Settings
    database: Database
    workspace: Workspace
    governor: Governor
    consumption: Consumption
    machine: Machine
    erasure: Erasure
    retention: Retention
    metrics: Metrics
    upkeep: Upkeep
    pusher: Pusher
    responses: Responses
    files: Files
    documents: Documents
    parsers: Callable[[], Parsers]
    stores: Stores
    search: Search
    sizing: Callable[[], Sizing]
    ready: Callable[[], bool]
    every: Callable[[], Sequence[Endpoint]]


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

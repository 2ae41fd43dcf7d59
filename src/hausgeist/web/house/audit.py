"""/house/v1/audit: who did what, when, from where, and how it ended; connections that were refused among it."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import asdict
from typing import Any, Final, get_args

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hausgeist.errors import InvalidRequest, shown
from hausgeist.governance.actions import ACTIONS
from hausgeist.governance.audit import AuditEntry, Outcome
from hausgeist.http.endpoint import Endpoint, Handler
from hausgeist.http.house import HOUSE
from hausgeist.identity import Principal
from hausgeist.web.house.queries import number_in, only, time_in
from hausgeist.web.parts import Parts, origin_of, who_asks

__all__ = ["endpoints"]

_ASKED: Final = ("actor", "action", "project", "outcome", "since", "until", "before", "limit")
_MOST_LISTED: Final = 500
_SAME_LOOK: Final = 600.0
"""Seconds in which the same question of the same person is one look, however often a page asks it."""
_MOST_LOOKS: Final = 1000


class _Looks:
    """Which looks have left a row already: a page that stays open must not fill the table with rows about itself."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], float] = {}

    def is_known(self, who: Principal, question: str) -> bool:
        return time.monotonic() - self._seen.get((who.id, question), -math.inf) < _SAME_LOOK

    def written(self, who: Principal, question: str) -> None:
        if len(self._seen) >= _MOST_LOOKS:
            self._seen.clear()
        self._seen[who.id, question] = time.monotonic()


def endpoints(parts: Parts) -> list[Endpoint]:
    """The route."""
    summary = "Who did what, and how it ended"
    return [Endpoint(method="GET", path="/house/v1/audit", handle=_index(parts), dialect=HOUSE, summary=summary, query=_ASKED)]


def _index(parts: Parts) -> Handler:
    looks, governor = _Looks(), parts.governor

    async def index(request: Request) -> Response:
        who, query = who_asks(request), request.query_params
        question = " ".join(f"{name}={query[name][:100]}" for name in _ASKED[:4] if name in query)
        if not governor.decide(who, "audit.read").allowed or not looks.is_known(who, question):
            await governor.demand(who, "audit.read", target=question or "all", origin=origin_of(request))
            looks.written(who, question)
        only(request, *_ASKED)
        limit = number_in(request, "limit", 100, least=1, most=_MOST_LISTED)
        before = number_in(request, "before", 0, least=1, most=2**53) or None
        action, outcome, since, until = _action(request), _outcome(request), time_in(request, "since"), time_in(request, "until")

        def read() -> list[AuditEntry]:
            return governor.audit.entries(
                actor=query.get("actor"), action=action, project=query.get("project"), outcome=outcome, since=since, until=until, before=before,
                limit=limit + 1,
            )  # fmt: skip

        # One that looks for what is rare may have to go through all of it.
        found = await asyncio.to_thread(read)
        page = found[:limit]
        return JSONResponse({"data": [_entry(one) for one in page], "next": page[-1].id if len(found) > limit else None})

    return index


def _action(request: Request) -> str | None:
    text = request.query_params.get("action")
    if text is None or text in ACTIONS or (text.endswith(".") and any(name.startswith(text) for name in ACTIONS)):
        return text
    raise InvalidRequest(f"There is no action '{shown(text)}'; key.create is one, and 'key.' means all of keys.", param="action")


def _outcome(request: Request) -> Outcome | None:
    text = request.query_params.get("outcome")
    for outcome in get_args(Outcome):
        if text == outcome:
            return outcome  # type: ignore[no-any-return]
    if text is not None:
        raise InvalidRequest(f"'outcome' should be one of {', '.join(get_args(Outcome))}.", param="outcome")
    return None


def _entry(one: AuditEntry) -> dict[str, Any]:
    known = ACTIONS.get(one.action)
    return {**asdict(one), "meaning": known.meaning if known is not None else ""}

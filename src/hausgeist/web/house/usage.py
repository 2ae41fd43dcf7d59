"""/house/v1/usage: what calls took, by model, user, key or project, and over time. Owners of the house see everybody's, others their own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final, get_args

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hausgeist.errors import InvalidRequest
from hausgeist.governance.consumption import By, Consumed, Report, Step, Waiting
from hausgeist.http.endpoint import Endpoint, Handler
from hausgeist.http.house import HOUSE
from hausgeist.web.house.queries import number_in, only, time_in
from hausgeist.web.parts import Parts, origin_of, who_asks

__all__ = ["endpoints"]

_ASKED: Final = ("by", "since", "until", "project", "step")
_USUALLY: Final = 24 * 3600.0
_AT_ONCE: Final = 2
"""Reports that are added up side by side: with millions of rows, each keeps a processor busy."""


def endpoints(parts: Parts) -> list[Endpoint]:
    """The route."""
    summary = "What calls took: tokens, time, failures"
    return [Endpoint(method="GET", path="/house/v1/usage", handle=_usage(parts), dialect=HOUSE, summary=summary, query=_ASKED)]


def _usage(parts: Parts) -> Handler:
    turn = asyncio.Semaphore(_AT_ONCE)

    async def read(request: Request) -> Response:
        who, origin = who_asks(request), origin_of(request)
        everybody = parts.governor.decide(who, "usage.read").allowed
        await parts.governor.demand(who, "usage.read" if everybody else "usage.own", origin=origin)
        only(request, *_ASKED)
        by = _by(request)
        until = _or(time_in(request, "until"), time.time())
        since = _or(time_in(request, "since"), until - _USUALLY)
        step = number_in(request, "step", 3600, least=1, most=10**9)
        named = request.query_params.get("project")
        project = parts.workspace.visible_project(named, who).id if named is not None else None
        if not everybody and who.kind == "key":
            # A key tells of where it acts, whatever else its user does.
            if project not in (None, who.project):
                raise InvalidRequest("A key tells of its own project only; leave 'project' out.", param="project")
            project = who.project
        async with turn:
            report = await asyncio.to_thread(
                parts.consumption.report, by, since=since, until=until, step=step, user=None if everybody else who.user, project=project
            )
            names = await asyncio.to_thread(_names, parts, by, report)
        told = {"by": by, "since": since, "until": until, "scope": "all" if everybody else "own"}
        return JSONResponse({**told, **_report(report, names, step)})

    return read


def _by(request: Request) -> By:
    text = request.query_params.get("by", "model")
    for by in get_args(By):
        if text == by:
            return by  # type: ignore[no-any-return]
    raise InvalidRequest(f"'by' should be one of {', '.join(get_args(By))}.", param="by")


def _or(value: float | None, usual: float) -> float:
    return usual if value is None else value


def _names(parts: Parts, by: By, report: Report) -> dict[str, str]:
    """What is behind the ids. Who has left has no name any more; the id stays."""
    if not report.totals:
        return {}
    match by:
        case "user":
            return {user.id: user.name for user in parts.workspace.users()}
        case "key":
            return {key.id: key.name for key in parts.workspace.keys(revoked=True)}
        case "project":
            return {project.id: project.name for project in parts.workspace.projects()}
        case "model":
            return {}


def _report(report: Report, names: dict[str, str], step: int) -> dict[str, Sequence[dict[str, Any]]]:
    return {"data": [_consumed(one, names) for one in report.totals], "series": [_step(one, step) for one in report.steps]}


def _consumed(one: Consumed, names: dict[str, str]) -> dict[str, Any]:
    return {
        "of": one.of, "name": names.get(one.of, one.of), "calls": one.calls, "failed": one.failed, "prompt_tokens": one.prompt_tokens,
        "completion_tokens": one.completion_tokens, "cached_tokens": one.cached_tokens, "total_ms": round(one.total_ms, 1),
        "first_token_ms": _waiting(one.waiting), "tokens_per_second": round(one.tokens_per_second, 2) if one.tokens_per_second is not None else None,
    }  # fmt: skip


def _waiting(one: Waiting | None) -> dict[str, float] | None:
    return {"p50": round(one.p50, 1), "p95": round(one.p95, 1)} if one is not None else None


def _step(one: Step, step: int) -> dict[str, Any]:
    return {
        "at": one.at, "step": step, "calls": one.calls, "failed": one.failed, "prompt_tokens": one.prompt_tokens,
        "completion_tokens": one.completion_tokens, "first_token_ms_p50": round(one.waiting.p50, 1) if one.waiting is not None else None,
    }  # fmt: skip

"""/house/v1/plan: what a model takes, how fast it is, what it costs; what this machine runs well; what to buy. As `hausgeist plan --json`."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from hausgeist.http.endpoint import Endpoint, Handler
from hausgeist.http.house import HOUSE
from hausgeist.http.packing import packed
from hausgeist.web.parts import Parts, origin_of, who_asks

__all__ = ["endpoints"]

_PATH = "/house/v1/plan"
_ASKED = (
    "model", "precision", "context", "users", "slots", "kv", "engine", "draft", "prompt_cache", "gpu", "gpus", "nodes", "method", "max_context",
    "for", "budget", "country", "volume", "cloud", "upkeep_hours", "upkeep_rate", "accuracy", "detail",
)  # fmt: skip
_LONGEST = 1000


def endpoints(parts: Parts) -> list[Endpoint]:
    """The routes."""
    summary, known = "What a model takes, how fast it is, what it costs", "What the planner can be asked about: models, devices, clouds, countries"
    return [
        Endpoint(method="GET", path=_PATH, handle=_plan(parts), dialect=HOUSE, summary=summary, action="model.list", query=_ASKED),
        Endpoint(method="GET", path=f"{_PATH}/known", handle=_known(parts), dialect=HOUSE, summary=known, action="model.list"),
    ]


def _plan(parts: Parts) -> Handler:
    async def plan(request: Request) -> Response:
        """`model` may be named several times, or several with commas: then the answer has an array `plans`. Files cannot be named from afar."""
        from hausgeist.serving.sizing import Question

        asked = {name: [text[:_LONGEST] for text in request.query_params.getlist(name)] for name in request.query_params}
        question = Question.of({name: texts for name, texts in asked.items() if any(texts)})
        sizing = parts.sizing()
        if question.accuracy:
            # Which models ran here, whoever asked them: as in /metrics.
            await parts.governor.demand(who_asks(request), "metrics.read", origin=origin_of(request))
            return await packed(request, (await asyncio.to_thread(sizing.accuracy)).json())
        if question.method == "fit":
            # It starts a process, as loading does.
            models = ", ".join(question.models)
            await parts.governor.demand(who_asks(request), "model.load", target=models, origin=origin_of(request))
        return await packed(request, (await sizing.answer(question)).json())

    return plan


def _known(parts: Parts) -> Handler:
    async def known(request: Request) -> Response:
        """Prices are read anew, as for each plan."""
        return await packed(request, await parts.sizing().known())

    return known

"""What a plan will take, before it is loaded: by the engine's fit pass, by arithmetic where that fails, and no less than it took before."""

from __future__ import annotations

import logging
from dataclasses import replace

from hausgeist.engines import Engine, FitFailed
from hausgeist.model import Footprint, LaunchPlan
from hausgeist.serving.loads import Loads
from hausgeist.serving.memory import gib

__all__ = ["Footprints"]

log = logging.getLogger(__name__)


class Footprints:
    """`loads`: what was measured on this machine, and how to calculate; without them, the fit pass alone counts."""

    def __init__(self, loads: Loads | None = None) -> None:
        self._loads = loads
        self._said: dict[tuple[object, ...], Footprint] = {}

    async def of(self, engine: Engine, plan: LaunchPlan) -> Footprint:
        """What is said of the plan, once. Raises `LoadFailed` where the engine cannot use the file, or nothing can be said."""
        key = _key(plan)
        if key not in self._said:
            try:
                self._said[key] = await engine.fit(plan)
            except FitFailed as error:
                estimate = await self._loads.estimate(plan) if self._loads is not None else None
                if estimate is None:
                    raise
                log.warning("%s: %s By arithmetic it takes %s; loading it by that.", plan.model.id, error.message, gib(estimate.total))
                self._said[key] = estimate
        return self._said[key]

    def said(self, plan: LaunchPlan) -> Footprint | None:
        """What was said of it; `None`: nothing was asked yet."""
        return self._said.get(_key(plan))

    def trusted(self, plan: LaunchPlan, said: Footprint, *, most: int) -> Footprint:
        """What is promised to a worker: what was said, or what one by this plan has taken, if that was more. Never beyond `most`, at which a worker
        has gone astray: what one took by going astray must not be promised to the next."""
        taken = min(most, self._loads.most(plan)) if self._loads is not None and plan.model.path is not None else 0
        if taken <= said.host:
            return said
        return replace(said, host=taken, parts={**said.parts, "beyond": taken - said.host})


def _key(plan: LaunchPlan) -> tuple[object, ...]:
    return plan.model.id, plan.model.digest, plan.task, plan.context, plan.slots

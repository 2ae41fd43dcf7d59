"""Was it true? Of each real load, what arithmetic said, what the engine's fit pass said, and what the worker takes: right after it was loaded, and
at most since.

Nothing here is waited for. Processes are looked at after answers, in a thread: when the context has been filled further than before, and now and
then besides; arithmetic is done after the first answer; rows are written behind. Only workers that are processes with a model file are looked at.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import replace

from hausgeist.engines import Worker
from hausgeist.errors import HausgeistError, StoreError
from hausgeist.hardware.process import held
from hausgeist.model import Footprint, LaunchPlan
from hausgeist.planner.accuracy import METHODS, Accuracy, Load, accuracy
from hausgeist.serving import records
from hausgeist.store.database import Database
from hausgeist.telemetry import Metrics

__all__ = ["Arithmetic", "Loads", "Observed", "measure", "plan_key"]

log = logging.getLogger(__name__)

Arithmetic = Callable[[LaunchPlan], Footprint]
"""What a worker for a plan takes, without an engine. Raises `HausgeistError`."""

_STEP = 16
"""As many steps as a context is filled in: with each, it is measured again."""
_PAUSE = 60.0
"""Seconds after which an answer has it measured again in any case: what was used for the first time since may be a picture, or an expert."""

_MORE = 1.001
"""Times the most so far, from which on it is worth writing down."""


def measure(pid: int) -> Footprint | None:
    """What a worker holds now, its share of what is shared; `None`: it is gone."""
    found = held(pid)
    if found is None:
        return None
    parts = {"anonymous": found.anonymous, "mapped": found.mapped}
    return Footprint(host=found.anonymous + found.mapped, devices=found.devices, parts=parts, source="measured")


def plan_key(plan: LaunchPlan, engine: str) -> str:
    """The same for plans that take the same memory, with the same build of the engine."""
    wanted = (
        *(engine, plan.model.digest, plan.task, plan.context, plan.slots, plan.cache_type, plan.flash_attention, plan.threads, plan.gpu_layers),
        *(plan.tensor_split, plan.projector, plan.adapters, plan.draft, plan.speculation, plan.pooling),
    )
    return hashlib.sha256(repr(wanted).encode()).hexdigest()[:32]


class Loads:
    """All loads on this machine. `arithmetic` by name of the engine; `version` tells which build of it is in use."""

    def __init__(
        self,
        database: Database,
        *,
        metrics: Metrics,
        arithmetic: dict[str, Arithmetic],
        version: Callable[[str], str],
        measure: Callable[[int], Footprint | None] = measure,
    ) -> None:
        self._database = database
        self._metrics = metrics
        self._arithmetic = arithmetic
        self._version = version
        self._measure = measure

    def accuracy(self) -> Accuracy:
        """Each load with its errors, and their medians. Raises `StoreError`."""
        return accuracy(self._database.read(records.recent))

    async def publish(self) -> None:
        """Have the figures in the metrics."""
        try:
            found = await asyncio.to_thread(self.accuracy)
        except StoreError as error:
            log.debug("the accuracy of the planner cannot be told: %s", error)
            return
        for method in METHODS:
            every, full = found.spread(method), found.spread(method, full=True)
            errors = {"median": every.median, "worst": every.worst, "median_full": full.median, "worst_full": full.worst}
            self._metrics.plan_errors(method, every.loads, errors)

    async def estimate(self, plan: LaunchPlan) -> Footprint | None:
        """What arithmetic says; `None` where it does not know the engine, or the file cannot be read."""
        known = self._arithmetic.get(plan.model.engine)
        if known is None or plan.model.path is None:
            return None
        try:
            return await asyncio.to_thread(known, plan)
        except HausgeistError as error:
            log.debug("no arithmetic for %s: %s", plan.model.id, error)
        except Exception:
            log.exception("the arithmetic for %s failed", plan.model.id)
        return None

    def most(self, plan: LaunchPlan) -> int:
        """Bytes of host memory that a worker by this plan has taken at most; 0: there was none."""
        try:
            key = plan_key(plan, self._version(plan.model.engine))
            return max((one.host for one in self._database.read(lambda connection: records.measured(connection, key))), default=0)
        except HausgeistError as error:
            log.debug("what %s took before is not known: %s", plan.model.id, error)
            return 0

    def begin(self, worker: Worker, said: Footprint | None) -> Observed | None:
        """Look after a worker that has just been loaded, of which `said` was told; `None` where there is nothing to be seen."""
        plan = worker.plan
        if worker.pid is None or plan.model.path is None:
            return None
        try:
            engine = self._version(plan.model.engine)
        except HausgeistError:  # it was uninstalled a moment ago
            return None
        load = Load(
            model=plan.model.id,
            digest=plan.model.digest,
            architecture=plan.model.shape.architecture,
            task=plan.task,
            context=plan.context,
            slots=plan.slots,
            cache_type=plan.cache_type,
            engine=engine,
            at=time.time(),
            arithmetic=said if said is not None and said.source == "estimate" else None,
            fit=said if said is not None and said.source == "fit" else None,
        )
        return Observed(self, worker, plan_key(plan, engine), load)

    async def look(self, pid: int) -> Footprint | None:
        """What a process holds."""
        return await asyncio.to_thread(self._measure, pid)

    def keep(self, load_id: str, key: str, load: Load) -> None:
        """Write a load behind."""
        try:
            self._database.post(lambda connection: records.put(connection, load_id, key, load))
        except StoreError as error:
            log.debug("a load was not written down: %s", error)


class Observed:
    """A worker that is looked at from time to time."""

    def __init__(self, loads: Loads, worker: Worker, key: str, load: Load) -> None:
        self.worker = worker
        self._loads = loads
        self._key = key
        self._load = load
        self._id = f"load_{secrets.token_hex(12)}"
        self._measuring = False
        self._measured_at = 0.0
        self._filled = 0

    async def loaded(self) -> None:
        """Measure it before it has done anything."""
        now = await self._look()
        if now is not None and self._load.peak is None:
            self._load = replace(self._load, loaded=now)
            self._loads.keep(self._id, self._key, self._load)

    def due(self, tokens: int) -> bool:
        """Whether `answered` is to be called after an answer that has filled so much of a context; once, until that is done."""
        if not tokens:
            return False
        self._filled = max(self._filled, min(tokens, self._load.context))
        if self._measuring or not (self._fuller or time.monotonic() - self._measured_at >= _PAUSE):
            return False
        self._measuring = True
        return True

    @property
    def _fuller(self) -> bool:
        """The context has been filled clearly further than when it was measured, or to its end."""
        load = self._load
        further = self._filled - load.filled
        return load.peak is None or further >= max(1, load.context // _STEP) or (further > 0 and self._filled == load.context)

    async def answered(self) -> None:
        """Measure it, once more for answers that came meanwhile; after the first, do the arithmetic as well."""
        try:
            while await self._measure() and self._fuller:
                pass
        finally:
            self._measuring = False

    async def _measure(self) -> bool:
        """False: it is gone."""
        filled = self._filled
        now = await self._look()
        if now is None:
            return False
        first = self._load.peak is None and self._load.arithmetic is None
        arithmetic = await self._loads.estimate(self.worker.plan) if first else self._load.arithmetic
        peak = self._load.peak
        if peak is None or now.total > peak.total * _MORE:
            peak = now
        load = replace(self._load, filled=filled, peak=peak, arithmetic=arithmetic)
        self._measured_at = time.monotonic()
        if load != self._load:
            self._load = load
            self._loads.keep(self._id, self._key, load)
            await self._loads.publish()
        return True

    async def _look(self) -> Footprint | None:
        pid = self.worker.pid
        found = await self._loads.look(pid) if pid is not None and self.worker.alive else None
        # One that ended meanwhile may have been measured while it let go of its memory.
        return found if self.worker.alive else None

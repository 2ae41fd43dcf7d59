"""Workers in memory: load what is asked for, evict what is idle, keep warm what is used, never promise memory twice.

A request first takes its place in the queue of its model and then gets a worker: requests for one model share one load, and while memory is full
they wait in the order of the queue. Which requests may come at all, and what they ask, is the door's business.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from hausgeist.engines import Engine, Worker
from hausgeist.errors import HausgeistError, InvalidRequest, LoadFailed, NotEnoughMemory, Unavailable
from hausgeist.model import Footprint, LaunchPlan
from hausgeist.serving.admission import Admission
from hausgeist.serving.footprints import Footprints
from hausgeist.serving.loads import Loads
from hausgeist.serving.memory import Ledger, gib
from hausgeist.serving.planning import smaller
from hausgeist.serving.resident import Lease, Loaded, Resident
from hausgeist.serving.slots import SlotTable
from hausgeist.serving.watchdog import Watchdog
from hausgeist.settings import Settings
from hausgeist.telemetry import Metrics

__all__ = ["Pool"]

log = logging.getLogger(__name__)

_PATIENCE = 120.0
"""Seconds that a load waits for busy models to finish before it gives up."""
_POLL = 0.05
_OBSERVE = 10.0
_SLOWEST_DISK = 20 * 10**6
"""Bytes per second at which a model file is read at worst."""
_ASTRAY = 2**30
"""Bytes that a worker may take beyond what it was promised, or a quarter of that where it is more: pictures, long requests, fragments."""


class Pool:
    """All workers of this server. `engines` finds an engine by name; `loads` keeps what they really take."""

    def __init__(self, *, settings: Settings, engines: Callable[[str], Engine], ledger: Ledger, metrics: Metrics, loads: Loads | None = None) -> None:
        self._settings = settings
        self._engines = engines
        self._ledger = ledger
        self._metrics = metrics
        self._residents: dict[tuple[str, str, str], Resident] = {}
        self._loads = loads
        self._footprints = Footprints(loads)
        self._room = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._looks: set[asyncio.Task[Any]] = set()
        self._unloading: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._draining = False

    # Asking

    async def lease(
        self,
        plan: LaunchPlan,
        *,
        user: str,
        project: str,
        prefix: tuple[int, ...] = (),
        share: int = 1,
        keep_alive: float | None = None,
        grow: bool = False,
        background: bool = False,
    ) -> Lease:
        """Slots of a loaded worker for this plan. Waits in the model's queue; loads it if need be. `grow`: a loaded worker with less context is
        loaded anew. `background`: comes after those that somebody waits for. Raises `Busy`, `NotEnoughMemory`, `LoadFailed`, `Unavailable`."""
        if self._draining:
            raise Unavailable("The server is shutting down; try again in a moment.")
        resident = await self._resident(plan, keep_alive, grow=grow)
        if share > resident.admission.capacity:
            raise InvalidRequest(
                f"{share} answers at once were asked for, but the model '{plan.model.id}' answers {resident.admission.capacity} side by side; "
                "ask for fewer, or set more slots for it.",
                param="n",
            )
        lease = None
        while lease is None:
            self._metrics.queue(plan.model.id, resident.admission.waiting + 1)
            try:
                await resident.admission.acquire(user, share, background=background)
            finally:
                self._metrics.queue(plan.model.id, resident.admission.waiting)
                self._metrics.active(plan.model.id, resident.admission.running)
            try:
                lease = await self._seat(resident, user=user, project=project, prefix=prefix, share=share, background=background)
            finally:
                if lease is None:
                    resident.admission.release(user, share, background=background)
                    resident.touch()
                # Also when nothing came of it: another lease may have ended, and been counted, meanwhile.
                self._metrics.active(plan.model.id, resident.admission.running)
        return lease

    async def _seat(self, resident: Resident, *, user: str, project: str, prefix: tuple[int, ...], share: int, background: bool) -> Lease | None:
        """A lease for a request that was admitted. `None`: the worker came up with fewer slots than were admitted for; queue again."""
        started = time.perf_counter()
        loaded = resident.worker is not None
        worker = await self._ready(resident)
        if resident.slots is None or resident.slots.free < share:
            return None
        load_ms = 0.0 if loaded else (time.perf_counter() - started) * 1000
        return Lease(resident, worker, user=user, project=project, prefix=prefix, share=share, load_ms=load_ms, background=background)

    async def give_back(self, lease: Lease, *, complete: bool, tokens: int = 0) -> None:
        """End a lease. An answer that was left early frees its slots only when the engine has let go of them, so that the next request does not
        queue behind it inside the engine, where no fairness reaches. `tokens`: how many one context held, the answer's with them."""
        if complete:
            lease.resident.crashes = 0
        if complete or not lease.worker.alive:
            self._return(lease)
        else:
            self._spawn(self._until_let_go(lease))
        observed = lease.resident.observed
        if observed is not None and observed.worker is lease.worker and observed.due(tokens):
            self._look(observed.answered())

    def changes(self, plan: LaunchPlan, usual: LaunchPlan, *, keep_alive: float | None) -> bool:
        """Whether a lease with this plan and `keep_alive` would change how the model is loaded, or how long it stays. `usual`: the plan of a
        request that wishes for nothing."""
        resident = self._residents.get(_key(plan))
        if keep_alive is not None and keep_alive != (self._stay(plan, None) if resident is None else resident.keep_alive):
            return True
        return plan.context != usual.context if resident is None else plan.context > resident.plan.context

    def residents(self) -> list[Resident]:
        """The models that are in memory, on their way into it or out of it; for those who tell of them."""
        return [resident for resident in self._residents.values() if resident.state is not None]

    def loaded(self) -> list[Loaded]:
        return [shown for resident in self._residents.values() if (shown := resident.shown()) is not None]

    async def unload(self, model_id: str) -> bool:
        """Take a model out of memory when its running requests have ended. False: it was not loaded."""
        found = [resident for resident in self._residents.values() if resident.plan.model.id == model_id and resident.worker is not None]
        await asyncio.gather(*(self._evict(resident) for resident in found))
        return bool(found)

    async def forget(self, *, project: str | None = None, user: str | None = None, patience: float = 60.0) -> tuple[list[str], list[str]]:
        """End the workers that have seen prompts of a project, a user, or a user in a project, once their running requests have ended; the next
        request loads the model again. Returns the models that have left, and those that still answer somebody after `patience` seconds and leave
        when they have.

        An engine that is told to empty a slot marks its cells as free and leaves in them what they held; the memory of a process that has ended
        is nobody's any more."""
        leaving = {
            self._spawn(self._evict(resident)): resident.plan.model.id
            for resident in list(self._residents.values())
            if resident.worker is not None and any(project in (None, one) and user in (None, other) for one, other in resident.asked)
        }
        done = (await asyncio.wait(leaving, timeout=patience))[0] if leaving else set()
        return [model for task, model in leaving.items() if task in done], [model for task, model in leaving.items() if task not in done]

    # Life

    def start(self) -> None:
        """Begin to watch for idle models. Needs a running event loop."""
        self._unloading = asyncio.create_task(self._unload_idle())
        if self._loads is not None:
            self._spawn(self._loads.publish())

    async def drain(self, seconds: float) -> None:
        """Let nobody in any more, and give running answers, and looks at what they took, so many seconds."""
        self._draining = True
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and (self._looks or any(resident.admission.running for resident in self._residents.values())):
            await asyncio.sleep(_POLL)

    async def close(self) -> None:
        """End every worker, running or not."""
        self._draining = True
        tasks = [*self._tasks, *(task for one in self._residents.values() for task in (one.loading, one.watching) if task)]
        if self._unloading:
            tasks.append(self._unloading)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(one.worker.close() for one in self._residents.values() if one.worker), return_exceptions=True)
        self._residents.clear()

    # Loading

    async def _resident(self, plan: LaunchPlan, keep_alive: float | None, *, grow: bool) -> Resident:
        stay = self._stay(plan, keep_alive)
        resident = self._residents.get(_key(plan))
        if resident is None:
            resident = self._residents[_key(plan)] = Resident(plan, Admission(plan.slots, self._settings.queue), stay)
        elif grow and plan.context > resident.plan.context:
            await self._demand_growth(resident, plan)
            if plan.context > resident.plan.context and not resident.leaving:
                await self._evict(resident, successor=plan)
        resident.keep_alive = stay
        return resident

    def _stay(self, plan: LaunchPlan, keep_alive: float | None) -> float:
        own = plan.model.options.keep_alive
        return keep_alive if keep_alive is not None else own if own is not None else self._settings.keep_alive

    async def _demand_growth(self, resident: Resident, plan: LaunchPlan) -> None:
        """Raise `NotEnoughMemory`, or `LoadFailed`, before the worker that there is makes way for one that cannot be."""
        try:
            await self._affordable(self._engines(plan.model.engine), plan)
        except NotEnoughMemory as error:
            if resident.worker is None:
                raise
            raise NotEnoughMemory(f"{error.message} It stays loaded with a context of {resident.plan.context} tokens.") from error

    async def _ready(self, resident: Resident) -> Worker:
        if resident.worker is not None and resident.worker.alive:
            return resident.worker
        if resident.loading is None:
            resident.demand_loadable()
            resident.loading = asyncio.create_task(self._load(resident))
            resident.loading.add_done_callback(lambda task: self._loaded(resident, task))
        return await asyncio.shield(resident.loading)

    def _loaded(self, resident: Resident, task: asyncio.Task[Worker]) -> None:
        resident.loading = None
        resident.touch()
        self._wake.set()
        if not task.cancelled():
            task.exception()  # seen: whoever waited has it; a load that nobody waits for any more must not warn

    async def _load(self, resident: Resident) -> Worker:
        name = resident.plan.model.id
        if resident.watching is not None:  # the worker before has just died: its end is settled before this one is promised anything
            await asyncio.wait([resident.watching])
        await self._settle_crash(resident)
        engine = self._engines(resident.plan.model.engine)
        async with self._room:
            try:
                plan, footprint = await self._make_room(engine, resident)
            except NotEnoughMemory:
                # What this request wished for must not become what everybody after it is given.
                self._residents.pop(resident.key, None)
                raise
            plan = replace(plan, memory=_astray(footprint))
            resident.plan, resident.footprint = plan, footprint
            resident.admission.resize(plan.slots)
        started = time.monotonic()
        try:
            worker = await self._start_worker(engine, plan)
        except BaseException as error:
            resident.footprint = None
            self._metrics.loads(name, time.monotonic() - started, "failed")
            if isinstance(error, LoadFailed):
                resident.load_failed(error, time.monotonic() - started)
            raise
        resident.load_seconds = time.monotonic() - started
        resident.load_succeeded()
        resident.loaded_at = time.time()
        resident.worker, resident.slots = worker, SlotTable(plan.slots)
        resident.asked.clear()
        self._observe(resident, worker)
        resident.watching = asyncio.create_task(self._watch(resident, worker))
        self._metrics.loads(name, resident.load_seconds, "ok")
        self._metrics.memory(name, footprint.total)
        log.info("loaded %s in %.1f s: %s, %d x %d tokens", name, resident.load_seconds, gib(footprint.total), plan.slots, plan.context)
        return worker

    def _observe(self, resident: Resident, worker: Worker) -> None:
        resident.observed = self._loads.begin(worker, self._footprints.said(worker.plan)) if self._loads is not None else None
        if resident.observed is not None:
            self._look(resident.observed.loaded())

    async def _start_worker(self, engine: Engine, plan: LaunchPlan) -> Worker:
        name = plan.model.id
        patience = self._settings.load_timeout + plan.model.shape.size / _SLOWEST_DISK
        try:
            async with asyncio.timeout(patience):
                return await engine.load(plan)
        except TimeoutError as error:
            log.error("loading %s was given up after %.0f s", name, patience)
            raise LoadFailed(f"The model '{name}' was not loaded within {patience:.0f} s, and loading it was given up.") from error
        except HausgeistError:
            raise
        except Exception as error:
            log.exception("loading %s failed", name)
            raise LoadFailed(f"The model '{name}' could not be loaded: {error}") from error

    async def _settle_crash(self, resident: Resident) -> None:
        pause = resident.backoff()
        if pause:
            log.warning("%s crashed %d times; starting it again in %.1f s", resident.plan.model.id, resident.crashes, pause)
            await asyncio.sleep(pause)

    async def _make_room(self, engine: Engine, resident: Resident) -> tuple[LaunchPlan, Footprint]:
        """A plan that fits beside what is in use, and its footprint; evicts the least recently used. The caller holds `_room`."""
        plan, footprint = await self._affordable(engine, resident.plan)
        deadline = time.monotonic() + _PATIENCE
        while self._ledger.missing(footprint, self._promised(), self._held()) > 0:
            await self._evict_one(resident, footprint, deadline)
        return plan, footprint

    async def _affordable(self, engine: Engine, plan: LaunchPlan) -> tuple[LaunchPlan, Footprint]:
        """The plan, or the next more modest one that this machine can hold when nothing else is loaded. Raises `NotEnoughMemory`."""
        footprint = await self._fit(engine, plan)
        while (short := self._ledger.missing(footprint, (), self._held())) > 0:
            modest = smaller(plan)
            if modest is None:
                raise NotEnoughMemory(
                    f"The model '{plan.model.id}' takes {gib(footprint.host)} with a context of {plan.context} tokens, {gib(short)} more than this "
                    "machine has to give. Use a smaller context, a lower precision of the model or a smaller model, or free memory."
                )
            log.warning("%s: %d slots of %d tokens do not fit; trying %d", plan.model.id, plan.slots, plan.context, modest.slots)
            plan, footprint = modest, await self._fit(engine, modest)
        return plan, footprint

    async def _fit(self, engine: Engine, plan: LaunchPlan) -> Footprint:
        said = await self._footprints.of(engine, plan)
        return self._footprints.trusted(plan, said, most=_astray(said))

    def _promised(self) -> list[Footprint]:
        return [one.footprint for one in self._residents.values() if one.footprint is not None]

    def _held(self) -> list[Footprint]:
        return [one.worker.measured() for one in self._residents.values() if one.worker is not None and one.worker.alive]

    # Leaving

    async def _evict_one(self, wanting: Resident, footprint: Footprint, deadline: float) -> None:
        """Make the best candidate leave: idle before busy, least recently used first, those that shall stay for ever last."""
        others = [one for one in self._residents.values() if one.footprint is not None and one is not wanting]
        others.sort(key=lambda one: (not one.idle, one.keep_alive < 0, one.last_used))
        candidates = [one for one in others if one.worker is not None]
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                if candidates:
                    log.info("%s leaves to make room for %s", candidates[0].plan.model.id, wanting.plan.model.id)
                    await self._evict(candidates[0])
                else:
                    await asyncio.sleep(_POLL)  # all that is promised is just being loaded, or ending
        except TimeoutError:
            busy = ", ".join(f"'{one.plan.model.id}'" for one in others) or "other programs"
            raise NotEnoughMemory(
                f"The model '{wanting.plan.model.id}' needs {gib(footprint.host)}, and {busy} did not finish in time to make room. Try again later."
            ) from None

    async def _evict(self, resident: Resident, successor: LaunchPlan | None = None) -> None:
        """Wait for the running requests, then end the worker. Who waits in the queue stays there and has it loaded again."""
        resident.admission.paused = resident.leaving = True
        try:
            await resident.until_quiet()
            if resident.loading is not None:
                await asyncio.wait([resident.loading])
            await self._end(resident)
            if successor is not None:
                resident.plan = successor
                resident.admission.capacity = successor.slots
        finally:
            resident.leaving = False
            resident.admission.resume()
        if resident.idle and resident.worker is None and successor is None:
            self._residents.pop(resident.key, None)

    async def _end(self, resident: Resident) -> None:
        worker, resident.worker = resident.worker, None
        if resident.watching is not None:
            resident.watching.cancel()
            resident.watching = None
        if worker is not None:
            await asyncio.shield(asyncio.ensure_future(worker.close()))
            log.info("unloaded %s", resident.plan.model.id)
        resident.footprint = None
        self._metrics.memory(resident.plan.model.id, None)

    async def _watch(self, resident: Resident, worker: Worker) -> None:
        """A worker that ends without being told to has crashed; its requests fail by themselves, the next one gets a fresh worker."""
        guard = asyncio.create_task(self._guard(resident, worker))
        try:
            why = await worker.wait()
        finally:
            guard.cancel()
        if resident.worker is not worker:
            return
        log.error("the worker of %s ended: %s", resident.plan.model.id, why)
        resident.worker = resident.footprint = resident.watching = None
        resident.crashes += 1
        resident.crashed_at = time.monotonic()
        self._metrics.memory(resident.plan.model.id, None)
        self._metrics.loads(resident.plan.model.id, 0.0, "crashed")
        await worker.close()

    async def _guard(self, resident: Resident, worker: Worker) -> None:
        why = await Watchdog(resident, worker, stall=self._settings.stall).verdict()
        log.error("ending the worker of %s: %s", resident.plan.model.id, why)
        await worker.close(patience=0)

    async def _until_let_go(self, lease: Lease) -> None:
        started = time.monotonic()
        try:
            busy, left = await lease.busy()
            while busy and lease.worker.alive:
                if self._quicker_to_restart(lease, left, time.monotonic() - started):
                    log.info("restarting the worker of %s: a client left, and most of its prompt is still to be processed", lease.plan.model.id)
                    await self._end(lease.resident)
                    break
                await asyncio.sleep(_POLL)
                busy, left = await lease.busy()
        finally:
            self._return(lease)

    @staticmethod
    def _quicker_to_restart(lease: Lease, left: float, waited: float) -> bool:
        """Nobody else is being answered, and what remains of the prompt takes longer than a load (judged by the part done so far)."""
        alone = lease.resident.admission.running <= len(lease.slots) and lease.resident.worker is lease.worker
        if not alone or waited < 1.0 or not left or left >= 1.0:
            return False
        return lease.since(time.monotonic()) * left / (1 - left) > lease.resident.load_seconds + 1.0

    def _return(self, lease: Lease) -> None:
        lease.give_back()
        self._metrics.active(lease.plan.model.id, lease.resident.admission.running)
        self._wake.set()

    async def _unload_idle(self) -> None:
        """Unload what has been idle for its time, and note what workers really take."""
        observed = 0.0
        while True:
            now = time.monotonic()
            for resident in list(self._residents.values()):
                expires = resident.expires_at
                if resident.worker is not None and resident.idle and not resident.leaving and expires is not None and expires <= now:
                    self._spawn(self._evict(resident))
            if now - observed >= _OBSERVE:
                observed = now
                for shown in self.loaded():
                    if shown.measured is not None:
                        self._metrics.memory(shown.model.id, shown.measured.total)
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):  # not wait_for: in Python 3.11 it can swallow a cancellation
                    await self._wake.wait()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _look(self, work: Coroutine[Any, Any, None]) -> None:
        """Measure a worker, while nobody waits for it."""
        task = self._spawn(work)
        self._looks.add(task)
        task.add_done_callback(self._looks.discard)


def _astray(footprint: Footprint) -> int:
    return footprint.host + max(_ASTRAY, footprint.host // 4)


def _key(plan: LaunchPlan) -> tuple[str, str, str]:
    return plan.model.id, plan.model.digest, plan.task

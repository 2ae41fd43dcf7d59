"""One model's place in memory: its queue, its worker while there is one, its slots, and when it may leave."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Container
from dataclasses import dataclass, field
from typing import Literal

from hausgeist.engines import Operation, Reply, Worker, WorkerGone
from hausgeist.errors import EngineFailed, LoadFailed
from hausgeist.model import Footprint, InstalledModel, LaunchPlan
from hausgeist.serving.admission import Admission
from hausgeist.serving.loads import Observed
from hausgeist.serving.slots import SlotTable

__all__ = ["Lease", "Loaded", "Resident", "State"]

State = Literal["loading", "loaded", "unloading"]

_LONGEST_BACKOFF = 30.0
_LONG_LOAD = 5.0
"""Seconds; a load that fails sooner may be tried again at once."""
_LONGEST_REFUSAL = 600.0
_OWN_SLOTS: tuple[Operation, ...] = ("chat", "completion", "infill")
"""Operations that run in the slots of their lease; for the others the engine chooses, or needs none."""
_ANY_SLOTS: tuple[Operation, ...] = ("embeddings", "rerank")


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What `ps` shows of a model in memory. Times are Unix time; `expires_at` None: stays."""

    model: InstalledModel
    plan: LaunchPlan
    footprint: Footprint
    measured: Footprint | None
    pid: int | None
    running: int
    waiting: int
    loaded_at: float
    expires_at: float | None


@dataclass(eq=False)
class Resident:
    """Created when a model is first asked for; `worker` comes and goes. Everything here happens on one event loop."""

    plan: LaunchPlan
    admission: Admission
    keep_alive: float
    worker: Worker | None = None
    slots: SlotTable | None = None
    footprint: Footprint | None = None
    """Memory promised to the worker: set before it is loaded, gone when it has ended."""
    observed: Observed | None = None
    """Who notes what the worker takes; of the last one."""
    loading: asyncio.Task[Worker] | None = None
    watching: asyncio.Task[None] | None = None
    loaded_at: float = 0.0
    load_seconds: float = 0.0
    last_used: float = field(default_factory=time.monotonic)
    leaving: bool = False
    crashes: int = 0
    crashed_at: float = 0.0
    leases: set[Lease] = field(default_factory=set)
    asked: set[tuple[str, str]] = field(default_factory=set)
    """Projects and users whose prompts the worker has seen since it was loaded: something of them may be in its memory until it ends."""
    _refusal: str = ""
    _refusals: int = 0
    _refused_until: float = 0.0
    _idle: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def key(self) -> tuple[str, str, str]:
        return self.plan.model.id, self.plan.model.digest, self.plan.task

    @property
    def idle(self) -> bool:
        return not self.admission.running and not self.admission.waiting and self.loading is None

    @property
    def state(self) -> State | None:
        """`None`: it is not in memory, and nobody has it loaded."""
        if self.worker is None:
            return "loading" if self.loading is not None else None
        return "unloading" if self.leaving else "loaded"

    @property
    def expires_at(self) -> float | None:
        """Monotonic time at which an idle worker leaves; `None`: never."""
        return None if self.keep_alive < 0 else self.last_used + self.keep_alive

    def touch(self) -> None:
        """A request ended: it has been used now, and may have become idle."""
        self.last_used = time.monotonic()
        if not self.admission.running:
            self._idle.set()

    async def until_quiet(self) -> None:
        """Wait until no request runs; the caller has paused the admission."""
        while self.admission.running:
            self._idle.clear()
            await self._idle.wait()

    def backoff(self) -> float:
        """Seconds to wait before the worker is started again: none after a first crash, longer with each that follows at once."""
        if self.crashes < 2:
            return 0.0
        pause = min(_LONGEST_BACKOFF, 0.5 * 2.0 ** (self.crashes - 2))
        return max(0.0, self.crashed_at + pause - time.monotonic())

    def load_failed(self, error: LoadFailed, seconds: float) -> None:
        """Note a load that was long in vain: a file that costs minutes each time must not be tried with every request."""
        if seconds < _LONG_LOAD:
            return
        self._refusals += 1
        self._refusal = error.message
        self._refused_until = time.monotonic() + min(_LONGEST_REFUSAL, seconds * 2.0**self._refusals)

    def load_succeeded(self) -> None:
        self._refusals, self._refused_until = 0, 0.0

    def demand_loadable(self) -> None:
        """Raises `LoadFailed` while the last load, long and in vain, was a short time ago."""
        left = self._refused_until - time.monotonic()
        if left > 0:
            raise LoadFailed(f"{self._refusal} It is not tried again for another {left:.0f} s.")

    def shown(self) -> Loaded | None:
        """For `ps`; `None` while nothing is loaded."""
        if self.worker is None or self.footprint is None:
            return None
        expires = self.expires_at
        return Loaded(
            model=self.plan.model,
            plan=self.plan,
            footprint=self.footprint,
            measured=self.worker.measured() if self.worker.alive else None,
            pid=self.worker.pid,
            running=self.admission.running,
            waiting=self.admission.waiting,
            loaded_at=self.loaded_at,
            expires_at=None if expires is None else time.time() + expires - time.monotonic(),
        )


class Lease:
    """The right to use some slots of a worker; given back exactly once."""

    def __init__(
        self, resident: Resident, worker: Worker, *, user: str, project: str, prefix: tuple[int, ...], share: int, load_ms: float,
        background: bool = False,
    ) -> None:  # fmt: skip
        assert resident.slots is not None
        self.resident = resident
        self.worker = worker
        self.plan = resident.plan
        self.load_ms = load_ms
        self._user = user
        self._share = share
        self._background = background
        self._table = resident.slots
        self.slots, self.reuse = self._table.take(project, prefix, share)
        self._since = time.monotonic()
        self._given = False
        self._operation: Operation | None = None
        self.fault = ""
        """Why its worker was ended on its account, or may have been."""
        resident.leases.add(self)
        resident.asked.add((project, user))

    def give_back(self) -> None:
        """The slots are free for the next in the queue."""
        if self._given:
            return
        self._given = True
        self.resident.leases.discard(self)
        self._table.give(self.slots)
        self.resident.admission.release(self._user, self._share, seconds=time.monotonic() - self._since, background=self._background)
        self.resident.touch()

    async def call(self, operation: Operation, body: bytes) -> Reply:
        """Ask the worker. Raises `WorkerGone`, and `EngineFailed` where it was ended on account of this question, which is not to be repeated."""
        self._operation = operation
        try:
            return await self.worker.call(operation, body)
        except WorkerGone as error:
            if self.fault:
                raise EngineFailed(self.fault) from error
            raise
        finally:
            self._operation = None

    @property
    def asking(self) -> bool:
        """Whether its question has had no answer so far."""
        return self._operation is not None

    def at_work(self, busy: Container[int]) -> bool:
        """Whether the engine works on the question, as far as its busy slots tell. Of several answers it chooses the slots by itself."""
        if self._operation in _ANY_SLOTS or (self._operation in _OWN_SLOTS and self._share > 1):
            return any(number in busy for number in range(self.plan.slots))
        return self._operation in _OWN_SLOTS and self.slots[0] in busy

    def since(self, now: float) -> float:
        """Seconds that the lease has lasted."""
        return now - self._since

    async def busy(self) -> tuple[bool, float]:
        """Whether the engine is still at work in these slots, and which part of the prompt is left (0 to 1; 0 in generation).

        One that lives and does not answer has let go of nothing."""
        try:
            states = {state.id: state for state in await self.worker.slots()}
        except WorkerGone:
            return self.worker.alive, 0.0
        ours = [states[number] for number in self.slots if number in states]
        left = max((1 - state.prompt_done / state.prompt_total for state in ours if state.busy and state.prompt_total), default=0.0)
        return any(state.busy for state in ours), max(0.0, left)

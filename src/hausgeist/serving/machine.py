"""What this machine has and what is in its memory: now, and over the last day. Reads and remembers; what may be loaded is the pool's business.

The memory is looked at every `STEP` seconds, which takes a few tenths of a millisecond. What takes longer, accelerators, the size of the home
folder, what each worker holds, is looked at in a thread when somebody asks, and told again to those who ask soon after.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Generic, NamedTuple, TypeVar

from hausgeist import hardware
from hausgeist.hardware import Cpu, Device, Disk, Memory
from hausgeist.model import Footprint
from hausgeist.serving.loads import measure
from hausgeist.serving.pool import Pool
from hausgeist.serving.resident import Resident, State

__all__ = ["STEP", "Machine", "Present", "Sample", "Seen"]

log = logging.getLogger(__name__)
T = TypeVar("T")

STEP: Final = 10.0
_KEPT: Final = int(24 * 3600 / STEP)
_MOST_POINTS: Final = 1440
"""Of a history in one answer: more than a screen has."""
_WORKERS_FOR: Final = 3.0
_DEVICES_FOR: Final = 10.0
_HOME_FOR: Final = 600.0


class Sample(NamedTuple):
    """Bytes of main memory at a time (Unix time): in use by whomever, and of that by the workers and by the server itself."""

    at: float
    used: int
    models: int
    server: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """A model in memory, or on its way. Sizes in bytes, times Unix times."""

    id: str
    state: State
    memory: int | None
    """What it takes, as measured; `None`: it is computed elsewhere, or not there yet."""
    predicted: int | None
    """What was reckoned before it was loaded; `None`: that is still to be done."""
    context: int
    """Tokens per request."""
    slots: int
    active: int
    waiting: int
    last_used: float
    until: float | None
    """When it leaves, if nobody asks it anything more; `None`: it stays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The machine at this moment. Sizes in bytes."""

    started: float
    uptime: float
    memory: Memory
    server: int
    """Main memory of the server's own process."""
    workers: int
    """Main memory of the processes that compute."""
    disk: Disk | None
    home: int | None
    """What the home folder takes; `None`: it is being counted."""
    cpu: Cpu
    devices: Sequence[Device]
    models: Sequence[Present]


class Machine:
    """`start` and `stop` it on the event loop of the pool. `probe` reads the main memory."""

    def __init__(
        self,
        *,
        home: Path,
        pool: Pool,
        probe: Callable[[], Memory] = hardware.memory,
        devices: Callable[[], Sequence[Device]] = hardware.devices,
        cpu: Callable[[], Cpu] = hardware.cpu,
    ) -> None:
        self._home = home
        self._pool = pool
        self._probe = probe
        self._leaving = threading.Event()
        self._samples: deque[Sample] = deque(maxlen=_KEPT)
        self._workers = _Kept(_WORKERS_FOR, self._measured)
        self._devices = _Kept(_DEVICES_FOR, lambda: _threaded(devices))
        self._cpu = _Kept(math.inf, lambda: _threaded(cpu))
        self._size = _Kept(_HOME_FOR, lambda: _threaded(lambda: hardware.occupied(home, self._leaving)))
        self._started = time.time()
        self._began = time.monotonic()
        self._sampling: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to remember."""
        self._started, self._began = time.time(), time.monotonic()
        self._sampling = asyncio.create_task(self._sample_on())

    async def stop(self) -> None:
        """End. What was begun in threads ends by itself, and soon."""
        self._leaving.set()
        if self._sampling is not None:
            self._sampling.cancel()
            await asyncio.gather(self._sampling, return_exceptions=True)
        await asyncio.gather(*(one.close() for one in (self._workers, self._devices, self._cpu, self._size)))

    async def seen(self) -> Seen:
        """The machine now."""
        now = self.sample()
        memory = self._probe()
        models, devices, cpu, disk = await asyncio.gather(self.models(), self._devices.get(), self._cpu.get(), asyncio.to_thread(self._disk))
        return Seen(
            started=self._started,
            uptime=time.monotonic() - self._began,
            memory=memory,
            server=now.server,
            workers=now.models,
            disk=disk,
            home=self._size.soon(),
            cpu=cpu,
            devices=devices,
            models=models,
        )

    async def models(self) -> list[Present]:
        """What is in memory, on its way into it or out of it, as of now."""
        measured = await self._workers.get() if self._pool.residents() else {}
        return [_present(resident, measured) for resident in self._pool.residents()]

    def history(self, since: float = 0.0) -> tuple[float, list[Sample]]:
        """Seconds from one sample to the next, and those taken after a Unix time. Of many, each is the most that was seen in its step."""
        found = [sample for sample in self._samples if sample.at > since]
        together = max(1, math.ceil(len(found) / _MOST_POINTS))
        if together == 1:
            return STEP, found
        step = STEP * together
        steps: dict[int, Sample] = {}
        for sample in found:
            number = int(sample.at // step)
            before = steps.get(number, Sample(number * step, 0, 0, 0))
            steps[number] = Sample(before.at, *map(max, before[1:], sample[1:]))
        return step, list(steps.values())

    def sample(self) -> Sample:
        """The memory now. Quick, and remembers nothing."""
        import psutil

        memory = self._probe()
        workers = [resident.worker for resident in self._pool.residents() if resident.worker is not None]
        held = sum(worker.measured().host for worker in workers if worker.pid is not None and worker.alive)
        return Sample(time.time(), max(0, memory.total - memory.available), held, int(psutil.Process().memory_info().rss))

    async def _sample_on(self) -> None:
        while True:
            try:
                self._samples.append(self.sample())
            except Exception as error:  # a system that does not tell for once; the line has a gap
                log.debug("the memory could not be looked at: %s", error)
            await asyncio.sleep(STEP)

    def _disk(self) -> Disk | None:
        try:
            return hardware.disk(self._home)
        except OSError:
            return None

    async def _measured(self) -> dict[int, Footprint | None]:
        """What each worker holds, by its process. With many gigabytes that takes tenths of a second."""
        workers = [resident.worker for resident in self._pool.residents() if resident.worker is not None and resident.plan.model.path is not None]
        numbers = [worker.pid for worker in workers if worker.pid is not None and worker.alive]
        return await asyncio.to_thread(lambda: {number: measure(number) for number in numbers})


def _present(resident: Resident, measured: dict[int, Footprint | None]) -> Present:
    worker, now = resident.worker, time.time()
    held = measured.get(worker.pid) if worker is not None and worker.pid is not None and worker.alive else None
    used = now - (0.0 if resident.admission.running else time.monotonic() - resident.last_used)
    state = resident.state
    assert state is not None
    return Present(
        id=resident.plan.model.id,
        state=state,
        memory=held.total if held is not None else None,
        predicted=resident.footprint.total if resident.footprint is not None else None,
        context=resident.plan.context,
        slots=resident.plan.slots,
        active=resident.admission.running,
        waiting=resident.admission.waiting,
        last_used=used,
        until=None if resident.keep_alive < 0 else used + resident.keep_alive,
    )


class _Kept(Generic[T]):
    """What is looked at once, however many ask, and told for some seconds. A failure is told to those who wait, and tried again by the next."""

    def __init__(self, seconds: float, look: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._seconds = seconds
        self._look = look
        self._value: T | None = None
        self._at = -math.inf
        self._looking: asyncio.Task[T] | None = None

    async def get(self) -> T:
        """Wait for it where it is too old."""
        if self._value is not None and time.monotonic() - self._at < self._seconds:
            return self._value
        return await asyncio.shield(self._begin())

    def soon(self) -> T | None:
        """As it is known, whatever its age; where that is too old, it is looked at again for those who ask later."""
        if time.monotonic() - self._at >= self._seconds:
            self._begin()
        return self._value

    def _begin(self) -> asyncio.Task[T]:
        if self._looking is None:
            self._looking = asyncio.create_task(self._work())
            self._looking.add_done_callback(self._done)
        return self._looking

    async def _work(self) -> T:
        self._value = await self._look()
        self._at = time.monotonic()
        return self._value

    def _done(self, task: asyncio.Task[T]) -> None:
        self._looking = None
        if not task.cancelled() and (error := task.exception()) is not None:
            log.debug("something of the machine could not be looked at: %s", error)

    async def close(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await self._looking


async def _threaded(look: Callable[[], T]) -> T:
    return await asyncio.to_thread(look)

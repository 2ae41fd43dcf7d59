"""Watches one worker: that it answers while it should, gets on with what it was asked, and keeps to the memory it was promised.

An engine in a long step of a prompt answers nobody for minutes and is busy, not hung: it uses the processor, or reads its weights from disk. One
that does neither and does not answer is hung. One that answers, but has a question that no slot ever takes up, hangs before the slots: over a chat
template without an end, say; when whoever asked has left, it works for nobody. Only processes of our own are watched. Ending the worker is the
pool's business; who is to blame is told to the leases.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from hausgeist.engines import SlotState, Worker, WorkerGone
from hausgeist.hardware.process import effort
from hausgeist.serving.memory import gib
from hausgeist.serving.resident import Lease, Resident

__all__ = ["Watchdog"]

_LONGEST_PAUSE = 5.0
_PROBES = 6
"""Looks within the time that a worker may be silent."""
_LONGEST_STEP = 10
"""How many times the silence of an idle worker one is allowed that works."""
_AT_WORK = 0.01
"""Share of the time that whoever works uses a processor."""
_BUSY = 0.2
"""The same of one that nobody has asked anything, and that should use none."""
_MEASURE = 0.5


class Watchdog:
    """Of one worker. `stall`: seconds of silence that are too many."""

    def __init__(self, resident: Resident, worker: Worker, *, stall: float, effort: Callable[[int], float] = effort) -> None:
        self._resident = resident
        self._worker = worker
        self._stall = stall
        self._pause = min(_LONGEST_PAUSE, stall / _PROBES)
        self._effort = effort
        self._waiting: dict[Lease, float] = {}
        """Since when a question has been without a slot that works on it."""

    async def verdict(self) -> str:
        """Wait until the worker has to be ended, and say why. The leases that are to blame, or that may be, have it as their fault then."""
        loops = [asyncio.create_task(self._until_silent()), asyncio.create_task(self._until_large())]
        try:
            await asyncio.wait(loops, return_when=asyncio.FIRST_COMPLETED)
            return next(loop.result() for loop in loops if loop.done())
        finally:
            for loop in loops:
                loop.cancel()
            await asyncio.gather(*loops, return_exceptions=True)

    async def _until_large(self) -> str:
        limit = self._worker.plan.memory
        while limit is None or (taken := self._worker.measured().parts.get("anonymous", 0)) <= limit:
            await asyncio.sleep(_MEASURE)
        return self._blame(f"The engine took {gib(taken)} of memory where it should take at most {gib(limit)}, and was stopped.")

    async def _until_silent(self) -> str:
        pid = self._worker.pid
        if pid is None:
            await asyncio.Event().wait()
        assert pid is not None
        heard = moved = astray = looked = time.monotonic()
        done = self._effort(pid)
        asked: asyncio.Task[Sequence[SlotState]] | None = None
        try:
            while True:
                if asked is None:
                    asked = asyncio.create_task(self._slots())
                # One question at a time, however long it takes: between two long steps the engine answers it.
                await asyncio.sleep(self._pause)
                now, effort = time.monotonic(), self._effort(pid)
                share = (effort - done) / (now - looked)
                looked, done = now, effort
                if share >= _AT_WORK:
                    moved = now
                if asked.done():
                    states, asked, heard = asked.result(), None, now
                    if stuck := self._stuck(states, now):
                        return self._blame(f"The engine did not begin with this request within {self._stall:.0f} s, and was stopped.", stuck)
                    if share < _BUSY or self._asked_for(states):
                        astray = now
                    elif now - astray >= self._stall:
                        return self._blame(f"The engine has worked for nobody for {now - astray:.0f} s, and was stopped.")
                elif now - max(heard, moved) >= self._stall or now - heard >= self._stall * _LONGEST_STEP:
                    return self._blame(f"The engine has not answered for {now - heard:.0f} s, and was stopped.")
        finally:
            if asked is not None:
                asked.cancel()
                await asyncio.gather(asked, return_exceptions=True)

    async def _slots(self) -> Sequence[SlotState]:
        """Only an answer is one: a connection that fails while the process lives is silence."""
        while True:
            try:
                return await self._worker.slots()
            except WorkerGone:
                await asyncio.sleep(self._pause)

    def _stuck(self, states: Sequence[SlotState], now: float) -> list[Lease]:
        """The leases whose question has been without a slot at work for too long."""
        busy = {state.id for state in states if state.busy}
        asking = [lease for lease in self._resident.leases if lease.worker is self._worker and lease.asking and not lease.at_work(busy)]
        self._waiting = {lease: self._waiting.get(lease, now) for lease in asking}
        return [lease for lease, since in self._waiting.items() if now - since >= self._stall]

    def _asked_for(self, states: Sequence[SlotState]) -> bool:
        return any(state.busy for state in states) or any(lease.worker is self._worker and lease.asking for lease in self._resident.leases)

    def _blame(self, why: str, leases: Sequence[Lease] | None = None) -> str:
        for lease in list(self._resident.leases) if leases is None else leases:
            if lease.worker is self._worker:
                lease.fault = why
        return why

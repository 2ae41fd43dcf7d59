"""Who goes next: a bounded queue in front of the slots of one model, fair between users.

A user's turn comes by how many slots they hold already, then by how long ago their last turn was, then by how long they have waited, so that
one busy user cannot keep the others out. Nor can one fill the queue: alone they may have all of it, but when it is full, whoever has fewer
requests in it takes the place of the last of whoever has most. Pure bookkeeping on one event loop; knows nothing of models or workers.

Work that nobody waits for (a batch) stays in the background: it goes on while nobody else waits, leaves a slot free where there are several, and is
the first to lose its place in a full queue.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import NamedTuple

from hausgeist.errors import Busy

__all__ = ["Admission"]


class _Queue(NamedTuple):
    """Whose requests these are. Those of one user in the background are apart from those that the same user waits for."""

    background: bool
    user: str


@dataclass(eq=False, slots=True)
class _Waiter:
    queue: _Queue
    share: int
    since: float
    turn: asyncio.Future[None]


@dataclass(eq=False)
class Admission:
    """`capacity` slots, at most `limit` requests waiting for them. `paused` lets nobody in (the model is leaving memory)."""

    capacity: int
    limit: int
    paused: bool = False
    _held: Counter[_Queue] = field(default_factory=Counter)
    _queues: dict[_Queue, deque[_Waiter]] = field(default_factory=dict)
    _turns: dict[_Queue, float] = field(default_factory=dict)
    """When each waiting user last had a turn; forgotten when nobody waits."""
    _seconds: float = 2.0
    """Smoothed time that one request holds its slots, for Retry-After."""

    @property
    def running(self) -> int:
        """Slots in use."""
        return self._held.total()

    @property
    def waiting(self) -> int:
        return sum(map(len, self._queues.values()))

    def retry_after(self) -> float:
        """Seconds after which a slot is likely to be free for one who comes now."""
        return min(60.0, max(1.0, self._seconds * (self.waiting + 1) / max(1, self.capacity)))

    async def acquire(self, user: str, share: int = 1, *, background: bool = False) -> None:
        """Wait for `share` slots. Raises `Busy` when the queue is full, or when this user fills it and others need the place. Cancelling gives
        the place up."""
        queue = _Queue(background, user)
        if not self.paused and not self.waiting and self._fits(queue, share):
            self._held[queue] += share
            self._turns[queue] = time.monotonic()
            return
        if self.waiting >= self.limit and not self._displace(queue):
            raise self._busy(f"{self.waiting} requests are waiting for this model already")
        waiter = _Waiter(queue, share, time.monotonic(), asyncio.get_running_loop().create_future())
        self._queues.setdefault(queue, deque()).append(waiter)
        self._advance()
        try:
            await waiter.turn
        except asyncio.CancelledError:
            if waiter.turn.done() and not waiter.turn.cancelled() and waiter.turn.exception() is None:
                self.release(user, share, background=background)
            else:
                self._drop(waiter)
            raise

    def release(self, user: str, share: int = 1, *, seconds: float | None = None, background: bool = False) -> None:
        """Give slots back; `seconds` they were held, where that says something about the next request."""
        queue = _Queue(background, user)
        self._held[queue] -= share
        if self._held[queue] <= 0:
            del self._held[queue]
        if seconds is not None:
            self._seconds += 0.2 * (seconds - self._seconds)
        self._advance()

    def resize(self, capacity: int) -> None:
        """The worker has another number of slots now."""
        self.capacity = capacity
        self._advance()

    def resume(self) -> None:
        self.paused = False
        self._advance()

    def _fits(self, queue: _Queue, share: int) -> bool:
        """Whether so many slots are free for it. A request for more than there are has all of them."""
        if queue.background and self.capacity > 1:
            theirs = sum(held for one, held in self._held.items() if one.background)
            if theirs and theirs + share > self.capacity - 1:
                return False
        return self.running + min(share, self.capacity) <= self.capacity

    def _displace(self, queue: _Queue) -> bool:
        """Make a place in the full queue: the youngest request of the user who has most leaves it, if they have more than the one who comes would
        have then. What is in the background goes before all others, and for all others."""
        if not self._queues:
            return False
        greedy = max(self._queues, key=lambda one: (one.background, len(self._queues[one])))
        if greedy.background < queue.background:
            return False
        if greedy.background == queue.background and len(self._queues[greedy]) <= len(self._queues.get(queue, ())) + 1:
            return False
        waiter = self._queues[greedy][-1]
        self._drop(waiter)
        if not waiter.turn.done():
            waiter.turn.set_exception(self._busy("You have more requests waiting for this model than anybody else, and the queue is full"))
        return True

    def _busy(self, why: str) -> Busy:
        seconds = self.retry_after()
        return Busy(f"{why}; try again in {seconds:.0f} s.", retry_after=seconds)

    def _advance(self) -> None:
        if not self._queues:
            self._turns.clear()
        while not self.paused and self._queues:
            queue = min(self._queues, key=lambda one: (one.background, self._held[one], self._turns.get(one, 0.0), self._queues[one][0].since))
            waiter = self._queues[queue][0]
            # A request for several slots is not overtaken by smaller ones, or it would wait for ever under load.
            if not self._fits(queue, waiter.share):
                return
            self._drop(waiter)
            if waiter.turn.done():
                continue  # cancelled in this very round of the loop; it has not run since, to leave the queue by itself
            self._held[queue] += waiter.share
            self._turns[queue] = time.monotonic()
            waiter.turn.set_result(None)

    def _drop(self, waiter: _Waiter) -> None:
        queue = self._queues.get(waiter.queue)
        if queue is None or waiter not in queue:
            return
        queue.remove(waiter)
        if not queue:
            del self._queues[waiter.queue]

"""Against guessing: who fails too often waits, twice as long with each failure. Kept in memory, for a bounded number of keys."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass

__all__ = ["Throttle"]


@dataclass(slots=True)
class _Failures:
    count: int = 0
    last: float = 0.0


class Throttle:
    """Counts failures in a row per key (a name, an address). Keys that mean nobody are counted like others, so that nothing is learnt from it.

    `longest`: seconds of the longest wait; `forget`: seconds after which failures no longer count; `most`: keys that are kept.
    """

    def __init__(self, *, longest: float, forget: float, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._longest = longest
        self._forget = forget
        self._most = most
        self._clock = clock
        self._failures: OrderedDict[Hashable, _Failures] = OrderedDict()

    def __len__(self) -> int:
        return len(self._failures)

    def wait(self, key: Hashable, *, free: int) -> float:
        """Seconds that this key still has to wait; the first `free` failures cost nothing, for people mistype."""
        failures = self._failures.get(key)
        if failures is None or failures.count < free:
            return 0.0
        pause = min(self._longest, 2.0 ** min(failures.count - free, 32))
        return max(0.0, failures.last + pause - self._clock())

    def failed(self, key: Hashable) -> None:
        """Count one."""
        now = self._clock()
        failures = self._failures.pop(key, None)
        if failures is None or now - failures.last > self._forget:
            failures = _Failures()
        failures.count += 1
        failures.last = now
        self._failures[key] = failures
        while len(self._failures) > self._most:
            self._failures.popitem(last=False)

    def succeeded(self, key: Hashable) -> None:
        """Forget its failures."""
        self._failures.pop(key, None)

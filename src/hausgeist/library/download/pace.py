"""How fast a transfer is, and how long it will take: smoothed, so that people can read it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

__all__ = ["Pace"]

_SECONDS = 5.0
"""Over about the last so many seconds."""


class Pace:
    """Fed with the total from time to time."""

    def __init__(self, done: int = 0, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._done, self._at = done, clock()
        self._weight = 0.0
        self._mean = 0.0

    def update(self, done: int) -> None:
        now = self._clock()
        took = now - self._at
        if took <= 0:
            return
        fade = math.exp(-took / _SECONDS)
        self._mean = self._mean * fade + (1 - fade) * (done - self._done) / took
        self._weight = self._weight * fade + (1 - fade)
        self._done, self._at = done, now

    @property
    def rate(self) -> float:
        """Bytes per second; what was before the beginning does not count as standing still."""
        return max(0.0, self._mean / self._weight) if self._weight else 0.0

    def left(self, total: int) -> float | None:
        """Seconds until `total`; None when nobody can tell."""
        if not total or self.rate < 1:
            return None
        return max(0.0, total - self._done) / self.rate

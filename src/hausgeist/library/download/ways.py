"""The addresses that one file can come from: those who ask for the same digest may name different ones. Which of them is used now, no I/O.

Each is tried, the fastest is kept, and where one fails the next goes on from what has come: in the end the digest decides.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from hausgeist.errors import HausgeistError
from hausgeist.library.download.upstream import Upstream
from hausgeist.library.sources.base import Part

__all__ = ["Way", "Ways"]

_TRIAL_SECONDS = 10.0
"""After so long it is known how fast one is."""
_SOON_SECONDS = 30.0
"""What ends within that time is not changed any more."""


@dataclass(eq=False, slots=True)
class Way:
    """One address, as the first who named it asked for it."""

    part: Part
    ask: Callable[[], Upstream]
    askers: int = 0
    rate: float | None = None
    """Bytes per second; None: not tried."""
    error: HausgeistError | None = None
    """It has failed for good."""


class Ways:
    """Those of one download, in the order in which they were named."""

    def __init__(self) -> None:
        self._all: list[Way] = []

    def join(self, part: Part, ask: Callable[[], Upstream]) -> Way:
        """Somebody waits for the part; `leave` it when they do no more."""
        way = next((one for one in self._all if one.part.url == part.url), None)
        if way is None:
            way = Way(part, ask)
            self._all.append(way)
        way.askers += 1
        return way

    def leave(self, way: Way) -> None:
        way.askers -= 1

    def best(self) -> Way | None:
        """The one to take: one that was not tried, or else the fastest. None: all have failed, or nobody waits for them any more."""
        left = [way for way in self._all if way.askers and way.error is None]
        return max(left, key=lambda way: math.inf if way.rate is None else way.rate, default=None)

    def turn(self, way: Way, *, fetched: int, seconds: float, left: float | None) -> bool:
        """Whether it is another one's turn. `way` brought `fetched` bytes in so many seconds; `left`: those to the end, None: nobody knows."""
        others = [one for one in self._all if one is not way and one.askers and one.error is None]
        if not way.askers:
            return bool(others)
        settled = way.rate is not None and all(one.rate is not None for one in others)
        if seconds < _TRIAL_SECONDS or (left is not None and left < _SOON_SECONDS) or settled:
            return False
        way.rate = fetched / seconds
        return self.best() is not way

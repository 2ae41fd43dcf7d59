"""Against guessing at the sign-in: who fails too often waits, longer each time. In memory, and bounded."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from hausgeist.errors import Busy

__all__ = ["SignInThrottle"]

_FREE = 5
"""Failures without a wait: people mistype."""
_FREE_PER_ADDRESS = 20
_LONGEST = 900.0
_FORGET = 3600.0
_MOST = 20_000


@dataclass(slots=True)
class _Failures:
    count: int = 0
    last: float = 0.0


class SignInThrottle:
    """Counts failures per name and address, and per address whatever the name."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[tuple[str, str], _Failures] = OrderedDict()

    def check(self, name: str, address: str) -> None:
        """Raises `Busy` with the seconds to wait. Called before a password is looked at."""
        wait = max(self._wait((name, address), _FREE), self._wait(("", address), _FREE_PER_ADDRESS))
        if wait > 0:
            raise Busy(f"Too many failed attempts to sign in. Try again in {wait:.0f} seconds.", retry_after=wait)

    def failed(self, name: str, address: str) -> None:
        """Count one."""
        now = self._clock()
        for key in ((name, address), ("", address)):
            failures = self._failures.pop(key, None) or _Failures()
            if now - failures.last > _FORGET:
                failures.count = 0
            failures.count += 1
            failures.last = now
            self._failures[key] = failures
        while len(self._failures) > _MOST:
            self._failures.popitem(last=False)

    def succeeded(self, name: str, address: str) -> None:
        """Forget the failures of this name here; those of the address stay, or one good account would pay for guessing others."""
        self._failures.pop((name, address), None)

    def _wait(self, key: tuple[str, str], free: int) -> float:
        failures = self._failures.get(key)
        if failures is None or failures.count < free:
            return 0.0
        pause = min(_LONGEST, 2.0 ** min(failures.count - free, 12))
        return max(0.0, failures.last + pause - self._clock())

"""Rows for what strangers were refused: as many as an owner can read, so that nobody can fill the disk with them, and how many more there were."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass

from hausgeist.errors import StoreError
from hausgeist.governance.service import Governor
from hausgeist.identity import Origin

__all__ = ["Refusals"]

_ROWS_PER_SECOND = 5.0
_ROWS_AT_ONCE = 50.0


@dataclass(slots=True)
class Refusals:
    """Of one kind (`action`), whoever they are about."""

    governor: Governor
    action: str
    _left: float = _ROWS_AT_ONCE
    _filled: float = 0.0
    _untold: int = 0

    def record(self, target: str, origin: Origin, error: Exception) -> None:
        """Write a row, or count it for the next one. What the disk does not take is in the log."""
        now = time.monotonic()
        self._left = min(_ROWS_AT_ONCE, self._left + (now - self._filled) * _ROWS_PER_SECOND)
        self._filled = now
        if self._left < 1:
            self._untold += 1
            return
        self._left -= 1
        detail = str(error)
        if self._untold:
            detail = f"{detail} ({self._untold} more refusals before this one have no row of their own.)"
            self._untold = 0
        with suppress(StoreError):
            self.governor.record(None, self.action, target=target, origin=origin, outcome="refused", detail=detail)

"""How much may still be written to the disk of a folder: what is free, less a reserve, less what was promised to others who are writing.

Asked before anything large is begun, and again while something comes whose length nobody knows. What other processes write is only seen once it
is there.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Collection, Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from hausgeist.errors import DiskFull
from hausgeist.store.failures import file_failures

__all__ = ["RESERVE", "Space"]

RESERVE: Final = 256 << 20
"""Bytes that have to stay free: for the database, the logs and the rest of the machine."""
_AMPLE: Final = 4 << 30
_MOMENT: Final = 0.1
"""Seconds for which so many bytes beyond what is asked for are relied upon."""


class Space:
    """Of one folder, in one process."""

    def __init__(self, folder: Path, *, reserve: int = RESERVE) -> None:
        self._folder = folder
        self._reserve = reserve
        self._promised: dict[Hashable, int] = {}
        self._looked = float("-inf")
        self._seen = 0
        """Bytes that were free when it was looked, less what was asked for since."""

    def promise(self, whose: Hashable, size: int) -> None:
        """`whose` will still write so many bytes; 0: no more."""
        if size > 0:
            self._promised[whose] = size
        else:
            self._promised.pop(whose, None)

    @contextmanager
    def claim(self, size: int) -> Iterator[Hashable]:
        """Within the block so many bytes are promised to whoever goes by the name given. Raises `DiskFull`."""
        whose = object()
        try:
            self.promise(whose, size)
            self.require(size, whose={whose})
            yield whose
        finally:
            self.promise(whose, 0)

    def free(self) -> int:
        """Bytes, whosever they will be."""
        with file_failures(self._folder):
            return shutil.disk_usage(self._folder).free

    def require(self, size: int, *, whose: Collection[Hashable] = (), still: str = "to come") -> None:
        """Raises `DiskFull` when so many bytes more do not fit. `still`: what is to be done with them, for the message."""
        if size <= 0:
            return
        others = self._others(whose)
        if self._ample(size + others):
            return
        free = self.free()
        self._looked, self._seen = time.monotonic(), free
        if size + others + self._reserve > free:
            also = f", {_gigabytes(others)} more are on their way" if others else ""
            raise DiskFull(
                f"The disk that holds {self._folder} is too full: {_gigabytes(size)} are still {still}{also}, "
                f"{_gigabytes(free)} are free, of which {_gigabytes(self._reserve)} have to stay free. "
                "Free some space there (or choose another folder with --home) and try again."
            )

    def _ample(self, size: int) -> bool:
        """Whether there was so much room a moment ago that it need not be looked at again."""
        if time.monotonic() - self._looked > _MOMENT or size + self._reserve + _AMPLE > self._seen:
            return False
        self._seen -= size
        return True

    def _others(self, whose: Collection[Hashable]) -> int:
        # Copied at once: other threads promise as well.
        return sum(size for one, size in self._promised.copy().items() if one not in whose)


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1_000_000_000 else f"{size / 1e6:.1f} MB"

"""How fast a file is read from its disk. How much of a disk is free: `capacity`."""

from __future__ import annotations

import mmap
import os
import sys
from pathlib import Path
from time import perf_counter
from typing import Final

from hausgeist.hardware.rate import Rate

__all__ = ["read_speed"]

_BLOCK: Final = 8 << 20
_ROUND: Final = 64 << 20
_MACOS_NOCACHE: Final = 48
"""F_NOCACHE of macOS, which Python does not name."""


def read_speed(file: Path, *, seconds: float = 1.0) -> Rate | None:
    """GB/s at which the file is read from its start, past what the system keeps of it in memory; a model, say. One round is 64 MiB.

    What is there of the file in memory stays there (Linux, where the file system allows that; elsewhere the system is asked to keep nothing).
    `None`: it cannot be read, or is shorter than two rounds.
    """
    rounds: list[float] = []
    try:
        if file.stat().st_size < 2 * _ROUND:
            return None
        descriptor, direct = _open(file)
    except OSError:
        return None
    try:
        with mmap.mmap(-1, _BLOCK) as block:  # such memory is aligned, as reading past the cache demands
            start = perf_counter()
            while perf_counter() - start < seconds and (speed := _round(descriptor, block, direct)):
                rounds.append(speed)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return Rate.of(rounds) if rounds else None


def _open(file: Path) -> tuple[int, bool]:
    """A descriptor, and whether reading goes past the cache by itself."""
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    past = getattr(os, "O_DIRECT", 0)  # of Linux
    if past:
        try:
            return os.open(file, flags | past), True
        except OSError:  # tmpfs and some network file systems know no such thing
            return os.open(file, flags), False
    descriptor = os.open(file, flags)
    if sys.platform == "darwin":
        import fcntl

        fcntl.fcntl(descriptor, _MACOS_NOCACHE, 1)
    return descriptor, True


def _round(descriptor: int, block: mmap.mmap, direct: bool) -> float:
    """0 at the end of the file: a part of a round would be measured too coarsely."""
    if not direct and hasattr(os, "posix_fadvise"):
        at = os.lseek(descriptor, 0, os.SEEK_CUR)
        os.posix_fadvise(descriptor, at, _ROUND, os.POSIX_FADV_DONTNEED)
    begun = perf_counter()
    for _ in range(_ROUND // _BLOCK):
        if _fill(descriptor, block) < _BLOCK:
            return 0.0
    return _ROUND / 1e9 / max(1e-9, perf_counter() - begun)


def _fill(descriptor: int, block: mmap.mmap) -> int:
    if hasattr(os, "readv"):
        return os.readv(descriptor, [block])
    part = os.read(descriptor, _BLOCK)
    return len(part)

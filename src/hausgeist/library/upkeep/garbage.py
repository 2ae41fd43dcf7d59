"""What nobody needs any more: files that no model mentions, versions whose successor has answered, downloads that were given up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from hausgeist.library.service import Library
from hausgeist.library.upkeep.versions import Versions
from hausgeist.store.blobs import Blobs

__all__ = ["Collected", "Garbage", "Partials"]

_FRESH: Final = 600.0
"""Seconds that a file no model mentions is left alone: its upload may be the first step of a `create`."""
_GIVEN_UP: Final = 86400.0
"""Seconds after which nobody is taken to come back for an unfinished download."""
_PARTIAL: Final = ".download-*"


class Partials(Protocol):
    """Downloads that are not finished (`library.download`)."""

    async def sweep(self, older_than: float) -> int:
        """Remove those that nobody has worked on for so many seconds. Returns the bytes freed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What was removed, or would be. Bytes are those on the disk."""

    files: int
    versions: tuple[tuple[str, str], ...]
    """Model and digest."""
    partials: int
    """Bytes of downloads that were given up."""
    size: int
    """All bytes, these included."""


class Garbage:
    """Of a home."""

    def __init__(self, *, library: Library, versions: Versions, blobs: Blobs, partials: Partials, pulling: Callable[[], Sequence[object]]) -> None:
        """`pulling`: the pulls that are not finished; while there are any, what they have fetched so far stays."""
        self._library = library
        self._versions = versions
        self._blobs = blobs
        self._partials = partials
        self._pulling = pulling

    async def collect(self, *, dry_run: bool = False, everything: bool = False) -> Collected:
        """Remove it, or only say what would be. `everything`: also what was touched a moment ago, and downloads that could be gone on with."""
        spent = self._versions.spent()
        waiting = bool(self._pulling())
        garbage = await asyncio.to_thread(self._library.garbage, 0.0 if everything else _FRESH, without=spent)
        if waiting:
            # Only what belongs to versions that go: of the rest, nobody knows what a waiting pull has fetched.
            garbage &= frozenset(blob for version in spent for blob in version.definition.blobs)
        sizes = {blob: _on_disk(self._blobs.path(blob)) for blob in garbage}
        age = 0.0 if everything else _GIVEN_UP
        partials = 0 if waiting else await asyncio.to_thread(self._given_up, age)
        if not dry_run:
            await self._versions.forget(spent)
            garbage = await self._library.discard(garbage)
            if not waiting:
                await self._partials.sweep(age)
        return Collected(
            files=len(garbage),
            versions=tuple((version.model.removesuffix(":latest"), version.digest) for version in spent),
            partials=partials,
            size=sum(sizes[blob] for blob in garbage) + partials,
        )

    def _given_up(self, age: float) -> int:
        before = time.time() - age
        return sum(_on_disk(file) for file in self._blobs.folder.glob(_PARTIAL) if _modified(file) <= before)


def _modified(path: Path) -> float:
    """Unix time; of a file that was finished meanwhile, and has another name now: never."""
    try:
        return path.stat().st_mtime
    except OSError:
        return float("inf")


def _on_disk(path: Path) -> int:
    """What a file takes there: runs of zeros may take nothing."""
    try:
        status = path.stat()
    except OSError:
        return 0
    return status.st_blocks * 512 if hasattr(status, "st_blocks") else status.st_size

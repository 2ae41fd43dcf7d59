"""Files being written: nobody takes them for finished, and a later start can tell what was left behind from what is still written.

A draft is called `.SOMETHING-*` and held by a lock for as long as its writer lives. What it becomes, and by what name, is the caller's to know.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from hausgeist.store.disk import try_lock
from hausgeist.store.failures import file_failures

__all__ = ["Draft", "sweep"]

_STALE_SECONDS = 24 * 3600.0
"""Where files cannot be locked, a draft untouched for this long has been given up."""


_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOINHERIT", 0)


class Draft:
    """One of them: bytes in their order, hashed on their way. Readable by its owner only."""

    def __init__(self, folder: Path, prefix: str) -> None:
        with file_failures(folder):
            while True:
                self.path = folder / f"{prefix}{os.getpid()}-{secrets.token_hex(8)}"
                name = str(self.path)
                self._file = os.open(name, _FLAGS, 0o600)
                # A sweep of another process may have come between the two steps; then it has the lock, or the file is gone.
                if try_lock(self._file) and os.path.exists(name):
                    break
                os.close(self._file)
        self._hash = hashlib.sha256()
        self.size = 0

    @property
    def digest(self) -> str:
        """SHA-256 of what was written so far, in hexadecimal digits."""
        return self._hash.hexdigest()

    def write(self, data: bytes) -> None:
        self._hash.update(data)
        with file_failures(self.path.parent):
            view = memoryview(data)
            while view:
                view = view[os.write(self._file, view) :]
        self.size += len(data)

    def flush_soon(self) -> None:
        """Have the disk begin, and don't wait: several drafts that do so ahead of their `flush` take half of the time."""
        if sys.platform == "linux":
            # It begins to write what is not written; only what is on the disk already would be forgotten. A file system need not know of it.
            with suppress(OSError):
                os.posix_fadvise(self._file, 0, 0, os.POSIX_FADV_DONTNEED)

    def flush(self) -> None:
        """Have it on the disk. From here on it may be given its name, and is written no more."""
        with file_failures(self.path.parent):
            os.fsync(self._file)
        # Windows renames no open file; elsewhere the lock lasts until the file has its name.
        if sys.platform == "win32":
            self._close()

    def discard(self) -> None:
        """Close; what was given no name goes. Idempotent."""
        self._close()
        with suppress(FileNotFoundError):
            os.unlink(self.path)

    def _close(self) -> None:
        if self._file >= 0:
            descriptor, self._file = self._file, -1
            os.close(descriptor)

    def __del__(self) -> None:
        if getattr(self, "_file", -1) >= 0:
            self._close()


def sweep(folder: Path, prefix: str) -> None:
    """Remove the drafts whose writers are gone."""
    for file in folder.glob(f"{prefix}*"):
        if _given_up(file):
            file.unlink(missing_ok=True)


def _given_up(path: Path) -> bool:
    try:
        if sys.platform == "win32":
            return time.time() - path.stat().st_mtime > _STALE_SECONDS
        with path.open("rb") as file:
            return try_lock(file.fileno())
    except FileNotFoundError:
        return False

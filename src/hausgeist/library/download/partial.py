"""A file being downloaded: blobs/.download-<key> and its journal. Locked for as long as somebody works on it, kept when they stop half-way.

Runs of zeros become holes. Everything is hashed while it is fresh; the file is flushed now and then, and the journal says how far.
All methods may be called from any thread but `open`, `reset` and `close`, which are for one at a time.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import BinaryIO

from hausgeist.errors import StoreError
from hausgeist.library.download.hashing import Hasher
from hausgeist.library.download.journal import Journal, Origin
from hausgeist.library.download.ranges import Ranges
from hausgeist.store.disk import try_lock
from hausgeist.store.failures import file_failures

__all__ = ["BLOCK", "PREFIX", "Partial", "journal_of"]

PREFIX = ".download-"
BLOCK = 1 << 16
"""Zeros are left out in aligned blocks of this many bytes: large enough to be told from data at little cost (5 us per MiB), small enough to find
nearly all holes of a model file."""
_ZEROS = bytes(BLOCK)
_WRITE = 256 << 10
"""Bytes per system call. More at once makes the page cache take larger stretches of memory, which costs ten times as much where they have to be
fetched from a hypervisor first; less makes more calls."""


def journal_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.journal")


class Partial:
    """Use `open`."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path = path
        self._file = file
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._journal = Journal(journal_of(path))
        self._hasher: Hasher | None = None
        self._holes = Ranges()
        """Of what was written since `begin`."""
        self._size = 0

    @classmethod
    def open(cls, path: Path) -> Partial | None:
        """The partial file of that name, old or new; None while another process has it."""
        with file_failures(path.parent):
            while True:
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0), 0o600)
                file = os.fdopen(descriptor, "r+b", buffering=0)
                if not try_lock(descriptor):
                    file.close()
                    return None
                # Whoever had the lock before may have published or removed what was opened.
                if path.exists() and os.path.samestat(path.stat(), os.fstat(descriptor)):
                    return cls(path, file)
                file.close()

    @property
    def origin(self) -> Origin | None:
        """What upstream said when the bytes that are here were fetched."""
        return self._journal.origin

    @property
    def done(self) -> Ranges:
        return self._journal.done

    @property
    def hashed(self) -> int:
        return self._hasher.position if self._hasher is not None else 0

    def begin(self, origin: Origin) -> None:
        """Start or go on writing a file of `origin.size` bytes (0: not known). What is here already is kept, and hashed anew."""
        with file_failures(self.path):
            done = self.done
            if done.total and os.fstat(self._file.fileno()).st_size != origin.size:
                done = Ranges()
            if not done.total:
                # Old bytes must not shine through where zeros will be left out.
                self._file.truncate(0)
            self._file.truncate(origin.size)
            os.fsync(self._file.fileno())
            self._journal.begin(origin, done)
            self._size = origin.size
        self._stop_hashing()
        self._holes = Ranges()
        self._hasher = Hasher(self.path, self._is_hole)
        self._hasher.advance(done.prefix)

    def reset(self) -> None:
        """Forget all that was fetched."""
        self._stop_hashing()
        with file_failures(self.path):
            self._journal.forget()
            self._file.truncate(0)

    def write(self, offset: int, data: bytearray, size: int) -> None:
        """Put the first `size` bytes of `data` in their place; those that are there already stay as they were hashed.

        Raises `DiskFull`; then the rest does not count as there. No two threads may write the same bytes at once.
        """
        view = memoryview(data)
        with self._lock:
            todo = self.done.gaps(offset + size, offset)
        for start, end in todo:
            solid = _solid(offset, data, start, end)
            # One write at a time: threads that write to one file wait for each other in the kernel, and spin while they do.
            with file_failures(self.path), self._writing:
                for first, last in solid:
                    self._write_at(first, view[first - offset : last - offset])
                with self._lock:
                    for first, last in Ranges(solid).gaps(end, start):
                        self._holes.add(first, last)
                    if not self._size and end > os.fstat(self._file.fileno()).st_size:
                        self._file.truncate(end)
                    self._journal.wrote(start, end)
                    prefix = self.done.prefix
            if self._hasher is not None:
                self._hasher.feed(start, view[start - offset : end - offset])
                self._hasher.advance(prefix)

    def sync(self) -> None:
        """Flush to the disk what was written until now, and note it."""
        with file_failures(self.path):
            with self._lock:
                written = self._journal.written
            try:
                _flush(self._file.fileno())
            except OSError:
                # The system may have dropped what it could not write and call it clean from now on.
                with self._lock:
                    self._journal.forget()
                raise
            with self._lock:
                self._journal.synced(written)

    def wait_hashed(self, timeout: float) -> bool:
        """Block until everything that is there from the beginning on is hashed, or the time is over."""
        if self._hasher is None:
            raise StoreError
        with file_failures(self.path):
            return self._hasher.wait(self.done.prefix, timeout)

    def hexdigest(self) -> str:
        if self._hasher is None:
            raise StoreError
        return self._hasher.hexdigest()

    def close(self) -> None:
        """Let others have it. What is there stays."""
        self._stop_hashing()
        self._journal.close()
        self._file.close()

    def remove(self) -> None:
        """Away with it, published or not, then `close`."""
        self._stop_hashing()
        with file_failures(self.path):
            self._journal.forget()
            if sys.platform == "win32":
                self._file.close()
            self.path.unlink(missing_ok=True)

    def published(self) -> None:
        """The file has another name now; the journal goes."""
        with file_failures(self.path):
            self._journal.forget()

    def release(self) -> None:
        """Windows renames no open file; elsewhere the lock lasts until the file has its name."""
        self._stop_hashing()
        if sys.platform == "win32":
            self._file.close()

    def _stop_hashing(self) -> None:
        if self._hasher is not None:
            self._hasher.stop()
            self._hasher = None

    def _is_hole(self, start: int, end: int) -> bool:
        with self._lock:
            return not self._holes.gaps(end, start)

    def _write_at(self, offset: int, view: memoryview) -> None:
        if sys.platform == "win32":
            with self._lock:
                self._file.seek(offset)
                while view:
                    view = view[self._file.write(view) :]
            return
        while view:
            count = os.pwrite(self._file.fileno(), view[:_WRITE], offset)
            offset, view = offset + count, view[count:]


def _solid(offset: int, data: bytearray, start: int, end: int) -> list[tuple[int, int]]:
    """The parts of [start, end) that have to be written when `data` goes to `offset`: all but the aligned blocks of zeros."""
    found: list[tuple[int, int]] = []
    position = start + -start % BLOCK
    while position + BLOCK <= end:
        if data.startswith(_ZEROS, position - offset):
            if start < position:
                found.append((start, position))
            start = position + BLOCK
        position += BLOCK
    if start < end:
        found.append((start, end))
    return found


def _flush(descriptor: int) -> None:
    if sys.platform in {"win32", "darwin"}:
        os.fsync(descriptor)
    else:
        os.fdatasync(descriptor)

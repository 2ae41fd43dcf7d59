"""The sha256 of a file that is still growing: a thread follows what is there without a gap, while the page cache still holds it."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path

__all__ = ["Hasher"]

_BUFFER = 1 << 20


class Hasher:
    """Reads `path` from its beginning on, as far as `advance` has said. hashlib gives up the interpreter's lock, so this costs others little.

    `hole` tells whether all of [start, end) is known to be zeros: reading those would fill the page cache with them.
    """

    def __init__(self, path: Path, hole: Callable[[int, int], bool]) -> None:
        self._path = path
        self._hole = hole
        self._hash = hashlib.sha256()
        self._wake = threading.Condition()
        self._limit = 0
        self._stopped = False
        self._busy = False
        self._waiting = 0
        self._failure: OSError | None = None
        self.position = 0
        """How many bytes are hashed."""
        self._thread = threading.Thread(target=self._run, name="hausgeist-sha256", daemon=True)
        self._thread.start()

    def advance(self, limit: int) -> None:
        """All bytes before `limit` are in the file."""
        with self._wake:
            self._limit = max(limit, self._limit)
            if self.position < self._limit:
                self._wake.notify_all()

    def feed(self, start: int, data: memoryview) -> bool:
        """Hash what is being written at `start` while it is in the processor's cache, in this thread, if it is next; False when it is not."""
        with self._wake:
            if self._busy or start != self.position:
                return False
            self._busy = True
        self._hash.update(data)
        self._hashed(len(data))
        return True

    def wait(self, position: int, timeout: float) -> bool:
        """Block until that many bytes are hashed; False when the time is over first. Raises `OSError` when the file could not be read."""
        with self._wake:
            self._waiting += 1
            reached = self._wake.wait_for(lambda: self.position >= position or self._failure is not None, timeout)
            self._waiting -= 1
            if self._failure is not None:
                raise self._failure
            return reached

    def hexdigest(self) -> str:
        """Of what is hashed so far."""
        return self._hash.hexdigest()

    def stop(self) -> None:
        """End the thread and wait for it."""
        with self._wake:
            self._stopped = True
            self._wake.notify_all()
        self._thread.join()

    def _run(self) -> None:
        buffer, zeros = memoryview(bytearray(_BUFFER)), memoryview(bytes(_BUFFER))
        try:
            with self._path.open("rb", buffering=0) as file:
                while limit := self._next():
                    count = min(_BUFFER, limit - self.position)
                    if self._hole(self.position, self.position + count):
                        self._hash.update(zeros[:count])
                    else:
                        file.seek(self.position)
                        count = file.readinto(buffer[:count])
                        self._hash.update(buffer[:count])
                    if not count:
                        raise OSError(f"{self._path.name} ended before its time")
                    self._hashed(count)
        except OSError as error:
            with self._wake:
                self._failure = error
                self._wake.notify_all()

    def _hashed(self, count: int) -> None:
        with self._wake:
            self.position += count
            self._busy = False
            # The thread is not woken for nothing: each time it is, two threads wait for the interpreter.
            if self._waiting or self.position < self._limit:
                self._wake.notify_all()

    def _next(self) -> int:
        """Wait for more; how far one may read, or 0 at the end."""
        with self._wake:
            self._wake.wait_for(lambda: self._stopped or (self.position < self._limit and not self._busy))
            self._busy = not self._stopped
            return 0 if self._stopped else self._limit

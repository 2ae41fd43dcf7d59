"""The one thread that writes: many small writes share a transaction, so that one flush to the disk acknowledges them all.

A batch is whatever has arrived while the batch before was being flushed; nothing waits for company. Each write has a savepoint of its own, so
that one that fails takes nothing else with it, and is answered only after the commit.

A commit survives the death of the process at once. A write that asks for a flush is on the disk, safe from a power cut, before it is answered;
one that does not is flushed with the next that does, or within about a second.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

from sqlalchemy import Connection

from hausgeist.errors import StoreError
from hausgeist.store.failures import FOREIGN

__all__ = ["Write", "Writer", "before_commit", "driver_of", "undone"]

_BATCH = 256
_FLUSH_SECONDS = 1.0
_BATCH_SECONDS = 0.1
"""After this a batch is committed even if more is waiting: other processes want the lock, too."""

_LAST, _UNDONE = "before commit", "undone"

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Write:
    """Something to do within a transaction, and who waits for it: a coroutine of `loop`, a thread, or (`future` is `None`) nobody."""

    fn: Callable[[Connection], Any]
    flush: bool = True
    future: asyncio.Future[Any] | Future[Any] | None = None
    loop: asyncio.AbstractEventLoop | None = None
    value: Any = None
    error: BaseException | None = None


class Writer:
    """Runs writes in order. The thread starts with the first one."""

    def __init__(self, connect: Callable[[], Connection], translate: Callable[[Exception], Exception]) -> None:
        self._connect = connect
        self._translate = translate
        self._queue: SimpleQueue[Write | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._unflushed_since: float | None = None
        self._next: Write | None = None
        self._going = True

    def submit(self, write: Write) -> None:
        with self._lock:
            if self._closed:
                raise StoreError("The database is closed: Hausgeist is stopping.")
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="hausgeist-writer", daemon=True)
                self._thread.start()
            self._queue.put(write)

    @property
    def is_this_thread(self) -> bool:
        return self._thread is threading.current_thread()

    def close(self) -> None:
        """Finish what is waiting, then end. Idempotent."""
        with self._lock:
            closed, self._closed = self._closed, True
            if self._thread is not None and not closed:
                self._queue.put(None)
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        connection: Connection | None = None
        while self._going:
            write, self._next = self._next or self._wait(connection), None
            if write is None:
                continue
            try:
                connection = connection or self._connect()
            except Exception as error:
                write.error = self._translate(error)
                _deliver([write])
                continue
            self._batch(connection, write)
        if connection is not None:
            if self._unflushed_since is not None:
                self._checkpoint(driver_of(connection))
            connection.close()

    def _wait(self, connection: Connection | None) -> Write | None:
        """The next write; `None` if it is time to end, or to look again. Flushes what the last commits left to the system."""
        try:
            write = self._queue.get(timeout=None if self._unflushed_since is None else _FLUSH_SECONDS)
        except Empty:
            if connection is not None:
                self._checkpoint(driver_of(connection))
            return None
        self._going = write is not None
        return write

    def _checkpoint(self, raw: sqlite3.Connection) -> None:
        self._unflushed_since = None
        try:
            raw.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        except sqlite3.Error as error:
            log.warning("checkpoint failed: %s", self._translate(error))

    def _batch(self, connection: Connection, first: Write) -> None:
        """One transaction, begun by `first`, with what else is waiting."""
        raw = driver_of(connection)
        begun = time.monotonic()
        full = first.flush or (self._unflushed_since is not None and begun - self._unflushed_since > _FLUSH_SECONDS)
        batch: list[Write] = []
        write: Write | None = first
        try:
            raw.execute(f"PRAGMA synchronous = {'FULL' if full else 'NORMAL'}")
            raw.execute("BEGIN IMMEDIATE")
            while write is not None:
                if not _withdrawn(write):
                    batch.append(write)
                    self._one(connection, raw, write)
                write = self._more(full) if len(batch) < _BATCH and time.monotonic() - begun < _BATCH_SECONDS else None
            for last in connection.info.pop(_LAST, {}).values():
                last()
            raw.execute("COMMIT")
        except Exception as error:
            if write is not None and write not in batch:
                batch.append(write)
            connection.info.pop(_LAST, None)
            connection.info[_UNDONE] = undone(connection) + 1
            self._undo(raw, batch, error)
        else:
            self._unflushed_since = None if full else self._unflushed_since or begun
        _deliver(batch)

    def _more(self, full: bool) -> Write | None:
        """Another write for this batch. One that asks for a flush opens a batch of its own if this one is not flushed."""
        try:
            write = self._queue.get_nowait()
        except Empty:
            return None
        if write is None:
            self._going = False
        elif write.flush and not full:
            self._next = write
            return None
        return write

    def _one(self, connection: Connection, raw: sqlite3.Connection, write: Write) -> None:
        """Raises only when the whole transaction is lost."""
        raw.execute("SAVEPOINT one")
        try:
            write.value = write.fn(connection)
            if not raw.in_transaction:
                raise RuntimeError("a write must not end its transaction")
            raw.execute("RELEASE one")
        except BaseException as error:
            write.error = self._translate(error) if isinstance(error, FOREIGN) else error
            # A full disk, for one, makes SQLite give up the transaction with all that went before in it.
            if not raw.in_transaction:
                raise StoreError("The transaction was given up.") from error
            connection.info[_UNDONE] = undone(connection) + 1
            raw.execute("ROLLBACK TO one")
            raw.execute("RELEASE one")

    def _undo(self, raw: sqlite3.Connection, batch: list[Write], error: Exception) -> None:
        if raw.in_transaction:
            try:
                raw.execute("ROLLBACK")
            except sqlite3.Error:
                log.exception("rollback failed")
        # A write that ended the transaction left its own error; it is the reason for the others, too.
        cause = (batch[-1].error or error) if isinstance(error, StoreError) else self._translate(error)
        for write in batch:
            if write.error is None:
                write.value, write.error = None, cause if isinstance(cause, StoreError) else StoreError("The write was not committed; try again.")


def before_commit(connection: Connection, key: object, fn: Callable[[], object]) -> None:
    """Within a write: call this before its transaction is committed, once for all that ask for one `key`. Where it raises, nothing is written."""
    connection.info.setdefault(_LAST, {})[key] = fn


def undone(connection: Connection) -> int:
    """How often something that was written was undone: who remembers what was read within a write compares it."""
    return int(connection.info.get(_UNDONE, 0))


def driver_of(connection: Connection) -> sqlite3.Connection:
    """The driver's own connection, by which transactions are begun and ended."""
    raw = connection.connection.driver_connection
    assert isinstance(raw, sqlite3.Connection)
    return raw


def _withdrawn(write: Write) -> bool:
    """Whether the caller gave up before its turn came."""
    if isinstance(write.future, Future):
        return not write.future.set_running_or_notify_cancel()
    return write.future is not None and write.future.cancelled()


def _deliver(batch: list[Write]) -> None:
    loops: dict[asyncio.AbstractEventLoop, list[Write]] = {}
    for write in batch:
        if write.loop is not None:
            loops.setdefault(write.loop, []).append(write)
        elif write.future is not None:
            _settle([write])
        elif write.error is not None:
            log.error("a write that nobody waited for failed", exc_info=write.error)
    for loop, writes in loops.items():
        try:
            loop.call_soon_threadsafe(_settle, writes)
        except RuntimeError:
            log.debug("the event loop closed before its writes were answered")


def _settle(writes: list[Write]) -> None:
    for write in writes:
        future = write.future
        if future is None or future.cancelled():
            continue
        if write.error is None:
            future.set_result(write.value)
        else:
            # A future takes no StopIteration.
            future.set_exception(RuntimeError("a write raised StopIteration") if isinstance(write.error, StopIteration) else write.error)

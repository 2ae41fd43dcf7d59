"""The database of a home folder: SQLite in WAL mode, read where one stands, written by one thread, migrated when it is opened.

It knows no table; each package that keeps rows describes its own (records.py) and hands over functions that take a connection. Several
processes may have one home open at once: the command line writes while the server runs.

Acknowledged means committed, which the death of the process does not undo, and unless the caller says otherwise flushed to the disk, which a
power cut does not undo either. A flush takes what the disk takes (measured: 0.2 ms idle, 4 to 5 ms busy; a commit without one 0.14 ms), and a
batch of writes shares one.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from hausgeist.errors import HausgeistError, StoreError
from hausgeist.store import schema
from hausgeist.store.failures import FOREIGN, file_failures, sql_failure
from hausgeist.store.threads import to_its_end
from hausgeist.store.writer import Write, Writer, driver_of

__all__ = ["FILE_NAME", "Database"]

FILE_NAME = "hausgeist.db"
T = TypeVar("T")

_PRAGMAS = (
    "PRAGMA foreign_keys = ON",
    # macOS tells "flushed" from "on the disk"; elsewhere this does nothing.
    "PRAGMA fullfsync = ON",
    # Otherwise INSERT OR REPLACE would get past the triggers that keep the audit table append-only.
    "PRAGMA recursive_triggers = ON",
    "PRAGMA trusted_schema = OFF",
    "PRAGMA temp_store = MEMORY",
    # What is deleted is overwritten: people erase what they have said, and the file may be copied.
    "PRAGMA secure_delete = ON",
    "PRAGMA journal_size_limit = 67108864",
)


class Database:
    """Functions given to `read` and `write` get a SQLAlchemy connection within a transaction and return plain values, never open results."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._engine = create_engine("sqlite://", creator=self._connect, poolclass=NullPool, hide_parameters=True)
        self._writer = Writer(self._engine.connect, self._translate)
        self._readers: deque[Connection] = deque()
        self._closed = False

    @classmethod
    def open(cls, home: Path) -> Database:
        """Open the database of a home folder; both are made if they are not there. Raises `StoreError`, `SchemaTooNew`, `DiskFull`."""
        path = home / FILE_NAME
        with file_failures(home):
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.touch(mode=0o600, exist_ok=True)
        database = cls(path)
        try:
            with closing(sqlite3.connect(path, timeout=schema.BUSY_SECONDS, isolation_level=None)) as raw:
                current = schema.is_current(raw)
                _use_wal(raw)
            if not current:
                schema.migrate(database._engine, path)
            # From here on a connection is in use, by which others (a restore) see that the home is.
            database.read(lambda connection: connection.exec_driver_sql("SELECT 1 FROM alembic_version").scalar())
        except (sqlite3.Error, DBAPIError) as error:
            raise database._translate(error) from error
        return database

    def read(self, fn: Callable[[Connection], T]) -> T:
        """Call `fn` here and now, on this thread, with one consistent view of the data. For short indexed reads only."""
        connection = self._reader()
        raw = driver_of(connection)
        try:
            raw.execute("BEGIN")
            return fn(connection)
        except FOREIGN as error:
            raise self._translate(error) from error
        finally:
            if raw.in_transaction:
                raw.execute("ROLLBACK")
            self._readers.append(connection)
            if self._closed:
                self._close_readers()

    async def write(self, fn: Callable[[Connection], T], *, flush: bool = True) -> T:
        """Call `fn` on the writing thread, within a transaction. When this returns, the change is there to stay; when it raises, nothing was changed.

        Without `flush` it may still be undone by a power cut within the next second or so, not by the death of the process: for what is
        written with every request.

        Cancelling the caller withdraws a write whose turn has not come; one that has begun is finished all the same.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._writer.submit(Write(fn, flush, future, loop))
        return await future

    def write_sync(self, fn: Callable[[Connection], T]) -> T:
        """`write` for callers without an event loop. Never call it from within a write."""
        if self._writer.is_this_thread:
            raise RuntimeError("a write waits for another write: pass the connection on instead")
        future: Future[T] = Future()
        self._writer.submit(Write(fn, True, future))
        return future.result()

    def post(self, fn: Callable[[Connection], object]) -> None:
        """`write` without waiting, for what may be lost in a crash ("last used"). A failure is logged."""
        self._writer.submit(Write(fn, False))

    async def empty_log(self) -> bool:
        """Move all that is committed into the database's one file and cut the write-ahead log to nothing, as it holds what was written over
        since. False: somebody who reads for long was in the way."""
        return await to_its_end(self._empty_log)

    def _empty_log(self) -> bool:
        try:
            with closing(self._connect()) as raw:
                busy, _, _ = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error as error:
            raise self._translate(error) from error
        return not busy

    def backup(self, target: Path) -> None:
        """A consistent copy in one file, made while others read and write. `target` appears only when it is whole."""
        try:
            schema.copy(self.path, target)
        except sqlite3.Error as error:
            raise self._translate(error) from error

    def close(self) -> None:
        """Finish the writes that are waiting, then close. Idempotent."""
        self._writer.close()
        self._closed = True
        self._close_readers()

    def _reader(self) -> Connection:
        if self._closed:
            raise StoreError("The database is closed: Hausgeist is stopping.")
        try:
            return self._readers.pop()
        except IndexError:
            pass
        try:
            connection = self._engine.connect()
            connection.exec_driver_sql("PRAGMA query_only = ON")
        except (DBAPIError, sqlite3.Error) as error:
            raise self._translate(error) from error
        return connection

    def _close_readers(self) -> None:
        while self._readers:
            try:
                self._readers.pop().close()
            except IndexError:
                return

    def _connect(self) -> sqlite3.Connection:
        # Transactions are begun and ended by `read`, by the writer and by `schema`, so the driver must begin none of its own.
        raw = sqlite3.connect(self.path, timeout=schema.BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        for pragma in _PRAGMAS:
            raw.execute(pragma)
        return raw

    def _translate(self, error: Exception) -> HausgeistError:
        return sql_failure(error, self.path)


def _use_wal(raw: sqlite3.Connection) -> None:
    """The mode is a property of the file and stays. SQLite does not wait for others here, whatever its timeout, so this does."""
    until = time.monotonic() + schema.BUSY_SECONDS
    while True:
        try:
            mode: Any = raw.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED} or time.monotonic() > until:
                raise
            time.sleep(0.02)
            continue
        if mode != "wal":
            raise StoreError("The home folder is on a file system without shared memory (a network folder?). Choose a local one with --home.")
        return

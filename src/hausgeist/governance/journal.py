"""Appends rows to one table, many to a transaction, without holding up the event loop.

Owns the waiting and the batching; what a row says is decided in `audit` and `usage`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Generator
from contextlib import suppress

from sqlalchemy import Connection, Table

from hausgeist.errors import StoreError
from hausgeist.store.database import Database

__all__ = ["DONE", "Journal", "clean"]

log = logging.getLogger(__name__)

Row = tuple[object, ...]


class _Done:
    """An awaitable with nothing to wait for; may be awaited by many."""

    def __await__(self) -> Generator[None, None, None]:
        return
        yield


DONE: Awaitable[None] = _Done()


class _Write:
    """Some rows, inserted once however often it is called. Called on the writing thread only."""

    def __init__(self, insert: str, rows: list[Row]) -> None:
        self.rows = rows
        self._insert = insert
        self._done = False

    def __call__(self, connection: Connection) -> None:
        if self.rows and not self._done:
            connection.exec_driver_sql(self._insert, self.rows)
            self._done = True


class Journal:
    """One table that rows are appended to. Used from one event loop at a time, or from none."""

    def __init__(self, database: Database, table: Table, *, patience: float = 0.0) -> None:
        """`patience`: seconds that a row may wait for others, where nobody waits for it. Each transaction wakes a thread, whatever its size."""
        self._database = database
        self._patience = patience
        self._hurry = asyncio.Event()
        self._name = table.name
        self.columns: tuple[str, ...] = tuple(column.name for column in table.columns if column.name != "id")
        names = ", ".join(f'"{name}"' for name in self.columns)
        self._insert = f"INSERT INTO {table.name} ({names}) VALUES ({', '.join('?' * len(self.columns))})"  # noqa: S608
        self._waiting: list[tuple[Row, bool, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None

    def append(self, row: Row, *, flush: bool = True) -> Awaitable[None]:
        """Take a row (values in the order of `columns`). The awaitable is done when the row is committed, and raises `StoreError` when it cannot
        be; whoever does not wait for it finds that in the log. Without a running event loop it is written before this returns.

        Without `flush` a power cut within the next second may undo it, not the death of the process (see `Database.write`)."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._database.write_sync(_Write(self._insert, [row]))
            return DONE
        future: asyncio.Future[None] = loop.create_future()
        future.add_done_callback(self._settled)
        self._waiting.append((row, flush, future))
        if self._writer is None or self._writer.done() or self._writer.get_loop() is not loop:
            self._writer = loop.create_task(self._drain())
        return future

    async def flush(self) -> None:
        """Wait until every row taken so far is on disk, or was refused."""
        self._hurry.set()
        while self._writer is not None and not self._writer.done():
            await asyncio.wait([self._writer])
        self._hurry.clear()

    async def _drain(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch: list[tuple[Row, bool, asyncio.Future[None]]] = []
            write = _Write(self._insert, [])
            error: BaseException | None = None
            try:
                await self._gather()
                batch, self._waiting = self._waiting, []
                write = _Write(self._insert, [row for row, _, _ in batch])
                await self._database.write(write, flush=any(flush for _, flush, _ in batch))
            except asyncio.CancelledError:
                # The loop is ending. The write may have been withdrawn; said again, it does nothing if it was not.
                self._post(write)
                self._post(_Write(self._insert, [row for row, _, _ in self._waiting]))
                self._waiting = []
                raise
            except Exception as failure:
                error = failure
            for _, _, future in batch:
                if future.done() or future.get_loop() is not loop:
                    continue
                if error is None:
                    future.set_result(None)
                else:
                    future.set_exception(error)

    async def _gather(self) -> None:
        """Let rows come together, unless somebody is in a hurry."""
        if self._patience:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._patience):
                    await self._hurry.wait()

    def _post(self, write: _Write) -> None:
        try:
            self._database.post(write)
        except StoreError as error:
            log.error("%d rows of the %s table could not be written: %s", len(write.rows), self._name, error)

    def _settled(self, future: asyncio.Future[None]) -> None:
        if not future.cancelled() and (error := future.exception()) is not None:
            log.error("a row of the %s table could not be written: %s", self._name, error)


def clean(text: str, limit: int) -> str:
    """Foreign text as it may lie in a table and be printed on a terminal: bounded, without control characters and broken Unicode."""
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else "�" for character in text)

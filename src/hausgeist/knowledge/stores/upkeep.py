"""What leaves a store leaves the disk: stores that were deleted, stores that have expired, passages whose files have gone, folders that belong to
nothing. Whatever is killed when, the next start goes on, for what is still to do stands in the database.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, delete, select

from hausgeist.errors import HausgeistError, NotFound
from hausgeist.knowledge.records import entries, forgotten_passages, store_files, vector_stores
from hausgeist.knowledge.stores.indexes import Indexes
from hausgeist.store.database import Database

__all__ = ["Upkeep"]

_ROUND_SECONDS: Final = 60.0
_CALM_SECONDS: Final = 0.5
"""What goes together is cleared away together."""
_DAY: Final = 86_400.0
_SLICE: Final = 20_000
"""Passages that go in one transaction, so that others get to write in between."""
_LOG_TRIES: Final = 10

log = logging.getLogger(__name__)


class Upkeep:
    """`start` begins with a round; `settle` returns when nothing is left to clear away."""

    def __init__(self, database: Database, indexes: Indexes) -> None:
        self._database = database
        self._indexes = indexes
        self._wake = asyncio.Event()
        self._rounds: asyncio.Task[None] | None = None
        self._at_work = asyncio.Lock()

    def wake(self) -> None:
        """Something has gone. On the event loop only."""
        self._wake.set()

    def start(self) -> None:
        """Needs a running event loop. Idempotent."""
        if self._rounds is None:
            # What a process that was killed had removed may still stand in the log of the database.
            self._wake.set()
            self._rounds = asyncio.create_task(self._run(), name="vector stores")

    async def stop(self) -> None:
        rounds, self._rounds = self._rounds, None
        if rounds is not None:
            rounds.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await rounds

    async def settle(self) -> None:
        """One round now. Nothing that went before can be read in the home any more when this returns, but in copies and in what others hold."""
        async with self._at_work:
            await self._round()
            await self._empty_log()

    async def _run(self) -> None:
        while True:
            woken = self._wake.is_set()
            self._wake.clear()
            try:
                async with self._at_work:
                    if await self._round() or woken:
                        await self._empty_log()
            except HausgeistError as error:
                log.warning("what has left the vector stores could not be cleared away: %s", error.message)
            except Exception:
                log.exception("what has left the vector stores could not be cleared away")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_ROUND_SECONDS):
                    await self._wake.wait()
                    await asyncio.sleep(_CALM_SECONDS)

    async def _round(self) -> int:
        """How much went."""
        count = 0
        for store in self._database.read(_expired):
            count += await self._database.write(lambda connection, store=store: _clear(connection, store))  # type: ignore[misc]
        for store in self._database.read(_gone):
            count += await self._remove(store)
        for store in self._database.read(_forgetful):
            try:
                count += await self._indexes.purge(store)
            except NotFound:
                # It went with its project.
                await self._database.write(lambda connection, store=store: _forget_all(connection, store), flush=False)  # type: ignore[misc]
        for store in self._indexes.folders():
            if not self._database.read(lambda connection, store=store: _is_there(connection, store)):  # type: ignore[misc]
                await self._indexes.remove(store)
                count += 1
        return count

    async def _remove(self, store: str) -> int:
        await self._indexes.remove(store)
        count = 1
        while some := self._database.read(lambda connection: _slice(connection, store)):
            await self._database.write(lambda connection, some=some: _drop(connection, store, some), flush=False)  # type: ignore[misc]
            count += len(some)
        await self._database.write(lambda connection: connection.execute(delete(vector_stores).where(vector_stores.c.id == store)))
        return count

    async def _empty_log(self) -> None:
        for _ in range(_LOG_TRIES):
            if await self._database.empty_log():
                return
            await asyncio.sleep(0.2)
        log.warning("what was removed still stands in the log of the database: somebody is reading it for long")


def _expired(connection: Connection) -> list[str]:
    """Stores that have expired and still have something in them."""
    until = vector_stores.c.active + vector_stores.c.expires_days * _DAY
    filled = select(store_files.c.file).where(store_files.c.store == vector_stores.c.id).exists()
    query = select(vector_stores.c.id).where(vector_stores.c.expires_days.is_not(None), until <= time.time(), vector_stores.c.gone == 0, filled)
    return list(connection.execute(query).scalars())


def _clear(connection: Connection, store: str) -> int:
    # It may have been used or changed since it was looked at.
    if store not in _expired(connection):
        return 0
    return connection.execute(delete(store_files).where(store_files.c.store == store)).rowcount


def _gone(connection: Connection) -> list[str]:
    return list(connection.execute(select(vector_stores.c.id).where(vector_stores.c.gone != 0)).scalars())


def _forgetful(connection: Connection) -> list[str]:
    return list(connection.execute(select(forgotten_passages.c.store).distinct()).scalars())


def _forget_all(connection: Connection, store: str) -> None:
    connection.execute(delete(forgotten_passages).where(forgotten_passages.c.store == store))


def _is_there(connection: Connection, store: str) -> bool:
    return connection.execute(select(vector_stores.c.id).where(vector_stores.c.id == store)).first() is not None


def _slice(connection: Connection, store: str) -> Sequence[int]:
    """Some entries of a store, with about as many passages as go at once."""
    found, size = [], 0
    for row in connection.execute(select(entries.c.id, entries.c.passages).where(entries.c.store == store).limit(2000)):
        found.append(row.id)
        size += row.passages
        if size >= _SLICE:
            break
    return found


def _drop(connection: Connection, store: str, some: Sequence[int]) -> None:
    connection.execute(delete(store_files).where(store_files.c.store == store, store_files.c.entry.in_(some)))
    connection.execute(delete(entries).where(entries.c.id.in_(some)))
    # Its indexes have gone already, so nothing has to be forgotten there.
    _forget_all(connection, store)

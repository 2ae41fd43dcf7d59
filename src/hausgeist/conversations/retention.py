"""Retention: for how many days a project keeps what was said in it, and the hourly round that removes what is older, and what is nobody's."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from sqlalchemy import Connection, delete, insert, select

from hausgeist.conversations.batches.records import batches
from hausgeist.conversations.erasure import remove_orphans, scrub
from hausgeist.conversations.prompts.records import personas, prompts
from hausgeist.conversations.records import completions, conversations, responses, retention
from hausgeist.conversations.service import delete_conversations
from hausgeist.errors import HausgeistError
from hausgeist.files.records import files, uploads
from hausgeist.store.database import Database

__all__ = ["MOST_DAYS", "Retention"]

log = logging.getLogger(__name__)

MOST_DAYS: Final = 36_500
_DAY: Final = 86_400.0
_HOUR: Final = 3600.0
_AT_ONCE: Final = 100
"""Chats in one transaction, so that others get to write in between."""
_RUNNING: Final = ("queued", "in_progress")

Record = Callable[[str, Mapping[str, int]], Awaitable[None]]
"""Told of each project of which something went, and how much of each kind."""


class Retention:
    """`also`: what else goes by its time, with each round: returns how many of each kind went. `record`: writes down what went of a project."""

    def __init__(self, database: Database, *, record: Record | None = None, also: Callable[[], Awaitable[Mapping[str, int]]] | None = None) -> None:
        self._database = database
        self._record = record
        self._also = also
        self._rounds: asyncio.Task[None] | None = None

    def days(self, project: str) -> int | None:
        """`None`: for ever."""
        query = select(retention.c.days).where(retention.c.project == project)
        return self._database.read(lambda connection: connection.execute(query).scalar())

    async def set_days(self, project: str, days: int | None) -> None:
        def write(connection: Connection) -> None:
            connection.execute(delete(retention).where(retention.c.project == project))
            if days is not None:
                connection.execute(insert(retention).values(project=project, days=days))

        await self._database.write(write)

    def start(self) -> None:
        """Begin with a round now, and make one each hour. Needs a running event loop."""
        self._rounds = asyncio.create_task(self._run(), name="retention")

    async def stop(self) -> None:
        rounds, self._rounds = self._rounds, None
        if rounds is not None:
            rounds.cancel()
            await asyncio.wait({rounds})

    async def _run(self) -> None:
        while True:
            try:
                await self.sweep()
            except HausgeistError as error:
                log.warning("what is kept no longer could not be removed: %s", error)
            except Exception:
                log.exception("what is kept no longer could not be removed")
            await asyncio.sleep(_HOUR)

    async def sweep(self) -> dict[str, int]:
        """One round. How many went, by kind."""
        total: dict[str, int] = {}
        for project, days in self._database.read(_rules):
            gone = await self._expire(project, time.time() - days * _DAY)
            if any(gone.values()):
                log.info("removed what the project %s keeps for %d days: %s", project, days, gone)
                _add(total, gone)
                if self._record is not None:
                    await self._record(project, gone)
        if self._something_lost():
            while any((gone := await self._database.write(remove_orphans)).values()):
                _add(total, gone)
        if any(total.values()):
            await scrub(self._database)
        if self._also is not None:
            _add(total, await self._also())
        return total

    async def _expire(self, project: str, before: float) -> dict[str, int]:
        """Chats in which nothing was said since, and answers that are older; what is being answered stays."""
        old = (conversations.c.project == project, conversations.c.changed < before)
        busy = select(responses.c.conversation).where(responses.c.status.in_(_RUNNING), responses.c.conversation.is_not(None))
        some = select(conversations.c.id).where(*old, conversations.c.id.not_in(busy)).limit(_AT_ONCE)
        gone = {"chats": 0, "responses": 0, "completions": 0}
        # Chats take the responses with them that were made there, so those are counted first.
        ended = delete(responses).where(responses.c.project == project, responses.c.created < before, responses.c.status.not_in(_RUNNING))
        gone["responses"] = await self._database.write(lambda connection: connection.execute(ended).rowcount)
        while count := await self._database.write(lambda connection: delete_conversations(connection, conversations.c.id.in_(some))):
            gone["chats"] += count
        stored = delete(completions).where(completions.c.project == project, completions.c.created < before)
        gone["completions"] = await self._database.write(lambda connection: connection.execute(stored).rowcount)
        return gone

    def _something_lost(self) -> bool:
        """Whether something is nobody's. Looked at without the writing thread, which others wait for."""
        strangers = " OR ".join(
            f'EXISTS (SELECT 1 FROM {table.name} WHERE "user" NOT IN (SELECT id FROM users))'  # noqa: S608
            for table in (conversations, responses, completions, personas, prompts, batches, files, uploads)
        )
        words = "EXISTS (SELECT 1 FROM items_words_content WHERE id NOT IN (SELECT seq FROM items))"
        return bool(self._database.read(lambda connection: connection.exec_driver_sql(f"SELECT {strangers} OR {words}").scalar()))


def _rules(connection: Connection) -> list[tuple[str, int]]:
    return [(row.project, row.days) for row in connection.execute(select(retention.c.project, retention.c.days))]


def _add(total: dict[str, int], gone: Mapping[str, int]) -> None:
    for kind, count in gone.items():
        total[kind] = total.get(kind, 0) + count

"""Removes what was said, or kept to be said: of a person, of a project, and what belongs to nobody any more. What goes can be read neither here nor
in the file.

Rows are overwritten as they go (PRAGMA secure_delete); the index of words keeps old words until its parts are merged, and the write-ahead log
what was written lately, so both are put in order afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Table, and_, delete, select, text

from hausgeist.conversations.batches.records import batches
from hausgeist.conversations.prompts.records import personas, prompts
from hausgeist.conversations.records import completions, conversations, responses
from hausgeist.conversations.service import delete_conversations
from hausgeist.files.records import files, uploads
from hausgeist.files.service import forget_files
from hausgeist.governance.erasure import Erased, Eraser, Subject
from hausgeist.store.database import Database
from hausgeist.store.jobs import Handler, Task

__all__ = ["erase_rows", "eraser", "leave", "remove_orphans", "scrub", "scrubber"]

_KINDS: Final[tuple[tuple[str, Table], ...]] = (
    ("responses", responses), ("completions", completions), ("personas", personas), ("prompts", prompts),
)  # fmt: skip
_MERGED_PAGES: Final = 500
"""In one transaction: some milliseconds, after which others get their turn."""
_LONGEST_MERGE: Final = 10_000
_AT_ONCE: Final = 5000


def erase_rows(connection: Connection, *, user: str | None = None, project: str | None = None) -> dict[str, int]:
    """Within a transaction: all chats, responses, stored completions, personas and prompts of a user, a project, or a user in a project. How many
    went, by kind."""
    if user is None and project is None:
        raise ValueError("whose?")
    # Conversations take the responses with them that were made there, so those are counted first.
    gone = {kind: connection.execute(delete(table).where(_theirs(table, user, project))).rowcount for kind, table in _KINDS}
    return {"chats": delete_conversations(connection, _theirs(conversations, user, project)), **gone}


def _theirs(table: Table, user: str | None, project: str | None) -> ColumnElement[bool]:
    wanted = ((table.c.user, user), (table.c.project, project))
    return and_(*(column == value for column, value in wanted if value is not None))


def leave(connection: Connection, user: str | None, project: str | None) -> dict[str, int]:
    """For `workspace`: what a user or a project that is just being removed leaves behind. How many went, by kind; the bytes of files are
    `Files.collect`'s to remove."""
    gone = erase_rows(connection, user=user, project=project)
    gone["batches"] = connection.execute(delete(batches).where(_theirs(batches, user, project))).rowcount
    gone["files"] = forget_files(connection, user=user, project=project)[0]
    return gone


def remove_orphans(connection: Connection) -> dict[str, int]:
    """Within a transaction: what users said or brought who are no longer here, and words of items that have gone without them. How many, by kind."""
    users = text('"user" NOT IN (SELECT id FROM users)')
    strangers = list(connection.execute(select(conversations.c.user).distinct().where(users)).scalars())
    gone = {kind: connection.execute(delete(table).where(users)).rowcount for kind, table in (*_KINDS, ("batches", batches))}
    gone["chats"] = delete_conversations(connection, conversations.c.user.in_(strangers)) if strangers else 0
    # Of those who went while it was still coming in.
    for table in (files, uploads):
        for user in connection.execute(select(table.c.user).distinct().where(users)).scalars().all():
            gone["files"] = gone.get("files", 0) + forget_files(connection, user=user)[0]
    # The rows of the index itself, which are found by number alone.
    lost = connection.exec_driver_sql("SELECT id FROM items_words_content WHERE id NOT IN (SELECT seq FROM items) LIMIT ?", (_AT_ONCE,)).all()
    for (seq,) in lost:
        connection.exec_driver_sql("DELETE FROM items_words WHERE rowid = ?", (seq,))
    gone["words"] = len(lost)
    return gone


def eraser(database: Database) -> Eraser:
    """For `governance.erasure`."""

    async def erase(subject: Subject) -> Erased:
        gone = await database.write(lambda connection: erase_rows(connection, user=subject.user, project=subject.project))
        await scrub(database)
        return Erased(gone)

    return erase


def scrubber(database: Database) -> Handler:
    """For the queue: does what `service` asks for when something was removed."""

    async def work(task: Task) -> None:
        await scrub(database)

    return work


async def scrub(database: Database) -> None:
    """After something was removed: see to it that nothing of it can be read in the files of the database."""
    for step in range(_LONGEST_MERGE):
        if await database.write(_merged(first=step == 0), flush=False):
            break
    await database.empty_log()


def _merged(*, first: bool) -> Callable[[Connection], bool]:
    """Merge some of the index, as words that were removed stand in it until then. `first`: begin to merge all of it. True: there is no more."""

    def merge(connection: Connection) -> bool:
        before = _changes(connection)
        pages = -_MERGED_PAGES if first else _MERGED_PAGES
        connection.exec_driver_sql("INSERT INTO items_words (items_words, rank) VALUES ('merge', ?)", (pages,))
        return _changes(connection) - before < 2

    return merge


def _changes(connection: Connection) -> int:
    count: Any = connection.exec_driver_sql("SELECT total_changes()").scalar()
    return int(count)

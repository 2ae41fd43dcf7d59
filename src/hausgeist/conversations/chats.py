"""Chats as the pages show them: conversations with a title, pinned or put away, listed newest first, branched, edited and sent again.

A chat is a conversation and has its id. Its answers are made elsewhere; here is what a person does with what was said.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import Connection, select, tuple_, update

from hausgeist.conversations.drafts import Draft, Node, write_draft
from hausgeist.conversations.records import Conversation, Item, conversations, owned
from hausgeist.conversations.responses.keeping import demand_free, find_all_busy, find_busy
from hausgeist.conversations.service import HEAD, Conversations, add_items, all_items, conversation_of, newest_end, path_of, read_conversation
from hausgeist.errors import InvalidRequest, NotFound, shown
from hausgeist.identity import Principal
from hausgeist.store.database import Database
from hausgeist.store.writer import driver_of

__all__ = ["Chats", "Listed", "Said", "Shown", "Way"]

_ITEMS: Final = "SELECT seq, id, parent, created, response, role, CAST(body AS BLOB) FROM items WHERE conversation = ? ORDER BY seq"
_FIGURES: Final = "SELECT response, CAST(body AS BLOB) FROM response_figures WHERE conversation = ?"
_ORDER: Final = (conversations.c.pinned, conversations.c.changed, conversations.c.id)
Way = Literal["show", "after", "instead_of"]
"""How an item is meant. show: the branch that it is on, to its newest end. after: what is said next follows it. instead_of: what is said next
stands beside it, as another branch."""


@dataclass(frozen=True, slots=True)
class Listed:
    """Some chats of a list. `next`: from where it goes on; `None`: nowhere. `running`: by the chat, the response that is being made in it."""

    chats: Sequence[Conversation]
    next: str | None
    running: Mapping[str, str] = field(default_factory=dict)


class Said(NamedTuple):
    """An item of the branch that is shown. `body`: its JSON, as it was kept. `beside`: ids of the items that follow the same one, in the order
    in which they were written, this one among them; empty where there is no other. `made`: at the last item of a response, what making it took, as
    JSON; at a question only where nothing came of it, and nothing was said since."""

    id: str
    created: float
    response: str | None
    body: bytes
    beside: Sequence[str]
    made: bytes | None


@dataclass(frozen=True, slots=True)
class Shown:
    """A chat with what is shown of it. `running`: the response that is being made in it."""

    chat: Conversation
    said: Sequence[Said]
    running: str | None


class Chats:
    """Everything raises `NotFound` for what is not there or belongs to somebody else."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._conversations = Conversations(database)

    def listed(
        self, who: Principal, *, archived: bool = False, pinned: bool | None = None, model: str | None = None, after: str | None = None,
        limit: int = 50,
    ) -> Listed:  # fmt: skip
        """Pinned ones first, then those in which something was said last. `after`: `next` of the list before. Raises `InvalidRequest`."""
        query = select(conversations).where(owned(conversations, who), conversations.c.archived == int(archived))
        if pinned is not None:
            query = query.where(conversations.c.pinned == int(pinned))
        if model is not None:
            query = query.where(conversations.c.model == model)
        if after is not None:
            query = query.where(tuple_(*_ORDER) < tuple_(*_place(after)))
        query = query.order_by(*(column.desc() for column in _ORDER)).limit(limit + 1)

        def read(connection: Connection) -> Listed:
            found = [conversation_of(row) for row in connection.execute(query)]
            last = found[limit - 1] if len(found) > limit else None
            more = f"{int(last.pinned)}-{last.changed!r}-{last.id}" if last is not None else None
            return Listed(found[:limit], more, find_all_busy(connection, who))

        return self._database.read(read)

    def get(self, who: Principal, chat: str) -> Conversation:
        return self._conversations.get(who, chat)

    def shown(self, who: Principal, chat: str) -> Shown:
        """With all items of the branch that is shown."""

        def read(connection: Connection) -> Shown:
            found = read_conversation(connection, who, chat)
            # The driver's own rows: of thousands of items, everything else would cost more than reading them.
            rows = driver_of(connection).execute(_ITEMS, (chat,)).fetchall()
            made = dict(driver_of(connection).execute(_FIGURES, (chat,)).fetchall())
            return Shown(found, _path(rows, made, found.head), find_busy(connection, chat))

        return self._database.read(read)

    async def create(self, who: Principal, bodies: Sequence[Mapping[str, Any]] = (), **fields: Any) -> Conversation:
        """`fields`: title, model, settings, metadata."""
        return await self._conversations.create(who, bodies, **fields)

    async def update(self, who: Principal, chat: str, **fields: Any) -> Conversation:
        """`fields`: title, model, settings, pinned, archived."""
        return await self._conversations.update(who, chat, **fields)

    async def delete(self, who: Principal, chat: str) -> None:
        await self._conversations.delete(who, chat)

    async def add(self, who: Principal, chat: str, bodies: Sequence[Mapping[str, Any]], *, way: Way = "after", item: str | None = None) -> list[Item]:
        """Items at the end of what is shown; or after another item, or instead of it, as a branch of their own, which is shown then.

        Raises `Locked` while an answer is being made."""

        def write(connection: Connection) -> list[Item]:
            found = read_conversation(connection, who, chat)
            demand_free(connection, who, chat)
            after = HEAD if item is None else _turned(connection, found, way, item)
            return add_items(connection, found, bodies, after=after)

        return await self._database.write(write)

    async def turn(self, who: Principal, chat: str, way: Way, item: str | None) -> Conversation:
        """Show another branch, or go on from another item; `None`: from before everything. Raises `Locked` while an answer is being made."""

        def write(connection: Connection) -> Conversation:
            found = read_conversation(connection, who, chat)
            demand_free(connection, who, chat)
            head = _turned(connection, found, way, item) if item is not None else None
            connection.execute(update(conversations).where(conversations.c.id == chat).values(head=head))
            return replace(found, head=head)

        return await self._database.write(write)

    async def branch(self, who: Principal, chat: str, item: str | None = None, *, title: str | None = None) -> Conversation:
        """A chat of its own, with what was said up to and with that item (`None`: all that is shown); `origin` names the one that it came from."""

        def write(connection: Connection) -> Conversation:
            found = read_conversation(connection, who, chat)
            head = found.head if item is None else _turned(connection, found, "after", item)
            path = path_of(all_items(connection, chat), head)
            nodes = [Node(one.body, one.created, number - 1 if number else None) for number, one in enumerate(path)]
            now = time.time()
            draft = Draft(
                nodes=nodes, head=len(nodes) - 1 if nodes else None, created=now, changed=now, title=title or found.title, model=found.model,
                settings=found.settings, metadata=found.metadata, origin=found.id,
            )  # fmt: skip
            return write_draft(connection, who, draft)

        return await self._database.write(write)


def _place(text: str) -> tuple[int, float, str]:
    """Where a list goes on. Raises `InvalidRequest`."""
    pinned, _, rest = text.partition("-")
    changed, _, chat = rest.partition("-")
    try:
        return int(pinned[:1]), float(changed), chat
    except ValueError as error:
        raise InvalidRequest("'after' should be what 'next' of the list before said.", param="after") from error


def _turned(connection: Connection, chat: Conversation, way: Way, item: str) -> int | None:
    """The head that is meant."""
    tree = all_items(connection, chat.id)
    found = next((one for one in tree if one.id == item), None)
    if found is None:
        raise NotFound(f"The chat has no item '{shown(item)}'.")
    match way:
        case "show":
            return newest_end(tree, found.seq)
        case "after":
            return found.seq
        case "instead_of":
            return found.parent


def _path(rows: Sequence[Any], made: Mapping[str, bytes], end: int | None) -> Sequence[Said]:
    by_seq = {row[0]: row for row in rows}
    last = {row[4]: row[0] for row in rows}
    following: dict[int | None, list[str]] = {}
    for row in rows:
        following.setdefault(row[2], []).append(row[1])
    path: list[Said] = []
    head = end
    while head is not None and (row := by_seq.get(head)) is not None:
        _, item, parent, created, response, role, body = row
        beside = following[parent]
        # What is last may be on another branch, and is told there.
        told = made.get(response) if (role != "user" or head == end) and last[response] == head else None
        path.append(Said(item, created, response, body, beside if len(beside) > 1 else (), told))
        head = parent
    path.reverse()
    return path

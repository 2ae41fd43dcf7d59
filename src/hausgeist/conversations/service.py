"""Conversations and their items: made, read, changed and removed for whom they belong to.

Items form a tree: each follows another one. What is shown and goes on is the path to the conversation's head; a message that was edited and sent
again begins another branch beside the old one, which stays.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, Connection, Row, delete, func, insert, select, text, update

from hausgeist.conversations.content import plain_text
from hausgeist.conversations.records import Conversation, Item, conversations, items, new_id, owned, responses
from hausgeist.conversations.words import words_of
from hausgeist.errors import Conflict, InvalidRequest, NotFound, shown
from hausgeist.identity import Principal
from hausgeist.store import records
from hausgeist.store.database import Database

__all__ = [
    "HEAD",
    "MOST_ITEMS",
    "PREFIXES",
    "SCRUB_JOB",
    "SETTINGS_BYTES",
    "Conversations",
    "Page",
    "add_items",
    "all_items",
    "conversation_of",
    "delete_conversations",
    "newest_end",
    "owner_word",
    "path_of",
    "read_conversation",
    "read_path",
    "row_of",
    "scrub_soon",
    "title_of",
]

HEAD: Final = -1
"""Where items are added by default: after the head."""
MOST_ITEMS: Final = 100_000
"""Of one conversation, on all branches."""
SCRUB_JOB: Final = "conversations.scrub"
_SCRUB_SECONDS: Final = 300.0
SETTINGS_BYTES: Final = 64 * 1024
"""Of a conversation, as JSON."""
_LONGEST_TITLE: Final = 60
Order = Literal["asc", "desc"]


class Page(list[Item]):
    """Some of a list. `more`: others come after it."""

    more: bool = False


class Conversations:
    """Everything raises `NotFound` for what is not there or belongs to somebody else."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self, who: Principal, bodies: Sequence[Mapping[str, Any]] = (), *, metadata: Mapping[str, str] | None = None, title: str = "",
        model: str = "", settings: Mapping[str, Any] | None = None, origin: str = "",
    ) -> Conversation:  # fmt: skip
        """A conversation that begins with these items."""
        now = time.time()
        made = Conversation(
            id=new_id("conv"), project=who.project, user=who.user, created=now, changed=now, metadata=dict(metadata or {}), title=title,
            model=model, settings=dict(settings or {}), origin=origin,
        )  # fmt: skip

        def write(connection: Connection) -> Conversation:
            connection.execute(insert(conversations).values(row_of(made)))
            return _grown(connection, made, bodies)[0]

        return await self._database.write(write)

    def get(self, who: Principal, conversation: str) -> Conversation:
        return self._database.read(lambda connection: read_conversation(connection, who, conversation))

    async def update(self, who: Principal, conversation: str, **fields: Any) -> Conversation:
        """`fields`: of `Conversation`, but for its identity and times: metadata, title, model, settings, pinned, archived."""

        def write(connection: Connection) -> Conversation:
            changed = replace(read_conversation(connection, who, conversation), **fields)
            row = row_of(changed)
            connection.execute(update(conversations).where(conversations.c.id == conversation).values({name: row[name] for name in fields}))
            return changed

        return await self._database.write(write)

    async def delete(self, who: Principal, conversation: str) -> None:
        """With all its items."""

        def write(connection: Connection) -> None:
            read_conversation(connection, who, conversation)
            delete_conversations(connection, conversations.c.id == conversation)

        await self._database.write(write)

    async def add(
        self, who: Principal, conversation: str, bodies: Sequence[Mapping[str, Any]], *, after: int | None = HEAD, response: str | None = None
    ) -> list[Item]:
        """Items behind the head, or `after` another one (`None`: at the very beginning), which makes a branch; the last one is the head then.

        Items that have no id get one. Raises `Conflict` for an id that is there already, `InvalidRequest` where there are too many.
        """

        def write(connection: Connection) -> list[Item]:
            return add_items(connection, read_conversation(connection, who, conversation), bodies, after=after, response=response)

        return await self._database.write(write)

    def path(self, who: Principal, conversation: str) -> list[Item]:
        """What is shown: from the first item to the head."""
        return self._database.read(lambda connection: read_path(connection, read_conversation(connection, who, conversation)))

    def tree(self, who: Principal, conversation: str) -> list[Item]:
        """All items of all branches, in the order in which they were written."""

        def read(connection: Connection) -> list[Item]:
            return all_items(connection, read_conversation(connection, who, conversation).id)

        return self._database.read(read)

    def item(self, who: Principal, conversation: str, item: str) -> Item:
        def read(connection: Connection) -> Item:
            return _item(connection, read_conversation(connection, who, conversation).id, item)

        return self._database.read(read)

    def page(self, who: Principal, conversation: str, *, after: str | None = None, limit: int = 20, order: Order = "desc") -> Page:
        """Some items of the path, those that follow `after` in that order."""
        whole = self.path(who, conversation)
        if order == "desc":
            whole.reverse()
        start = 0
        if after is not None:
            start = next((number for number, item in enumerate(whole, 1) if item.id == after), -1)
            if start < 0:
                raise NotFound(f"The conversation has no item '{shown(after)}'.")
        found = Page(whole[start : start + limit])
        found.more = len(whole) > start + limit
        return found

    async def turn(self, who: Principal, conversation: str, head: str | None) -> Conversation:
        """Show another branch: the one that ends in this item, or at its newest end if others follow it."""

        def write(connection: Connection) -> Conversation:
            found = read_conversation(connection, who, conversation)
            seq = _item(connection, conversation, head).seq if head is not None else None
            if seq is not None:
                seq = newest_end(all_items(connection, conversation), seq)
            connection.execute(update(conversations).where(conversations.c.id == conversation).values(head=seq))
            return replace(found, head=seq)

        return await self._database.write(write)

    async def remove(self, who: Principal, conversation: str, item: str) -> Conversation:
        """One item; what followed it follows what it followed."""

        def write(connection: Connection) -> Conversation:
            found = read_conversation(connection, who, conversation)
            gone = _item(connection, conversation, item)
            connection.execute(update(items).where(items.c.conversation == conversation, items.c.parent == gone.seq).values(parent=gone.parent))
            connection.execute(text("DELETE FROM items_words WHERE rowid = :seq"), {"seq": gone.seq})
            connection.execute(delete(items).where(items.c.seq == gone.seq))
            scrub_soon(connection)
            if found.head == gone.seq:
                found = replace(found, head=gone.parent)
                connection.execute(update(conversations).where(conversations.c.id == conversation).values(head=gone.parent))
            return found

        return await self._database.write(write)


# Within a transaction: for those who write more than items at once


def read_conversation(connection: Connection, who: Principal, conversation: str) -> Conversation:
    row = connection.execute(select(conversations).where(conversations.c.id == conversation, owned(conversations, who))).one_or_none()
    if row is None:
        raise NotFound(f"There is no conversation '{shown(conversation)}'.")
    return conversation_of(row)


def delete_conversations(connection: Connection, which: ColumnElement[bool]) -> int:
    """Conversations of that kind with all that was said in them, also as the responses have it that were made there; returns how many.

    What is still being made goes when it has ended (`keeping.finish`)."""
    found = [row.id for row in connection.execute(select(conversations.c.id).where(which))]
    for conversation in found:
        connection.execute(
            text("DELETE FROM items_words WHERE rowid IN (SELECT seq FROM items WHERE conversation = :conversation)"), {"conversation": conversation}
        )
        connection.execute(delete(responses).where(responses.c.conversation == conversation, responses.c.finished.is_not(None)))
        connection.execute(delete(conversations).where(conversations.c.id == conversation))
    if found:
        scrub_soon(connection)
    return len(found)


def scrub_soon(connection: Connection) -> None:
    """Have the words that were just removed taken out of the files, too (`erasure.scrub`); once for all that is removed until then."""
    at = time.time() + _SCRUB_SECONDS
    records.add(connection, kind=SCRUB_JOB, payload="{}", key=SCRUB_JOB, priority=-1, run_at=at, max_attempts=5)


def add_items(
    connection: Connection, conversation: Conversation, bodies: Sequence[Mapping[str, Any]], *, after: int | None = HEAD,
    response: str | None = None,
) -> list[Item]:  # fmt: skip
    """See `Conversations.add`."""
    return _grown(connection, conversation, bodies, after=after, response=response)[1]


def read_path(connection: Connection, conversation: Conversation) -> list[Item]:
    """See `Conversations.path`."""
    return path_of(all_items(connection, conversation.id), conversation.head)


def path_of(tree: Sequence[Item], head: int | None) -> list[Item]:
    """The items from the first to the one whose `seq` is `head`."""
    by_seq = {item.seq: item for item in tree}
    path: list[Item] = []
    while head is not None and (item := by_seq.get(head)) is not None:
        path.append(item)
        head = item.parent
    path.reverse()
    return path


def owner_word(project: str, user: str) -> str:
    """By which the words of a person in a project are found, and nobody else's: one word of letters and digits."""
    return f"o{(project + chr(0) + user).encode().hex()}"


def _grown(
    connection: Connection, conversation: Conversation, bodies: Sequence[Mapping[str, Any]], *, after: int | None = HEAD,
    response: str | None = None,
) -> tuple[Conversation, list[Item]]:  # fmt: skip
    if not bodies:
        return conversation, []
    there = connection.execute(select(func.count()).select_from(items).where(items.c.conversation == conversation.id)).scalar_one()
    if there + len(bodies) > MOST_ITEMS:
        raise InvalidRequest(f"A conversation holds at most {MOST_ITEMS:,} items; begin another one.")
    now, parent, owner = time.time(), conversation.head if after == HEAD else after, owner_word(conversation.project, conversation.user)
    added: list[Item] = []
    for body in bodies:
        named = {**body, "id": body.get("id") or new_id(PREFIXES.get(str(body.get("type", "message")), "item"))}
        spoken = plain_text(named)
        row = {
            "conversation": conversation.id, "id": named["id"], "parent": parent, "created": now, "type": str(named.get("type", "message")),
            "role": str(named.get("role", "")), "response": response, "body": json.dumps(named, ensure_ascii=False), "text": spoken,
        }  # fmt: skip
        if connection.execute(select(items.c.seq).where(items.c.conversation == conversation.id, items.c.id == named["id"])).first():
            raise Conflict(f"The conversation has an item '{shown(str(named['id']))}' already.")
        seq = int(connection.execute(insert(items).values(row)).inserted_primary_key[0])  # type: ignore[index]
        if spoken:
            connection.execute(
                text("INSERT INTO items_words (rowid, owner, words) VALUES (:seq, :owner, :words)"),
                {"seq": seq, "owner": owner, "words": words_of(spoken)},
            )
        added.append(Item(seq=seq, id=named["id"], parent=parent, created=now, response=response, body=named))
        parent = seq
    title = conversation.title or title_of(item.body for item in added)
    connection.execute(update(conversations).where(conversations.c.id == conversation.id).values(head=parent, changed=now, title=title))
    return replace(conversation, head=parent, changed=now, title=title), added


def title_of(bodies: Iterable[Mapping[str, Any]]) -> str:
    """The first words of what a person said first, until somebody thinks of something better; empty where nobody has said anything yet."""
    said = next((spoken for body in bodies if body.get("role") == "user" and (spoken := plain_text(body).strip())), "")
    line = " ".join(said[: 4 * _LONGEST_TITLE].split())
    if len(line) <= _LONGEST_TITLE:
        return line
    cut = line[:_LONGEST_TITLE]
    return f"{cut.rpartition(' ')[0] or cut}…"


PREFIXES: Final[Mapping[str, str]] = {
    "message": "msg", "reasoning": "rs", "function_call": "fc", "function_call_output": "fco", "file_search_call": "fs", "mcp_call": "mcp",
    "mcp_list_tools": "mcpl", "mcp_approval_request": "mcpr", "mcp_approval_response": "mcpa", "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco", "compaction": "cmp",
}  # fmt: skip
"""Of ids, by the type of the item."""


def all_items(connection: Connection, conversation: str) -> list[Item]:
    columns = (items.c.seq, items.c.id, items.c.parent, items.c.created, items.c.response, items.c.body)
    rows = connection.execute(select(*columns).where(items.c.conversation == conversation).order_by(items.c.seq))
    return [_of_row(row) for row in rows]


def _item(connection: Connection, conversation: str, item: str) -> Item:
    columns = (items.c.seq, items.c.id, items.c.parent, items.c.created, items.c.response, items.c.body)
    row = connection.execute(select(*columns).where(items.c.conversation == conversation, items.c.id == item)).one_or_none()
    if row is None:
        raise NotFound(f"The conversation has no item '{shown(item)}'.")
    return _of_row(row)


def newest_end(tree: Sequence[Item], seq: int) -> int:
    """The newest item that came after this one, by way of the newest each time."""
    children: dict[int | None, int] = {}
    for item in tree:
        children[item.parent] = item.seq  # later ones are newer
    while (following := children.get(seq)) is not None:
        seq = following
    return seq


def _of_row(row: Row[*tuple[Any, ...]]) -> Item:
    return Item(seq=row.seq, id=row.id, parent=row.parent, created=row.created, response=row.response, body=json.loads(row.body))


def conversation_of(row: Row[*tuple[Any, ...]]) -> Conversation:
    return Conversation(
        id=row.id, project=row.project, user=row.user, created=row.created, changed=row.changed, metadata=json.loads(row.metadata), title=row.title,
        model=row.model, settings=json.loads(row.settings), origin=row.origin, pinned=bool(row.pinned), archived=bool(row.archived), head=row.head,
    )  # fmt: skip


def row_of(value: Conversation) -> dict[str, Any]:
    """As the table has it."""
    return {
        "id": value.id, "project": value.project, "user": value.user, "created": value.created, "changed": value.changed,
        "metadata": json.dumps(dict(value.metadata), ensure_ascii=False), "title": value.title, "model": value.model,
        "settings": json.dumps(dict(value.settings), ensure_ascii=False), "origin": value.origin, "pinned": int(value.pinned),
        "archived": int(value.archived), "head": value.head,
    }  # fmt: skip

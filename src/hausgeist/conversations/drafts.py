"""Conversations that are written as a whole, with all branches and their own times: what is copied from another one, or comes from a file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, func, insert, select

from hausgeist.conversations.content import plain_text
from hausgeist.conversations.records import Conversation, conversations, items, new_id
from hausgeist.conversations.service import MOST_ITEMS, PREFIXES, owner_word, row_of, title_of
from hausgeist.conversations.words import words_of
from hausgeist.errors import InvalidRequest
from hausgeist.identity import Principal

__all__ = ["Draft", "Node", "numbers_below", "write_draft"]

_FIRST_BELOW = -2
"""-1 stands for the head (`service.HEAD`)."""


@dataclass(frozen=True, slots=True)
class Node:
    """An item to be. `parent`: the index of the node that it follows, which comes before it; `None`: none."""

    body: Mapping[str, Any]
    created: float
    parent: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A conversation to be. `head`: the index of the node that its shown branch ends with. Times are Unix times."""

    nodes: Sequence[Node]
    head: int | None
    created: float
    changed: float
    title: str = ""
    model: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    origin: str = ""
    pinned: bool = False
    archived: bool = False


def write_draft(connection: Connection, who: Principal, draft: Draft, *, first: int | None = None) -> Conversation:
    """The conversation, as `who` has it from now on; its items get new ids, and are counted from `first`, or on from the last that was written.

    Raises `InvalidRequest` for more items than a conversation holds.
    """
    if len(draft.nodes) > MOST_ITEMS:
        raise InvalidRequest(f"A conversation holds at most {MOST_ITEMS:,} items; this one has {len(draft.nodes):,}.")
    title = draft.title or title_of(node.body for node in draft.nodes)
    made = Conversation(
        id=new_id("conv"), project=who.project, user=who.user, created=draft.created, changed=draft.changed, metadata=draft.metadata, title=title,
        model=draft.model, settings=draft.settings, origin=draft.origin, pinned=draft.pinned, archived=draft.archived,
    )  # fmt: skip
    connection.execute(insert(conversations).values(row_of(made)))
    if draft.nodes:
        first = _write_nodes(connection, made, draft.nodes, first)
        made = replace(made, head=first + draft.head if draft.head is not None else None)
        connection.execute(conversations.update().where(conversations.c.id == made.id).values(head=made.head))
    return made


def numbers_below(connection: Connection, count: int) -> int:
    """The lowest of `count` numbers under all that were given so far: for what is old, as search shows the highest first."""
    lowest: int | None = connection.execute(select(func.min(items.c.seq))).scalar()
    return min(lowest if lowest is not None else 0, _FIRST_BELOW + 1) - count


def _write_nodes(connection: Connection, conversation: Conversation, nodes: Sequence[Node], first: int | None) -> int:
    """Returns the number of the first."""
    owner = owner_word(conversation.project, conversation.user)
    if first is None:
        last: int | None = connection.exec_driver_sql("SELECT seq FROM sqlite_sequence WHERE name = 'items'").scalar()
        first = (last or 0) + 1
    rows: list[tuple[Any, ...]] = []
    words: list[tuple[int, str, str]] = []
    for seq, node in enumerate(nodes, first):
        kind = str(node.body.get("type", "message"))
        body = {**node.body, "id": new_id(PREFIXES.get(kind, "item"))}
        parent = first + node.parent if node.parent is not None else None
        spoken = plain_text(body)
        told = json.dumps(body, ensure_ascii=False)
        rows.append((seq, conversation.id, body["id"], parent, node.created, kind, str(body.get("role", "")), told, spoken))
        if spoken:
            words.append((seq, owner, words_of(spoken)))
    connection.exec_driver_sql(
        "INSERT INTO items (seq, conversation, id, parent, created, type, role, body, text) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows
    )
    if words:
        connection.exec_driver_sql("INSERT INTO items_words (rowid, owner, words) VALUES (?, ?, ?)", words)
    return first

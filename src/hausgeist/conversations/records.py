"""Rows of conversations and responses: the tables as they are read here (the migrations made them), and the values that callers get.

Every row belongs to a person in a project, and every query says so: `owned` is part of it, so that a row of somebody else is not found rather
than refused.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Column, ColumnElement, Float, Integer, LargeBinary, MetaData, Table, Text, and_

from hausgeist.identity import Principal

__all__ = ["Conversation", "Item", "completions", "conversations", "items", "metadata", "new_id", "owned", "response_events",
           "response_figures", "response_items", "responses", "retention", "seal"]  # fmt: skip

metadata = MetaData()

conversations = Table(
    "conversations",
    metadata,
    Column("id", Text, primary_key=True),
    Column("project", Text, nullable=False),
    Column("user", Text, nullable=False),
    Column("created", Float, nullable=False),
    Column("changed", Float, nullable=False),
    Column("metadata", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("settings", Text, nullable=False),
    Column("origin", Text, nullable=False),
    Column("pinned", Integer, nullable=False),
    Column("archived", Integer, nullable=False),
    Column("head", Integer),
)
items = Table(
    "items",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("conversation", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("parent", Integer),
    Column("created", Float, nullable=False),
    Column("type", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("response", Text),
    Column("body", Text, nullable=False),
    Column("text", Text, nullable=False),
)
responses = Table(
    "responses",
    metadata,
    Column("id", Text, primary_key=True),
    Column("project", Text, nullable=False),
    Column("user", Text, nullable=False),
    Column("created", Float, nullable=False),
    Column("finished", Float),
    Column("status", Text, nullable=False),
    Column("background", Integer, nullable=False),
    Column("model", Text, nullable=False),
    Column("conversation", Text),
    Column("previous", Text),
    Column("request", Text, nullable=False),
    Column("input", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("facts", Text),
    Column("worker", Text),
    Column("lease_until", Float),
    Column("cancelling", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
)
response_items = Table(
    "response_items",
    metadata,
    Column("id", Text, primary_key=True),
    Column("response", Text, primary_key=True),
)
response_events = Table(
    "response_events",
    metadata,
    Column("response", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("body", Text, nullable=False),
)
response_figures = Table(
    "response_figures",
    metadata,
    Column("conversation", Text, primary_key=True),
    Column("response", Text, primary_key=True),
    Column("body", Text, nullable=False),
)
completions = Table(
    "completions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("project", Text, nullable=False),
    Column("user", Text, nullable=False),
    Column("created", Float, nullable=False),
    Column("model", Text, nullable=False),
    Column("metadata", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("messages", Text, nullable=False),
)
seal = Table("seal", metadata, Column("key", LargeBinary, nullable=False))
retention = Table("retention", metadata, Column("project", Text, primary_key=True), Column("days", Integer, nullable=False))


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """A conversation of the API, which is a chat of the pages. Times are Unix times."""

    id: str
    project: str
    user: str
    created: float
    changed: float
    """When something was said last."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    title: str = ""
    model: str = ""
    """That the chat goes on with; empty: none was chosen."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """How the chat goes on: instructions, temperature and the like, as a request of responses has them."""
    origin: str = ""
    """Where it came from: the id of the conversation that it was branched from, or the tool whose export it was."""
    pinned: bool = False
    archived: bool = False
    head: int | None = None
    """`seq` of the last item of the branch that is shown and goes on; `None`: nothing was said yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One item: a message, a call of a tool, what it gave, a piece of reasoning."""

    seq: int
    """Greater than that of every item written before."""
    id: str
    parent: int | None
    """The item it follows; where several follow one, the chat has branches."""
    created: float
    response: str | None
    """That it came with: as its input, or its output."""
    body: Mapping[str, Any]
    """As the API has it, with `id` and `type`."""


def new_id(prefix: str) -> str:
    """`msg_…`, `resp_…`: as long as OpenAI's, and as hard to guess."""
    return f"{prefix}_{secrets.token_hex(24)}"


def owned(table: Table, who: Principal) -> ColumnElement[bool]:
    """Rows of this person in this project."""
    return and_(table.c.project == who.project, table.c.user == who.user)

"""Chats as a file, one or all, told piece by piece: no more than one chat is in memory at a time."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Final, Literal

from sqlalchemy import Connection, select

from hausgeist.conversations.exchange import markdown, ours
from hausgeist.conversations.records import conversations, owned
from hausgeist.conversations.service import all_items, path_of, read_conversation
from hausgeist.errors import NotFound
from hausgeist.identity import Principal
from hausgeist.store.database import Database
from hausgeist.store.threads import to_its_end

__all__ = ["Format", "Taking"]

Format = Literal["json", "markdown"]
_OPENS: Final[dict[Format, bytes]] = {"json": b"[\n", "markdown": b""}
_PARTS: Final[dict[Format, bytes]] = {"json": b",\n", "markdown": b"\n---\n\n"}
_CLOSES: Final[dict[Format, bytes]] = {"json": b"\n]\n", "markdown": b""}


class Taking:
    """Everything raises `NotFound` for what is not there or belongs to somebody else."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def one(self, who: Principal, chat: str, form: Format) -> bytes:
        return await to_its_end(self._encode, who, chat, form)

    async def all(self, who: Principal, form: Format) -> AsyncGenerator[bytes, None]:
        """Those of one person in one project, oldest first. What is removed meanwhile is left out."""

        def read(connection: Connection) -> Sequence[str]:
            return connection.execute(select(conversations.c.id).where(owned(conversations, who)).order_by(conversations.c.created)).scalars().all()

        yield _OPENS[form]
        between = b""
        for chat in await to_its_end(self._database.read, read):
            try:
                told = await to_its_end(self._encode, who, chat, form)
            except NotFound:
                continue
            yield between + told
            between = _PARTS[form]
        yield _CLOSES[form]

    def _encode(self, who: Principal, chat: str, form: Format) -> bytes:
        def encode(connection: Connection) -> bytes:
            found = read_conversation(connection, who, chat)
            tree = all_items(connection, chat)
            return ours.encode(found, tree) if form == "json" else markdown.encode(found, path_of(tree, found.head))

        return self._database.read(encode)

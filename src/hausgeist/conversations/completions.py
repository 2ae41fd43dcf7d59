"""Stored chat completions: an answer of the chat with `store`, the messages it answered, and the caller's metadata; listed, changed, removed.

Their form is the API's and is not looked into here, but for the names by which they are found.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, column, delete, exists, func, insert, select, true, tuple_, update

from hausgeist.conversations.records import completions, owned
from hausgeist.conversations.service import scrub_soon
from hausgeist.errors import Conflict, NotFound, shown
from hausgeist.identity import Principal
from hausgeist.store.database import Database

__all__ = ["Completion", "Completions", "delete_completions"]

_SHOWN = (completions.c.id, completions.c.created, completions.c.model, completions.c.metadata, completions.c.body)
"""All but the messages, which may hold images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """One answer that was kept. `created`: Unix time."""

    id: str
    created: float
    model: str
    metadata: Mapping[str, str]
    body: Mapping[str, Any]
    """The chat completion as its caller got it."""


class Completions:
    """Everything raises `NotFound` for what is not there or belongs to somebody else."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def keep(self, who: Principal, body: Mapping[str, Any], *, messages: Sequence[Mapping[str, Any]], metadata: Mapping[str, str]) -> None:
        """Write down an answer under the id that it has. Raises `Conflict` where another one has it, `StoreError`."""
        name = str(body["id"])
        row = {
            "id": name, "project": who.project, "user": who.user, "created": time.time(), "model": str(body["model"]),
            "metadata": _text(dict(metadata)), "body": _text(dict(body)), "messages": _text([dict(message) for message in messages]),
        }  # fmt: skip

        def write(connection: Connection) -> None:
            if connection.execute(select(completions.c.id).where(completions.c.id == name)).first():
                raise Conflict(f"There is a stored completion '{shown(name)}' already.")
            connection.execute(insert(completions).values(row))

        await self._database.write(write)

    def get(self, who: Principal, completion: str) -> Completion:
        return self._database.read(lambda connection: _completion(_row(connection, who, completion, *_SHOWN)))

    def messages(self, who: Principal, completion: str) -> list[dict[str, Any]]:
        """What it answered, as it was sent."""
        found = self._database.read(lambda connection: _row(connection, who, completion, completions.c.messages).messages)
        return list(json.loads(found))

    async def page(
        self, who: Principal, *, after: str | None = None, limit: int = 20, order: Literal["asc", "desc"] = "asc", model: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> tuple[list[Completion], bool]:  # fmt: skip
        """Some of them by their age, those that follow `after`; and whether more follow. `metadata`: all of these pairs, and perhaps others."""
        wanted = and_(owned(completions, who), *_filters(model, metadata or {}))

        def read(connection: Connection) -> tuple[list[Completion], bool]:
            query = _ordered(select(*_SHOWN).where(wanted).limit(limit + 1), order)
            if after is not None:
                query = query.where(_behind(_place(connection, who, after), order))
            found = connection.execute(query).all()
            return [_completion(row) for row in found[:limit]], len(found) > limit

        # Filters look at every row of their owner, of which there may be many.
        return await asyncio.to_thread(self._database.read, read)

    async def update(self, who: Principal, completion: str, metadata: Mapping[str, str]) -> Completion:
        """With these metadata in place of those that it has."""

        def write(connection: Connection) -> Completion:
            mine = and_(completions.c.id == completion, owned(completions, who))
            connection.execute(update(completions).where(mine).values(metadata=_text(dict(metadata))))
            return _completion(_row(connection, who, completion, *_SHOWN))

        return await self._database.write(write)

    async def delete(self, who: Principal, completion: str) -> None:
        def write(connection: Connection) -> None:
            if not delete_completions(connection, and_(completions.c.id == completion, owned(completions, who))):
                raise _unknown(completion)
            scrub_soon(connection)

        await self._database.write(write)


def delete_completions(connection: Connection, which: ColumnElement[bool]) -> int:
    """Within a transaction: all of that kind; returns how many there were."""
    return connection.execute(delete(completions).where(which)).rowcount


def _filters(model: str | None, metadata: Mapping[str, str]) -> list[ColumnElement[bool]]:
    filters: list[ColumnElement[bool]] = [completions.c.model == model if model is not None else true()]
    for key, value in metadata.items():
        pairs = func.json_each(completions.c.metadata).table_valued(column("key"), column("value"))
        filters.append(exists(select(pairs.c.key).where(pairs.c.key == key, pairs.c.value == value)))
        # A pair stands in the text as this; looked for first, because it is five times quicker, and finds some more (of the key `a"key`, too).
        filters.insert(0, func.instr(completions.c.metadata, _text({key: value})[1:-1]) > 0)
    return filters


def _ordered(query: Select[Any], order: Literal["asc", "desc"]) -> Select[Any]:
    if order == "asc":
        return query.order_by(completions.c.created, completions.c.id)
    return query.order_by(completions.c.created.desc(), completions.c.id.desc())


def _place(connection: Connection, who: Principal, completion: str) -> Row[Any]:
    try:
        return _row(connection, who, completion, completions.c.created, completions.c.id)
    except NotFound as error:
        raise NotFound(f"{error.message} The list cannot go on after it; begin again without 'after'.") from error


def _behind(place: Row[Any], order: Literal["asc", "desc"]) -> ColumnElement[bool]:
    here, there = tuple_(completions.c.created, completions.c.id), tuple_(place.created, place.id)
    return here > there if order == "asc" else here < there


def _row(connection: Connection, who: Principal, completion: str, *columns: ColumnElement[Any]) -> Row[Any]:
    row = connection.execute(select(*columns).where(completions.c.id == completion, owned(completions, who))).one_or_none()
    if row is None:
        raise _unknown(completion)
    return row


def _unknown(completion: str) -> NotFound:
    return NotFound(f"There is no stored completion '{shown(completion)}'. Completions are kept that are asked for with 'store': true.")


def _completion(row: Row[Any]) -> Completion:
    return Completion(id=row.id, created=row.created, model=row.model, metadata=json.loads(row.metadata), body=json.loads(row.body))


def _text(value: Any) -> str:
    """JSON that the database takes: what an engine says may hold halves of surrogate pairs, which no file can."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace").decode()

"""What personas and prompts have in common: somebody's own or shared in a project, listed by name, changed by who may.

Owns the SQL of both tables. What a value holds and how large it may be is said by `personas` and `library`.
"""

from __future__ import annotations

import base64
import binascii
import json
import time
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from sqlalchemy import ColumnElement, Connection, Row, Table, and_, delete, func, insert, or_, select, tuple_, update

from hausgeist.conversations.prompts.records import Persona, Prompt
from hausgeist.conversations.records import new_id
from hausgeist.conversations.service import scrub_soon
from hausgeist.errors import InvalidRequest, NotAllowed, NotFound, shown
from hausgeist.identity import Principal
from hausgeist.store.database import Database
from hausgeist.workspace.names import fold

__all__ = ["LONGEST_NAME", "Listed", "Shelf", "parse_name"]

LONGEST_NAME: Final = 100
_UNSEEN: Final = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Marks that turn the direction of writing: a name could read as another one."""
V = TypeVar("V", Persona, Prompt)


@dataclass(frozen=True, slots=True)
class Listed(Generic[V]):
    """Some of a list. `next`: from where it goes on; `None`: nowhere."""

    values: Sequence[V]
    next: str | None


class Shelf(Generic[V]):
    """Everything raises `NotFound` for what is not there, belongs to another project, or to another person who does not share it."""

    def __init__(self, database: Database, table: Table, of_row: Callable[[Row[Any]], V], *, noun: str, most: int) -> None:
        """`noun`: "persona", which ids begin with. `most`: that one person may have in one project."""
        self._database = database
        self._table = table
        self._of_row: Callable[[Row[Any]], V] = of_row
        self._noun = noun
        self._most = most

    def listed(self, who: Principal, *conditions: ColumnElement[bool], after: str | None = None, limit: int = 200) -> Listed[V]:
        """One's own and those that are shared in the project, by name. `after`: `next` of the list before. Raises `InvalidRequest`."""
        table = self._table
        order = (table.c.name_key, table.c.id)
        query = select(table).where(self._visible(who), *conditions).order_by(*order).limit(limit + 1)
        if after is not None:
            query = query.where(tuple_(*order) > tuple_(*_place(after)))

        def read(connection: Connection) -> Listed[V]:
            rows = connection.execute(query).all()
            more = _mark(rows[limit - 1].name_key, rows[limit - 1].id) if len(rows) > limit else None
            return Listed([self._of_row(row) for row in rows[:limit]], more)

        return self._database.read(read)

    def get(self, who: Principal, which: str) -> V:
        return self._database.read(lambda connection: self._find(connection, who, which))

    async def create(self, who: Principal, **fields: Any) -> V:
        """`fields`: those of the table that are this value's own. Raises `InvalidRequest` where there are too many."""
        table, now = self._table, time.time()
        row = {"id": new_id(self._noun), "project": who.project, "user": who.user, "created": now, "changed": now, **fields}

        def write(connection: Connection) -> V:
            mine = select(func.count()).select_from(table).where(table.c.project == who.project, table.c.user == who.user)
            if connection.execute(mine).scalar_one() >= self._most:
                raise InvalidRequest(f"You have {self._most:,} {self._noun}s in this project, as many as one person may. Remove one first.")
            connection.execute(insert(table).values(row))
            return self._find(connection, who, str(row["id"]))

        return await self._database.write(write)

    async def update(self, who: Principal, which: str, change: Callable[[V], Mapping[str, Any]]) -> V:
        """`change`: what is to be different, by columns. Raises `NotAllowed` for what another member shares, unless an owner of the project asks."""

        def write(connection: Connection) -> V:
            found = self._find(connection, who, which)
            self._demand(who, found)
            connection.execute(update(self._table).where(self._table.c.id == which).values({**change(found), "changed": time.time()}))
            return self._of_row(connection.execute(select(self._table).where(self._table.c.id == which)).one())

        return await self._database.write(write)

    async def delete(self, who: Principal, which: str) -> None:
        """Raises as `update` does."""

        def write(connection: Connection) -> None:
            self._demand(who, self._find(connection, who, which))
            connection.execute(delete(self._table).where(self._table.c.id == which))
            scrub_soon(connection)

        await self._database.write(write)

    def _visible(self, who: Principal) -> ColumnElement[bool]:
        table = self._table
        return and_(table.c.project == who.project, or_(table.c.user == who.user, table.c.shared == 1))

    def _find(self, connection: Connection, who: Principal, which: str) -> V:
        row = connection.execute(select(self._table).where(self._table.c.id == which, self._visible(who))).one_or_none()
        if row is None:
            raise NotFound(f"There is no {self._noun} '{shown(which)}' in this project.")
        return self._of_row(row)

    def _demand(self, who: Principal, found: V) -> None:
        if found.user != who.user and who.role != "owner":
            raise NotAllowed(
                f"Another member shares this {self._noun}: only its author or an owner of the project changes it. Make a copy of your own."
            )


def parse_name(name: str, noun: str) -> tuple[str, str]:
    """A name as it is shown, and as it is sorted. Raises `InvalidRequest`."""
    # Hostile runs of combining marks make normal forms slow, so length is looked at before and after.
    if len(name) <= 4 * LONGEST_NAME:
        name = unicodedata.normalize("NFC", name).strip()
    if not 1 <= len(name) <= LONGEST_NAME:
        raise InvalidRequest(f"The name of a {noun} has 1 to {LONGEST_NAME} characters.", param="name")
    if any(character in _UNSEEN or unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in name):
        raise InvalidRequest(f"The name of a {noun} is one line without control characters.", param="name")
    return name, fold(name)


def _mark(name_key: str, which: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([name_key, which]).encode()).decode().rstrip("=")


def _place(text: str) -> tuple[str, str]:
    """Where a list goes on. Raises `InvalidRequest`."""
    try:
        name_key, which = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
        if isinstance(name_key, str) and isinstance(which, str):
            return name_key.encode("utf-8", "replace").decode(), which.encode("utf-8", "replace").decode()
    except (ValueError, TypeError, binascii.Error, RecursionError):
        pass
    raise InvalidRequest("'after' should be what 'next' of the list before said.", param="after")

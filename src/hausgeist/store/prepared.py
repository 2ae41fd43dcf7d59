"""Statements that are put together and compiled once: SQLite answers them, or writes a row, sooner than they could be put together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Select, Table, Update, insert
from sqlalchemy.dialects import sqlite

from hausgeist.store.writer import driver_of

__all__ = ["Change", "Insert", "Prepared"]


class Prepared:
    """Rows come as the driver has them: numbers, texts and bytes, in the order of the columns."""

    def __init__(self, statement: Select[Any]) -> None:
        """`statement`: what differs from one call to the next is a `bindparam` in it."""
        compiled = statement.compile(dialect=sqlite.dialect(paramstyle="named"))
        self._sql = str(compiled)
        self._fixed: Mapping[str, Any] = {name: value for name, value in compiled.params.items() if value is not None}

    def rows(self, connection: Connection, values: Mapping[str, Any]) -> list[Any]:
        return driver_of(connection).execute(self._sql, {**self._fixed, **values}).fetchall()


class Insert:
    """Rows are tuples in the order of `columns`, of numbers, texts and bytes; columns that are not named have no value."""

    def __init__(self, table: Table, columns: Sequence[str]) -> None:
        compiled = insert(table).compile(dialect=sqlite.dialect(paramstyle="qmark"), column_keys=columns)
        assert list(compiled.positiontup or ()) == [column.key for column in table.columns if column.key in set(columns)] == list(columns)
        self._sql = str(compiled)

    def many(self, connection: Connection, rows: Iterable[Sequence[Any]]) -> None:
        """Within a write. Raises `sqlite3.Error`."""
        driver_of(connection).executemany(self._sql, rows)


class Change:
    """An update of some rows. What differs from one to the next is a `bindparam` in it."""

    def __init__(self, statement: Update) -> None:
        compiled = statement.compile(dialect=sqlite.dialect(paramstyle="named"))
        self._sql = str(compiled)
        self._fixed: Mapping[str, Any] = {name: value for name, value in compiled.params.items() if not compiled.binds[name].required}

    def many(self, connection: Connection, rows: Iterable[Mapping[str, Any]]) -> int:
        """Within a write; how many rows were changed. Raises `sqlite3.Error`."""
        return driver_of(connection).executemany(self._sql, [{**self._fixed, **row} for row in rows]).rowcount

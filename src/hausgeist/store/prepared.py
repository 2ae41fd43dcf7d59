"""A statement that is put together and compiled once, for what every request asks: SQLite answers it sooner than it could be put together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Select
from sqlalchemy.dialects import sqlite

from hausgeist.store.writer import driver_of

__all__ = ["Prepared"]


class Prepared:
    """Rows come as the driver has them: numbers, texts and bytes, in the order of the columns."""

    def __init__(self, statement: Select[Any]) -> None:
        """`statement`: what differs from one call to the next is a `bindparam` in it."""
        compiled = statement.compile(dialect=sqlite.dialect(paramstyle="named"))
        self._sql = str(compiled)
        self._fixed: Mapping[str, Any] = {name: value for name, value in compiled.params.items() if value is not None}

    def rows(self, connection: Connection, values: Mapping[str, Any]) -> list[Any]:
        return driver_of(connection).execute(self._sql, {**self._fixed, **values}).fetchall()

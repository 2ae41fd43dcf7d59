"""A table of a document as a table of an in-memory SQLite, so that its rows can be counted and summed. Read only, and within limits.

Columns are typed by what is in them: numbers (as ten-thousandths, so that sums are exact), days (ISO 8601), text. Each table has `words`, all of a
row in small letters. Statements may come from a model: `select` lets nothing but reading through.
"""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from hausgeist.errors import InvalidRequest
from hausgeist.knowledge.answer.counting.values import amounts, dates, number

__all__ = ["SCALE", "Column", "Table"]

SCALE: Final = 10_000
"""Of a number column."""
_STEPS: Final = 20_000_000
"""Instructions of SQLite's machine for one statement: some seconds."""
_CELL: Final = 2000
"""Characters of a cell that are kept."""
_MOST_COLUMNS: Final = 500
_LARGEST: Final = 2**62 // SCALE
_CODE: Final = re.compile(r"(?<![^\W_])(?:EUR|USD|GBP|CHF|JPY)(?![^\W_])", re.IGNORECASE)
"""In a title: "price_gbp_per_kg"."""
_ALLOWED = frozenset(
    (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, 33)
)  # 33: SQLITE_RECURSIVE has no harm with the step limit.
_FORBIDDEN_FUNCTIONS = frozenset(
    ("load_extension", "randomblob", "zeroblob", "fts3_tokenizer", "readfile", "writefile", "edit", "printf", "format", "replace")
)


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    """In SQL: c1, c2, ..."""
    title: str
    kind: Literal["number", "day", "text"]
    currency: str = ""


class Table:
    """One table, `rows`, of which `number` is the row's number from 0. Use as a context; it blocks."""

    def __init__(self, titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        width = min(_MOST_COLUMNS, max([len(titles), *map(len, rows)], default=0))
        self.columns = [_typed(index, titles[index].strip() if index < len(titles) else "", rows) for index in range(width)]
        self._connection = sqlite3.connect(":memory:", check_same_thread=False)
        types = ", ".join(f"{one.name} {'INTEGER' if one.kind == 'number' else 'TEXT'}" for one in self.columns)
        self._connection.execute(f"CREATE TABLE rows (number INTEGER PRIMARY KEY, words TEXT{', ' if types else ''}{types})")
        places = ", ".join("?" * (width + 2))
        self._connection.executemany(
            f"INSERT INTO rows VALUES ({places})",  # noqa: S608
            ((index, " ".join(row).casefold(), *(_stored(one, row) for one in self.columns)) for index, row in enumerate(rows)),
        )
        self._connection.set_authorizer(_authorise)
        self._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 10_000_000)
        self._steps = 0

    def __enter__(self) -> Table:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def select(self, statement: str, values: Sequence[Any] = (), *, most: int = 1000) -> list[tuple[Any, ...]]:
        """The first `most` rows of its answer. Raises `InvalidRequest` for what is not one SELECT of this table, or takes too long."""
        self._steps = 0
        self._connection.set_progress_handler(self._step, 10_000)
        try:
            return self._connection.execute(statement, values).fetchmany(most)
        except (sqlite3.Error, sqlite3.Warning, OverflowError, UnicodeError) as error:
            raise InvalidRequest(
                f"The table could not be asked: {error}. Only one SELECT of the table rows is possible.", param="statement"
            ) from error
        finally:
            self._connection.set_progress_handler(None, 0)

    def _step(self) -> int:
        self._steps += 10_000
        return int(self._steps > _STEPS)


def _authorise(action: int, first: str | None, second: str | None, database: str | None, trigger: str | None) -> int:
    if action not in _ALLOWED or (action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in _FORBIDDEN_FUNCTIONS):
        return sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_READ and first not in ("rows", "", None):
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK


def _typed(index: int, title: str, rows: Sequence[Sequence[str]]) -> Column:
    cells = [row[index].strip()[:_CELL] for row in rows[:2000] if index < len(row) and row[index].strip()]
    name = f"c{index + 1}"
    if not cells:
        return Column(name, title, "text")
    days = sum(_day(cell) is not None for cell in cells)
    if days >= 0.8 * len(cells):
        return Column(name, title, "day")
    numbers = [cell for cell in cells if _number(cell) is not None]
    if len(numbers) >= 0.8 * len(cells) and not any(re.match(r"0\d", cell) for cell in numbers):
        units = Counter(one.currency for cell in [title + " 1", *cells] for one in [*amounts(cell), *amounts("1 " + title)])
        named = set(_CODE.findall(title))
        return Column(name, title, "number", named.pop().upper() if len(named) == 1 else units.most_common(1)[0][0] if units else "")
    return Column(name, title, "text")


def _number(cell: str) -> int | None:
    value = number(cell, point=None if re.fullmatch(r"[^.]*\.\d{3}|[^,]*,\d{3}", cell) is None else False)
    if value is None:
        money = list(amounts(cell))
        if len(money) != 1 or money[0].start > 1 or money[0].end < len(cell):
            return None
        value = money[0].value
    return round(value * SCALE) if abs(value) < _LARGEST else None


def _day(cell: str) -> str | None:
    """Of a cell that is a date and nothing else (a time of day may follow)."""
    found = list(dates(cell[:40]))
    if len(found) != 1 or found[0].first != found[0].last or found[0].start:
        return None
    return found[0].first.isoformat() if re.fullmatch(r"[T ]?[\d:.+Z ]*", cell[found[0].end :]) else None


def _stored(column: Column, row: Sequence[str]) -> int | str | None:
    index = int(column.name[1:]) - 1
    cell = row[index].strip()[:_CELL] if index < len(row) else ""
    if not cell:
        return None
    if column.kind == "number":
        return _number(cell)
    return _day(cell) if column.kind == "day" else cell

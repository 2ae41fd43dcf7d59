"""What calls took, read from the sums that the database keeps by day and by hour, for when there are too many calls to look at each.

Sums and counts are exact, whatever times are asked about: where a day or an hour lies half within them, its calls themselves are read. Times to
the first token are counted in 64 classes, each 19 % wider than the one before (`records.CLASSES`), and a percentile is found within its class as
if the calls in it were spread evenly: it lies in the same class as the call of that rank, and is mostly within 2 % of it.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Integer, Table, and_, case, cast, func, select

from hausgeist.governance.records import CLASSES, WAITED, usage, usage_days, usage_hours

__all__ = ["COUNTS", "FIGURES", "Range", "Sums", "at_most", "by_step", "figures", "percentile", "totals"]

DAY: Final = 86400
HOUR: Final = 3600
COUNTS: Final = ("calls", "failed", "prompt_tokens", "completion_tokens")
FIGURES: Final = (*COUNTS, "cached_tokens", "total_ms", "rated_tokens", "rated_ms")
_GROWTH: Final = CLASSES[2] / CLASSES[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Calls that ended from `since` on and before `until` (Unix times), in `count` steps of `step` seconds; only those of a user or a project."""

    since: float
    until: float
    step: float
    count: int
    user: str | None = None
    project: str | None = None

    def chosen(self, table: Table = usage) -> list[ColumnElement[bool]]:
        """The conditions of `user` and `project` on a table that has both."""
        wanted = ((table.c.user, self.user), (table.c.project, self.project))
        return [column == value for column, value in wanted if value is not None]


class Sums:
    """The figures of some calls, by name, and how many waited for their first token in each class."""

    def __init__(self) -> None:
        self.figures: dict[str, float] = dict.fromkeys(FIGURES, 0)
        self.waited = [0] * len(CLASSES)

    def add(self, names: Sequence[str], values: Sequence[float], waited: Sequence[int] = ()) -> None:
        for name, value in zip(names, values, strict=True):
            self.figures[name] += value
        for place, calls in enumerate(waited):
            self.waited[place] += calls


def figures() -> dict[str, ColumnElement[Any]]:
    """`FIGURES` added up over rows of the calls themselves."""
    rated = and_(usage.c.completion_ms > 0, usage.c.completion_tokens > 0)
    return {
        "calls": func.count(),
        "failed": func.sum(case((usage.c.status.startswith("failed"), 1), else_=0)),
        "prompt_tokens": func.sum(usage.c.prompt_tokens),
        "completion_tokens": func.sum(usage.c.completion_tokens),
        "cached_tokens": func.sum(usage.c.cached_tokens),
        "total_ms": func.sum(usage.c.total_ms),
        "rated_tokens": func.sum(case((rated, usage.c.completion_tokens), else_=0)),
        "rated_ms": func.sum(case((rated, usage.c.completion_ms), else_=0.0)),
    }


def at_most(connection: Connection, asked: Range) -> int:
    """No more calls than these are in the range; quick."""
    hours = usage_hours.c
    query = select(func.sum(hours.calls)).where(*_scope(asked), hours.hour > asked.since - HOUR, hours.hour < asked.until)
    return connection.execute(query).scalar() or 0


def totals(connection: Connection, column: str, asked: Range) -> dict[str, Sums]:
    """All calls of the range by what stands in `column` (of `usage_days`); calls that have nothing there have no part."""
    found: dict[str, Sums] = {}
    of = usage_days.c[column]
    middle = usage_days.c.day + DAY / 2
    end = _end(connection, asked, DAY)
    summed = [func.sum(usage_days.c[name]) for name in (*FIGURES, *WAITED)]
    where = [middle >= asked.since, middle < end, of != "", *asked.chosen(usage_days)]
    for row in connection.execute(select(of, *summed).where(*where).group_by(of)):
        found.setdefault(row[0], Sums()).add(FIGURES, row[1 : len(FIGURES) + 1], row[len(FIGURES) + 1 :])
    moves = list(_moves([(None, asked.since, 0), (0, end, None)], DAY))
    for before, after, key, sums in _moved(connection, usage.c[column], moves, asked):
        _change(found, before, after, key, sums, by_key=True)
    return {key: sums for key, sums in found.items() if sums.figures["calls"]}


def by_step(connection: Connection, asked: Range) -> dict[int, Sums]:
    """The calls of each step by its number; steps without calls are left out. Of the figures, `COUNTS` are there."""
    found: dict[int, Sums] = {}
    middle = usage_hours.c.hour + HOUR / 2
    end = _end(connection, asked, HOUR)
    number = func.min(cast((middle - asked.since) / asked.step, Integer), asked.count - 1)
    summed = [func.sum(usage_hours.c[name]) for name in (*COUNTS, *WAITED)]
    where = [*_scope(asked), middle >= asked.since, middle < end]
    for row in connection.execute(select(number.label("number"), *summed).where(*where).group_by("number")):
        found.setdefault(row[0], Sums()).add(COUNTS, row[1 : len(COUNTS) + 1], row[len(COUNTS) + 1 :])
    edges = [(place - 1 if place else None, asked.since + place * asked.step, place) for place in range(asked.count)]
    moves = list(_moves([*edges, (asked.count - 1, end, None)], HOUR))
    for before, after, _, sums in _moved(connection, None, moves, asked):
        _change(found, before, after, None, sums, by_key=False)
    return {number: sums for number, sums in found.items() if sums.figures["calls"]}


def percentile(waited: Sequence[int], percent: int) -> float | None:
    """Milliseconds that so many of a hundred calls did not wait longer than; `None`: no call came to a first token."""
    calls = sum(waited)
    rank, before = (calls * percent + 99) // 100, 0
    for place, here in enumerate(waited):
        if before + here >= rank > before:
            share = (rank - before - 0.5) / here
            return CLASSES[1] * share if place == 0 else CLASSES[place] * _GROWTH**share
        before += here
    return None


_Edge = tuple[int | None, float, int | None]
"""At this time one step (by its number; `None`: nothing that was asked for) ends and another begins."""
_Move = tuple[float, float, int | None, int | None]
"""Calls from a time until another are counted in one step and belong to another."""


def _scope(asked: Range) -> list[ColumnElement[bool]]:
    return [usage_hours.c.user == (asked.user or ""), usage_hours.c.project == (asked.project or "")]


def _end(connection: Connection, asked: Range, width: int) -> float:
    """Where to stop. After the newest call any time will do, so the end of a day or an hour, of which no part has to be read then."""
    newest = connection.execute(select(func.max(usage.c.at))).scalar()
    return math.ceil(asked.until / width) * width if newest is None or newest < asked.until else asked.until


def _moves(edges: Sequence[_Edge], width: int) -> Iterator[_Move]:
    """A day or an hour is counted where its middle lies; what of it lies beyond an edge is moved. Never more than half of it."""
    for before, at, after in edges:
        start = math.floor(at / width) * width
        if at == start:
            continue
        if at <= start + width / 2:
            yield start, at, after, before
        else:
            yield at, start + width, before, after


def _moved(
    connection: Connection, of: ColumnElement[Any] | None, moves: Sequence[_Move], asked: Range
) -> Iterator[tuple[int | None, int | None, Any, tuple[Sequence[float], list[int]]]]:
    """What is to be moved, and from where to where: figures and classes, by `of`."""
    if not moves:
        return
    each = func.json_each(json.dumps([move[:2] for move in moves])).table_valued("key", "value", name="moves")
    key = of if of is not None else each.c.key
    within = and_(usage.c.at >= func.json_extract(each.c.value, "$[0]"), usage.c.at < func.json_extract(each.c.value, "$[1]"))
    source = each.join(usage, within)
    where = [*asked.chosen(), key.is_not(None)]
    waited: dict[tuple[int, Any], list[int]] = {}
    waits = select(each.c.key, key, usage.c.first_token_ms).select_from(source).where(*where, usage.c.first_token_ms > 0)
    for number, which, wait in connection.execute(waits):
        waited.setdefault((number, which), [0] * len(CLASSES))[bisect_right(CLASSES, wait) - 1] += 1
    query = select(each.c.key, key, *figures().values()).select_from(source).where(*where).group_by(each.c.key, key)
    for number, which, *values in connection.execute(query):
        _, _, before, after = moves[number]
        yield before, after, which, (values, waited.get((number, which), []))


def _change(
    found: dict[Any, Sums], before: int | None, after: int | None, key: Any, sums: tuple[Sequence[float], list[int]], *, by_key: bool
) -> None:
    values, waited = sums
    if after is not None:
        found.setdefault(key if by_key else after, Sums()).add(FIGURES, values, waited)
    if before is not None:
        found.setdefault(key if by_key else before, Sums()).add(FIGURES, [-value for value in values], [-calls for calls in waited])

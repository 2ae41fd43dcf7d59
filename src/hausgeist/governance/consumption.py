"""What calls took, added up for people: by model, user, key or project, and over time.

A few thousand calls are looked at one by one. Of more than `_LOOKED_AT`, the sums that the database keeps are read (`sums`), which takes tens of
milliseconds for a million calls instead of seconds: the sums are the same, and percentiles are close to, not exactly, what a call has waited.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, Connection, Integer, cast, func, or_, select, text

from hausgeist.errors import InvalidRequest
from hausgeist.governance import sums
from hausgeist.governance.records import usage
from hausgeist.store.database import Database

__all__ = ["MOST_STEPS", "By", "Consumed", "Consumption", "Report", "Step", "Waiting"]

By = Literal["model", "user", "key", "project"]
MOST_STEPS: Final = 1000
_LOOKED_AT: Final = 5_000
_SAMPLED: Final = 50_000
"""Of how many calls, evenly spread, percentiles are found where each call is looked at."""
_COLUMNS: Final[dict[By, str]] = {"user": "user", "key": "key_id", "model": "model", "project": "project"}
_LAST_USED: Final = text(
    "SELECT named.value, (SELECT max(at) FROM usage WHERE model = named.value) AS at FROM json_each(:models) AS named WHERE at IS NOT NULL"
)


@dataclass(frozen=True, slots=True)
class Waiting:
    """Milliseconds until the first token: of the middle call, and of the one that 95 of 100 were not slower than."""

    p50: float
    p95: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Consumed:
    """What all calls of one user, key, model or project took together. `failed` counts among `calls`; those that were cancelled have not failed."""

    of: str
    calls: int
    failed: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    total_ms: float
    waiting: Waiting | None
    """`None`: no call came to a first token."""
    tokens_per_second: float | None
    """While the model was writing, as the engine measured it; `None`: it did not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What all calls took that ended from `at` (Unix time) on, until the next step."""

    at: float
    calls: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    waiting: Waiting | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """The largest consumer of tokens first; steps in the order of time, also those in which nothing was called."""

    totals: Sequence[Consumed]
    steps: Sequence[Step]


class Consumption:
    """Adds up. A report takes tens of milliseconds, and more where steps of minutes cover days: ask in a thread."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def report(self, by: By, *, since: float, until: float, step: float, user: str | None = None, project: str | None = None) -> Report:
        """Of calls that ended from `since` on and before `until` (Unix times), in steps of so many seconds; only those of a user or a project (ids).

        Calls without a key have no part in the totals by key. Raises `InvalidRequest` for more than `MOST_STEPS` steps."""
        asked = sums.Range(since=since, until=until, step=step, count=_steps(since, until, step), user=user, project=project)

        def read(connection: Connection) -> Report:
            calls = sums.at_most(connection, asked)
            few = calls <= _LOOKED_AT
            totals = (_looked_at if few else _summed)(connection, _COLUMNS[by], asked)
            # Where edges are closer than half an hour, hours hold too little of what lies between two of them.
            steps = _looked_at_by_step(connection, asked, calls) if few or step < 1800 else _summed_by_step(connection, asked)
            return _report(asked, totals, steps)

        return self._database.read(read)

    def last_used(self, models: Sequence[str]) -> dict[str, float]:
        """When a model was last asked for something (Unix time); those that never were are left out. Quick, however many rows there are."""
        wanted = {"models": json.dumps(list(models))}
        return self._database.read(lambda connection: {str(row.value): float(row.at) for row in connection.execute(_LAST_USED, wanted)})


def _steps(since: float, until: float, step: float) -> int:
    if not until > since:
        raise InvalidRequest("'until' should be later than 'since'.", param="until")
    count = math.ceil((until - since) / step)
    if count > MOST_STEPS:
        least = math.ceil((until - since) / MOST_STEPS)
        raise InvalidRequest(f"That would be {count} steps, and there are at most {MOST_STEPS}: ask for a 'step' of {least} or more.", param="step")
    return count


def _looked_at(connection: Connection, column: str, asked: sums.Range) -> list[Consumed]:
    of = usage.c[column]
    where = [*_within(asked), of.is_not(None)]
    waiting = _waiting(connection, of, where)
    query = select(of.label("of"), *(column.label(name) for name, column in sums.figures().items())).where(*where).group_by(of)
    return [_consumed(row.of, row._mapping, waiting.get(row.of)) for row in connection.execute(query)]


def _looked_at_by_step(connection: Connection, asked: sums.Range, calls: int) -> dict[int, Step]:
    number = cast((usage.c.at - asked.since) / asked.step, Integer)
    where = _within(asked)
    spread = math.ceil(calls / _SAMPLED)
    waiting = _waiting(connection, number, [*where, usage.c.id % spread == 0] if spread > 1 else where)
    counts = [column.label(name) for name, column in sums.figures().items() if name in sums.COUNTS]
    query = select(number.label("number"), *counts).where(*where).group_by(text("1"))
    return {row.number: _step(asked, row.number, row._mapping, waiting.get(row.number)) for row in connection.execute(query)}


def _within(asked: sums.Range) -> list[ColumnElement[bool]]:
    return [usage.c.at >= asked.since, usage.c.at < asked.until, *asked.chosen()]


def _summed(connection: Connection, column: str, asked: sums.Range) -> list[Consumed]:
    return [_consumed(of, found.figures, _estimated(found.waited)) for of, found in sums.totals(connection, column, asked).items()]


def _summed_by_step(connection: Connection, asked: sums.Range) -> dict[int, Step]:
    return {number: _step(asked, number, found.figures, _estimated(found.waited)) for number, found in sums.by_step(connection, asked).items()}


def _report(asked: sums.Range, totals: Sequence[Consumed], steps: Mapping[int, Step]) -> Report:
    largest_first = sorted(totals, key=lambda one: (-(one.prompt_tokens + one.completion_tokens), one.of))
    return Report(largest_first, [steps.get(number) or Step(at=asked.since + number * asked.step) for number in range(asked.count)])


def _consumed(of: str, found: Mapping[Any, Any], waiting: Waiting | None) -> Consumed:
    rated = found["rated_tokens"] * 1000 / found["rated_ms"] if found["rated_tokens"] else None
    named = {name: found[name] for name in sums.FIGURES if not name.startswith("rated")}
    return Consumed(of=of, waiting=waiting, tokens_per_second=rated, **named)


def _step(asked: sums.Range, number: int, found: Mapping[Any, Any], waiting: Waiting | None) -> Step:
    return Step(at=asked.since + number * asked.step, waiting=waiting, **{name: found[name] for name in sums.COUNTS})


def _estimated(waited: Sequence[int]) -> Waiting | None:
    middle, late = sums.percentile(waited, 50), sums.percentile(waited, 95)
    return Waiting(middle, late) if middle is not None and late is not None else None


def _waiting(connection: Connection, of: ColumnElement[Any], where: Sequence[ColumnElement[bool]]) -> dict[Any, Waiting]:
    """By the nearest rank: always what a call has really waited."""
    where = [*where, usage.c.first_token_ms > 0]
    ranked = select(
        of.label("of"),
        usage.c.first_token_ms.label("waited"),
        func.row_number().over(partition_by=of, order_by=usage.c.first_token_ms).label("rank"),
        func.count().over(partition_by=of).label("calls"),
    )
    table = ranked.where(*where).subquery()
    middle, late = (table.c.calls * 50 + 99) // 100, (table.c.calls * 95 + 99) // 100
    query = select(table.c.of, table.c.waited).where(or_(table.c.rank == middle, table.c.rank == late)).order_by(table.c.of, table.c.rank)
    found: dict[Any, list[float]] = {}
    for row in connection.execute(query):
        found.setdefault(row.of, []).append(row.waited)
    return {key: Waiting(waited[0], waited[-1]) for key, waited in found.items()}

"""What calls took, added up for people: by model, user, key or project, and over time. Reads the rows that `usage` writes.

Sums are those of all calls. Percentiles are found in at most `_LOOKED_AT` calls, evenly spread over the time that is asked about: to sort every
call of a busy year would take many seconds and tell the same.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, Connection, Integer, and_, case, cast, func, or_, select, text

from hausgeist.errors import InvalidRequest
from hausgeist.governance.records import usage
from hausgeist.store.database import Database

__all__ = ["MOST_STEPS", "By", "Consumed", "Consumption", "Report", "Step", "Waiting"]

By = Literal["model", "user", "key", "project"]
MOST_STEPS: Final = 1000
_LOOKED_AT: Final = 50_000
_COLUMNS: Final[dict[By, ColumnElement[Any]]] = {"user": usage.c.user, "key": usage.c.key_id, "model": usage.c.model, "project": usage.c.project}
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
    """Adds up. Calls take up to some seconds with millions of rows: ask in a thread."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def report(self, by: By, *, since: float, until: float, step: float, user: str | None = None, project: str | None = None) -> Report:
        """Of calls that ended from `since` on and before `until` (Unix times), in steps of so many seconds; only those of a user or a project (ids).

        Calls without a key have no part in the totals by key. Raises `InvalidRequest` for more than `MOST_STEPS` steps."""
        count = _steps(since, until, step)
        where = [usage.c.at >= since, usage.c.at < until]
        if user is not None:
            where.append(usage.c.user == user)
        if project is not None:
            where.append(usage.c.project == project)

        def read(connection: Connection) -> Report:
            calls = connection.execute(select(func.count()).select_from(usage).where(*where)).scalar_one()
            if not calls:
                return Report((), tuple(Step(at=since + number * step) for number in range(count)))
            sampled = [*where, usage.c.first_token_ms > 0]
            if (spread := math.ceil(calls / _LOOKED_AT)) > 1:
                sampled.append(usage.c.id % spread == 0)
            number = cast((usage.c.at - since) / step, Integer)
            return Report(_totals(connection, _COLUMNS[by], where, sampled), _series(connection, number, where, sampled, since, step, count))

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


def _sums() -> tuple[ColumnElement[Any], ...]:
    rated = and_(usage.c.completion_ms > 0, usage.c.completion_tokens > 0)
    return (
        func.count().label("calls"),
        func.sum(case((usage.c.status.startswith("failed"), 1), else_=0)).label("failed"),
        func.sum(usage.c.prompt_tokens).label("prompt_tokens"),
        func.sum(usage.c.completion_tokens).label("completion_tokens"),
        func.sum(usage.c.cached_tokens).label("cached_tokens"),
        func.sum(usage.c.total_ms).label("total_ms"),
        func.sum(case((rated, usage.c.completion_tokens), else_=0)).label("rated_tokens"),
        func.sum(case((rated, usage.c.completion_ms), else_=0.0)).label("rated_ms"),
    )


def _totals(
    connection: Connection, column: ColumnElement[Any], where: Sequence[ColumnElement[bool]], sampled: Sequence[ColumnElement[bool]]
) -> list[Consumed]:
    tokens = func.sum(usage.c.prompt_tokens + usage.c.completion_tokens)
    query = select(column.label("of"), *_sums()).where(*where, column.is_not(None)).group_by(column).order_by(tokens.desc(), column)
    waiting = _waiting(connection, column, [*sampled, column.is_not(None)])
    return [
        Consumed(
            of=row.of,
            calls=row.calls,
            failed=row.failed,
            prompt_tokens=row.prompt_tokens,
            completion_tokens=row.completion_tokens,
            cached_tokens=row.cached_tokens,
            total_ms=row.total_ms,
            waiting=waiting.get(row.of),
            tokens_per_second=row.rated_tokens * 1000 / row.rated_ms if row.rated_ms else None,
        )
        for row in connection.execute(query)
    ]


def _series(
    connection: Connection, number: ColumnElement[int], where: Sequence[ColumnElement[bool]], sampled: Sequence[ColumnElement[bool]],
    since: float, step: float, count: int,
) -> list[Step]:  # fmt: skip
    calls, failed, prompt, completion, *_ = _sums()
    query = select(number.label("number"), calls, failed, prompt, completion).where(*where).group_by(text("1"))
    found = {row.number: row for row in connection.execute(query)}
    waiting = _waiting(connection, number, sampled)
    steps = []
    for place in range(count):
        at, row = since + place * step, found.get(place)
        if row is None:
            steps.append(Step(at=at))
            continue
        steps.append(
            Step(
                at=at, calls=row.calls, failed=row.failed, prompt_tokens=row.prompt_tokens, completion_tokens=row.completion_tokens,
                waiting=waiting.get(place),
            )
        )  # fmt: skip
    return steps


def _waiting(connection: Connection, of: ColumnElement[Any], where: Sequence[ColumnElement[bool]]) -> dict[Any, Waiting]:
    """By the nearest rank: always what a call has really waited."""
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

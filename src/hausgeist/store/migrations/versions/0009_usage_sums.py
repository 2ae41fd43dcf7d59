"""Sums of what calls took, by day and by hour, which the database itself keeps in step with the calls."""

from __future__ import annotations

import logging

from alembic import op
from sqlalchemy import Column, Float, Integer, Text

revision = "0009"
down_revision = "0008"

log = logging.getLogger("hausgeist.store.migrations")

_MANY = 100_000
"""From so many calls on it takes long enough to say so."""

_CLASSES = 64
"""Of the time to the first token: the first is below 4 ms, each further one ends 2 ** 0.25 times later, the last has no end (from 220 s on)."""
_RATED = "{row}completion_ms > 0 AND {row}completion_tokens > 0"
_COUNTS = {
    "calls": "1",
    "failed": "({row}status LIKE 'failed%')",
    "prompt_tokens": "{row}prompt_tokens",
    "completion_tokens": "{row}completion_tokens",
}
_MORE = {
    "cached_tokens": "{row}cached_tokens",
    "total_ms": "{row}total_ms",
    "rated_tokens": f"iif({_RATED}, {{row}}completion_tokens, 0)",
    "rated_ms": f"iif({_RATED}, {{row}}completion_ms, 0.0)",
}
_DAY = {
    "day": "CAST({row}at / 86400 AS INTEGER) * 86400",
    "user": "ifnull({row}user, '')",
    "key_id": "ifnull({row}key_id, '')",
    "project": "ifnull({row}project, '')",
    "model": "{row}model",
}
_HOUR = "CAST({row}at / 3600 AS INTEGER) * 3600"
# Everybody's, those of a user, those of a project, those of a user in a project; '' stands for any.
_SCOPES = (("''", "''"), ("{row}user", "''"), ("''", "{row}project"), ("{row}user", "{row}project"))


def upgrade() -> None:
    op.create_table(
        "usage_days",
        # In UTC, as Unix time.
        Column("day", Integer, primary_key=True, autoincrement=False),
        *(Column(name, Text, primary_key=True) for name in ("user", "key_id", "project", "model")),
        *_columns({**_COUNTS, **_MORE}),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "usage_hours",
        Column("user", Text, primary_key=True),
        Column("project", Text, primary_key=True),
        Column("hour", Integer, primary_key=True, autoincrement=False),
        *_columns(_COUNTS),
        sqlite_with_rowid=False,
    )
    _fill()
    # Whoever writes or deletes a call, and however: the sums change in the same transaction.
    op.execute(f"CREATE TRIGGER usage_added AFTER INSERT ON usage BEGIN {_taken('NEW.', '')} END")
    op.execute(f"CREATE TRIGGER usage_removed AFTER DELETE ON usage BEGIN {_taken('OLD.', '-')} {_swept('OLD.')} END")
    op.execute(f"CREATE TRIGGER usage_changed AFTER UPDATE ON usage BEGIN {_taken('OLD.', '-')} {_taken('NEW.', '')} {_swept('OLD.')} END")


def _fill() -> None:
    """From the calls that are there: read once, as there may be millions; the rest is added up from the hours of each user, key and model."""
    count = op.get_bind().exec_driver_sql("SELECT count(*) FROM usage").scalar() or 0
    if count >= _MANY:
        log.info("adding up %d calls by day and hour, once; that takes up to two minutes for a million", count)
    kept = ", ".join(f"sum({value}) AS {name}" for name, value in _all({**_COUNTS, **_MORE}).items()).format(row="")
    ids = '"user", key_id, project, model'
    hour = _HOUR.format(row="")
    op.execute(f"CREATE TEMP TABLE usage_filling AS SELECT {hour} AS at, {ids}, {kept} FROM usage GROUP BY {hour}, {ids}")  # noqa: S608
    for table, keys, sums, where in _tables():
        added, told = ", ".join(f"sum({name})" for name in sums), ", ".join(keys.values()).format(row="")
        only = where.format(row="")
        op.execute(f"INSERT INTO {table} ({_names(keys, sums)}) SELECT {told}, {added} FROM usage_filling WHERE {only} GROUP BY {told}")  # noqa: S608
    op.execute("DROP TABLE usage_filling")


def _columns(sums: dict[str, str]) -> list[Column[int] | Column[float]]:
    kinds = [(name, Float() if name.endswith("_ms") else Integer()) for name in _all(sums)]
    return [Column(name, kind, nullable=False) for name, kind in kinds]


def _all(sums: dict[str, str]) -> dict[str, str]:
    """The sums, and how many calls waited so long."""
    classes = {}
    for number in range(_CLASSES):
        least = f"{{row}}first_token_ms >= {4 * 2 ** ((number - 1) / 4)!r}" if number else "{row}first_token_ms > 0"
        below = f" AND {{row}}first_token_ms < {4 * 2 ** (number / 4)!r}" if number < _CLASSES - 1 else ""
        classes[f"waited_{number:02}"] = f"({least}{below})"
    return {**sums, **classes}


def _tables() -> list[tuple[str, dict[str, str], dict[str, str], str]]:
    """Each table with what its rows are told apart by, what they add up, and of which calls."""
    tables = [("usage_days", _DAY, _all({**_COUNTS, **_MORE}), "true")]
    for user, project in _SCOPES:
        known = [f"{column} IS NOT NULL" for column in (user, project) if column != "''"]
        tables.append(("usage_hours", {"user": user, "project": project, "hour": _HOUR}, _all(_COUNTS), " AND ".join(known) or "true"))
    return tables


def _names(keys: dict[str, str], sums: dict[str, str]) -> str:
    return ", ".join(f'"{name}"' for name in (*keys, *sums))


def _taken(row: str, sign: str) -> str:
    statements = []
    for table, keys, sums, where in _tables():
        values = ", ".join([*keys.values(), *(f"{sign}{value}" for value in sums.values())])
        adding = ", ".join(f"{name} = {name} + excluded.{name}" for name in sums)
        told = ", ".join(f'"{name}"' for name in keys)
        insert = f"INSERT INTO {table} ({_names(keys, sums)}) SELECT {values} WHERE {where} ON CONFLICT ({told}) DO UPDATE SET {adding};"
        statements.append(insert.format(row=row))
    return " ".join(statements)


def _swept(row: str) -> str:
    """Nothing stays of a day or an hour whose calls have all gone."""
    statements = []
    for table, keys, _, _ in _tables():
        told = " AND ".join(f'"{name}" = {value}' for name, value in keys.items())
        statements.append(f"DELETE FROM {table} WHERE calls <= 0 AND {told};".format(row=row))  # noqa: S608
    return " ".join(statements)


def downgrade() -> None:
    raise NotImplementedError("Hausgeist does not migrate backwards; restore a backup.")

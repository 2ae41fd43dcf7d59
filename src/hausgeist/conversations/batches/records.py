"""Rows of batches: the table as it is read here (the migrations made it), and the value that callers get."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, Literal

from sqlalchemy import Column, Connection, Float, MetaData, Row, Table, Text, select, update

from hausgeist.errors import NotFound, shown

__all__ = ["ENDED", "Batch", "Status", "as_batch", "as_row", "batches", "change", "metadata", "read"]

Status = Literal["validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"]
ENDED: Final[frozenset[Status]] = frozenset({"failed", "completed", "expired", "cancelled"})

metadata = MetaData()

batches = Table(
    "batches",
    metadata,
    Column("id", Text, primary_key=True),
    Column("project", Text, nullable=False),
    Column("user", Text, nullable=False),
    Column("created", Float, nullable=False),
    Column("status", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("principal", Text, nullable=False),
)
_COLUMNS: Final = ("id", "project", "user", "created", "status")


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A file of requests, and how far it is. Times are Unix times."""

    id: str
    project: str
    user: str
    created: float
    status: Status
    endpoint: str
    """Path that all requests go to, such as /v1/embeddings."""
    input_file: str
    expires: float
    """When what is not answered yet is given up."""
    metadata: Mapping[str, str] | None = None
    output_seconds: int | None = None
    """How long the files of answers are kept; `None`: until they are removed."""
    model: str | None = None
    total: int = 0
    completed: int = 0
    failed: int = 0
    usage: Mapping[str, int] = field(default_factory=dict)
    """Tokens: input, cached, output, reasoning."""
    errors: Sequence[Mapping[str, Any]] = ()
    """Why it failed, as the API has it: `code`, `line`, `message`, `param`."""
    times: Mapping[str, float] = field(default_factory=dict)
    """When it came into a status, by that status."""
    output_file: str | None = None
    error_file: str | None = None
    job: str = ""
    told: bool = False
    """Whether those were told who wanted to know of its end."""

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    def now(self, status: Status, when: float, **more: Any) -> Batch:
        """The same in another status."""
        return replace(self, status=status, times={**self.times, status: when}, **more)


def as_batch(row: Row[Any]) -> Batch:
    return Batch(**{name: getattr(row, name) for name in _COLUMNS}, **json.loads(row.body))


def as_row(batch: Batch) -> dict[str, Any]:
    """All but `principal`."""
    body = {name: value for name, value in asdict(batch).items() if name not in _COLUMNS}
    return {**{name: getattr(batch, name) for name in _COLUMNS}, "body": json.dumps(body, ensure_ascii=False)}


def read(connection: Connection, batch: str) -> Batch:
    """Whosever it is. Raises `NotFound`."""
    row = connection.execute(select(batches).where(batches.c.id == batch)).one_or_none()
    if row is None:
        raise NotFound(f"There is no batch '{shown(batch)}'.")
    return as_batch(row)


def change(connection: Connection, batch: str, how: Callable[[Batch], Batch]) -> Batch:
    """Write what `how` makes of it as it is now. Raises `NotFound`."""
    changed = how(read(connection, batch))
    connection.execute(update(batches).where(batches.c.id == batch).values(as_row(changed)))
    return changed

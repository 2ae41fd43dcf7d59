"""Rows of webhook endpoints: who is told of what, and by which secrets it is signed. They belong to a project, whose owners see all of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Column, Connection, Float, MetaData, Row, Table, Text, delete, insert, select, tuple_, update

from hausgeist.errors import NotFound, shown

__all__ = ["Endpoint", "add", "all_of", "find", "metadata", "page", "remove", "save", "webhook_endpoints"]

metadata = MetaData()

webhook_endpoints = Table(
    "webhook_endpoints",
    metadata,
    Column("id", Text, primary_key=True),
    Column("project", Text, nullable=False),
    Column("user", Text, nullable=False),
    Column("created", Float, nullable=False),
    Column("changed", Float, nullable=False),
    Column("name", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("events", Text, nullable=False),
    Column("secret", Text, nullable=False),
    Column("before", Text),
    Column("before_until", Float),
)
_TABLE = webhook_endpoints


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An address that is told. Times are Unix times."""

    id: str
    project: str
    user: str
    """Who set it up."""
    created: float
    changed: float
    """When its address, events or secret were changed last."""
    name: str
    url: str
    events: tuple[str, ...]
    secret: str = field(repr=False)
    before: str | None = field(default=None, repr=False)
    """The secret before this one, which signs as well until `before_until`."""
    before_until: float | None = None

    def keys(self, now: float) -> list[str]:
        """The secrets that sign at this time."""
        old = [self.before] if self.before is not None and self.before_until is not None and now < self.before_until else []
        return [self.secret, *old]


def add(connection: Connection, endpoint: Endpoint) -> None:
    connection.execute(insert(_TABLE).values(_row(endpoint)))


def save(connection: Connection, endpoint: Endpoint) -> None:
    connection.execute(update(_TABLE).where(_TABLE.c.id == endpoint.id).values(_row(endpoint)))


def find(connection: Connection, project: str | None, endpoint: str) -> Endpoint:
    """One of a project, or of any. Raises `NotFound`."""
    query = select(_TABLE).where(_TABLE.c.id == endpoint)
    row = connection.execute(query if project is None else query.where(_TABLE.c.project == project)).one_or_none()
    if row is None:
        raise NotFound(f"There is no webhook endpoint '{shown(endpoint)}' in this project.")
    return _endpoint(row)


def all_of(connection: Connection, project: str) -> list[Endpoint]:
    return [_endpoint(row) for row in connection.execute(select(_TABLE).where(_TABLE.c.project == project))]


def page(connection: Connection, project: str, *, after: str | None, limit: int) -> Sequence[Endpoint]:
    """The newest first, those that are older than `after`. Raises `NotFound`."""
    place = tuple_(_TABLE.c.created, _TABLE.c.id)
    query = select(_TABLE).where(_TABLE.c.project == project).order_by(_TABLE.c.created.desc(), _TABLE.c.id.desc()).limit(limit)
    if after is not None:
        last = find(connection, project, after)
        query = query.where(place < tuple_(last.created, last.id))
    return [_endpoint(row) for row in connection.execute(query)]


def remove(connection: Connection, endpoint: str) -> None:
    connection.execute(delete(_TABLE).where(_TABLE.c.id == endpoint))


def _row(value: Endpoint) -> dict[str, Any]:
    return {
        "id": value.id, "project": value.project, "user": value.user, "created": value.created, "changed": value.changed, "name": value.name,
        "url": value.url, "events": json.dumps(value.events), "secret": value.secret, "before": value.before, "before_until": value.before_until,
    }  # fmt: skip


def _endpoint(row: Row[Any]) -> Endpoint:
    return Endpoint(**{**row._mapping, "events": tuple(json.loads(row.events))})

"""The rows of the table `models`: names and what they stand for. All SQL of the library is here."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from sqlalchemy import Column, Connection, Float, MetaData, Table, Text, delete, func, insert, select

from hausgeist.library.definition import Definition

__all__ = ["Record", "blobs_in_use", "delete_model", "metadata", "put_model", "read_models", "renew_model", "stamps"]

log = logging.getLogger(__name__)

metadata = MetaData()
_models = Table(
    "models",
    metadata,
    Column("id", Text, primary_key=True),
    Column("engine", Text, nullable=False),
    Column("definition", Text, nullable=False),
    Column("modified", Float, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Record:
    """One stored model."""

    id: str
    definition: Definition
    modified: float


def stamps(connection: Connection) -> frozenset[tuple[str, float]]:
    """Which models there are and when each changed: tells whether another process wrote. Plain SQL: it is asked several times a second."""
    return frozenset((str(row[0]), float(row[1])) for row in connection.exec_driver_sql("SELECT id, modified FROM models"))


def read_models(connection: Connection) -> list[Record]:
    """All that can be read; a row of a newer version, or a damaged one, is logged and left alone."""
    found = []
    for row in connection.execute(select(_models).order_by(_models.c.id)):
        try:
            found.append(Record(row.id, Definition.from_json(row.definition), row.modified))
        except ValueError as error:
            log.warning("the model %s cannot be read and is left out: %s", row.id, error)
    return found


def put_model(connection: Connection, record: Record) -> None:
    """Write a model in place of the one that has its name, in whatever case."""
    delete_model(connection, record.id)
    connection.execute(
        insert(_models).values(id=record.id, engine=record.definition.engine, definition=record.definition.to_json(), modified=record.modified)
    )


def renew_model(connection: Connection, record: Record, *, seen: float) -> None:
    """Write a model unless it was changed or removed since `seen`."""
    if connection.execute(select(_models.c.modified).where(_models.c.id == record.id)).scalar() == seen:
        put_model(connection, record)


def delete_model(connection: Connection, name: str) -> bool:
    return connection.execute(delete(_models).where(func.lower(_models.c.id) == name.lower())).rowcount > 0


def blobs_in_use(connection: Connection, candidates: frozenset[str]) -> frozenset[str]:
    """Those of the blobs that some row mentions. Rows that this version cannot read count, too: text is searched, not meaning."""
    found: set[str] = set()
    for (text,) in connection.execute(select(_models.c.definition)):
        found.update(blob for blob in candidates if blob not in found and blob in text)
    return frozenset(found)

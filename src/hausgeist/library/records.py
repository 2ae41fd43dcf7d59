"""The rows of `models` (names and what they stand for), of the versions that they replaced, and of what else is known of a name.

All SQL of the library is here. In the tables beside `models`, a model is called by its name's `key`, lower case and with its tag.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Column, Connection, Float, Integer, MetaData, Table, Text, delete, func, insert, select, update

from hausgeist.library.definition import Definition
from hausgeist.library.names import Name

__all__ = [
    "Record",
    "State",
    "Version",
    "blobs_in_use",
    "delete_model",
    "delete_version",
    "forget_past",
    "mark_answered",
    "metadata",
    "put_model",
    "read_models",
    "read_states",
    "read_versions",
    "renew_model",
    "set_pinned",
    "stamps",
    "supersede_model",
]

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
_versions = Table(
    "model_versions",
    metadata,
    Column("model", Text, primary_key=True),
    Column("digest", Text, primary_key=True),
    Column("definition", Text, nullable=False),
    Column("modified", Float, nullable=False),
    Column("replaced", Float, nullable=False),
)
_states = Table(
    "model_states",
    metadata,
    Column("model", Text, primary_key=True),
    Column("pinned", Integer, nullable=False),
    Column("answered", Text, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Record:
    """One stored model."""

    id: str
    definition: Definition
    modified: float


@dataclass(frozen=True, slots=True)
class Version:
    """What a name stood for before. Times are Unix times."""

    model: str
    digest: str
    definition: Definition
    modified: float
    replaced: float


@dataclass(frozen=True, slots=True)
class State:
    """`answered`: the digest of the version that has answered since it was installed; empty: none has."""

    pinned: bool = False
    answered: str = ""


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


def blobs_in_use(connection: Connection, candidates: frozenset[str], *, without: Sequence[Version] = ()) -> frozenset[str]:
    """Those of the blobs that some row mentions, but for the rows of the versions `without`.

    Rows that this version cannot read count, too: text is searched, not meaning."""
    left_out = {(version.model, version.digest) for version in without}
    texts = [row.definition for row in connection.execute(select(_models.c.definition))]
    texts += [row.definition for row in connection.execute(select(_versions)) if (row.model, row.digest) not in left_out]
    found: set[str] = set()
    for text in texts:
        found.update(blob for blob in candidates if blob not in found and blob in text)
    return frozenset(found)


def supersede_model(connection: Connection, record: Record) -> None:
    """Write a model in place of the one that has its name, and keep that one as its version before."""
    key, digest = Name.parse(record.id).key, record.definition.digest
    before = connection.execute(select(_models).where(func.lower(_models.c.id) == record.id.lower())).first()
    connection.execute(delete(_versions).where(_versions.c.model == key, _versions.c.digest == digest))
    if before is not None:
        try:
            replaced = Definition.from_json(before.definition).digest
        except ValueError:
            replaced = digest  # written by a newer version, which nobody here could go back to
        if replaced != digest:
            now = _after_all(connection, key)
            row = {"model": key, "digest": replaced, "definition": before.definition, "modified": before.modified, "replaced": now}
            connection.execute(delete(_versions).where(_versions.c.model == key, _versions.c.digest == replaced))
            connection.execute(insert(_versions).values(**row))
            connection.execute(update(_states).where(_states.c.model == key).values(answered=""))
    put_model(connection, record)


def _after_all(connection: Connection, key: str) -> float:
    """Now, but later than any version of the model was replaced: clocks are set back, and what came last must not change with them."""
    last = connection.execute(select(func.max(_versions.c.replaced)).where(_versions.c.model == key)).scalar()
    return max(time.time(), math.nextafter(last, math.inf) if last is not None else 0.0)


def forget_past(connection: Connection, key: str) -> None:
    """Forget the versions and the state of a name: what it stands for from now on has nothing to do with them."""
    connection.execute(delete(_versions).where(_versions.c.model == key))
    connection.execute(delete(_states).where(_states.c.model == key))


def read_versions(connection: Connection, key: str | None = None) -> list[Version]:
    """Of one model or of all, the last one first; those that cannot be read are left out."""
    query = select(_versions).order_by(_versions.c.model, _versions.c.replaced.desc())
    found = []
    for row in connection.execute(query if key is None else query.where(_versions.c.model == key)):
        try:
            found.append(Version(row.model, row.digest, Definition.from_json(row.definition), row.modified, row.replaced))
        except ValueError as error:
            log.warning("a version of the model %s cannot be read and is left out: %s", row.model, error)
    return found


def delete_version(connection: Connection, version: Version) -> None:
    connection.execute(delete(_versions).where(_versions.c.model == version.model, _versions.c.digest == version.digest))


def read_states(connection: Connection) -> dict[str, State]:
    """By key; a model that is not there has the default."""
    return {row.model: State(bool(row.pinned), row.answered) for row in connection.execute(select(_states))}


def set_pinned(connection: Connection, key: str, pinned: bool) -> None:
    _change_state(connection, key, pinned=int(pinned))


def mark_answered(connection: Connection, key: str, digest: str) -> None:
    _change_state(connection, key, answered=digest)


def _change_state(connection: Connection, key: str, **values: str | int) -> None:
    if connection.execute(update(_states).where(_states.c.model == key).values(**values)).rowcount == 0:
        connection.execute(insert(_states).values(**{"model": key, "pinned": 0, "answered": "", **values}))

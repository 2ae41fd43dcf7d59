"""Passages in the order of their numbers, as the indexes take them: read from the database in pieces, with their text."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from sqlalchemy import Connection, bindparam, delete, func, select, update

from hausgeist.files.records import files
from hausgeist.knowledge.records import entries, forgotten_passages, passages, store_files, vector_stores
from hausgeist.knowledge.stores import texts
from hausgeist.store.prepared import Change, Insert, Prepared
from hausgeist.store.writer import driver_of

__all__ = ["Fresh", "Passage", "Row", "State", "above", "alive", "forget", "forgotten", "like", "remember", "remember_all", "set_embedder", "state"]

_SOME = 500
_STATE: Final = Prepared(
    select(vector_stores.c.mark, vector_stores.c.embedder).where(vector_stores.c.id == bindparam("store"), vector_stores.c.gone == 0)
)
_ABOVE = """
    SELECT p.id, p.entry, e.document, p.start, p."end", p.heading, p.language, p.digest, e."like" AS twin
    FROM entries AS e CROSS JOIN passages AS p ON p.id BETWEEN max(e.first, ? + 1) AND e.last AND p.entry = e.id
    WHERE e.store = ? AND e.last > ? ORDER BY e.last, p.id LIMIT ?
"""
_WANTED: Final = func.json_each(bindparam("wanted")).table_valued("value")
"""As JSON: one value however many they are."""
_NAMES: Final = Prepared(
    select(store_files.c.entry, files.c.filename)
    .join(files, files.c.id == store_files.c.file)
    .where(store_files.c.entry.in_(select(_WANTED.c.value)))
    .order_by(store_files.c.created, store_files.c.file)
)
_ADD = Insert(passages, ("id", "entry", "number", "start", "end", "page", "kind", "language", "heading", "tokens", "digest"))
_ADD_ENTRIES = Insert(entries, ("id", "store", "document", "chunking", "passages", "bytes", "first", "last", "like"))
_REACH = Change(
    update(vector_stores).where(vector_stores.c.id == bindparam("which")).values(mark=func.max(vector_stores.c.mark, bindparam("reached")))
)

Passage: TypeAlias = tuple[int, int, int, str, str, str, int, bytes]
"""As it is written: start, end, page, kind, language, heading, tokens, digest."""


@dataclass(frozen=True, slots=True)
class State:
    """How far the indexes of a store have to reach, and whose vectors they hold."""

    mark: int
    embedder: str


@dataclass(frozen=True, slots=True)
class Fresh:
    """A document that is cut for a store. `made`: its passages; `size`: bytes of their text; `twin`: an older version's entry."""

    store: str
    document: int
    chunking: str
    made: Sequence[Passage]
    size: int
    twin: int | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A passage with its text."""

    id: int
    entry: int
    text: str
    heading: str
    language: str
    filename: str
    digest: bytes
    like: int | None
    """An entry in which a passage of the same digest may stand, with its vector."""

    @property
    def embedded(self) -> str:
        """What its vector is made of."""
        return f"{self.heading}\n{self.text}" if self.heading else self.text


def state(connection: Connection, store: str) -> State | None:
    """`None`: there is no such store, or it is being removed."""
    rows = _STATE.rows(connection, {"store": store})
    return State(*rows[0]) if rows else None


def set_embedder(connection: Connection, store: str, embedder: str) -> None:
    connection.execute(vector_stores.update().where(vector_stores.c.id == store).values(embedder=embedder))


def above(connection: Connection, store: str, mark: int, limit: int) -> list[Row]:
    """Those with higher numbers than `mark`, the lowest first: up to `limit`."""
    # By hand, and in this order: the entries along their index, of each its stretch of numbers.
    found = driver_of(connection).execute(_ABOVE, (mark, store, mark, limit)).fetchall()
    words = texts.texts(connection, [(document, start, end) for _, _, document, start, end, *_ in found])
    names = _filenames(connection, {entry for _, entry, *_ in found})
    return [
        Row(number, entry, word, heading, language, names.get(entry, ""), digest, twin)
        for (number, entry, _, _, _, heading, language, digest, twin), word in zip(found, words, strict=True)
    ]


def alive(connection: Connection, store: str) -> bool:
    """Whether the store has any passage."""
    return connection.execute(select(entries.c.id).where(entries.c.store == store, entries.c.last > 0).limit(1)).first() is not None


def like(connection: Connection, entry: int, digests: Collection[bytes]) -> Mapping[bytes, int]:
    """Passages of an entry by their digest, of those that are asked for."""
    wanted = list(digests)
    found: dict[bytes, int] = {}
    for at in range(0, len(wanted), _SOME):
        query = select(passages.c.digest, passages.c.id).where(passages.c.entry == entry, passages.c.digest.in_(wanted[at : at + _SOME]))
        found.update({row.digest: row.id for row in connection.execute(query)})
    return found


def forgotten(connection: Connection, store: str) -> list[int]:
    return list(connection.execute(select(forgotten_passages.c.passage).where(forgotten_passages.c.store == store)).scalars())


def forget(connection: Connection, store: str, ids: Sequence[int]) -> None:
    """Within a transaction: these are gone from the indexes and from the disk."""
    for at in range(0, len(ids), _SOME):
        some = ids[at : at + _SOME]
        connection.execute(delete(forgotten_passages).where(forgotten_passages.c.store == store, forgotten_passages.c.passage.in_(some)))


def remember(
    connection: Connection, store: str, document: int, chunking: str, made: Sequence[Passage], *, size: int, twin: int | None
) -> tuple[int, int]:
    """Within a transaction: the entry of a document in a store with its passages, and the highest of their numbers; of the one that is there
    already, if there is one."""
    same = select(entries.c.id, entries.c.last).where(entries.c.store == store, entries.c.document == document, entries.c.chunking == chunking)
    if (row := connection.execute(same).one_or_none()) is not None:
        return row.id, row.last
    return remember_all(connection, [Fresh(store, document, chunking, made, size, twin)])[0]


def remember_all(connection: Connection, fresh: Sequence[Fresh]) -> list[tuple[int, int]]:
    """The same of many that are not there yet, in a few statements for all."""
    before, last = texts.last_number(connection, "entries"), texts.last_number(connection, "passages")
    places: list[tuple[int, int]] = []
    heads: list[tuple[object, ...]] = []
    rows: list[tuple[object, ...]] = []
    marks: dict[str, int] = {}
    for entry, one in enumerate(fresh, before + 1):
        first = last + 1
        rows += [(first + number, entry, number, *made) for number, made in enumerate(one.made)]
        last += len(one.made)
        first, end = (first, last) if one.made else (0, 0)
        heads.append((entry, one.store, one.document, one.chunking, len(one.made), one.size, first, end, one.twin))
        marks[one.store] = max(marks.get(one.store, 0), end)
        places.append((entry, end))
    _ADD_ENTRIES.many(connection, heads)
    _ADD.many(connection, rows)
    _REACH.many(connection, [{"which": store, "reached": mark} for store, mark in marks.items()])
    return places


def _filenames(connection: Connection, wanted: Collection[int]) -> dict[int, str]:
    """Of each entry, what the file is called that was the first to have it."""
    names: dict[int, str] = {}
    for entry, filename in _NAMES.rows(connection, {"wanted": json.dumps(list(wanted))}):
        names.setdefault(entry, filename)
    return names

"""Passages in the order of their numbers, as the indexes take them: read from the database in pieces, with their text."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, bindparam, delete, func, insert, select

from hausgeist.files.records import files
from hausgeist.knowledge.records import entries, forgotten_passages, passages, store_files, vector_stores
from hausgeist.knowledge.stores import texts
from hausgeist.store.prepared import Prepared

__all__ = ["Row", "State", "above", "alive", "forget", "forgotten", "like", "remember", "set_embedder", "state"]

_SOME = 500
_STATE: Final = Prepared(
    select(vector_stores.c.mark, vector_stores.c.embedder).where(vector_stores.c.id == bindparam("store"), vector_stores.c.gone == 0)
)


@dataclass(frozen=True, slots=True)
class State:
    """How far the indexes of a store have to reach, and whose vectors they hold."""

    mark: int
    embedder: str


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
    some = connection.execute(
        select(entries.c.id, entries.c.document, entries.c.first, entries.c.last, entries.c.like)
        .where(entries.c.store == store, entries.c.last > mark)
        .order_by(entries.c.last)
        .limit(limit)
    ).all()
    found: list[tuple[int, int, int, int, int, str, str, bytes, int | None]] = []
    for entry in some:
        rows = connection.execute(
            select(passages)
            .where(passages.c.entry == entry.id, passages.c.id > mark, passages.c.id <= entry.last)
            .order_by(passages.c.id)
            .limit(limit - len(found))
        )
        found += [(row.id, entry.id, entry.document, row.start, row.end, row.heading, row.language, row.digest, entry.like) for row in rows]
        if len(found) >= limit:
            break
    words = texts.texts(connection, [(document, start, end) for _, _, document, start, end, *_ in found])
    names = _filenames(connection, {entry for _, entry, *_ in found})
    return [
        Row(id_, entry, word, heading, language, names.get(entry, ""), digest, twin)
        for (id_, entry, _, _, _, heading, language, digest, twin), word in zip(found, words, strict=True)
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
    connection: Connection, store: str, document: int, chunking: str, made: Sequence[Mapping[str, object]], *, size: int, twin: int | None
) -> tuple[int, int]:
    """Within a transaction: the entry of a document in a store with its passages, and the highest of their numbers; of the one that is there
    already, if there is one."""
    same = select(entries.c.id, entries.c.last).where(entries.c.store == store, entries.c.document == document, entries.c.chunking == chunking)
    if (row := connection.execute(same).one_or_none()) is not None:
        return row.id, row.last
    values = {"store": store, "document": document, "chunking": chunking, "passages": len(made), "bytes": size, "first": 0, "last": 0, "like": twin}
    entry = int(connection.execute(insert(entries).values(values).returning(entries.c.id)).scalar_one())
    if not made:
        return entry, 0
    connection.execute(insert(passages), [{"entry": entry, "number": number, **one} for number, one in enumerate(made)])
    first, last = connection.execute(select(func.min(passages.c.id), func.max(passages.c.id)).where(passages.c.entry == entry)).one()
    connection.execute(entries.update().where(entries.c.id == entry).values(first=first, last=last))
    connection.execute(vector_stores.update().where(vector_stores.c.id == store).values(mark=func.max(vector_stores.c.mark, last)))
    return entry, int(last)


def _filenames(connection: Connection, wanted: Collection[int]) -> dict[int, str]:
    """Of each entry, what the file is called that was the first to have it."""
    names: dict[int, str] = {}
    for at in range(0, len(ids := list(wanted)), _SOME):
        query = (
            select(store_files.c.entry, files.c.filename)
            .join(files, files.c.id == store_files.c.file)
            .where(store_files.c.entry.in_(ids[at : at + _SOME]))
            .order_by(store_files.c.created, store_files.c.file)
        )
        for row in connection.execute(query):
            names.setdefault(row.entry, row.filename)
    return names

"""What is written of a file on its way into a store: which are wanted still, what they say and how it is cut, and that they are found. Everything
here runs within a transaction of the caller's; what concerns many files is a few statements for all of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, bindparam, delete, func, select, update

from hausgeist.errors import NotFound
from hausgeist.files import File
from hausgeist.files.records import files
from hausgeist.knowledge.records import entries, store_files, vector_stores
from hausgeist.knowledge.stores import passages, texts
from hausgeist.knowledge.stores.documents import Found
from hausgeist.knowledge.stores.passages import Passage
from hausgeist.knowledge.stores.texts import Packed
from hausgeist.knowledge.stores.values import Chunking
from hausgeist.store.prepared import Change, Prepared

__all__ = ["Made", "Wanted", "complete", "keep", "keep_all", "kept", "of_file", "wanted"]

_SOME: Final = 500


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file of a store that is to be taken in."""

    store: str
    file: File
    chunking: Chunking
    replaces: str | None
    entry: int | None
    """It was written ahead of a crash, and waits for the indexes only."""


@dataclass(frozen=True, slots=True)
class Made:
    """What was made of a file that nobody had read before."""

    wanted: Wanted
    packed: Packed
    passages: Sequence[Passage]
    size: int
    """Bytes of their text."""
    pages: int
    began: float
    terms: Sequence[tuple[str, str]] = ()
    """See `Cut.terms`."""


_ASKED: Final = func.json_each(bindparam("of_files")).table_valued("value")
"""As JSON: one value however many they are."""
_WANTED: Final = Prepared(
    select(store_files.c.chunking, store_files.c.replaces, store_files.c.entry, files)
    .join(store_files, store_files.c.file == files.c.id)
    .join(vector_stores, vector_stores.c.id == store_files.c.store)
    .where(store_files.c.store == bindparam("of_store"), store_files.c.file.in_(select(_ASKED.c.value)))
    # Not by the index of what is in progress: that may be all there is.
    .where(store_files.c.status.concat("") == "in_progress", vector_stores.c.gone == 0)
    # A file of another project is in no store; should one ever be, nothing is read of it.
    .where(vector_stores.c.project == files.c.project)
)
_OF_FILE: Final = tuple(column.name for column in files.columns)
_MINE: Final = (store_files.c.store == bindparam("of_store"), store_files.c.file == bindparam("of_file"), store_files.c.status == "in_progress")
_CUT: Final = Change(
    update(store_files).where(*_MINE).values(entry=bindparam("its"), done=bindparam("pages"), total=bindparam("pages"), started=bindparam("began"))
)
_COMPLETED: Final = Change(update(store_files).where(*_MINE, store_files.c.entry == bindparam("its")).values(status="completed"))


def of_file(one: Wanted) -> Any:
    """An update of its row, while it is being taken in."""
    mine = (store_files.c.store == one.store, store_files.c.file == one.file.id, store_files.c.status == "in_progress")
    return update(store_files).where(*mine)


def wanted(connection: Connection, asked: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Wanted]:
    """Of these (store, file), those that still are to be taken in."""
    by_store: dict[str, list[str]] = {}
    for store, file in asked:
        by_store.setdefault(store, []).append(file)
    found: dict[tuple[str, str], Wanted] = {}
    for store, ids in by_store.items():
        for chunking, replaces, entry, *values in _WANTED.rows(connection, {"of_store": store, "of_files": json.dumps(ids)}):
            its = File(**dict(zip(_OF_FILE, values, strict=True)))
            found[store, its.id] = Wanted(store, its, Chunking.parse(chunking), replaces, entry)
    return found


def kept(connection: Connection, ids: Sequence[int]) -> dict[int, int]:
    """Entries that were written ahead of a crash, and up to where their passages go."""
    found: dict[int, int] = {}
    for at in range(0, len(ids), _SOME):
        rows = connection.execute(select(entries.c.id, entries.c.last).where(entries.c.id.in_(ids[at : at + _SOME])))
        found.update({row.id: row.last for row in rows})
    return found


def keep(
    connection: Connection, one: Wanted, found: Found, made: Sequence[Passage], *, size: int, pages: int, began: float
) -> tuple[int, int]:  # fmt: skip
    """The document, its passages in this store, and that this file has them; the entry, and up to where its passages go. Raises `NotFound` for a file
    that is not wanted any more."""
    if (one.store, one.file.id) not in wanted(connection, [(one.store, one.file.id)]):
        raise NotFound("The file is not wanted any more.")
    document = found.put(connection, one.file.project, one.file.digest)
    twin = None
    if one.replaces is not None:
        old = select(store_files.c.entry).where(store_files.c.store == one.store, store_files.c.file == one.replaces)
        twin = connection.execute(old).scalar()
    entry, last = passages.remember(connection, one.store, document, str(one.chunking), made, size=size, twin=twin)
    connection.execute(of_file(one).values(entry=entry, done=pages, total=pages, started=began))
    return entry, last


def keep_all(connection: Connection, made: Sequence[Made]) -> list[tuple[int, int] | None]:
    """The same of many, which nobody had read before and no two of which have the same bytes: all, or an error and nothing. `None`: a file that is
    not wanted any more."""
    still = wanted(connection, ((one.wanted.store, one.wanted.file.id) for one in made))
    chosen = [one for one in made if (one.wanted.store, one.wanted.file.id) in still]
    if not chosen:
        return [None] * len(made)
    documents = texts.add_all(connection, [(one.wanted.file.project, one.wanted.file.digest, one.packed) for one in chosen])
    fresh = [
        passages.Fresh(one.wanted.store, document, str(one.wanted.chunking), one.passages, one.size)
        for one, document in zip(chosen, documents, strict=True)
    ]
    places = passages.remember_all(connection, fresh)
    rows = [
        {"of_store": one.wanted.store, "of_file": one.wanted.file.id, "its": entry, "pages": one.pages, "began": one.began}
        for one, (entry, _) in zip(chosen, places, strict=True)
    ]
    _CUT.many(connection, rows)
    known = {(one.wanted.store, one.wanted.file.id): place for one, place in zip(chosen, places, strict=True)}
    return [known.get((one.wanted.store, one.wanted.file.id)) for one in made]


def complete(connection: Connection, done: Sequence[tuple[Wanted, int]]) -> None:
    """Files and their entries are found from now on; what they replace leaves the store, with all that is cut from it."""
    rows = [{"of_store": one.store, "of_file": one.file.id, "its": entry} for one, entry in done]
    plain = [row for row, (one, _) in zip(rows, done, strict=True) if one.replaces is None]
    _COMPLETED.many(connection, plain)
    for row, (one, _) in zip(rows, done, strict=True):
        if one.replaces is not None and _COMPLETED.many(connection, [row]) and one.replaces != one.file.id:
            connection.execute(delete(store_files).where(store_files.c.store == one.store, store_files.c.file == one.replaces))

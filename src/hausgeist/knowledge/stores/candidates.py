"""What indexes have found, read from the database: it is told only as far as it is there, with a file that may be seen."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, bindparam, func, select

from hausgeist.files.records import files
from hausgeist.files.service import SEEN, seeing
from hausgeist.identity import Principal
from hausgeist.knowledge.hits import Hit
from hausgeist.knowledge.index.base import Found
from hausgeist.knowledge.records import entries, passages, store_files
from hausgeist.knowledge.stores import filters as filtering
from hausgeist.knowledge.stores import texts
from hausgeist.store.prepared import Prepared

__all__ = ["Candidate", "candidates", "texts_of"]

_WANTED: Final = func.json_each(bindparam("wanted")).table_valued("value")
"""Numbers as JSON: one value however many they are, so that the statement is always the same."""
_PASSAGES: Final = Prepared(select(
    passages.c.id, passages.c.entry, passages.c.number, passages.c.digest, passages.c.start, passages.c.end, passages.c.page, passages.c.heading,
    passages.c.language, passages.c.kind, entries.c.store, entries.c.document,
).select_from(_WANTED.join(passages, passages.c.id == _WANTED.c.value).join(entries, entries.c.id == passages.c.entry)))  # fmt: skip
_OWNERS: Final = (
    select(store_files.c.entry, store_files.c.file, files.c.filename, store_files.c.attributes)
    .select_from(_WANTED.join(store_files, store_files.c.entry == _WANTED.c.value).join(files, files.c.id == store_files.c.file))
    .where(store_files.c.status == "completed", SEEN)
    .order_by(store_files.c.created, store_files.c.file)
)
_ALL_OWNERS: Final = Prepared(_OWNERS)


class Candidate(NamedTuple):
    """A passage, or several that follow one another: numbers `first` to `last` of an entry. The rest is as in `Hit`."""

    score: float
    entry: int
    first: int
    last: int
    digest: bytes
    """Of the text; of the first, where they are several."""
    start: int
    end: int
    page: int
    heading: str
    language: str
    kind: str
    store: str
    document: int
    file: str
    filename: str
    attributes: str
    """As the row has them."""

    def told(self, text: str) -> Hit:
        return Hit(
            file=self.file, filename=self.filename, store=self.store, document=self.document, start=self.start, end=self.end, text=text,
            score=self.score, page=self.page, heading=self.heading, language=self.language, kind=self.kind,
            attributes=filtering.attributes_of(self.attributes),
        )  # fmt: skip


def candidates(connection: Connection, who: Principal, best: Sequence[Found], condition: ColumnElement[bool] | None) -> list[Candidate]:
    """Those of them that are there, in the order in which they come, each with the first file that has it and that may be seen."""
    rows = {row[0]: row for row in _PASSAGES.rows(connection, {"wanted": _numbers(passage for passage, _ in best)})}
    owners = _owners(connection, who, {row[1] for row in rows.values()}, condition)
    made = []
    for passage, score in best:
        if passage in rows:
            _, entry, number, *rest = rows[passage]
            if entry in owners:
                made.append(Candidate._make((round(score, 6), entry, number, number, *rest, *owners[entry])))
    return made


def texts_of(connection: Connection, some: Sequence[Candidate]) -> list[str]:
    return texts.texts(connection, [(one.document, one.start, one.end) for one in some])


def _owners(connection: Connection, who: Principal, wanted: set[int], condition: ColumnElement[bool] | None) -> dict[int, tuple[str, str, str]]:
    """Of each entry the first file that was attached, is completed, may be seen, and passes the filter: its id, its name, its attributes."""
    values = {"wanted": _numbers(wanted), **seeing(who)}
    rows = _ALL_OWNERS.rows(connection, values) if condition is None else connection.execute(_OWNERS.where(condition), values)
    found: dict[int, tuple[str, str, str]] = {}
    for entry, file, filename, attributes in rows:
        found.setdefault(entry, (file, filename, attributes))
    return found


def _numbers(some: Iterable[int]) -> str:
    return json.dumps(list(some))

"""How a document stands in its tables: what a parser made of it is packed, added in one transaction, and read again in pieces.

The text lies in parts of `PART` characters, so a passage is read without the rest; lines lie with their page, packed, as most are never asked for.
"""

from __future__ import annotations

import json
import re
import time
import zlib
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from sqlalchemy import ColumnElement, Connection, bindparam, delete, func, select

from hausgeist.knowledge.parsed import Block, Box, Kind, Line, Page, Parsed
from hausgeist.knowledge.records import document_pages, document_parts, documents, entries
from hausgeist.store.prepared import Insert, Prepared
from hausgeist.store.writer import driver_of

__all__ = [
    "PART",
    "Packed",
    "PageRow",
    "Paper",
    "add",
    "add_all",
    "find",
    "last_number",
    "lines_between",
    "pack",
    "pages",
    "paper",
    "parsed",
    "text",
    "texts",
    "there",
]

PART: Final = 8192
_FAST: Final = 1
_SHORT: Final = 600
"""Bytes that are not worth to be compressed."""
_ABOUT: Final = ("parser", "created", "media_type", "title", "properties", "warnings", "characters", "pages", "structure")
_OF_PAGE: Final = ("number", "start", "end", "width", "height", "label", "recognised", "lines")
_ADD: Final = Insert(documents, ("id", "project", "digest", *_ABOUT))
_ADD_PARTS: Final = Insert(document_parts, ("document", "start", "text"))
_ADD_PAGES: Final = Insert(document_pages, ("document", *_OF_PAGE))
_ASKED: Final = func.json_each(bindparam("digests")).table_valued("value")
"""As JSON: one value however many they are."""
_THERE: Final = Prepared(
    select(documents.c.digest).where(documents.c.project == bindparam("of_project"), documents.c.digest.in_(select(_ASKED.c.value)))
)
_HALVES: Final = re.compile("[\ud800-\udfff]")
"""Halves of characters, which no encoding can write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paper:
    """What is known of a document besides its text."""

    id: int
    project: str
    digest: str
    parser: str
    created: float
    media_type: str
    title: str
    properties: Mapping[str, str]
    warnings: Sequence[str]
    characters: int
    pages: int


@dataclass(frozen=True, slots=True)
class PageRow:
    """A page of a document: where its text is, and how large it is in points (0: it has no paper)."""

    number: int
    start: int
    end: int
    width: float
    height: float
    label: str
    recognised: bool


@dataclass(frozen=True, slots=True)
class Packed:
    """Rows of a document, but for its number: `_ABOUT`, parts of its text with their starts, and `_OF_PAGE` of each page."""

    document: tuple[Any, ...]
    parts: Sequence[tuple[int, str]]
    pages: Sequence[tuple[Any, ...]]

    @property
    def parser(self) -> str:
        return str(self.document[0])


def pack(made: Parsed, *, parser: str) -> Packed:
    words = _plain(made.text)
    structure = [[block.kind, block.start, block.end, block.level, [list(row) for row in block.rows], block.header] for block in made.blocks]
    properties = _plain(json.dumps(dict(made.properties), ensure_ascii=False)) if made.properties else "{}"
    warnings = _plain(json.dumps(list(made.warnings), ensure_ascii=False)) if made.warnings else "[]"
    document = (
        parser, time.time(), made.media_type, _plain(made.title), properties, warnings, len(words), len(made.pages),
        _packed(json.dumps(structure, separators=(",", ":")).encode()),
    )  # fmt: skip
    parts = [(start, words[start : start + PART]) for start in range(0, len(words), PART)]
    lines: dict[int, list[Line]] = {}
    for line in made.lines:
        lines.setdefault(line.page, []).append(line)
    rows = [
        (
            page.number, page.start, page.end, page.width, page.height, _plain(page.label), int(page.recognised),
            _pack_lines(lines.get(page.number, ())),
        )
        for page in made.pages
    ]  # fmt: skip
    return Packed(document, parts, rows)


def add(connection: Connection, project: str, digest: str, packed: Packed) -> int:
    """Within a transaction: the number of the document; of the one that is there already, if there is one. One that other parsers made, and
    from which no passage is cut, gives way."""
    if (row := connection.execute(select(documents.c.id, documents.c.parser).where(*_same(project, digest))).one_or_none()) is not None:
        used = connection.execute(select(entries.c.id).where(entries.c.document == row.id).limit(1)).first() is not None
        if row.parser == packed.parser or used:
            return int(row.id)
        connection.execute(delete(documents).where(documents.c.id == row.id))
    return add_all(connection, [(project, digest, packed)])[0]


def add_all(connection: Connection, made: Sequence[tuple[str, str, Packed]]) -> list[int]:
    """Within a transaction: the numbers of documents that are not there yet, in a few statements for all. Raises
    `sqlite3.IntegrityError` where one is."""
    first = last_number(connection, "documents") + 1
    numbered = [(number, project, digest, packed) for number, (project, digest, packed) in enumerate(made, first)]
    _ADD.many(connection, [(number, project, digest, *packed.document) for number, project, digest, packed in numbered])
    _ADD_PARTS.many(connection, [(number, *part) for number, _, _, packed in numbered for part in packed.parts])
    _ADD_PAGES.many(connection, [(number, *page) for number, _, _, packed in numbered for page in packed.pages])
    return [number for number, *_ in numbered]


def last_number(connection: Connection, table: str) -> int:
    """The highest that a row of a table ever had. Within a transaction that writes nobody else makes rows, so those after it are free."""
    found = connection.exec_driver_sql("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).scalar()
    return int(found or 0)


def find(connection: Connection, project: str, digest: str) -> int | None:
    return connection.execute(select(documents.c.id).where(*_same(project, digest))).scalar()


def there(connection: Connection, asked: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """Of these (project, digest), the documents that are there, whoever made them."""
    by_project: dict[str, list[str]] = {}
    for project, digest in asked:
        by_project.setdefault(project, []).append(digest)
    return {
        (project, digest)
        for project, digests in by_project.items()
        for (digest,) in _THERE.rows(connection, {"of_project": project, "digests": json.dumps(digests)})
    }


def paper(connection: Connection, document: int) -> Paper:
    columns = [column for column in documents.columns if column.name != "structure"]
    row = connection.execute(select(*columns).where(documents.c.id == document)).one()._asdict()
    return Paper(**{**row, "properties": json.loads(row["properties"]), "warnings": json.loads(row["warnings"])})


def text(connection: Connection, document: int) -> str:
    query = select(document_parts.c.text).where(document_parts.c.document == document).order_by(document_parts.c.start)
    return "".join(connection.execute(query).scalars())


def texts(connection: Connection, wanted: Sequence[tuple[int, int, int]]) -> list[str]:
    """The text of each place: document, start, end."""
    needed = sorted({(document, at) for document, start, end in wanted for at in _parts(start, end)})
    parts: dict[tuple[int, int], str] = {}
    for some in _some(needed):
        # By hand, and to the driver: every search does this, and one statement for all documents takes a tenth of one for each.
        values = ", ".join(["(?, ?)"] * len(some))
        query = (
            f"WITH wanted (document, start) AS (VALUES {values}) SELECT wanted.document, wanted.start, text FROM wanted "  # noqa: S608
            "CROSS JOIN document_parts ON document_parts.document = wanted.document AND document_parts.start = wanted.start"
        )
        rows = driver_of(connection).execute(query, [number for place in some for number in place])
        parts.update({(document, start): text for document, start, text in rows})
    found = []
    for document, start, end in wanted:
        first = start // PART * PART
        whole = "".join(parts.get((document, at), "") for at in _parts(start, end))
        found.append(whole[start - first : end - first])
    return found


def _parts(start: int, end: int) -> range:
    return range(start // PART * PART, max(end, start + 1), PART)


def pages(connection: Connection, document: int) -> list[PageRow]:
    columns = [document_pages.c[name] for name in ("number", "start", "end", "width", "height", "label", "recognised")]
    rows = connection.execute(select(*columns).where(document_pages.c.document == document).order_by(document_pages.c.number))
    return [PageRow(row.number, row.start, row.end, row.width, row.height, row.label, bool(row.recognised)) for row in rows]


def parsed(connection: Connection, document: int, *, lines: bool = False) -> Parsed:
    """What the parser made of it. Without `lines` those are left out."""
    about = paper(connection, document)
    structure = connection.execute(select(documents.c.structure).where(documents.c.id == document)).scalar_one()
    blocks = tuple(
        Block(cast("Kind", kind), start, end, level, tuple((row[0], row[1]) for row in rows), header)
        for kind, start, end, level, rows, header in json.loads(_unpacked(structure))
    )
    known = tuple(
        Page(page.number, page.start, page.end, page.width, page.height, page.label, page.recognised) for page in pages(connection, document)
    )
    placed = tuple(lines_between(connection, document, 0, about.characters)) if lines else ()
    return Parsed(
        text=text(connection, document), blocks=blocks, pages=known, lines=placed, media_type=about.media_type, title=about.title,
        properties=about.properties, warnings=about.warnings,
    )  # fmt: skip


def lines_between(connection: Connection, document: int, start: int, end: int) -> list[Line]:
    """The lines on which these characters stand. Furniture stands after the text of all pages, so pages without any of these are looked at, too."""
    query = select(document_pages.c.number, document_pages.c.lines).where(document_pages.c.document == document)
    body = query.where(document_pages.c.start < end, document_pages.c.end > start)
    last = connection.execute(
        select(document_pages.c.end).where(document_pages.c.document == document).order_by(document_pages.c.end.desc()).limit(1)
    ).scalar()
    rows = connection.execute((query if end > (last or 0) else body).order_by(document_pages.c.number))
    return [line for row in rows for line in _unpack_lines(row.number, row.lines) if line.start < end and line.end > start]


def _packed(structure: bytes) -> bytes:
    """What is short stays as it is: to set up the compression takes a hundred times as long as to read it. JSON begins with what nothing that was
    compressed begins with."""
    return structure if len(structure) < _SHORT else zlib.compress(structure, _FAST)


def _unpacked(structure: bytes) -> bytes:
    return structure if structure.startswith(b"[") else zlib.decompress(structure)


def _pack_lines(lines: Iterable[Line]) -> bytes:
    places, boxes = array("i"), array("f")
    for line in lines:
        places.extend((line.start, line.end))
        boxes.extend((line.box.left, line.box.top, line.box.right, line.box.bottom))
    return zlib.compress(places.tobytes() + boxes.tobytes(), _FAST) if places else b""


def _unpack_lines(page: int, data: bytes) -> list[Line]:
    if not data:
        return []
    raw = zlib.decompress(data)
    places, boxes = array("i"), array("f")
    divide = len(raw) // 3
    places.frombytes(raw[:divide])
    boxes.frombytes(raw[divide:])
    rounded = [round(value, 2) for value in boxes]
    return [Line(places[2 * n], places[2 * n + 1], page, Box(*rounded[4 * n : 4 * n + 4])) for n in range(len(places) // 2)]


def _same(project: str, digest: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return documents.c.project == project, documents.c.digest == digest


def _plain(words: str) -> str:
    return words if words.isascii() else _HALVES.sub("\ufffd", words)


def _some(values: Sequence[tuple[int, int]]) -> Iterable[Sequence[tuple[int, int]]]:
    return (values[at : at + 500] for at in range(0, len(values), 500))

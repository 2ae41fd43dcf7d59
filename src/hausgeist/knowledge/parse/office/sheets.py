"""Excel workbooks (XLSX): each sheet is a page, hidden ones too and labelled so, with its tables, comments, text boxes and charts.

Cells are read as a stream, so a sheet's size on paper (a value in the last of a million rows) costs nothing.
Formulas give the results kept in the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from lxml import etree

from hausgeist.knowledge.parse.archive import Archive
from hausgeist.knowledge.parse.base import Draft, Limits, Source
from hausgeist.knowledge.parse.markup import local, stream, text_of
from hausgeist.knowledge.parse.office.drawing import add_chart, add_diagram, alternative, description, paragraphs
from hausgeist.knowledge.parse.office.numbers import shape_of, shown
from hausgeist.knowledge.parse.office.package import Package
from hausgeist.knowledge.parse.tables import add_grid
from hausgeist.knowledge.parsed import Parsed

__all__ = ["read"]

MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

_NAMES = ("http://schemas.openxmlformats.org/spreadsheetml/2006/main", "http://purl.oclc.org/ooxml/spreadsheetml/main")
_MOST_COLUMNS = 16_384
_WIDEST = 1_000
"""Empty cells between two filled ones that are still drawn as cells; more would only be tabs."""

_GENERAL = ("general", 0, "")


class _Book(NamedTuple):
    strings: list[str]
    shapes: list[tuple[str, int, str]]
    from_1904: bool


def read(source: Source, filename: str, limits: Limits) -> Parsed:
    """The text of a workbook."""
    draft = Draft(limits)
    with Archive(source, limits) as archive:
        package = Package(archive)
        main = package.main("xl/workbook.xml")
        root = package.xml(main)
        from_1904 = any(local(child) == "workbookPr" and child.get("date1904") in {"1", "true"} for child in root)
        book = _Book(_strings(package, main, limits), _shapes(package, main), from_1904)
        sheets = [one for child in root if local(child) == "sheets" for one in child]
        budget = [limits.cells]
        for sheet in sheets:
            name = sheet.get("name") or "Sheet"
            hidden = (sheet.get("state") or "visible") != "visible"
            if not draft.page(f"{name} (hidden)" if hidden else name):
                break
            draft.heading(name, 1)
            identifier = next((str(value) for key, value in sheet.attrib.items() if str(key).startswith("{")), "")
            relation = package.relations(main).get(identifier)
            if relation is None or relation.target not in archive:
                draft.warn(f"The sheet '{name[:60]}' is missing in the file.")
            else:
                _sheet(draft, package, relation.target, book, budget)
        properties = package.properties()
        if package.related(main, "vbaProject"):
            draft.warn("The workbook holds macros; they were neither read nor run.")
    return draft.parsed(MEDIA_TYPE, title=properties.pop("title", ""), guess=False, properties=properties)


def _strings(package: Package, main: str, limits: Limits) -> list[str]:
    found: list[str] = []
    characters = 0
    for part in package.related(main, "sharedStrings")[:1]:
        with package.archive.open(part) as file:
            for item in stream(file, tuple(f"{{{name}}}si" for name in _NAMES)):
                found.append(_rich(item))
                characters += len(found[-1])
                # Strings are shared, so the text may be longer than they are, and never needs more of them than it has characters.
                if characters > 4 * limits.characters:
                    break
    return found


def _rich(item: etree._Element) -> str:
    """The text of a string, without the phonetic hints of Japanese ones."""
    parts: list[str] = []
    for child in item:
        name = local(child)
        if name == "t":
            parts.append(child.text or "")
        elif name == "r":
            parts += (one.text or "" for one in child if local(one) == "t")
    text = "".join(parts)
    return re.sub(r"_x([0-9A-Fa-f]{4})_", lambda match: chr(int(match.group(1), 16)), text) if "_x" in text else text


def _shapes(package: Package, main: str) -> list[tuple[str, int, str]]:
    part = next(iter(package.related(main, "styles")), "")
    root = package.xml_or_none(part)
    if root is None:
        return []
    codes: dict[int, str] = {}
    shapes: list[tuple[str, int, str]] = []
    for child in root:
        if local(child) == "numFmts":
            codes = {int(one.get("numFmtId") or 0): one.get("formatCode") or "" for one in child if (one.get("numFmtId") or "0").isdigit()}
        elif local(child) == "cellXfs":
            for one in child:
                identifier = one.get("numFmtId") or "0"
                number = int(identifier) if identifier.isdigit() else 0
                shapes.append(shape_of(number, codes.get(number)))
    return shapes


def _sheet(draft: Draft, package: Package, part: str, book: _Book, budget: list[int]) -> None:
    add_grid(draft, _rows(draft, package, part, book, budget))
    for kind in ("comments", "threadedComment"):
        for target in package.related(part, kind):
            _comments(draft, package, target)
    for target in package.related(part, "drawing"):
        _drawing(draft, package, target)
    for target in package.related(part, "chart"):
        add_chart(draft, package, target, values=False)


def _rows(draft: Draft, package: Package, part: str, book: _Book, budget: list[int]) -> Iterator[tuple[int, list[str]]]:
    number = 0
    with package.archive.open(part) as file:
        for row in stream(file, tuple(f"{{{name}}}{tag}" for name in _NAMES for tag in ("row", "headerFooter"))):
            if local(row) == "headerFooter":
                _furniture(draft, row)
                continue
            given = row.get("r") or ""
            number = int(given) if given.isdigit() else number + 1
            texts: list[str] = []
            column = 0
            for cell in row:
                column = _column((cell.get("r") or "").rstrip("0123456789")) or column + 1
                text = _text(cell, book)
                if not text or column > _MOST_COLUMNS:
                    continue
                budget[0] -= 1
                missing = column - 1 - len(texts)
                texts += [""] * min(missing, _WIDEST)
                texts.append(text)
            if budget[0] < 0:
                draft.warn(f"The workbook has more than {draft.limits.cells} cells; the rest of its rows were left out.")
                return
            if texts:
                yield number, texts


@lru_cache(maxsize=1024)
def _column(letters: str) -> int:
    """The number of a column from 1; 0 for what names none."""
    if not letters.isascii() or not letters.isalpha() or len(letters) > 3:
        return 0
    number = 0
    for letter in letters.upper():
        number = number * 26 + ord(letter) - 64
    return number


def _text(cell: etree._Element, book: _Book) -> str:
    kind = cell.get("t") or "n"
    if kind == "inlineStr":
        return next((_rich(child) for child in cell if local(child) == "is"), "")
    value = ""
    for child in cell:
        if child.tag.endswith("}v"):
            value = child.text or ""
    if not value:
        return ""
    if kind == "s":
        return book.strings[int(value)] if value.isdigit() and int(value) < len(book.strings) else ""
    if kind == "b":
        return "TRUE" if value == "1" else "FALSE"
    if kind in {"str", "e"}:
        return value
    if kind == "d":
        return value.removesuffix("T00:00:00").removesuffix("T00:00:00Z").replace("T", " ")
    style = cell.get("s") or "0"
    shape = book.shapes[int(style)] if style.isdigit() and int(style) < len(book.shapes) else _GENERAL
    if shape == _GENERAL and value.isdigit():
        return value
    return shown(value, shape, from_1904=book.from_1904)


def _furniture(draft: Draft, element: etree._Element) -> None:
    for child in element:
        text = re.sub(r'&"[^"]*"|&K[0-9A-F]{6}|&\d+|&[LCRPNDTFAZGBIUESXYHO+-]', " ", child.text or "").replace("&&", "&")
        draft.furniture(" ".join(text.split()))


def _comments(draft: Draft, package: Package, part: str) -> None:
    root = package.xml_or_none(part)
    if root is None:
        return
    authors = [text_of(one) for one in root.iter(etree.Element) if local(one) == "author"]
    for one in root.iter(etree.Element):
        if local(one) == "comment":
            text = "".join(_rich(child) for child in one if local(child) == "text").strip()
            number = one.get("authorId") or ""
            author = authors[int(number)] if number.isdigit() and int(number) < len(authors) else ""
            # The note that Excel puts beside a threaded comment only says that the program is too old for it.
            if text and not text.startswith(("[Threaded comment]", "[Thread-Kommentar]")):
                named = f" by {author}" if author and not author.startswith("tc=") and not text.startswith(author) else ""
                draft.note(f"Comment{named} on {one.get('ref') or 'a cell'}: {text}")
        elif local(one) == "threadedComment":
            text = "".join(text_of(child) for child in one if local(child) == "text")
            draft.note(f"Comment on {one.get('ref') or 'a cell'}: {text}" if text.strip() else "")


def _drawing(draft: Draft, package: Package, part: str) -> None:
    root = package.xml_or_none(part)
    if root is not None:
        _shapes_of(draft, package, part, root)


def _shapes_of(draft: Draft, package: Package, part: str, element: etree._Element) -> None:
    for child in element:
        match local(child):
            case "AlternateContent":
                if (chosen := alternative(child)) is not None:
                    _shapes_of(draft, package, part, chosen)
            case "txBody":
                for text, _ in paragraphs(child):
                    draft.paragraph(text)
            case "chart":
                if (target := package.resolve(part, child)) is not None:
                    add_chart(draft, package, target, values=False)
            case "relIds":
                if (target := package.resolve(part, child, "dm")) is not None:
                    add_diagram(draft, package, target)
            case "pic":
                draft.caption(description(child))
            case _:
                _shapes_of(draft, package, part, child)

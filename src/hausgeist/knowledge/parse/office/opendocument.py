"""OpenDocument texts, presentations, spreadsheets and drawings (ODT, ODP, ODS, ODG).

Slides and sheets are pages. Text deleted under tracked changes lies apart from the document in these files and is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from lxml import etree

from hausgeist.knowledge.parse.archive import Archive
from hausgeist.knowledge.parse.base import Draft, Limits, Source, Unreadable
from hausgeist.knowledge.parse.markup import attribute, local, parse, text_of
from hausgeist.knowledge.parse.tables import add_grid, has_header
from hausgeist.knowledge.parsed import Parsed

__all__ = ["read"]

_MEDIA_TYPE = "application/vnd.oasis.opendocument."
_PROPERTIES = {
    "initial-creator": "author", "creator": "last_author", "creation-date": "created", "date": "modified", "subject": "subject",
    "description": "description", "keyword": "keywords", "language": "language", "title": "title",
}  # fmt: skip
_SPACE = re.compile(r"[ \t\r\n]+")
_MOST_COLUMNS = 16_384
_SKIPPED = {
    "tracked-changes",
    "sequence-decls",
    "forms",
    "variable-decls",
    "user-field-decls",
    "event-listeners",
    "script",
    "bookmark-start",
    "ruby-text",
    "shapes",
}


def read(source: Source, filename: str, limits: Limits) -> Parsed:
    """The text of an OpenDocument file."""
    draft = Draft(limits)
    with Archive(source, limits) as archive:
        if "content.xml" not in archive:
            raise Unreadable("The file has no document in it. Open it in its program and save it again.")
        root = parse(archive.read("content.xml"))
        styles = _optional(archive, "styles.xml")
        properties = _properties(_optional(archive, "meta.xml"))
        reader = _OpenDocument(draft, archive, root)
        kind = reader.read(root)
        if styles is not None and kind == "text":
            _furniture(draft, styles)
        if any(name.startswith(("Basic/", "Scripts/")) and not name.endswith((".xlc", ".xlb")) for name in archive.names):
            draft.warn("The document holds macros; they were neither read nor run.")
    return draft.parsed(_MEDIA_TYPE + kind, title=properties.pop("title", ""), guess=kind != "spreadsheet", properties=properties)


def _optional(archive: Archive, name: str) -> etree._Element | None:
    try:
        return parse(archive.read(name)) if name in archive else None
    except Unreadable:
        return None


def _properties(root: etree._Element | None) -> dict[str, str]:
    found: dict[str, str] = {}
    for element in root.iter(etree.Element) if root is not None else ():
        if (name := _PROPERTIES.get(local(element))) and (text := text_of(element).strip()):
            found[name] = f"{found[name]}, {text}" if name == "keywords" and name in found else text
    return found


def _furniture(draft: Draft, styles: etree._Element) -> None:
    for element in styles.iter(etree.Element):
        if local(element) in {"header", "footer", "header-left", "footer-left", "header-first", "footer-first"}:
            for paragraph in element.iter(etree.Element):
                if local(paragraph) in {"p", "h"}:
                    draft.furniture(_inline(paragraph, []))


class _OpenDocument:
    def __init__(self, draft: Draft, archive: Archive, root: etree._Element) -> None:
        self._draft = draft
        self._archive = archive
        self._cells = draft.limits.cells
        self._styles: dict[str, tuple[str, bool]] = {}
        """Of an automatic style: what it is made from, and whether what has it is hidden."""
        self._numbered: set[tuple[str, int]] = set()
        """Styles of lists and levels of them that are numbered."""
        for element in root.iter(etree.Element):
            if local(element) == "list-style":
                name = attribute(element, "name") or ""
                self._numbered |= {
                    (name, _count(one, "level")) for one in element if local(one) == "list-level-style-number" and attribute(one, "num-format")
                }
            elif local(element) == "style":
                hidden = any(attribute(one, "display") == "false" or attribute(one, "visibility") == "hidden" for one in element)
                self._styles[attribute(element, "name") or ""] = (attribute(element, "parent-style-name") or "", hidden)

    def read(self, root: etree._Element) -> str:
        """The body; what kind of document it is."""
        body = next((one for one in root.iter(etree.Element) if local(one) == "body"), root)
        for child in body:
            kind = local(child)
            if kind == "text":
                self._blocks(child)
            elif kind in {"presentation", "drawing"}:
                self._slides(child)
            elif kind == "spreadsheet":
                self._sheets(child)
            else:
                continue
            return {"drawing": "graphics"}.get(kind, kind)
        return "text"

    def _slides(self, body: etree._Element) -> None:
        number = 0
        for page in body:
            if local(page) != "page":
                continue
            number += 1
            hidden = self._hidden(page)
            if not self._draft.page(f"Slide {number}{' (hidden)' if hidden else ''}"):
                return
            shapes = sorted(page, key=lambda shape: attribute(shape, "class") != "title")
            for shape in shapes:
                if local(shape) == "notes":
                    self._draft.note(
                        "\n".join(filter(None, (_inline(one, []).strip() for one in shape.iter(etree.Element) if local(one) in {"p", "h"})))
                    )
                elif attribute(shape, "class") == "title":
                    self._draft.heading(" ".join(_inline(one, []) for one in shape.iter(etree.Element) if local(one) in {"p", "h"}), 1)
                else:
                    self._block(shape)

    def _hidden(self, element: etree._Element) -> bool:
        return self._styles.get(attribute(element, "style-name") or "", ("", False))[1]

    def _sheets(self, body: etree._Element) -> None:
        for table in body:
            if local(table) != "table":
                continue
            name = attribute(table, "name") or "Sheet"
            if not self._draft.page(f"{name} (hidden)" if self._hidden(table) else name):
                return
            self._draft.heading(name, 1)
            beside: list[etree._Element] = []
            add_grid(self._draft, self._grid(table, beside))
            for element in beside:
                self._block(element)
            for shapes in table:
                if local(shapes) == "shapes":
                    self._blocks(shapes)

    def _grid(self, table: etree._Element, beside: list[etree._Element]) -> Iterator[tuple[int, list[str]]]:
        number = 0
        for row in _rows(table):
            times = _count(row, "number-rows-repeated")
            texts = self._row(row, beside)
            if any(texts):
                # A row that says it is there a million times is drawn ten times; more is nothing but weight.
                for place in range(min(times, 10)):
                    self._cells -= len(texts)
                    if self._cells < 0:
                        self._draft.warn(f"The workbook has more than {self._draft.limits.cells} cells; the rest of its rows were left out.")
                        return
                    yield number + place, texts
                if times > 10:
                    self._draft.warn(f"A row that is repeated {times} times was read ten times.")
            number += times

    def _row(self, row: etree._Element, beside: list[etree._Element]) -> list[str]:
        texts: list[str] = []
        for cell in row:
            if local(cell) not in {"table-cell", "covered-table-cell"}:
                continue
            times = min(_count(cell, "number-columns-repeated"), _MOST_COLUMNS)
            text = self._cell(cell, beside) if len(cell) else ""
            if len(texts) + times > _MOST_COLUMNS:
                break
            texts += [text] * (min(times, 100) if text else times)
        while texts and not texts[-1]:
            texts.pop()
        return texts

    def _cell(self, cell: etree._Element, beside: list[etree._Element]) -> str:
        texts: list[str] = []
        for child in cell:
            name = local(child)
            if name in {"p", "h"}:
                texts.append(_inline(child, beside))
            elif name in {"annotation", "frame", "custom-shape"}:
                beside.append(child)
            elif name in {"list", "list-item", "section", "table", "table-row", "table-cell", "table-rows", "table-header-rows", "list-header"}:
                texts.append(self._cell(child, beside))
        return " ".join(text.strip() for text in texts if text.strip())

    def _blocks(self, parent: etree._Element) -> None:
        for child in parent:
            if self._draft.full:
                return
            self._block(child)

    def _block(self, element: etree._Element) -> None:
        name = local(element)
        match name:
            case "h":
                beside: list[etree._Element] = []
                level = attribute(element, "outline-level") or "1"
                self._draft.heading(_inline(element, beside), int(level) if level.isdigit() else 1)
                self._beside(beside)
            case "p":
                self._paragraph(element)
            case "list":
                self._list(element, 0)
            case "table":
                self._table(element)
            case "annotation":
                self._annotation(element)
            case "note":
                self._footnote(element)
            case "object":
                self._object(element)
            case "title" | "desc":
                text = text_of(element).strip()
                self._draft.caption(text if " " in text else "")
            case _ if name not in _SKIPPED:
                self._blocks(element)

    def _paragraph(self, element: etree._Element) -> None:
        beside: list[etree._Element] = []
        text = _inline(element, beside)
        style = attribute(element, "style-name") or ""
        for _ in range(20):
            if style not in self._styles:
                break
            style = self._styles[style][0]
        style = style.lower().replace("_20_", " ")
        if style in {"title", "titel"}:
            self._draft.title(text)
        elif style.startswith("heading"):
            self._draft.heading(text, int(style[-1]) if style[-1:].isdigit() else 1)
        elif style in {"caption", "illustration", "table", "drawing", "figure"}:
            self._draft.caption(text)
        elif style == "preformatted text":
            self._draft.code(text)
        else:
            self._draft.paragraph(text)
        self._beside(beside)

    def _beside(self, elements: list[etree._Element]) -> None:
        for element in elements:
            self._block(element)

    def _list(self, element: etree._Element, level: int, style: str = "") -> None:
        style = attribute(element, "style-name") or style
        number = 0
        for item in element:
            number += local(item) == "list-item"
            mark = f"{number}. " if (style, level + 1) in self._numbered else "• "
            beside: list[etree._Element] = []
            first = True
            for child in item:
                name = local(child)
                if name == "list":
                    self._list(child, level + 1, style)
                elif name == "h":
                    self._block(child)
                elif name == "p":
                    text = _inline(child, beside)
                    if text.strip():
                        self._draft.item("  " * level + (mark if first else "  ") + text.strip())
                        first = False
                elif name:
                    self._block(child)
            self._beside(beside)

    def _table(self, table: etree._Element) -> None:
        beside: list[etree._Element] = []
        header = any(local(child) == "table-header-rows" for child in table)
        rows = [self._row(row, beside) for row in _rows(table) for _ in range(min(_count(row, "number-rows-repeated"), 10))]
        filled = [row for row in rows if any(row)]
        self._draft.table(filled, header=int(header or has_header(filled)))
        self._beside(beside)

    def _annotation(self, element: etree._Element) -> None:
        author = next((text_of(one) for one in element if local(one) == "creator"), "")
        text = "\n".join(_inline(one, []) for one in element.iter(etree.Element) if local(one) in {"p", "h"}).strip()
        if text:
            self._draft.note(f"Comment by {author}: {text}" if author else f"Comment: {text}")

    def _footnote(self, element: etree._Element) -> None:
        body = next((one for one in element if local(one) == "note-body"), None)
        if body is not None:
            self._draft.note("\n".join(_inline(one, []) for one in body.iter(etree.Element) if local(one) in {"p", "h"}))

    def _object(self, element: etree._Element) -> None:
        """A chart or formula within the document, a little document of its own."""
        target = (attribute(element, "href") or "").removeprefix("./").rstrip("/")
        if not target or ":" in target:
            self._blocks(element)
            return
        root = _optional(self._archive, f"{target}/content.xml")
        if root is None:
            return
        for one in root.iter(etree.Element):
            if local(one) in {"title", "subtitle"}:
                self._draft.caption(text_of(one))
            elif local(one) == "table":
                self._table(one)
            elif local(one) == "annotation" and "MathML" in str(one.tag):
                self._draft.paragraph(text_of(one))


def _rows(table: etree._Element) -> Iterator[etree._Element]:
    for child in table:
        name = local(child)
        if name == "table-row":
            yield child
        elif name in {"table-rows", "table-header-rows", "table-row-group"}:
            yield from _rows(child)


def _count(element: etree._Element, name: str) -> int:
    value = attribute(element, name) or "1"
    return max(1, int(value)) if value.isdigit() and len(value) < 10 else 1


def _inline(element: etree._Element, beside: list[etree._Element]) -> str:
    """The text of a paragraph. What stands beside it (notes, comments, frames, tables within shapes) is put aside."""
    parts: list[str] = [_SPACE.sub(" ", element.text or "")]
    for child in element:
        match local(child):
            case "s":
                parts.append(" " * min(_count(child, "c"), 100))
            case "tab":
                parts.append("\t")
            case "line-break":
                parts.append("\n")
            case "note" | "annotation" | "frame" | "custom-shape" | "rect" | "g" | "text-box" | "table" | "ellipse" | "line" | "object":
                beside.append(child)
            case "tracked-changes" | "ruby-text" | "bookmark" | "annotation-end" | "event-listeners":
                pass
            case _:
                parts.append(_inline(child, beside))
        parts.append(_SPACE.sub(" ", child.tail or ""))
    return "".join(parts)

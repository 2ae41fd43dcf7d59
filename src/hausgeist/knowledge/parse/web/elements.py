"""HTML as blocks of text: what a reader sees, in order. It knows nothing of encodings, and nothing of which part of a page matters."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from lxml import etree

from hausgeist.knowledge.parse.base import Draft

__all__ = ["Piece", "add", "pieces", "root_of"]

Shape = Literal["heading", "paragraph", "item", "table", "code", "caption"]


@dataclass(slots=True)
class Piece:
    kind: Shape
    text: str = ""
    level: int = 0
    rows: list[list[str]] = field(default_factory=list)
    header: int = 0
    aside: bool = False
    """Within a part of the page that says of itself that it is navigation or the like."""


_NEVER = {
    "script", "style", "template", "noscript", "head", "svg", "math", "iframe", "object", "embed", "canvas", "audio", "video", "select",
    "datalist", "map", "meta", "link", "input",
}  # fmt: skip
_BLOCKS = {
    "address", "article", "aside", "blockquote", "body", "center", "dd", "details", "dialog", "dir", "div", "dl", "dt", "fieldset",
    "figure", "footer", "form", "header", "hgroup", "hr", "html", "li", "main", "menu", "nav", "ol", "p", "section", "summary", "tbody",
    "td", "tfoot", "th", "thead", "tr", "ul", "legend", "option", "label", "optgroup",
}  # fmt: skip
_ASIDE = {"nav", "footer", "aside"}
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_SPACE = re.compile(r"[ \t\r\n\f]+")
_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")
_DEEPEST = 200


def root_of(text: str) -> etree._Element | None:
    """The tree of a page; none where there is nothing in it."""
    text = _DECLARATION.sub("", text).replace("\x00", "")
    if not text.strip():
        return None
    try:
        # As bytes in a known encoding: of a text, the parser takes what the page says of its encoding for true.
        parser = etree.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, no_network=True, huge_tree=False, collect_ids=False)
        return etree.fromstring(text.encode("utf-8", "replace"), parser)
    except (etree.XMLSyntaxError, ValueError):
        return None


def pieces(root: etree._Element) -> list[Piece]:
    """The blocks of a page or of a part of it."""
    walk = _Walk()
    walk.element(root, 0)
    walk.flush()
    return walk.found


class _Walk:
    def __init__(self) -> None:
        self.found: list[Piece] = []
        self._text: list[str] = []
        self._kind: Shape = "paragraph"
        self._level = 0
        self._mark = ""
        self._lists: list[list[int]] = []
        self._aside = 0

    def flush(self) -> None:
        text = "".join(self._text)
        self._text.clear()
        text = "\n".join(line for line in (_SPACE.sub(" ", line).strip() for line in text.split("\v")) if line)
        if not text:
            return
        if self._mark:
            text, self._mark = self._mark + text, ""
        self.found.append(Piece(self._kind, text, self._level, aside=self._aside > 0))

    def element(self, element: etree._Element, depth: int) -> None:
        name = element.tag
        if not isinstance(name, str):
            return
        name = name.rpartition("}")[2].lower()
        if name in _NEVER or depth > _DEEPEST or (element.attrib and _hidden(element)):
            return
        match name:
            case "br":
                self._text.append("\v")
            case "h1" | "h2" | "h3" | "h4" | "h5" | "h6":
                self._as("heading", element, depth, int(name[1]))
            case "figcaption" | "caption":
                self._as("caption", element, depth)
            case "li" | "dt" | "dd":
                self._item(name, element, depth)
            case "ol" | "ul" | "menu":
                self.flush()
                start = element.get("start") or "1"
                self._lists.append([int(start) if start.isdigit() and len(start) < 7 else 1, name == "ol"])
                self.children(element, depth)
                self.flush()
                self._lists.pop()
            case "pre" | "listing" | "xmp":
                self.flush()
                self.found.append(Piece("code", "".join(str(part) for part in element.itertext(etree.Element)), aside=self._aside > 0))
            case "table":
                self._table(element, depth)
            case _:
                self._container(name, element, depth)

    def _container(self, name: str, element: etree._Element, depth: int) -> None:
        aside = name in _ASIDE or element.get("role") in {"navigation", "banner", "contentinfo", "complementary", "search"}
        if aside or name in _BLOCKS:
            self.flush()
            self._aside += aside
            self.children(element, depth)
            self.flush()
            self._aside -= aside
        elif name == "q":
            self._text.append("“")
            self.children(element, depth)
            self._text.append("”")
        else:
            self.children(element, depth)

    def children(self, element: etree._Element, depth: int) -> None:
        if element.text:
            self._text.append(element.text)
        for child in element:
            self.element(child, depth + 1)
            if child.tail:
                self._text.append(child.tail)

    def _as(self, kind: Shape, element: etree._Element, depth: int, level: int = 0) -> None:
        self.flush()
        outer = self._kind, self._level
        self._kind, self._level = kind, level
        self.children(element, depth)
        self.flush()
        self._kind, self._level = outer

    def _item(self, name: str, element: etree._Element, depth: int) -> None:
        self.flush()
        indent = "  " * (min(len(self._lists), 10) - 1)
        if name == "li" and self._lists and self._lists[-1][1]:
            self._mark = f"{indent}{self._lists[-1][0]}. "
            self._lists[-1][0] += 1
        elif name == "li":
            self._mark = indent + "• "
        else:
            self._mark = "  " if name == "dd" else ""
        outer, self._kind = self._kind, "item" if self._kind == "paragraph" else self._kind
        self.children(element, depth)
        self.flush()
        self._kind, self._mark = outer, ""

    def _table(self, table: etree._Element, depth: int) -> None:
        self.flush()
        rows = [row for row in table.iter("tr") if next((one for one in row.iterancestors("table")), None) is table]
        cells = [[cell for cell in row if cell.tag in {"td", "th"}] for row in rows]
        if _is_layout(table, cells):
            self.children(table, depth)
            self.flush()
            return
        for caption in table.iterchildren("caption"):
            self._as("caption", caption, depth)
        piece = Piece("table", aside=self._aside > 0)
        above: dict[int, int] = {}
        for row in cells:
            texts: list[str] = []
            for cell in row:
                while above.get(len(texts), 0) > 0:
                    above[len(texts)] -= 1
                    texts.append("")
                across, down = _span(cell, "colspan"), _span(cell, "rowspan")
                if down > 1:
                    above |= dict.fromkeys(range(len(texts), len(texts) + across), down - 1)
                texts += [_cell(cell), *[""] * (across - 1)]
            piece.rows.append(texts)
        if cells and cells[0] and (all(cell.tag == "th" for cell in cells[0]) or next((one.tag for one in rows[0].iterancestors()), "") == "thead"):
            piece.header = 1
        self.found.append(piece)


def _cell(cell: etree._Element) -> str:
    inner = _Walk()
    inner.children(cell, 0)
    inner.flush()
    return " ".join(" ".join(filter(None, (piece.text, *(" ".join(row) for row in piece.rows)))) for piece in inner.found)


def _is_layout(table: etree._Element, cells: list[list[etree._Element]]) -> bool:
    """A table that only puts things beside one another, as mails and old pages do."""
    if table.get("role") in {"presentation", "none"}:
        return True
    if next(table.iterdescendants("table"), None) is not None:
        return not any(cell.tag == "th" for row in cells for cell in row)
    if max((len(row) for row in cells), default=0) < 2:
        return next(table.iterdescendants("th"), None) is None
    return any(next(cell.iter("h1", "h2", "h3", "ul", "ol", "form"), None) is not None for row in cells for cell in row) and len(cells) < 3


def _span(cell: etree._Element, name: str) -> int:
    value = cell.get(name) or "1"
    return min(max(int(value), 1), 100) if value.isdigit() and len(value) < 6 else 1


def _hidden(element: etree._Element) -> bool:
    return element.get("hidden") is not None or bool(_HIDDEN.search(element.get("style") or ""))


def add(found: list[Piece], to: Draft, aside: Callable[[Piece], bool] | None = None) -> None:
    """Feed a draft; pieces that are `aside` become furniture."""
    for piece in found:
        if to.full:
            return
        if aside is not None and aside(piece):
            to.furniture(piece.text or "\n".join("\t".join(row) for row in piece.rows))
            continue
        match piece.kind:
            case "heading":
                to.heading(piece.text, piece.level)
            case "paragraph":
                to.paragraph(piece.text)
            case "item":
                to.item(piece.text)
            case "table":
                to.table(piece.rows, header=piece.header)
            case "code":
                to.code(piece.text)
            case "caption":
                to.caption(piece.text)

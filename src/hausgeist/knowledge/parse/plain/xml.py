"""XML of any kind: records that are alike become tables, elements with text become paragraphs, named by their elements."""

from __future__ import annotations

from lxml import etree

from hausgeist.knowledge.parse.base import Draft, Limits, Source, content
from hausgeist.knowledge.parse.encoding import decode
from hausgeist.knowledge.parse.markup import local, parse
from hausgeist.knowledge.parsed import Parsed

__all__ = ["read"]

MEDIA_TYPE = "application/xml"

_HEADINGS = {"title", "heading", "head", "h1", "h2", "h3"}
_TEXTS = {"p", "para", "paragraph", "simpara", "v", "li", "item", "text", "description", "summary", "note"}


def read(source: Source, filename: str, limits: Limits) -> Parsed:
    """The text of all elements and what their attributes say."""
    data = content(source, limits)
    try:
        root = parse(data)
    except ValueError:
        # A declared encoding that the parser does not know, though the bytes are text.
        root = parse(decode(data).encode())
    draft = Draft(limits)
    _Xml(draft).element(root, 1)
    return draft.parsed(MEDIA_TYPE)


class _Xml:
    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._lines: list[str] = []

    def element(self, element: etree._Element, depth: int) -> None:
        self._element(element, depth)
        self._flush()

    def _flush(self) -> None:
        if self._lines:
            self._draft.paragraph("\n".join(self._lines))
            self._lines = []

    def _element(self, element: etree._Element, depth: int) -> None:
        if self._draft.full:
            return
        name = local(element)
        children = [child for child in element if isinstance(child.tag, str)]
        if children and (_has_text(element) or any(_is_inline(child) for child in children)):
            self._flush()
            self._draft.paragraph(" ".join(_words(element).split()))
        elif not children:
            self._leaf(name, element)
        else:
            self._attributes(name, element)
            if (rows := _records(children)) is not None:
                self._flush()
                self._draft.table(rows, header=1)
            else:
                for child in children:
                    self._element(child, depth + 1)
            if len(self._lines) > 20 or depth <= 3:
                self._flush()

    def _leaf(self, name: str, element: etree._Element) -> None:
        text = (element.text or "").strip()
        if name.lower() in _HEADINGS and text:
            self._flush()
            self._draft.heading(text, 2)
        elif name.lower() in _TEXTS and text and not element.attrib:
            self._flush()
            self._draft.paragraph(text)
        else:
            if text:
                self._lines.append(f"{name}: {' '.join(text.split())}")
            self._attributes(name, element)

    def _attributes(self, name: str, element: etree._Element) -> None:
        values = [
            f"{str(key).rpartition('}')[2]}={value}"
            for key, value in element.attrib.items()
            if str(value).strip() and "schemaLocation" not in str(key)
        ]
        if values:
            self._lines.append(f"{name} {' '.join(values)}")


def _has_text(element: etree._Element) -> bool:
    return bool((element.text or "").strip()) or any((child.tail or "").strip() for child in element)


def _is_inline(element: etree._Element) -> bool:
    return bool((element.tail or "").strip())


def _words(element: etree._Element) -> str:
    return "".join(str(part) for part in element.itertext(etree.Element))


def _records(children: list[etree._Element]) -> list[list[str]] | None:
    """Rows with titles, where the children are records of one name with plain fields."""
    if len(children) < 2 or len({local(child) for child in children}) > 1:
        return None
    columns: dict[str, None] = {}
    for child in children:
        fields = [one for one in child if isinstance(one.tag, str)]
        if any(len(one) for one in fields) or _has_text(child) or len({local(one) for one in fields}) < len(fields):
            return None
        columns |= dict.fromkeys(f"{str(key).rpartition('}')[2]}" for key in child.attrib)
        columns |= dict.fromkeys(local(one) for one in fields)
        if any(one.attrib for one in fields):
            return None
    if len(columns) < 2 or len(columns) > 60:
        return None
    rows = [list(columns)]
    for child in children:
        values = {str(key).rpartition("}")[2]: str(value) for key, value in child.attrib.items()}
        values |= {local(one): one.text or "" for one in child if isinstance(one.tag, str)}
        rows.append([values.get(column, "") for column in columns])
    return rows

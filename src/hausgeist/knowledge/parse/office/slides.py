"""PowerPoint presentations (PPTX): each slide is a page, with its title, text, tables, charts, diagrams, notes of the speaker and comments."""

from __future__ import annotations

import re

from lxml import etree

from hausgeist.knowledge.parse.archive import Archive
from hausgeist.knowledge.parse.base import Draft, Limits, Source
from hausgeist.knowledge.parse.markup import attribute, local, text_of
from hausgeist.knowledge.parse.office.drawing import add_chart, add_diagram, alternative, description, paragraph_text, paragraphs
from hausgeist.knowledge.parse.office.package import Package
from hausgeist.knowledge.parsed import Parsed

__all__ = ["read"]

MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.presentationml.presentation"

_NUMBERED = re.compile(r"\d+\. ")

_POINT = 12700
"""English Metric Units in a point."""


def read(source: Source, filename: str, limits: Limits) -> Parsed:
    """The text of a presentation."""
    draft = Draft(limits)
    with Archive(source, limits) as archive:
        package = Package(archive)
        main = package.main("ppt/presentation.xml")
        root = package.xml(main)
        size = next((child for child in root if local(child) == "sldSz"), None)
        width, height = (_points(size, "cx"), _points(size, "cy")) if size is not None else (0.0, 0.0)
        identifiers = [one for child in root if local(child) == "sldIdLst" for one in child]
        authors = _authors(package, main)
        for number, identifier in enumerate(identifiers, 1):
            part = _resolve(package, main, identifier)
            slide = package.xml_or_none(part) if part is not None else None
            if slide is None or part is None:
                draft.warn(f"Slide {number} is damaged and was left out.")
                draft.page(f"Slide {number}", width=width, height=height)
                continue
            hidden = slide.get("show") in {"0", "false"}
            if not draft.page(f"Slide {number}{' (hidden)' if hidden else ''}", width=width, height=height):
                break
            _Slide(draft, package, part).read(slide, authors)
        properties = package.properties()
        if draft.empty and any("/media/" in name for name in archive.names):
            draft.warn("The file is made of pictures; save it as PDF to have the text in them recognised.")
        if package.related(main, "vbaProject"):
            draft.warn("The presentation holds macros; they were neither read nor run.")
    return draft.parsed(MEDIA_TYPE, title=_title(properties.pop("title", "")), properties=properties)


def _title(text: str) -> str:
    return "" if text.strip().lower() in {"powerpoint presentation", "powerpoint-präsentation", "présentation powerpoint"} else text


def _resolve(package: Package, main: str, identifier: etree._Element) -> str | None:
    # A slide's own `id` has no namespace, the relation's has one; only the latter leads to a part.
    for key, value in identifier.attrib.items():
        if str(key).startswith("{") and (relation := package.relations(main).get(str(value))) is not None and relation.target in package.archive:
            return relation.target
    return None


def _points(element: etree._Element, name: str) -> float:
    value = element.get(name) or ""
    return int(value) / _POINT if value.isdigit() else 0.0


def _authors(package: Package, main: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for kind in ("commentAuthors", "authors"):
        for part in package.related(main, kind):
            root = package.xml_or_none(part)
            found |= {one.get("id") or "": one.get("name") or "" for one in root} if root is not None else {}
    return found


class _Slide:
    def __init__(self, draft: Draft, package: Package, part: str) -> None:
        self._draft = draft
        self._package = package
        self._part = part
        self._later: list[str] = []

    def read(self, root: etree._Element, authors: dict[str, str]) -> None:
        tree = next((one for one in root.iter(etree.Element) if local(one) == "spTree"), root)
        shapes = list(_shapes(tree))
        # The title is said first, wherever it was drawn; all else in the order of drawing, as screen readers take it.
        shapes.sort(key=lambda shape: _placeholder(shape)[0] not in {"title", "ctrTitle"})
        for shape in shapes:
            self._shape(shape)
        for part in self._package.related(self._part, "notesSlide"):
            self._notes(part)
        for kind in ("comments", "comment"):
            for part in self._package.related(self._part, kind):
                self._comments(part, authors)

    def _shape(self, shape: etree._Element) -> None:
        name = local(shape)
        if name == "sp":
            self._text(shape)
        elif name == "graphicFrame":
            self._frame(shape)
        elif name in {"pic", "cxnSp", "contentPart"} and (text := description(shape)):
            self._draft.caption(text)

    def _text(self, shape: etree._Element) -> None:
        body = next((child for child in shape if local(child) == "txBody"), None)
        if body is None:
            return
        kind, placeholder = _placeholder(shape)
        lines = [(text, level) for text, level in paragraphs(body) if text.strip()]
        if kind in {"title", "ctrTitle"}:
            self._draft.heading(" ".join(text for text, _ in lines), 1)
        elif kind in {"dt", "ftr", "sldNum", "hdr"}:
            for text, _ in lines:
                self._draft.furniture(text)
        elif kind == "subTitle":
            for text, _ in lines:
                self._draft.paragraph(text)
        else:
            for text, level in lines:
                marked = text.startswith("• ") or _NUMBERED.match(text) is not None
                if marked or level or (placeholder and len(lines) > 1):
                    self._draft.item("  " * level + (text if marked else "• " + text.strip()))
                else:
                    self._draft.paragraph(text)

    def _frame(self, frame: etree._Element) -> None:
        for one in frame.iter(etree.Element):
            name = local(one)
            if name == "tbl":
                self._table(one)
            elif name == "chart" and (part := self._package.resolve(self._part, one)) is not None:
                add_chart(self._draft, self._package, part)
            elif name == "relIds" and (part := self._package.resolve(self._part, one, "dm")) is not None:
                add_diagram(self._draft, self._package, part)

    def _table(self, table: etree._Element) -> None:
        rows: list[list[str]] = []
        header = 0
        for child in table:
            if local(child) == "tblPr":
                header = int(child.get("firstRow") in {"1", "true"})
            elif local(child) == "tr":
                rows.append([_cell(cell) for cell in child if local(cell) == "tc"])
        self._draft.table(rows, header=header)

    def _notes(self, part: str) -> None:
        root = self._package.xml_or_none(part)
        for shape in root.iter(etree.Element) if root is not None else ():
            if local(shape) != "sp":
                continue
            kind, _ = _placeholder(shape)
            body = next((child for child in shape if local(child) == "txBody"), None)
            if body is None or kind == "sldImg":
                continue
            text = "\n".join(text for text, _ in paragraphs(body) if text.strip())
            if kind in {"dt", "ftr", "sldNum", "hdr"}:
                self._draft.furniture(text)
            else:
                self._draft.note(text)

    def _comments(self, part: str, authors: dict[str, str]) -> None:
        root = self._package.xml_or_none(part)
        for one in root.iter(etree.Element) if root is not None else ():
            if local(one) not in {"cm", "reply"}:
                continue
            texts = [text_of(child) for child in one if local(child) == "text"]
            texts += ["\n".join(text for text, _ in paragraphs(child)) for child in one if local(child) == "txBody"]
            author = authors.get(one.get("authorId") or "", "")
            if any(texts):
                self._draft.note(f"Comment by {author}: {' '.join(texts)}" if author else f"Comment: {' '.join(texts)}")


def _shapes(tree: etree._Element) -> list[etree._Element]:
    """All shapes, those of groups in the place of the group."""
    found: list[etree._Element] = []
    for child in tree:
        name = local(child)
        if name == "grpSp":
            found += _shapes(child)
        elif name == "AlternateContent":
            if (chosen := alternative(child)) is not None:
                found += _shapes(chosen)
        elif name in {"sp", "graphicFrame", "pic", "cxnSp"}:
            found.append(child)
    return found


def _placeholder(shape: etree._Element) -> tuple[str, bool]:
    """The kind of placeholder that a shape fills, and whether it fills one at all."""
    for child in shape:
        if local(child).startswith("nv"):
            for one in child.iter(etree.Element):
                if local(one) == "ph":
                    return attribute(one, "type") or "obj", True
    return "", False


def _cell(cell: etree._Element) -> str:
    if cell.get("hMerge") in {"1", "true"} or cell.get("vMerge") in {"1", "true"}:
        return ""
    return " ".join(paragraph_text(one) for one in cell.iter(etree.Element) if local(one) == "p")

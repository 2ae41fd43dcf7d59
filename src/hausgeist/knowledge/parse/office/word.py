"""Word documents (DOCX): paragraphs with their numbers, headings, tables, notes, comments, text boxes, charts.

Deleted text of tracked changes is left out, inserted text is kept; fields give their results; macros and what lies outside the file are not touched.
Pages are those that the program which saved the file last noted; a file without such notes has none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from lxml import etree

from hausgeist.knowledge.parse.archive import Archive
from hausgeist.knowledge.parse.base import Draft, Limits, Source
from hausgeist.knowledge.parse.markup import attribute, local
from hausgeist.knowledge.parse.office.drawing import add_chart, add_diagram, alternative, description, formula
from hausgeist.knowledge.parse.office.numbering import Numbering
from hausgeist.knowledge.parse.office.package import Package
from hausgeist.knowledge.parse.office.styles import Styles
from hausgeist.knowledge.parsed import Parsed

__all__ = ["read"]

MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"

_THROUGH = {"hyperlink", "smartTag", "sdt", "sdtContent", "ins", "moveTo", "fldSimple", "customXml", "dir", "bdo", "ruby", "rubyBase", "body"}
_OUT = {"del", "moveFrom", "delText", "instrText", "rPr", "pPr", "rt", "sdtPr", "sdtEndPr", "delInstrText"}


def read(source: Source, filename: str, limits: Limits) -> Parsed:
    """The text of a Word document."""
    draft = Draft(limits)
    with Archive(source, limits) as archive:
        package = Package(archive)
        main = package.main("word/document.xml")
        root = package.xml(main)
        reader = _Word(draft, package, main)
        reader.read(root)
        properties = package.properties()
        if draft.empty and any("/media/" in name for name in archive.names):
            draft.warn("The file is made of pictures; save it as PDF to have the text in them recognised.")
        if package.related(main, "package") or package.related(main, "oleObject"):
            draft.warn("Files that are embedded in the document were not read; add them on their own.")
        if package.related(main, "vbaProject"):
            draft.warn("The document holds macros; they were neither read nor run.")
    return draft.parsed(MEDIA_TYPE, title=properties.pop("title", ""), properties=properties)


@dataclass(slots=True)
class _Gathered:
    """What a paragraph holds: its text, and what stands beside it."""

    text: list[str] = field(default_factory=list)
    boxes: list[etree._Element] = field(default_factory=list)
    charts: list[str] = field(default_factory=list)
    diagrams: list[str] = field(default_factory=list)
    captions: list[str] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)
    breaks: int = 0
    breaks_before: int = 0


class _Word:
    def __init__(self, draft: Draft, package: Package, main: str) -> None:
        self._draft = draft
        self._package = package
        self._main = main
        self._part = main
        self._styles = Styles(self._first("styles"))
        self._numbering = Numbering(self._first("numbering"))
        self._notes = {kind: self._side(kind) for kind in ("footnotes", "endnotes", "comments")}
        self._paged = False
        self._size = (0.0, 0.0)

    def _first(self, kind: str) -> etree._Element | None:
        return next((self._package.xml_or_none(part) for part in self._package.related(self._main, kind)), None)

    def _side(self, kind: str) -> dict[str, etree._Element]:
        root = self._first(kind)
        if root is None:
            return {}
        return {attribute(one, "id") or "": one for one in root if (attribute(one, "type") or "normal") == "normal"}

    def read(self, root: etree._Element) -> None:
        body = next((child for child in root if local(child) == "body"), root)
        elements = list(root.iter(etree.Element))
        self._paged = any(local(one) == "lastRenderedPageBreak" for one in elements)
        sections = [one for one in elements if local(one) == "sectPr"]
        self._size = next((size for size in map(_paper, sections) if size[0]), (0.0, 0.0))
        if self._paged:
            self._draft.page(width=self._size[0], height=self._size[1])
        self._blocks(body)
        seen: set[str] = set()
        for section in sections:
            for child in section:
                if local(child) in {"headerReference", "footerReference"}:
                    part = self._package.resolve(self._main, child)
                    if part is not None and part not in seen:
                        seen.add(part)
                        self._furniture(part)

    def _furniture(self, part: str) -> None:
        root = self._package.xml_or_none(part)
        if root is None:
            return
        outer, self._part = self._part, part
        for paragraph in root.iter(etree.Element):
            if local(paragraph) == "p":
                gathered = _Gathered()
                self._gather(paragraph, gathered)
                self._draft.furniture("".join(gathered.text))
        self._part = outer

    def _blocks(self, parent: etree._Element) -> None:
        for child in parent:
            if self._draft.full:
                return
            match local(child):
                case "p":
                    self._paragraph(child)
                case "tbl":
                    self._table(child)
                case "sdt" | "sdtContent" | "customXml" | "ins" | "moveTo" | "smartTag" | "txbxContent":
                    self._blocks(child)
                case "AlternateContent":
                    if (chosen := alternative(child)) is not None:
                        self._blocks(chosen)
                case "oMathPara" | "oMath":
                    self._draft.paragraph(formula(child))
                case "altChunk":
                    self._draft.warn("A part that was put in from another file was left out; save the document again in Word to have it read.")

    def _paragraph(self, paragraph: etree._Element) -> None:
        gathered = _Gathered()
        self._gather(paragraph, gathered)
        look = self._styles.look(next((child for child in paragraph if local(child) == "pPr"), None))
        for _ in range(gathered.breaks_before):
            self._next_page()
        text = "".join(gathered.text)
        label, bullet = self._numbering.next(look.number, look.number_level) if look.number and text.strip() else ("", False)
        numbered = f"{label} {text.lstrip()}" if label else text
        if look.kind == "title":
            self._draft.title(text)
        elif look.kind == "heading" and not bullet:
            self._draft.heading(numbered, look.level)
        elif look.kind == "caption":
            self._draft.caption(text)
        elif look.kind == "code":
            self._draft.code(text)
        elif label or look.kind == "list":
            self._draft.item("  " * look.number_level + numbered if bullet else numbered)
        else:
            self._draft.paragraph(text)
        self._beside(gathered)
        for _ in range(gathered.breaks):
            self._next_page()

    def _next_page(self) -> None:
        if self._paged:
            self._draft.page(width=self._size[0], height=self._size[1])

    def _beside(self, gathered: _Gathered) -> None:
        for box in gathered.boxes:
            self._blocks(box)
        for part in gathered.charts:
            add_chart(self._draft, self._package, part)
        for part in gathered.diagrams:
            add_diagram(self._draft, self._package, part)
        for caption in gathered.captions:
            self._draft.caption(caption)
        for kind, identifier in gathered.notes:
            note = self._notes[kind].pop(identifier, None)
            if note is not None:
                self._note(kind, note)

    def _note(self, kind: str, note: etree._Element) -> None:
        lines = []
        outer, self._part = self._part, next(iter(self._package.related(self._main, kind)), self._part)
        for paragraph in note.iter(etree.Element):
            if local(paragraph) == "p":
                inner = _Gathered()
                self._gather(paragraph, inner)
                lines.append("".join(inner.text).strip())
        self._part = outer
        text = "\n".join(line for line in lines if line)
        if kind == "comments" and text:
            author = attribute(note, "author")
            text = f"Comment by {author}: {text}" if author else f"Comment: {text}"
        self._draft.note(text)

    def _gather(self, element: etree._Element, into: _Gathered) -> None:
        """Everything within a paragraph, in order."""
        for child in element:
            name = local(child)
            if name == "t":
                into.text.append(child.text or "")
            elif name in {"r", *_THROUGH}:
                self._gather(child, into)
            elif name in _OUT:
                continue
            else:
                self._special(name, child, into)

    def _special(self, name: str, child: etree._Element, into: _Gathered) -> None:
        match name:
            case "tab" | "ptab":
                into.text.append("\t")
            case "br" | "cr":
                into.text.append("\n")
            case "lastRenderedPageBreak":
                if any(part.strip() for part in into.text):
                    into.breaks += 1
                else:
                    into.breaks_before += 1
            case "noBreakHyphen":
                into.text.append("-")
            case "oMath" | "oMathPara":
                into.text.append(formula(child))
            case "footnoteReference" | "endnoteReference" | "commentReference":
                into.notes.append((name.removesuffix("Reference") + "s", attribute(child, "id") or ""))
            case "AlternateContent":
                if (chosen := alternative(child)) is not None:
                    self._gather(chosen, into)
            case "drawing" | "pict" | "object":
                self._drawing(child, into)

    def _drawing(self, drawing: etree._Element, into: _Gathered) -> None:
        inside: set[etree._Element] = set()
        for one in drawing.iter(etree.Element):
            name = local(one)
            if name == "txbxContent" and not any(ancestor in inside for ancestor in one.iterancestors()):
                inside.add(one)
                into.boxes.append(one)
            elif name == "chart" and (part := self._package.resolve(self._part, one)) is not None:
                into.charts.append(part)
            elif name == "relIds" and (part := self._package.resolve(self._part, one, "dm")) is not None:
                into.diagrams.append(part)
            elif name == "textpath" and (text := one.get("string")):
                into.captions.append(text)
        if not inside and (text := description(drawing)):
            into.captions.append(text)

    def _table(self, table: etree._Element) -> None:
        beside = _Gathered()
        rows: list[list[str]] = []
        header = 0
        lines = list(_rows(table))
        cells = [list(_cells(line)) for line in lines]
        if len(lines) == 1 and len(cells[0]) == 1:
            # A frame around text, not a table.
            self._blocks(cells[0][0])
            return
        for line, row in zip(lines, cells, strict=True):
            properties = {local(one) for child in line if local(child) == "trPr" for one in child}
            if "del" in properties:
                continue
            if "tblHeader" in properties and header == len(rows):
                header += 1
            texts: list[str] = []
            for cell in row:
                span, merged = _shape(cell)
                texts.append("" if merged else self._cell(cell, beside))
                texts += [""] * (span - 1)
            rows.append(texts)
        look = next((one for child in table if local(child) == "tblPr" for one in child if local(one) == "tblLook"), None)
        if not header and look is not None and len(rows) > 1 and _first_row(look) and all(text.strip() for text in rows[0]):
            header = 1
        for _ in range(beside.breaks_before):
            self._next_page()
        self._draft.table(rows, header=min(header, 1))
        self._beside(beside)
        for _ in range(beside.breaks):
            self._next_page()

    def _cell(self, cell: etree._Element, beside: _Gathered) -> str:
        texts: list[str] = []
        for child in cell.iter(etree.Element):
            if local(child) == "p" and not any(local(one) in {"txbxContent", "del", "Fallback"} for one in _between(child, cell)):
                inner = _Gathered()
                self._gather(child, inner)
                text = "".join(inner.text).strip()
                look = self._styles.look(next((one for one in child if local(one) == "pPr"), None))
                label, _ = self._numbering.next(look.number, look.number_level) if look.number and text else ("", False)
                texts.append(f"{label} {text}" if label else text)
                # Breaks of pages within a table count after it, those before its first word before it.
                beside.breaks += inner.breaks + (inner.breaks_before if any(texts) else 0)
                beside.boxes += inner.boxes
                beside.charts += inner.charts
                beside.diagrams += inner.diagrams
                beside.captions += inner.captions
                beside.notes += inner.notes
        return " ".join(text for text in texts if text)


def _between(element: etree._Element, top: etree._Element) -> list[etree._Element]:
    found = []
    for one in element.iterancestors():
        if one is top:
            break
        found.append(one)
    return found


def _rows(table: etree._Element) -> list[etree._Element]:
    found: list[etree._Element] = []
    for child in table:
        if local(child) == "tr":
            found.append(child)
        elif local(child) in {"sdt", "sdtContent", "customXml", "ins"}:
            found += _rows(child)
    return found


def _cells(row: etree._Element) -> list[etree._Element]:
    found: list[etree._Element] = []
    for child in row:
        if local(child) == "tc":
            found.append(child)
        elif local(child) in {"sdt", "sdtContent", "customXml"}:
            found += _cells(child)
    return found


def _shape(cell: etree._Element) -> tuple[int, bool]:
    """How many columns a cell takes, and whether it is the lower part of a cell above."""
    span, merged = 1, False
    for child in cell:
        if local(child) == "tcPr":
            for one in child:
                if local(one) == "gridSpan" and (value := attribute(one, "val") or "").isdigit():
                    span = min(max(int(value), 1), 100)
                elif local(one) == "vMerge" and (attribute(one, "val") or "continue") == "continue":
                    merged = True
    return span, merged


def _first_row(look: etree._Element) -> bool:
    value = attribute(look, "firstRow")
    if value is not None:
        return value in {"1", "true", "on"}
    bits = attribute(look, "val") or "0"
    return bool(re.fullmatch(r"[0-9A-Fa-f]{1,8}", bits)) and bool(int(bits, 16) & 0x20)


def _paper(section: etree._Element) -> tuple[float, float]:
    """Width and height in points; OOXML counts twentieths of them."""
    for child in section:
        if local(child) == "pgSz":
            try:
                return int(attribute(child, "w") or 0) / 20, int(attribute(child, "h") or 0) / 20
            except ValueError:
                return 0.0, 0.0
    return 0.0, 0.0

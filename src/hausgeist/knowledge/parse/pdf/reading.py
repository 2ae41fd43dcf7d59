"""A PDF file read: opened, page by page turned into rows, running lines set apart, put in order, written down.

A page without text that shows something is read by OCR. Text in annotations and form fields is part of a page, as it is in print.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

from hausgeist.knowledge.parse import ocr, progress
from hausgeist.knowledge.parse.base import Limits, Unreadable
from hausgeist.knowledge.parse.pdf.document import written
from hausgeist.knowledge.parse.pdf.drawing import drawn
from hausgeist.knowledge.parse.pdf.letters import letters
from hausgeist.knowledge.parse.pdf.opening import opened, placed
from hausgeist.knowledge.parse.pdf.recognised import rows as rows_of
from hausgeist.knowledge.parse.pdf.rows import Sheet
from hausgeist.knowledge.parsed import Parsed

__all__ = ["read"]

log = logging.getLogger(__name__)

_PROPERTIES = {
    "Author": "author",
    "Subject": "subject",
    "Keywords": "keywords",
    "CreationDate": "created",
    "ModDate": "modified",
    "Creator": "creator",
}
_DATE = re.compile(r"(?:D:)?(\d{4})(\d{2})?(\d{2})?(\d{2})?(\d{2})?(\d{2})?")
_NO_TITLE = re.compile(
    r"^(?:untitled|microsoft (?:word|powerpoint|excel) - .*|.*\.(?:docx?|pptx?|xlsx?|tex|dvi|indd|qxd|pdf|odt|rtf))$", re.IGNORECASE
)
_PRINTED = (3, 13, 20)
"""Annotations whose text is part of the page: FreeText, Stamp, Widget (of a form)."""
_MOST_ANNOTATIONS = 5000
_IMAGE, _FORM = 3, 5
_LOOKED_AT = 200
"""Objects of a page among which a picture is looked for."""
_DPI = 300
_MOST_PIXELS = 30_000_000
_WARNED_PAGES = 10


def read(path: Path, filename: str, limits: Limits) -> Parsed:
    """The text of a PDF file. Raises `Unreadable`. `filename` is not needed: what the file is called says nothing about what is in it."""
    with opened(path) as (raw, document):
        reader = _Reader(raw, document, limits)
        sheets = reader.sheets()
        properties = _properties(document)
        title = properties.pop("title", "")
        return written(sheets, limits, media_type="application/pdf", title=title, properties=properties, warnings=reader.warnings)


class _Reader:
    """Turns the pages of a document into sheets."""

    def __init__(self, raw: Any, document: Any, limits: Limits) -> None:
        self._raw = raw
        self._document = document
        self._limits = limits
        self._letters = letters(raw)
        self._left = limits.characters
        self._scans_without: list[int] = []
        self.warnings: list[str] = []

    def sheets(self) -> list[Sheet]:
        total = len(self._document)
        if total == 0:
            raise Unreadable("The file has no pages.")
        wanted = min(total, self._limits.pages)
        if wanted < total:
            self.warnings.append(f"Only the first {wanted} of {total} pages were read.")
        sheets = []
        failed = []
        for index in range(wanted):
            sheet = self._sheet(index)
            if sheet is None:
                failed.append(index + 1)
                sheet = Sheet(index + 1, 0.0, 0.0, [])
            sheets.append(sheet)
            self._left -= sum(len(row.text) for row in sheet.rows)
            progress.report(index + 1, wanted)
            if self._left <= 0:
                self.warnings.append(f"Only the first {self._limits.characters} characters were read; they end on page {index + 1} of {total}.")
                break
        if len(failed) == len(sheets):
            raise Unreadable("The file is damaged: none of its pages can be opened. Open it in a viewer, save it anew, and add that.")
        if failed:
            self.warnings.append(f"{_pages(failed)} could not be read, because the file is damaged there.")
        return sheets

    def _sheet(self, index: int) -> Sheet | None:
        raw = self._raw
        page = raw.FPDF_LoadPage(self._document.raw, index)
        if not page:
            return None
        try:
            if raw.FPDFPage_GetAnnotCount(page) > 0 and self._printed(page) and raw.FPDFPage_Flatten(page, 0) == 1:
                raw.FPDF_ClosePage(page)
                page = raw.FPDF_LoadPage(self._document.raw, index)
                if not page:
                    return None
            place, width, height = placed(raw, page)
            text_page = raw.FPDFText_LoadPage(page)
            if not text_page:
                return None
            try:
                rows = self._letters.rows(text_page, place, index + 1, max(1, self._left))
            finally:
                raw.FPDFText_ClosePage(text_page)
            rows = [row for row in rows if row.right > -1 and row.bottom > -1 and row.left < width + 1 and row.top < height + 1]
            if rows or not self._has_picture(page):
                return Sheet(index + 1, width, height, rows)
            return self._recognised(page, index + 1, width, height)
        finally:
            if page:
                raw.FPDF_ClosePage(page)

    def _printed(self, page: Any) -> bool:
        """Whether there are annotations that hold text of the page."""
        raw = self._raw
        for index in range(min(raw.FPDFPage_GetAnnotCount(page), _MOST_ANNOTATIONS)):
            annotation = raw.FPDFPage_GetAnnot(page, index)
            if not annotation:
                continue
            kind = raw.FPDFAnnot_GetSubtype(annotation)
            raw.FPDFPage_CloseAnnot(annotation)
            if kind in _PRINTED:
                return True
        return False

    def _has_picture(self, page: Any) -> bool:
        raw = self._raw
        for index in range(min(raw.FPDFPage_CountObjects(page), _LOOKED_AT)):
            if raw.FPDFPageObj_GetType(raw.FPDFPage_GetObject(page, index)) in {_IMAGE, _FORM}:
                return True
        return False

    def _recognised(self, page: Any, number: int, width: float, height: float) -> Sheet:
        """A page read from its picture."""
        sheet = Sheet(number, width, height, [], recognised=True)
        if not ocr.installed():
            self._scans_without.append(number)
            self._warn(f"{_pages(self._scans_without)} are pictures; install {ocr.package()} (Debian's name) to read them.", "are pictures;")
            return sheet
        scale = min(_DPI / 72, (_MOST_PIXELS / max(width * height, 1.0)) ** 0.5)
        png = drawn(self._raw, page, scale, width, height, grey=True)
        try:
            words, sentences = ocr.recognise(png, dpi=round(scale * 72))
        except TimeoutError:
            self.warnings.append(f"Page {number} is a picture that took too long to read.")
            return sheet
        for sentence in sentences:
            if sentence not in self.warnings:
                self.warnings.append(sentence)
        sheet.rows = rows_of(words, 1 / scale, number)
        return sheet

    def _warn(self, sentence: str, instead_of: str) -> None:
        """One sentence that grows, rather than one for each page."""
        sentence = (
            sentence.replace(" are pictures; ", " is a picture; ").replace("read them", "read it") if len(self._scans_without) == 1 else sentence
        )
        self.warnings[:] = [one for one in self.warnings if instead_of not in one and "is a picture; install" not in one]
        self.warnings.append(sentence)


def _pages(numbers: list[int]) -> str:
    if len(numbers) == 1:
        return f"Page {numbers[0]}"
    if len(numbers) > _WARNED_PAGES:
        return f"{len(numbers)} pages (the first is page {numbers[0]})"
    return f"Pages {', '.join(str(number) for number in numbers[:-1])} and {numbers[-1]}"


def _properties(document: Any) -> dict[str, str]:
    """What the file says of itself."""
    import pypdfium2

    try:
        told = document.get_metadata_dict(skip_empty=True)
    except (pypdfium2.PdfiumError, UnicodeDecodeError):
        return {}
    found = {name: " ".join(str(told[key]).split())[:1000] for key, name in _PROPERTIES.items() if told.get(key)}
    for name in ("created", "modified"):
        if name in found:
            found[name] = _date(found[name])
    title = " ".join(str(told.get("Title", "")).split())
    if title and not _NO_TITLE.match(title):
        found["title"] = title[:300]
    return {name: value for name, value in found.items() if value}


def _date(written: str) -> str:
    """D:20240131... as 2024-01-31; what is no date as it is written."""
    found = _DATE.match(written)
    if found is None:
        return written
    return "-".join(part for part in found.groups()[:3] if part)

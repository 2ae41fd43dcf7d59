"""From a page of PDFium to rows of text. Almost all of the time goes into calls of PDFium, so there is one for a page's text and a few for each line.

PDFium gives the text of a page in the order in which the file draws it, with line breaks where the base line changes, a space where there is a gap,
and U+0002 or U+FFFE for a hyphen at the end of a line that divides a word.
"""

from __future__ import annotations

import ctypes
import math
import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from hausgeist.knowledge.parse.pdf.rows import Cell, Row

__all__ = ["Letters", "Place"]

Place = Callable[[float, float, float, float], tuple[float, float, float, float]]
"""Left, top, right, bottom as PDFium has them (from the bottom left, not turned) -> the same from the top left of the page as it is shown."""

_HYPHENS = "\x02\ufffe"
_LINES = re.compile("[^\n\x02\ufffe]+[\x02\ufffe]?")
"""After a hyphen that divides a word the next line follows without a break."""
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\ufeff\uffff\ufffe\ud800-\udfff]")
_SPACES = re.compile(r"[\s\u00a0\u2000-\u200b\u202f\u3000]+")
_GAP = 1.0
"""Font sizes between two words that are not of one column."""
_WIDE = 0.62
"""Font sizes per letter, on average, above which a line must have gaps."""
_BOLD = 600
_FIXED_PITCH, _FORCE_BOLD = 1 << 0, 1 << 18
_NAME = 128
_BOLD_NAME = re.compile(r"bold|black|heavy|semibold|demi|medi\b|-b$|\dbx|bx\d|\.b$", re.IGNORECASE)
_FIXED_NAME = re.compile(r"courier|mono|consol|typewriter|cmtt|menlo|code", re.IGNORECASE)


def _direct(function: Any, result: Any, *arguments: Any) -> Callable[..., Any]:
    """A function of PDFium that is called with addresses as they are; making an object of each takes longer than what it does."""
    return ctypes.PYFUNCTYPE(result, *arguments)(ctypes.cast(function, ctypes.c_void_p).value or 0)


class Letters:
    """Reads pages; the memory that PDFium writes into is had once for all."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        sides = (ctypes.c_double * 4)()
        self._sides = sides
        self._at = [ctypes.addressof(sides) + 8 * index for index in range(4)]
        self._box = raw.FS_RECTF()
        self._matrix = raw.FS_MATRIX()
        self._box_at, self._matrix_at = ctypes.addressof(self._box), ctypes.addressof(self._matrix)
        self._name = ctypes.create_string_buffer(_NAME)
        self._flags = ctypes.c_int()
        self._fonts: dict[int | None, tuple[bool, bool, int]] = {}
        whole, pointer, real = ctypes.c_int, ctypes.c_void_p, ctypes.c_double
        self._count = _direct(raw.FPDFText_CountRects, whole, pointer, whole, whole)
        self._rect = _direct(raw.FPDFText_GetRect, whole, pointer, whole, pointer, pointer, pointer, pointer)
        self._char_box = _direct(raw.FPDFText_GetCharBox, whole, pointer, whole, pointer, pointer, pointer, pointer)
        self._loose_box = _direct(raw.FPDFText_GetLooseCharBox, whole, pointer, whole, pointer)
        self._turned = _direct(raw.FPDFText_GetMatrix, whole, pointer, whole, pointer)
        self._size = _direct(raw.FPDFText_GetFontSize, real, pointer, whole)
        self._object = _direct(raw.FPDFText_GetTextObject, pointer, pointer, whole)
        self._font = _direct(raw.FPDFTextObj_GetFont, pointer, pointer)

    def rows(self, text_page: Any, place: Place, number: int, most: int) -> list[Row]:
        """The lines of a page, in the order of the file. `most`: characters at most."""
        self._fonts.clear()
        count = min(self._raw.FPDFText_CountChars(text_page), most)
        address = ctypes.cast(text_page, ctypes.c_void_p).value or 0
        if count <= 0:
            return []
        text, aligned = self._text(text_page, count)
        rows: list[Row] = []
        for found in _LINES.finditer(text):
            line = found[0].rstrip("\r ")
            length = len(line)
            line = line.lstrip()
            lead = length - len(line)
            if not line:
                continue
            position = first = found.start() + lead
            if not aligned:
                position = self._raw.FPDFText_GetCharIndexFromTextIndex(text_page, first)
            if position >= 0 and (row := self._row(address, line, position, length - lead, place, number)) is not None:
                rows.append(row)
        return rows

    def _text(self, text_page: Any, count: int) -> tuple[str, bool]:
        """A page's text, and whether its characters count as PDFium's do."""
        buffer = (ctypes.c_ushort * (2 * count + 2))()
        units = self._raw.FPDFText_GetText(text_page, 0, count, buffer)
        text = bytes(memoryview(buffer).cast("B")[: 2 * max(units - 1, 0)]).decode("utf-16-le", "replace")
        return text, len(text) == count

    def _row(self, text_page: int, line: str, position: int, length: int, place: Place, number: int) -> Row | None:
        pieces = self._count(text_page, position, length)
        if pieces <= 0:
            return None
        sides, at, get = self._sides, self._at, self._rect
        get(text_page, 0, *at)
        left, top, right, bottom = sides
        spans = []
        if pieces > 1:
            spans.append((left, right))
            for index in range(1, pieces):
                get(text_page, index, *at)
                x, y, beyond, under = sides
                spans.append((x, beyond))
                # Comparing is several times faster than min and max, and this is where most of the time goes.
                left = x if x < left else left
                top = y if y > top else top
                right = beyond if beyond > right else right
                bottom = under if under < bottom else bottom
        placed = place(left, top, right, bottom)
        upright = length < 3 or placed[2] - placed[0] >= placed[3] - placed[1]
        # One letter may be raised or of another font: of two, the larger counts, and a line is bold where both are.
        size, bold, fixed, font = self._look(text_page, position)
        if length > 2 and pieces > 1:
            middle = length // 2
            while line[middle] == " ":
                middle += 1
            other = self._look(text_page, position + middle)
            size, bold, fixed, font = max(size, other[0]), bold and other[1], fixed and other[2], other[3]
        if size <= 0.1:
            size = max(0.1, min(placed[3] - placed[1], placed[2] - placed[0]))
        text = _clean(line)
        hyphen = line[-1] in _HYPHENS
        if not text and not hyphen:
            return None
        row = Row(text, *placed, size, bold, fixed, (), hyphen, upright, number, font)
        if length > 2 and right - left > top - bottom:
            gap = _GAP * size
            if len(spans) > 1 and (edges := [(before[1], after[0]) for before, after in pairwise(spans) if after[0] - before[1] > gap]):
                row.cells = self._cells_at(text_page, line, position, edges, placed, left, size)
            elif right - left > _WIDE * size * length:
                row.cells = self._cells(text_page, line, position, gap, place)
        return row

    def _look(self, text_page: int, position: int) -> tuple[float, bool, bool, int]:
        """Size in points, as it is shown; bold? Of one width? A number that tells the font from others."""
        matrix = self._matrix
        if self._turned(text_page, position, self._matrix_at):
            slant, scale = matrix.c, matrix.d
            scale = abs(scale) if not slant else math.hypot(slant, scale)
        else:
            scale = 1.0
        # The font's address stands for it as long as the page is open.
        thing = self._object(text_page, position)
        font = self._font(thing) if thing else None
        if (known := self._fonts.get(font)) is None:
            known = self._fonts[font] = self._face(text_page, position)
        return self._size(text_page, position) * scale, *known

    def _face(self, address: int, position: int) -> tuple[bool, bool, int]:
        """Bold? Of one width? A number for its name."""
        raw = self._raw
        text_page = ctypes.cast(address, raw.FPDF_TEXTPAGE)
        length = raw.FPDFText_GetFontInfo(text_page, position, self._name, _NAME, ctypes.byref(self._flags))
        weight = raw.FPDFText_GetFontWeight(text_page, position)
        name = self._name.raw[: max(0, min(length, _NAME) - 1)].decode("latin-1") if length else ""
        flags = self._flags.value if length else 0
        bold = weight >= _BOLD or bool(flags & _FORCE_BOLD) or bool(_BOLD_NAME.search(name))
        return bold, bool(flags & _FIXED_PITCH) or bool(_FIXED_NAME.search(name)), hash(name)

    def _cells_at(
        self,
        text_page: int,
        line: str,
        position: int,
        edges: list[tuple[float, float]],
        placed: tuple[float, float, float, float],
        left: float,
        size: float,
    ) -> list[Cell]:
        """A line cut where there are gaps from one x to another; only upright pages have them so simply, so others go the long way."""
        shift = placed[0] - left
        sides, at, get = self._sides, self._at, self._char_box
        cells: list[Cell] = []
        start, begin, index = 0, placed[0], 0
        for found in _SPACES.finditer(line):
            end = found.end()
            get(text_page, position + end, at[0], at[2], at[3], at[1])
            if abs(sides[0] - edges[index][1]) < 0.15 * size:
                if words := _clean(line[start : found.start()]):
                    cells.append(Cell(words, begin, edges[index][0] + shift))
                start, begin, index = end, edges[index][1] + shift, index + 1
                if index == len(edges):
                    break
        if start and (words := _clean(line[start:])):
            cells.append(Cell(words, begin, placed[2]))
        return cells if len(cells) > 1 else []

    def _cells(self, text_page: int, line: str, position: int, gap: float, place: Place) -> list[Cell]:
        """A line cut at its wide gaps; nothing if it has none after all."""
        cuts = []
        box, reference, get = self._box, self._box_at, self._loose_box
        for found in _SPACES.finditer(line):
            get(text_page, position + found.start() - 1, reference)
            before = box.right
            get(text_page, position + found.end(), reference)
            if abs(box.left - before) > gap:
                cuts.append(found.span())
        if not cuts:
            return []
        cells = []
        start = 0
        for end, following in [*cuts, (len(line), len(line))]:
            get(text_page, position + start, reference)
            left, top, bottom = box.left, box.top, box.bottom
            get(text_page, position + end - 1, reference)
            placed = place(left, top, max(box.right, left), bottom)
            if words := _clean(line[start:end]):
                cells.append(Cell(words, placed[0], placed[2]))
            start = following
        return cells if len(cells) > 1 else []


def _clean(line: str) -> str:
    if line.isprintable():
        return line
    line = line.rstrip(_HYPHENS)
    if "\x02" in line or "\ufffe" in line:
        line = line.replace("\x02", "-").replace("\ufffe", "-")
    return _SPACES.sub(" ", _CONTROLS.sub("", line.replace("\t", " "))).strip()

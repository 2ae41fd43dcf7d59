"""From a page of PDFium to rows of text. What takes time are calls of PDFium, so there is one for a page's text and a few for each line.

PDFium gives the text of a page in the order in which the file draws it, with line breaks where the base line changes, a space where there is a gap,
and U+0002 or U+FFFE for a hyphen at the end of a line that divides a word.
"""

from __future__ import annotations

import ctypes
import math
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import accumulate, compress, repeat
from operator import mul, ne, sub
from typing import Any

from hausgeist.knowledge.parse.pdf.calls import functions
from hausgeist.knowledge.parse.pdf.rows import Cell, Row

__all__ = ["Letters", "Place", "letters"]

Place = Callable[[float, float, float, float], tuple[float, float, float, float]]
"""Left, top, right, bottom as PDFium has them (from the bottom left, not turned) -> the same from the top left of the page as it is shown."""

_HYPHENS = "\x02\ufffe"
_LINES = re.compile("[^\n\x02\ufffe]+[\x02\ufffe]?")
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\ufeff\uffff\ufffe\ud800-\udfff]")
_SPACES = re.compile(r"[\s\u00a0\u2000-\u200b\u202f\u3000]+")
_GAP = 1.0
"""Font sizes between two words that are not of one column."""
_WIDE = 0.62
"""Font sizes per letter, on average, above which a line must have gaps."""
_BOLD = 600
_FIXED_PITCH, _FORCE_BOLD = 1 << 0, 1 << 18
_NAME = 128
_SIDES, _MATRIX = 4, 6
"""Numbers of a rectangle, of a matrix."""
_ROOM = 256
"""Rectangles, or matrices, that are asked for at once."""
_BOLD_NAME = re.compile(r"bold|black|heavy|semibold|demi|medi\b|-b$|\dbx|bx\d|\.b$", re.IGNORECASE)
_FIXED_NAME = re.compile(r"courier|mono|consol|typewriter|cmtt|menlo|code", re.IGNORECASE)


@cache
def letters(raw: Any) -> Letters:
    """The one reader of this process. Like PDFium, which it calls, it can be used by one thread at a time."""
    return Letters(raw)


class Letters:
    """Reads pages. What is asked of every line is asked in one go, into memory that is had once for all."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self._pdfium = functions(raw)
        ffi = self._pdfium.ffi
        self._sides, self._matrices = ffi.new("double[]", _SIDES * _ROOM), ffi.new("float[]", _MATRIX * _ROOM)
        # Where the left, top, right and bottom sides go of one rectangle after the other; and matrices.
        self._places = [[self._sides + at for at in range(side, _SIDES * _ROOM, _SIDES)] for side in range(_SIDES)]
        self._one = [places[0] for places in self._places]
        self._onto = [self._matrices + at for at in range(0, _MATRIX * _ROOM, _MATRIX)]
        self._box = ffi.new("float[]", _SIDES)
        self._name, self._flags = ffi.new("char[]", _NAME), ffi.new("int*")
        self._fonts: dict[int, tuple[bool, bool, int]] = {}

    def rows(self, text_page: Any, place: Place, number: int, most: int) -> list[Row]:
        """The lines of a page, in the order of the file. `most`: characters at most."""
        self._fonts.clear()
        count = min(self._raw.FPDFText_CountChars(text_page), most)
        if count <= 0:
            return []
        page = self._pdfium.ffi.cast("void*", ctypes.cast(text_page, ctypes.c_void_p).value or 0)
        lines, positions = self._lines(text_page, page, count)
        pieces = self._pieces(page, lines, positions)
        # One letter may be raised or of another font: of two, the larger counts, and a line is bold where both are.
        sizes, faces = self._looks(page, positions)
        middles = [at + _middle(line) for line, at, sides in zip(lines, positions, pieces, strict=True) if len(sides) > _SIDES]
        others = zip(*self._looks(page, middles), strict=True)
        rows: list[Row] = []
        for line, position, sides, size, (bold, fixed, font) in zip(lines, positions, pieces, sizes, faces, strict=True):
            length = len(line)
            if len(sides) == _SIDES:
                left, top, right, bottom = sides
            elif sides:
                left, top, right, bottom = min(sides[0::_SIDES]), max(sides[1::_SIDES]), max(sides[2::_SIDES]), min(sides[3::_SIDES])
                other, face = next(others)
                if length > 2:
                    size, bold, fixed, font = max(size, other), bold and face[0], fixed and face[1], face[2]
            else:
                continue
            x, y, x_beyond, y_beyond = place(left, top, right, bottom)
            across, down = x_beyond - x, y_beyond - y
            if size <= 0.1:
                size = max(0.1, min(across, down))
            text = line if line.isprintable() else _clean(line)
            hyphen = line[-1] in _HYPHENS
            if text or hyphen:
                row = Row(text, x, y, x_beyond, y_beyond, size, bold, fixed, (), hyphen, length < 3 or across >= down, number, font)
                rows.append(row)
                if length > 2 and right - left > top - bottom:
                    if len(sides) > _SIDES and max(gaps := list(map(sub, sides[_SIDES::_SIDES], sides[2::_SIDES]))) > _GAP * size:
                        wide = [piece for piece, width in enumerate(gaps, 1) if width > _GAP * size]
                        row.cells = self._cells_at(page, line, position, sides[0::_SIDES], sides[2::_SIDES], wide, size, x - left)
                    elif right - left > _WIDE * size * length:
                        row.cells = self._cells(page, line, position, _GAP * size, place)
        return rows

    def _lines(self, text_page: Any, page: Any, count: int) -> tuple[list[str], list[int]]:
        """The lines of the text without the white space around them, and which of PDFium's characters each begins with."""
        ffi = self._pdfium.ffi
        units = ffi.new("uint16_t[]", 2 * count + 2)
        written = self._pdfium.text(page, 0, count, units)
        text = bytes(ffi.buffer(units, 2 * max(written - 1, 0))).decode("utf-16-le", "replace")
        aligned = len(text) == count
        lines, positions = [], []
        for position, stretch in _stretches(text):
            line = stretch.rstrip("\r ")
            if line[:1].isspace():
                length = len(line)
                line = line.lstrip()
                position += length - len(line)
            if not line:
                continue
            if not aligned:
                position = self._raw.FPDFText_GetCharIndexFromTextIndex(text_page, position)
            if position >= 0:
                lines.append(line)
                positions.append(position)
        return lines, positions

    def _pieces(self, page: Any, lines: list[str], positions: list[int]) -> list[list[float]]:
        """Of each line the rectangles that it consists of: left, top, right and bottom of each, one after the other."""
        count, get, read = self._pdfium.count, self._pdfium.rect, self._pdfium.ffi.unpack
        found = []
        for line, position in zip(lines, positions, strict=True):
            pieces = count(page, position, len(line))
            if pieces == 1:
                get(page, 0, *self._one)
                found.append(read(self._sides, _SIDES))
            else:
                found.append(self._boxes(get, page, range(pieces)))
        return found

    def _boxes(self, get: Callable[..., int], page: Any, which: Sequence[int]) -> list[float]:
        """What `get` says of each: four numbers, one after the other."""
        found: list[float] = []
        for first in range(0, len(which), _ROOM):
            some = which[first : first + _ROOM]
            deque(map(get, repeat(page), some, *self._places), 0)
            found += self._pdfium.ffi.unpack(self._sides, _SIDES * len(some))
        return found

    def _looks(self, page: Any, positions: list[int]) -> tuple[list[float], list[tuple[bool, bool, int]]]:
        """Of the letter at each position its size in points, as it is shown; and: bold? Of one width? A number that tells the font from others."""
        pages = repeat(page)
        turned: list[int] = []
        numbers: list[float] = []
        for first in range(0, len(positions), _ROOM):
            some = positions[first : first + _ROOM]
            turned += map(self._pdfium.matrix, pages, some, self._onto)
            numbers += self._pdfium.ffi.unpack(self._matrices, _MATRIX * len(some))
        slants, scales = numbers[2::_MATRIX], numbers[3::_MATRIX]
        if not all(turned):
            scales = [scale if told else 1.0 for told, scale in zip(turned, scales, strict=True)]
            slants = [slant if told else 0.0 for told, slant in zip(turned, slants, strict=True)]
        sizes = list(map(mul, map(self._pdfium.size, pages, positions), map(math.hypot, slants, scales) if any(slants) else map(abs, scales)))
        # The font's address stands for it as long as the page is open.
        fonts = list(map(self._pdfium.font, map(self._pdfium.object, pages, positions)))
        known = self._fonts
        if not known.keys() >= (found := set(fonts)):
            for font in found.difference(known):
                known[font] = self._face(page, positions[fonts.index(font)])
        return sizes, list(map(known.__getitem__, fonts))

    def _face(self, page: Any, position: int) -> tuple[bool, bool, int]:
        """Bold? Of one width? A number for its name."""
        length = self._pdfium.information(page, position, self._name, _NAME, self._flags)
        weight = self._pdfium.weight(page, position)
        name = bytes(self._pdfium.ffi.buffer(self._name, max(0, min(length, _NAME) - 1))).decode("latin-1") if length else ""
        flags = self._flags[0] if length else 0
        bold = weight >= _BOLD or bool(flags & _FORCE_BOLD) or bool(_BOLD_NAME.search(name))
        return bold, bool(flags & _FIXED_PITCH) or bool(_FIXED_NAME.search(name)), hash(name)

    def _cells_at(
        self, page: Any, line: str, position: int, lefts: list[float], rights: list[float], wide: list[int], size: float, shift: float
    ) -> list[Cell]:
        """A line cut before the pieces before which there are wide gaps. Upright pages have them by a shift."""
        spaces = [found.span() for found in _SPACES.finditer(line)]
        following = [position + end for _, end in spaces]
        things = list(map(self._pdfium.object, repeat(page), [position, *following]))
        # Mostly every piece begins with a word, and what draws it is another object.
        begun = list(compress(spaces, map(ne, things[1:], things)))
        if len(begun) == len(lefts) - 1:
            cuts = [(begun[piece - 1], piece) for piece in wide]
        else:
            edges = [(lefts[piece], piece) for piece in wide]
            cuts = _matched(spaces, self._boxes(self._pdfium.char_box, page, following)[::_SIDES], edges, 0.15 * size)
        clean = str.strip if line.isprintable() else _clean
        cells: list[Cell] = []
        start, begin = 0, min(lefts) + shift
        for (space, end), piece in cuts:
            if words := clean(line[start:space]):
                cells.append(Cell(words, begin, rights[piece - 1] + shift))
            start, begin = end, lefts[piece] + shift
        if start and (words := clean(line[start:])):
            cells.append(Cell(words, begin, max(rights) + shift))
        return cells if len(cells) > 1 else []

    def _cells(self, page: Any, line: str, position: int, gap: float, place: Place) -> list[Cell]:
        """A line cut at its wide gaps; nothing if it has none after all."""
        cuts = []
        box, get = self._box, self._pdfium.loose_box  # left, top, right, bottom
        for found in _SPACES.finditer(line):
            get(page, position + found.start() - 1, box)
            before = box[2]
            get(page, position + found.end(), box)
            if abs(box[0] - before) > gap:
                cuts.append(found.span())
        if not cuts:
            return []
        cells = []
        start = 0
        for end, following in [*cuts, (len(line), len(line))]:
            get(page, position + start, box)
            left, top, _, bottom = box
            get(page, position + end - 1, box)
            placed = place(left, top, max(box[2], left), bottom)
            if words := _clean(line[start:end]):
                cells.append(Cell(words, placed[0], placed[2]))
            start = following
        return cells if len(cells) > 1 else []


def _stretches(text: str) -> Iterator[tuple[int, str]]:
    """What may be lines, and where they begin. After a hyphen that divides a word the next line follows without a break."""
    if not any(hyphen in text for hyphen in _HYPHENS):
        pieces = text.split("\n")
        return zip(accumulate(map(len, pieces), _after, initial=0), pieces, strict=False)
    return ((found.start(), found[0]) for found in _LINES.finditer(text))


def _after(start: int, length: int) -> int:
    """Where the next piece begins: after the line break."""
    return start + length + 1


def _matched(spaces: list[tuple[int, int]], following: list[float], edges: list[tuple[float, int]], near: float) -> list[tuple[tuple[int, int], int]]:
    """The spaces after which a letter stands at an edge, each with what belongs to the edge."""
    found: list[tuple[tuple[int, int], int]] = []
    for space, x in zip(spaces, following, strict=True):
        if len(found) < len(edges) and abs(x - edges[len(found)][0]) < near:
            found.append((space, edges[len(found)][1]))
    return found


def _middle(line: str) -> int:
    """Where a letter stands near the middle of a line."""
    middle = len(line) // 2
    while line[middle] == " ":
        middle += 1
    return middle


def _clean(line: str) -> str:
    if line.isprintable():
        return line
    line = line.rstrip(_HYPHENS)
    if "\x02" in line or "\ufffe" in line:
        line = line.replace("\x02", "-").replace("\ufffe", "-")
    return _SPACES.sub(" ", _CONTROLS.sub("", line.replace("\t", " "))).strip()

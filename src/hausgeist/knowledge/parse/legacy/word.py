"""Word documents of before 2007 (DOC): the text with its pieces in order, tables, notes, headers. [MS-DOC]

Headings are known where the paragraph names a built-in style; the instructions of fields and deleted text are left out.
"""

from __future__ import annotations

import re
import struct
from bisect import bisect_right

from hausgeist.knowledge.parse.base import Draft, Limits, Source, Unreadable, content
from hausgeist.knowledge.parse.legacy.compound import Compound
from hausgeist.knowledge.parse.tables import has_header
from hausgeist.knowledge.parsed import Parsed

__all__ = ["read"]

MEDIA_TYPE = "application/msword"

_DAMAGED = "The document is damaged. Open it in Word or LibreOffice and save it as DOCX."
_PLC_CHPX, _PLC_PAPX, _CLX = 12, 13, 33
"""Numbers of the pairs of offset and length in the header of the document."""
_DELETED, _IN_TABLE, _ROW_END = 0x0800, 0x2416, 0x2417
_FIELD = re.compile("\x13[^\x13\x14\x15]*(?:\x14([^\x13\x14\x15]*))?\x15")
_PARAGRAPH = re.compile("[^\r\x07\x0c]*[\r\x07\x0c]?")


def read(source: Source, filename: str, limits: Limits) -> Parsed:
    """The text of an old Word document."""
    streams = Compound(content(source, limits), limits)
    document = streams.read("WordDocument")
    if len(document) < 0x200:
        raise Unreadable(_DAMAGED)
    magic, version = struct.unpack_from("<HH", document)
    flags = struct.unpack_from("<H", document, 10)[0]
    if flags & 0x0100:
        raise Unreadable("The document is protected by a password; save it without one.")
    if magic != 0xA5EC or version < 0x00C1:
        raise Unreadable("The document is older than Word 97. Open it in Word or LibreOffice and save it as DOCX.")
    table = streams.read("1Table" if flags & 0x0200 else "0Table")
    draft = Draft(limits)
    _Document(document, table).add(draft)
    if any(name.startswith(("Macros/", "_VBA_PROJECT_CUR/")) for name in streams.names):
        draft.warn("The document holds macros; they were neither read nor run.")
    return draft.parsed(MEDIA_TYPE)


class _Document:
    def __init__(self, document: bytes, table: bytes) -> None:
        self._document = document
        self._table = table
        # Lengths of the parts of the text: main, footnotes, headers, macros, comments, endnotes, text boxes, boxes of headers.
        words = struct.unpack_from("<H", document, 32)[0]
        longs_at = 34 + 2 * words
        longs = struct.unpack_from("<H", document, longs_at)[0]
        self._lengths = [value if 0 <= value < 1 << 28 else 0 for value in struct.unpack_from(f"<{min(longs, 22)}i", document, longs_at + 2)[3:11]]
        self._pairs = longs_at + 2 + 4 * longs + 2
        self._pieces = self._read_pieces()

    def _part(self, number: int) -> bytes:
        """One of the tables that the header of the document points to."""
        place = self._pairs + 8 * number
        if place + 8 > len(self._document):
            return b""
        offset, length = struct.unpack_from("<II", self._document, place)
        return self._table[offset : offset + length]

    def _read_pieces(self) -> list[tuple[int, int, bool]]:
        """Of each piece: its first character, its first byte, and whether a character is one byte; the last one ends the text."""
        clx = self._part(_CLX)
        place = 0
        while place + 3 <= len(clx) and clx[place] == 1:
            place += 3 + struct.unpack_from("<H", clx, place + 1)[0]
        if place + 5 > len(clx) or clx[place] != 2:
            raise Unreadable(_DAMAGED)
        size = struct.unpack_from("<I", clx, place + 1)[0]
        plc = clx[place + 5 : place + 5 + size]
        count = (len(plc) - 4) // 12
        if count < 1:
            raise Unreadable(_DAMAGED)
        starts = struct.unpack_from(f"<{count + 1}I", plc)
        found = []
        for number in range(count):
            value = struct.unpack_from("<I", plc, 4 * (count + 1) + 8 * number + 2)[0]
            narrow = bool(value & 0x40000000)
            offset = value & 0x3FFFFFFF
            found.append((starts[number], offset // 2 if narrow else offset, narrow))
        found.append((starts[count], 0, False))
        return found

    def _text(self) -> tuple[str, list[int]]:
        """All text, and the first byte of each character's piece for looking up what holds for it."""
        parts: list[str] = []
        total = 0
        for (start, offset, narrow), (end, _, _) in zip(self._pieces, self._pieces[1:], strict=False):
            count = end - start
            if count <= 0:
                continue
            raw = self._document[offset : offset + count * (1 if narrow else 2)]
            text = raw.decode("cp1252", "replace") if narrow else raw.decode("utf-16-le", "surrogatepass")
            parts.append(text[:count].ljust(count))
            total += count
            if total > len(self._document) * 2:
                raise Unreadable(_DAMAGED)
        return "".join(parts), [start for start, _, _ in self._pieces]

    def add(self, draft: Draft) -> None:
        text, starts = self._text()
        self._starts = starts
        papx, chpx = self._runs(_PLC_PAPX), self._runs(_PLC_CHPX)
        text = self._without_deleted(text, chpx)
        lengths = [*self._lengths, *[0] * 8]
        start = 0
        for number, length in enumerate(lengths[:8]):
            part = text[start : start + length]
            if number == 0:
                self._main(draft, part, start, papx)
            elif number in {1, 4, 5}:
                for line in re.split("[\r\x07]", _plain(part)):
                    draft.note(line.strip("\x02\x05 "))
            elif number == 2:
                for line in re.split("[\r\x07]", _plain(part)):
                    draft.furniture(line)
            elif number == 6:
                for line in re.split("[\r\x07]", _plain(part)):
                    draft.paragraph(line)
            start += length

    def _main(self, draft: Draft, text: str, start: int, papx: _Runs) -> None:
        rows: list[list[str]] = []
        cells: list[str] = []
        cell: list[str] = []
        field = _fields(text)
        for match in _PARAGRAPH.finditer(field):
            raw = match.group()
            if not raw:
                continue
            end = raw[-1]
            words = _plain(raw[:-1] if end in "\r\x07\x0c" else raw)
            style, sprms = papx.at(self._byte(start + match.end() - 1))
            in_table = _flag(sprms, _IN_TABLE)
            if end == "\x07":
                if _flag(sprms, _ROW_END):
                    rows.append(cells)
                    cells = []
                else:
                    cells.append(" ".join([*cell, words]).strip())
                    cell = []
                continue
            if in_table:
                cell.append(words)
                continue
            if rows:
                draft.table(rows, header=int(has_header(rows)))
                rows = []
            self._paragraph(draft, words, style)
        if cells:
            rows.append(cells)
        if rows:
            draft.table(rows, header=int(has_header(rows)))

    def _paragraph(self, draft: Draft, words: str, style: int) -> None:
        # Styles 1 to 9 are the built-in headings in every document.
        if 1 <= style <= 9:
            draft.heading(words, style)
        else:
            draft.paragraph(words)

    def _byte(self, character: int) -> int:
        """The place in the stream of a character."""
        number = max(0, bisect_right(self._starts, character) - 1)
        start, offset, narrow = self._pieces[min(number, len(self._pieces) - 2)]
        return offset + (character - start) * (1 if narrow else 2)

    def _runs(self, number: int) -> _Runs:
        return _Runs(self._document, self._part(number), paragraphs=number == _PLC_PAPX)

    def _without_deleted(self, text: str, chpx: _Runs) -> str:
        """Deleted characters become NUL, so that all places stay."""
        spans = [(first, last) for first, last, (_, sprms) in chpx.runs if _flag(sprms, _DELETED)]
        if not spans:
            return text
        characters = list(text)
        for (start, offset, narrow), (end, _, _) in zip(self._pieces, self._pieces[1:], strict=False):
            size = 1 if narrow else 2
            for first, last in spans:
                low, high = max(first, offset), min(last, offset + (end - start) * size)
                for place in range((low - offset) // size, max(0, (high - offset) // size)):
                    if start + place < len(characters) and characters[start + place] not in "\r\x07":
                        characters[start + place] = "\x00"
        return "".join(characters)


class _Runs:
    """Formatting of stretches of the stream, from pages of 512 bytes."""

    def __init__(self, document: bytes, plc: bytes, *, paragraphs: bool) -> None:
        self.runs: list[tuple[int, int, tuple[int, bytes]]] = []
        count = max(0, (len(plc) - 4) // 8)
        pages = struct.unpack_from(f"<{count}I", plc, 4 * (count + 1)) if count else ()
        for number in pages:
            page = document[(number & 0x3FFFFF) * 512 : (number & 0x3FFFFF) * 512 + 512]
            if len(page) == 512:
                self._page(page, paragraphs)
        self.runs.sort(key=lambda run: run[0])
        self._firsts = [first for first, _, _ in self.runs]

    def _page(self, page: bytes, paragraphs: bool) -> None:
        count = page[511]
        step = 13 if paragraphs else 1
        if 4 * (count + 1) + step * count > 511:
            return
        bounds = struct.unpack_from(f"<{count + 1}I", page)
        for number in range(count):
            place = 2 * page[4 * (count + 1) + step * number]
            found: tuple[int, bytes] = (0, b"")
            if place and paragraphs:
                size, at = (2 * page[place] - 1, place + 1) if page[place] else (2 * page[place + 1] if place < 511 else 0, place + 2)
                body = page[at : min(at + max(size, 0), 511)]
                found = (struct.unpack_from("<H", body)[0], body[2:]) if len(body) >= 2 else found
            elif place:
                found = (0, page[place + 1 : min(place + 1 + page[place], 511)])
            self.runs.append((bounds[number], bounds[number + 1], found))

    def at(self, place: int) -> tuple[int, bytes]:
        number = bisect_right(self._firsts, place) - 1
        if number >= 0 and self.runs[number][0] <= place < self.runs[number][1]:
            return self.runs[number][2]
        return 0, b""


_SIZES = {0: 1, 1: 1, 2: 2, 3: 4, 4: 2, 5: 2, 7: 3}


def _flag(sprms: bytes, wanted: int) -> bool:
    """Whether a property is set among those of a stretch."""
    place = 0
    value = False
    while place + 2 < len(sprms):
        code = sprms[place] | sprms[place + 1] << 8
        kind = code >> 13
        if kind == 6:
            size = (sprms[place + 2] | sprms[place + 3] << 8) + 1 if code in {0xD608, 0xD606} and place + 3 < len(sprms) else sprms[place + 2] + 1
        else:
            size = _SIZES[kind]
        if code == wanted:
            value = bool(sprms[place + 2])
        place += 2 + size
    return value


def _fields(text: str) -> str:
    """Fields as their results, with NULs in the place of what is left out, so that all places stay."""

    def result(match: re.Match[str]) -> str:
        shown = match.group(1) or ""
        before = match.start(1) - match.start() if match.group(1) is not None else 0
        return "\x00" * before + shown + "\x00" * (len(match.group()) - before - len(shown))

    for _ in range(10):
        changed = _FIELD.sub(result, text)
        if changed == text:
            break
        text = changed
    return text


def _plain(text: str) -> str:
    """Text without the marks that Word keeps in it."""
    text = _fields(text)
    text = text.replace("\x0b", "\n").replace("\x1e", "-").replace("\x0c", "\n")
    return re.sub("[\x00-\x08\x0e-\x1f]", "", text)

"""Parts of a document written down as one text, with the place of every line."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hausgeist.knowledge.parse.pdf.rows import Row, divided
from hausgeist.knowledge.parse.pdf.structure import Part
from hausgeist.knowledge.parsed import Block, Box, Line

__all__ = ["Writer", "joined"]

_TERMINAL = re.compile(r"[.!?:;。！？][\"'”’»)\]]*$")
_SOLID = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uff60\u3000-\u303f]")
"""Scripts that put no space between words."""
_FIRST_SOLID = "\u3000"


def joined(listed: Sequence[Part]) -> list[Part]:
    """Paragraphs that go on in the next column or on the next page made one."""
    found: list[Part] = []
    for part in listed:
        last = found[-1] if found else None
        if (
            last is not None
            and last.kind in {"paragraph", "list"}
            and part.kind == "paragraph"
            and last.flow != part.flow
            and _goes_on(last.rows[-1], part.rows[0])
        ):
            last.rows += part.rows
            last.flow = part.flow
        else:
            found.append(part)
    return found


def _goes_on(before: Row, row: Row) -> bool:
    if abs(before.size - row.size) > 0.13 * max(before.size, row.size) or before.upright != row.upright:
        return False
    if before.hyphen or divided(before.text):
        return row.text[:1].islower()
    return _TERMINAL.search(before.text[-6:]) is None and row.text[:1].islower()


class Writer:
    """A text that grows. `full`: it has as many characters as it may."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.length = 0
        self.full = False
        self.blocks: list[Block] = []
        self.lines: list[Line] = []
        self._pieces: list[str] = []

    @property
    def text(self) -> str:
        return "".join(self._pieces)

    def part(self, part: Part) -> None:
        if self.full:
            return
        if part.grid is not None:
            self._table(part)
            return
        between = "\n" if part.kind == "code" else " "
        if part.kind == "list" and self.blocks and self.blocks[-1].kind == "list":
            before = self.blocks.pop()
            self._put("\n")
            self._rows(part.rows, between)
            self.blocks.append(Block("list", before.start, self.length))
            return
        self._gap()
        start = self.length
        self._rows(part.rows, between)
        if self.length > start:
            self.blocks.append(Block(part.kind, start, self.length, part.level))

    def furniture(self, row: Row) -> None:
        self._gap()
        start = self.length
        self._row(row, row.text)
        self.blocks.append(Block("furniture", start, self.length))

    def _table(self, part: Part) -> None:
        assert part.grid is not None
        self._gap()
        begin = self.length
        places: list[tuple[int, int]] = []
        for row, cells in part.grid.rows:
            if places:
                self._put("\n")
            start = self.length
            self._row(row, "\t".join(cells).rstrip())
            places.append((start, self.length))
        header = int(len(places) > 2 and part.grid.rows[0][0].bold and not part.grid.rows[1][0].bold)
        self.blocks.append(Block("table", begin, self.length, rows=tuple(places), header=header))

    def _rows(self, rows: Sequence[Row], between: str) -> None:
        pieces, lines, start = self._pieces, self.lines, self.length
        before = None
        for row in rows:
            if before is not None:
                text, joint = _jointed(before, row, between)
                end = start + len(text)
                lines.append(Line(start, end, before.page, Box(before.left, before.top, before.right, before.bottom)))
                pieces.append(text)
                pieces.append(joint)
                start = end + len(joint)
            before = row
        if before is not None:
            self.length = start
            self._row(before, f"{before.text}-" if before.hyphen else before.text)

    def _row(self, row: Row, text: str) -> None:
        start = self.length
        self._put(text)
        self.lines.append(Line(start, self.length, row.page, Box(row.left, row.top, row.right, row.bottom)))

    def _gap(self) -> None:
        if self.length:
            self._put("\n\n")

    def _put(self, text: str) -> None:
        self._pieces.append(text)
        self.length += len(text)
        self.full = self.length >= self.most


def _jointed(row: Row, following: Row, between: str) -> tuple[str, str]:
    """A row's text, and what comes between it and the next."""
    text = row.text
    if row.hyphen:
        return text if following.text[:1].islower() else f"{text}-", ""
    if between == " ":
        if divided(text):
            return text[:-1] if following.text[:1].islower() else text, ""
        last = text[-1:]
        if last >= _FIRST_SOLID and _SOLID.match(last) and _SOLID.match(following.text[:1]):
            return text, ""
    return text, between

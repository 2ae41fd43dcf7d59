"""Words that OCR has found, as rows like those of any other page."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from statistics import median

from hausgeist.knowledge.parse.ocr import Word
from hausgeist.knowledge.parse.pdf.rows import Cell, Row

__all__ = ["rows"]

_GAP = 1.6
"""Heights of a line between two words that are not of one column; recognised places are rough."""
_SIZE = 0.8
"""Font size per height of a line, whose letters mostly have some that reach up and some that reach down."""


def rows(words: Sequence[Word], scale: float, number: int) -> list[Row]:
    """`scale`: points per pixel; `number`: of the page."""
    found = []
    for _, line in groupby(words, key=lambda word: (word.block, word.paragraph, word.line)):
        found.append(_row(list(line), scale, number))
    # Heights of single lines tell more of their letters than of the font: lines of a block have its size.
    typical = median(row.size for row in found) if found else 0.0
    for row in found:
        if 0.75 * typical < row.size < 1.3 * typical:
            row.size = typical
    return found


def _row(words: list[Word], scale: float, number: int) -> Row:
    height = median(word.bottom - word.top for word in words)
    cells: list[Cell] = []
    for word in words:
        left, right = word.left * scale, word.right * scale
        if cells and left - cells[-1].right <= _GAP * height * scale:
            cells[-1] = Cell(f"{cells[-1].text} {word.text}", cells[-1].left, right)
        else:
            cells.append(Cell(word.text, left, right))
    return Row(
        " ".join(word.text for word in words),
        min(word.left for word in words) * scale,
        min(word.top for word in words) * scale,
        max(word.right for word in words) * scale,
        max(word.bottom for word in words) * scale,
        max(0.1, height * scale * _SIZE),
        cells=cells if len(cells) > 1 else (),
        page=number,
    )

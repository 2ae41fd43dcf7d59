"""Tables among the rows of a page, and columns of text that were written line by line across.

What has wide gaps within lines may be either. Cells of a table whose text wraps are often drawn one after the other, so that rows go down within a
cell and up again to the next: they are put together by place, lines by their tops and cells by the columns of full rows.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf

from hausgeist.knowledge.parse.pdf.rows import Cell, Row, divided

__all__ = ["STEP", "Grid", "parted", "same_line"]

STEP = 2.6
"""Font sizes from the top of one row to that of the next, at most, within a text."""
_STEP = 1.4 * STEP
"""The same within a table."""
_SAME_LINE = 0.5
"""Of the lower of two rows: how much they must overlap to be of one line."""
_PROSE = 4.0
"""Words in a cell, on average, from which two columns are columns of text rather than a table."""
_COLUMNS = 3
"""From this many columns on, what stands below a cell can be its next line; of two, it may as well be an item of a list."""
_INDENT = 0.6
"""Font sizes by which lines of a cell may begin elsewhere."""
_CLOSER = 0.9
"""Times the distance between rows, below which a line goes on with the row above."""
_USUAL = 1.5
"""Font sizes between rows, where there are not enough to tell."""
_NEAR = 30
"""Lines among which one is looked for that a row stands beside."""
_FIGURE = re.compile(r"(?:[^\w\s]|[A-Z]{3}\b)?\s?[^\w\s]?\d(?:[\d\s.,'’/:–-]*\d)?\s?(?:[^\W\d_]{1,3})?[^\w,/–-]{0,2}")
"""A number or a date, with a sign, a currency or a unit at most."""
_LONGEST_FIGURE = 32


@dataclass(slots=True)
class Grid:
    """A table: rows of cells, each as text, with the row that they stand in."""

    rows: list[tuple[Row, list[str]]] = field(default_factory=list)


def parted(rows: Sequence[Row]) -> list[Row | Grid]:
    """Rows with gaps as tables, or as rows of columns, or as they are."""
    parts: list[Row | Grid] = []
    position = 0
    while position < len(rows):
        row = rows[position]
        if not row.cells or len(run := _run(rows, position)) < 2:
            parts.append(row)
            position += 1
            continue
        position += len(run)
        gapped = [row for row in run if row.cells]
        cells = [cell.text for row in gapped for cell in row.cells]
        words = (len(cells) + sum([text.count(" ") for text in cells])) / len(cells)
        if words >= _PROSE and max(len(row.cells) for row in gapped) <= 3:
            # Where most rows have no gaps, they are the text of numbered clauses, which columns would tear from their numbers.
            parts += _columns(run) if 2 * len(gapped) >= len(run) else run
        else:
            grid = _grid(run)
            parts += [grid] if grid is not None else run
    return parts


def same_line(one: Row, other: Row) -> bool:
    overlap = min(one.bottom, other.bottom) - max(one.top, other.top)
    return overlap > _SAME_LINE * min(one.height, other.height)


def _run(rows: Sequence[Row], position: int) -> Sequence[Row]:
    """Rows from here, which has gaps, that could be a table or columns: each below the one before, few without gaps, or lines of a cell."""
    end = position + 1
    beyond = end
    """Of what surely belongs to it."""
    full = rows[position] if len(rows[position].cells) >= _COLUMNS else None
    """The last row with many cells."""
    top = lowest = rows[position].top
    """Of the row of the table that is being read, and of the lowest line of it."""
    while end < len(rows):
        row = rows[end]
        size = max(row.size, rows[end - 1].size)
        if not row.upright or not top - 0.5 * size < row.top <= lowest + _STEP * size:
            break
        column = _column(row, full) if full is not None and not row.cells else 0
        if column == 0 and row.top <= lowest - 0.5 * rows[end - 1].size:
            break
        if row.cells or column:
            beyond = end + 1
        elif end - beyond >= 1 or (len(row.text) > 60 and not _within_a_cell(row, rows[position:end])):
            break
        if not column:
            top = row.top
            if len(row.cells) >= _COLUMNS:
                full = row
        lowest = max(lowest, row.top)
        end += 1
    return rows[position:beyond]


def _column(row: Row, full: Row) -> int:
    """The cell of a full row below which, or beside which, a row without gaps can stand as one of its lines; 0 for none and for the first."""
    for place in range(1, len(full.cells)):
        if abs(row.left - full.cells[place].left) <= _INDENT * row.size:
            following = full.cells[place + 1].left if place + 1 < len(full.cells) else inf
            return place if row.right < following and abs(row.size - full.size) < 0.2 * full.size else 0
    return 0


def _within_a_cell(row: Row, above: Sequence[Row]) -> bool:
    return any(abs(cell.left - row.left) < row.size for one in above[-3:] for cell in one.cells)


def _columns(run: Sequence[Row]) -> list[Row]:
    """Rows that hold lines of several columns of text, as rows of their own."""
    apart: list[Row] = []
    for row in run:
        cells = row.cells or [Cell(row.text, row.left, row.right)]
        for number, cell in enumerate(cells):
            hyphen = row.hyphen and number == len(cells) - 1
            apart.append(
                Row(
                    cell.text, cell.left, row.top, cell.right, row.bottom, row.size, row.bold, row.fixed,
                    hyphen=hyphen, page=row.page, font=row.font,
                )
            )  # fmt: skip
    return apart


def _grid(run: Sequence[Row]) -> Grid | None:
    """Cells put into columns: those whose places overlap are of one. Nothing, where there is only one column in the end."""
    lines = _lines(run)
    most = max(len(cells) for _, cells in lines)
    spans: list[list[float]] = []
    # A cell that lies over several columns tells nothing about them, so those of full rows count first.
    border = -inf
    for left, right in sorted([(cell.left, cell.right) for _, cells in lines if len(cells) * 2 > most for cell in cells]):
        if left < border - 1:
            if right > border:
                spans[-1][1] = border = right
        else:
            spans.append([left, right])
            border = right
    if len(spans) < 2:
        return None
    grid = Grid()
    lefts = [span[0] for span in spans]
    for row, cells in lines:
        texts = [""] * len(spans)
        for cell in cells:
            best = max(0, bisect_right(lefts, (cell.left + cell.right) / 2) - 1)
            texts[best] = f"{texts[best]} {cell.text}".strip() if texts[best] else cell.text
        grid.rows.append((row, texts))
    if len(spans) >= _COLUMNS:
        grid.rows = _unwrapped(grid.rows)
    return grid


def _lines(run: Sequence[Row]) -> list[tuple[Row, list[Cell]]]:
    """The lines of a table from the top, with their cells from the left. Rows that stand beside one another are of one."""
    lines: list[tuple[Row, list[Cell]]] = []
    for row in run:
        cells = list(row.cells) or [Cell(row.text, row.left, row.right)]
        if row.hyphen:  # until it is known whether the word goes on in the cell's next line
            cells[-1] = Cell(f"{cells[-1].text}-", cells[-1].left, cells[-1].right)
        for place in range(len(lines) - 1, max(-1, len(lines) - 1 - _NEAR), -1):
            line, others = lines[place]
            if same_line(line, row) and (row.left >= line.right or row.right <= line.left):
                others += cells
                lines[place] = _both(line, row), others
                break
        else:
            lines.append((row, cells))
    for _, cells in lines:
        cells.sort(key=lambda cell: cell.left)
    return sorted(lines, key=lambda line: line[0].top)


def _unwrapped(rows: list[tuple[Row, list[str]]]) -> list[tuple[Row, list[str]]]:
    """Lines that only go on with cells of the row above put to it: without a first cell, and closer to it than rows are to one another. A number
    does not go on with a number, so those are rows of a group, or the sums below a table."""
    steps = [(below[0].top - above[0].top, bool(below[1][0])) for above, below in pairwise(rows)]
    between = min([step for step, first in steps if first], default=_USUAL * rows[0][0].size)
    found = rows[:1]
    for (step, first), (row, texts) in zip(steps, rows[1:], strict=True):
        above, said = found[-1]
        if first or step >= _CLOSER * between or any(_apart(before, text) for before, text in zip(said, texts, strict=True)):
            found.append((row, texts))
        else:
            found[-1] = _both(above, row), [_joined(before, text) for before, text in zip(said, texts, strict=True)]
    return found


def _apart(before: str, text: str) -> bool:
    """Whether a cell cannot go on with what stands below it."""
    return bool(text) and (not before or (_is_figure(before) and _is_figure(text)))


def _is_figure(text: str) -> bool:
    return len(text) <= _LONGEST_FIGURE and _FIGURE.fullmatch(text) is not None


def _joined(before: str, text: str) -> str:
    if not before or not text:
        return before or text
    if divided(before):
        return f"{before[:-1] if text[0].islower() else before}{text}"
    return f"{before} {text}"


def _both(one: Row, other: Row) -> Row:
    """A row that covers two."""
    return Row(
        f"{one.text} {other.text}",
        min(one.left, other.left), min(one.top, other.top), max(one.right, other.right), max(one.bottom, other.bottom),
        one.size, one.bold and other.bold, one.fixed, page=one.page, font=one.font,
    )  # fmt: skip

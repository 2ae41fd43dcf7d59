"""From the rows of a page to its parts in reading order: stretches of running text, and tables.

The order of the file is kept where it can be right, since who made the file mostly knew it. Rows are gathered into flows (each row below the one
before, in the same column); flows that contradict how people read are sorted, columns from left to right, by the rules of Breuel ("High performance
document layout analysis", 2003): above goes before below where both share a column, left before right where nothing between spans both.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from itertools import pairwise
from math import inf
from statistics import median

from hausgeist.knowledge.parse.pdf.rows import Cell, Row

__all__ = ["Flow", "Grid", "flows", "step"]

_SAME_LINE = 0.5
"""Of the lower of two rows: how much they must overlap to be of one line."""
_STEP = 2.6
"""Font sizes from the top of one row to that of the next, at most, within a flow."""
_OPEN = 6
"""Flows that a row may go on with; columns of a page that was written row by row."""
_MOST_FLOWS = 400
"""Above, flows are sorted by place alone: the rules cost the third power."""
_PROSE = 4.0
"""Words in a cell, on average, from which two columns are columns of text rather than a table."""


@dataclass(slots=True)
class Grid:
    """A table: rows of cells, each as text, with the row that they stand in."""

    rows: list[tuple[Row, list[str]]] = field(default_factory=list)


@dataclass(slots=True)
class Flow:
    """Rows that follow one another in a column, or a table."""

    rows: list[Row]
    left: float
    top: float
    right: float
    bottom: float
    grid: Grid | None = None

    def take(self, row: Row) -> None:
        self.rows.append(row)
        # Comparing is several times as fast as min and max, and pages have many rows.
        self.left = min(self.left, row.left)
        self.right = max(self.right, row.right)
        self.top = min(self.top, row.top)
        self.bottom = max(self.bottom, row.bottom)


def flows(rows: Sequence[Row]) -> list[Flow]:
    """The parts of a page in reading order."""
    found: list[Flow] = []
    latest: list[Flow] = []
    for part in _tables(_mended(rows)):
        if isinstance(part, Flow):
            found.append(part)
            latest = []
            continue
        for flow in reversed(latest):
            if _follows(flow.rows[-1], part, flow):
                flow.take(part)
                if flow is not latest[-1]:
                    latest.remove(flow)
                    latest.append(flow)
                break
        else:
            flow = Flow([part], part.left, part.top, part.right, part.bottom)
            found.append(flow)
            latest.append(flow)
            del latest[:-_OPEN]
    return found if _in_order(found) else _sorted(found)


def _table(rows: list[Row], grid: Grid) -> Flow:
    return Flow(
        rows, min(row.left for row in rows), min(row.top for row in rows), max(row.right for row in rows), max(row.bottom for row in rows), grid
    )


def _mended(rows: Sequence[Row]) -> list[Row]:
    """Rows of one line made one: PDFium breaks where a raised number or a word in another font begins."""
    mended: list[Row] = []
    last = None
    for row in rows:
        if last is not None and row.top < last.bottom and row.bottom > last.top and last.upright and row.upright and _same_line(last, row):
            size = max(last.size, row.size)
            gap = row.left - last.right
            if -0.3 * size <= gap <= 1.0 * size:
                _join(last, row, "" if gap < 0.12 * size or last.hyphen else " ")
                continue
        mended.append(row)
        last = row
    return mended


def _same_line(one: Row, other: Row) -> bool:
    overlap = min(one.bottom, other.bottom) - max(one.top, other.top)
    return overlap > _SAME_LINE * min(one.height, other.height)


def _join(row: Row, other: Row, between: str) -> None:
    if row.cells or other.cells:
        cells = list(row.cells or [Cell(row.text, row.left, row.right)])
        others = list(other.cells or [Cell(other.text, other.left, other.right)])
        cells[-1] = Cell(cells[-1].text + between + others[0].text, cells[-1].left, others[0].right)
        row.cells = [*cells, *others[1:]]
    if other.right - other.left > row.right - row.left:
        row.size, row.bold, row.fixed, row.font = other.size, other.bold, other.fixed, other.font
    row.text += between + other.text
    row.hyphen = other.hyphen
    row.top, row.bottom = min(row.top, other.top), max(row.bottom, other.bottom)
    row.left, row.right = min(row.left, other.left), max(row.right, other.right)


def _tables(rows: Sequence[Row]) -> list[Row | Flow]:
    """Rows with gaps as tables, or as rows of columns, or as they are."""
    parts: list[Row | Flow] = []
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
        words = (len(cells) + sum([text.count(" ") for text in cells])) / max(1, len(cells))
        if words >= _PROSE and max(len(row.cells) for row in gapped) <= 3:
            parts += _columns(run)
        else:
            grid = _grid(run)
            parts += [_table(list(run), grid)] if grid is not None else list(run)
    return parts


def _run(rows: Sequence[Row], position: int) -> Sequence[Row]:
    """Rows from here, which has gaps, that could be a table or columns: each below the one before; a few without gaps in between."""
    end = position + 1
    last_gapped = end
    while end < len(rows):
        row, before = rows[end], rows[end - 1]
        if not row.upright or not -0.5 * before.size < row.top - before.top <= _STEP * 1.4 * max(row.size, before.size):
            break
        if row.cells:
            last_gapped = end + 1
        elif end - last_gapped >= 1 or (len(row.text) > 60 and not _within_a_cell(row, rows[position:end])):
            break
        end += 1
    return rows[position:last_gapped]


def _within_a_cell(row: Row, above: Sequence[Row]) -> bool:
    return any(abs(cell.left - row.left) < row.size for one in above[-3:] for cell in one.cells)


def _columns(run: Sequence[Row]) -> list[Row]:
    """Rows that hold lines of several columns of text, as rows of their own."""
    apart: list[Row] = []
    for row in run:
        cells = row.cells or [Cell(row.text, row.left, row.right)]
        for number, cell in enumerate(cells):
            last = number == len(cells) - 1
            apart.append(
                Row(
                    cell.text,
                    cell.left,
                    row.top,
                    cell.right,
                    row.bottom,
                    row.size,
                    row.bold,
                    row.fixed,
                    hyphen=row.hyphen and last,
                    page=row.page,
                    font=row.font,
                )
            )
    return apart


def _grid(run: Sequence[Row]) -> Grid | None:
    """Cells put into columns: those whose places overlap are of one. Nothing, where there is only one column in the end."""
    listed = [list(row.cells) or [Cell(row.text, row.left, row.right)] for row in run]
    most = max(len(cells) for cells in listed)
    spans: list[list[float]] = []
    # A cell that lies over several columns tells nothing about them, so those of full rows count first.
    border = -inf
    for left, right in sorted([(cell.left, cell.right) for cells in listed if len(cells) * 2 > most for cell in cells]):
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
    for row, cells in zip(run, listed, strict=True):
        texts = [""] * len(spans)
        for cell in cells:
            best = max(0, bisect_right(lefts, (cell.left + cell.right) / 2) - 1)
            texts[best] = f"{texts[best]} {cell.text}".strip() if texts[best] else cell.text
        grid.rows.append((row, texts))
    return grid


def _follows(before: Row, row: Row, flow: Flow) -> bool:
    """Whether a row goes on with a flow: it is the next one below, in the same column."""
    if before.upright != row.upright or flow.grid is not None:
        return False
    if not before.upright:
        return True
    size = before.size if before.size > row.size else row.size
    distance = row.top - before.top
    if not -0.2 * size < distance <= _STEP * size:
        return False
    if distance < 0.3 * size:  # beside, not below
        return 0 <= row.left - before.right < 3 * size
    # They share a part of the column.
    return flow.left < flow.right and row.left < row.right and row.left < flow.right and flow.left < row.right


def _share(one: Flow, other: Flow) -> bool:
    """Whether both stand in one column."""
    return one.right - other.left > 1.0 and other.right - one.left > 1.0


def _in_order(found: Sequence[Flow]) -> bool:
    """Whether the order of the file can be that of reading: nothing stands above what comes before it in the same column."""
    for position, flow in enumerate(found):
        for later in found[position + 1 : position + 1 + _OPEN]:
            if _share(flow, later) and later.bottom <= flow.top + 1:
                return False
    return True


def _sorted(found: list[Flow]) -> list[Flow]:
    if len(found) > _MOST_FLOWS:
        return sorted(found, key=lambda flow: (round(flow.top), flow.left))
    after = _orders(found)
    waits = [0] * len(found)
    for following in after:
        for index in following:
            waits[index] += 1
    order: list[Flow] = []
    left = dict(enumerate(found))
    ready = [(flow.top, flow.left, index) for index, flow in left.items() if not waits[index]]
    heapify(ready)
    while left:
        # Contradictions are possible; then the one that waits for the fewest goes first, the uppermost of them.
        index = heappop(ready)[2] if ready else min(left, key=lambda one: (waits[one], found[one].top, found[one].left))
        order.append(left.pop(index))
        for later in after[index]:
            waits[later] -= 1
            if not waits[later] and later in left:
                heappush(ready, (found[later].top, found[later].left, later))
    return order


def _orders(found: Sequence[Flow]) -> list[list[int]]:
    """For each flow those that go after it."""
    after: list[list[int]] = [[] for _ in found]
    places = [(flow.left, flow.top, flow.right, flow.bottom) for flow in found]
    for one, (left, top, right, bottom) in enumerate(places):
        for other, (begin, upper, beyond, lower) in enumerate(places[:one]):
            if right - begin > 1.0 and beyond - left > 1.0:  # both stand in one column
                middle, another = top + bottom, upper + lower
                if middle < another:
                    after[one].append(other)
                elif another < middle:
                    after[other].append(one)
            elif right <= begin + 1:
                if not _spanned(found, one, other):
                    after[one].append(other)
                elif beyond <= left + 1 and not _spanned(found, other, one):
                    after[other].append(one)
            elif beyond <= left + 1 and not _spanned(found, other, one):
                after[other].append(one)
    return after


def _spanned(found: Sequence[Flow], one: int, other: int) -> bool:
    """Whether something between the two, from top to bottom, spans the columns of both."""
    first, second = found[one], found[other]
    upper, lower = min(first.bottom, second.bottom), max(first.top, second.top)
    if upper >= lower:
        return False
    return any(flow.top >= upper - 1 and flow.bottom <= lower + 1 and _share(flow, first) and _share(flow, second) for flow in found)


def step(rows: Sequence[Row]) -> float:
    """How far apart the rows of a text are, from top to top; 0 for a single one."""
    steps = [distance for above, below in pairwise(rows) if (distance := below.top - above.top) > 0.3 * above.size]
    return median(steps) if steps else 0.0

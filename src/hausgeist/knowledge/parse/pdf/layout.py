"""From the rows of a page to its parts in reading order: stretches of running text, and tables.

The order of the file is kept where it can be right, since who made the file mostly knew it. Rows are gathered into flows (each row below the one
before, in the same column); flows that contradict how people read are sorted, columns from left to right, by the rules of Breuel ("High performance
document layout analysis", 2003): above goes before below where both share a column, left before right where nothing between spans both.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
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
        self.left, self.right = min(self.left, row.left), max(self.right, row.right)
        self.top, self.bottom = min(self.top, row.top), max(self.bottom, row.bottom)


def flows(rows: Sequence[Row]) -> list[Flow]:
    """The parts of a page in reading order."""
    found: list[Flow] = []
    latest: list[Flow] = []
    for part in _tables(_mended(rows)):
        if isinstance(part, Flow):
            found.append(part)
            latest = []
            continue
        flow = next((one for one in reversed(latest) if _follows(one.rows[-1], part, one)), None)
        if flow is None:
            flow = _flow([part])
            found.append(flow)
        else:
            latest.remove(flow)
            flow.take(part)
        latest.append(flow)
        del latest[:-_OPEN]
    return found if _in_order(found) else _sorted(found)


def _flow(rows: list[Row], grid: Grid | None = None) -> Flow:
    return Flow(
        rows, min(row.left for row in rows), min(row.top for row in rows), max(row.right for row in rows), max(row.bottom for row in rows), grid
    )


def _mended(rows: Sequence[Row]) -> list[Row]:
    """Rows of one line made one: PDFium breaks where a raised number or a word in another font begins."""
    mended: list[Row] = []
    for row in rows:
        if mended and (last := mended[-1]).upright and row.upright and _same_line(last, row):
            size = max(last.size, row.size)
            gap = row.left - last.right
            if -0.3 * size <= gap <= 1.0 * size:
                _join(last, row, "" if gap < 0.12 * size or last.hyphen else " ")
                continue
        mended.append(row)
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
        run = _run(rows, position)
        if len(run) < 2:
            row = rows[position]
            parts.append(row)
            position += 1
            continue
        position += len(run)
        gapped = [row for row in run if row.cells]
        words = sum(len(cell.text.split()) for row in gapped for cell in row.cells) / max(1, sum(len(row.cells) for row in gapped))
        if words >= _PROSE and max(len(row.cells) for row in gapped) <= 3:
            parts += _columns(run)
        else:
            grid = _grid(run)
            parts += [_flow(list(run), grid)] if grid is not None else list(run)
    return parts


def _run(rows: Sequence[Row], position: int) -> Sequence[Row]:
    """Rows from here that could be a table or columns: with gaps, each below the one before; a few without gaps in between."""
    if not rows[position].cells:
        return ()
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
    for cell in sorted((cell for cells in listed if len(cells) * 2 > most for cell in cells), key=lambda cell: cell.left):
        if spans and cell.left < spans[-1][1] - 1:
            spans[-1][1] = max(spans[-1][1], cell.right)
        else:
            spans.append([cell.left, cell.right])
    if len(spans) < 2:
        return None
    grid = Grid()
    lefts = [span[0] for span in spans]
    for row, cells in zip(run, listed, strict=True):
        texts = [""] * len(spans)
        for cell in cells:
            best = max(0, bisect_right(lefts, (cell.left + cell.right) / 2) - 1)
            texts[best] = f"{texts[best]} {cell.text}".strip()
        grid.rows.append((row, texts))
    return grid


def _follows(before: Row, row: Row, flow: Flow) -> bool:
    """Whether a row goes on with a flow: it is the next one below, in the same column."""
    if before.upright != row.upright or flow.grid is not None:
        return False
    size = max(before.size, row.size)
    if not before.upright:
        return True
    if not -0.2 * size < row.top - before.top <= _STEP * size:
        return False
    if row.top - before.top < 0.3 * size:  # beside, not below
        return 0 <= row.left - before.right < 3 * size
    return min(flow.right, row.right) - max(flow.left, row.left) > 0


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
    count = len(found)
    after: list[set[int]] = [set() for _ in found]
    for one in range(count):
        for other in range(one):
            if _before(found, one, other):
                after[one].add(other)
            elif _before(found, other, one):
                after[other].add(one)
    waits = [0] * count
    for following in after:
        for index in following:
            waits[index] += 1
    order: list[Flow] = []
    left = set(range(count))
    while left:
        # Contradictions are possible; then the uppermost goes first.
        index = min(left, key=lambda one: (waits[one], found[one].top, found[one].left))
        left.remove(index)
        order.append(found[index])
        for following_index in after[index]:
            waits[following_index] -= 1
    return order


def _before(found: Sequence[Flow], one: int, other: int) -> bool:
    first, second = found[one], found[other]
    if _share(first, second):
        return (first.top + first.bottom) < (second.top + second.bottom)
    if first.right > second.left + 1:
        return False
    # Left of it: unless something between the two, from top to bottom, spans both columns.
    upper, lower = min(first.bottom, second.bottom), max(first.top, second.top)
    if upper >= lower:
        return True
    return not any(_share(flow, first) and _share(flow, second) and flow.top >= upper - 1 and flow.bottom <= lower + 1 for flow in found)


def step(rows: Sequence[Row]) -> float:
    """How far apart the rows of a text are, from top to top; 0 for a single one."""
    steps = [below.top - above.top for above, below in pairwise(rows) if below.top > above.top + 0.3 * above.size]
    return median(steps) if steps else 0.0

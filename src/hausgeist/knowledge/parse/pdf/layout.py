"""From the rows of a page to its parts in reading order: stretches of running text, and tables.

The order of the file is kept where it can be right, since who made the file mostly knew it. Rows are gathered into flows (each row below the one
before, in the same column); flows that contradict how people read are sorted, columns from left to right, by the rules of Breuel ("High performance
document layout analysis", 2003): above goes before below where both share a column, left before right where nothing between spans both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import pairwise
from statistics import median

from hausgeist.knowledge.parse.pdf.rows import Cell, Row
from hausgeist.knowledge.parse.pdf.tables import STEP, Grid, parted, same_line

__all__ = ["Flow", "flows", "step"]

_OPEN = 6
"""Flows that a row may go on with; columns of a page that was written row by row."""
_MOST_FLOWS = 400
"""Above, flows are sorted by place alone: the rules cost the third power."""


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
        self.bottom = max(self.bottom, row.bottom)
        # Mostly none of these, and pages have many rows.
        if row.left < self.left or row.right > self.right or row.top < self.top:
            self.left, self.right, self.top = min(self.left, row.left), max(self.right, row.right), min(self.top, row.top)


def flows(rows: Sequence[Row]) -> list[Flow]:
    """The parts of a page in reading order."""
    found: list[Flow] = []
    latest: list[Flow] = []
    for part in parted(_mended(rows)):
        if isinstance(part, Grid):
            found.append(_table(part))
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


def _table(grid: Grid) -> Flow:
    rows = [row for row, _ in grid.rows]
    return Flow(
        rows, min(row.left for row in rows), min(row.top for row in rows), max(row.right for row in rows), max(row.bottom for row in rows), grid
    )


def _mended(rows: Sequence[Row]) -> list[Row]:
    """Rows of one line made one: PDFium breaks where a raised number or a word in another font begins."""
    mended: list[Row] = []
    last = None
    for row in rows:
        if last is not None and row.top < last.bottom and row.bottom > last.top and last.upright and row.upright and same_line(last, row):
            size = max(last.size, row.size)
            gap = row.left - last.right
            if -0.3 * size <= gap <= 1.0 * size:
                _join(last, row, "" if gap < 0.12 * size or last.hyphen else " ")
                continue
        mended.append(row)
        last = row
    return mended


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


def _follows(before: Row, row: Row, flow: Flow) -> bool:
    """Whether a row goes on with a flow: it is the next one below, in the same column."""
    if before.upright != row.upright or flow.grid is not None:
        return False
    if not before.upright:
        return True
    size = before.size if before.size > row.size else row.size
    distance = row.top - before.top
    if not -0.2 * size < distance <= STEP * size:
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
            elif not _spanned(found, one, other):  # beside one another: the left one first
                if right <= begin + 1:
                    after[one].append(other)
                else:
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

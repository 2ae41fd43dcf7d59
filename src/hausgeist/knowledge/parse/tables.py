"""Tables that do not say which of their rows is of titles."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from hausgeist.knowledge.parse.base import Draft

__all__ = ["add_grid", "has_header"]

_NUMBER = re.compile(r"[-+(]?\s*[$€£¥]?\s*\d[\d.,' \u00a0\u202f]*\s*(%|[$€£¥]|[A-Z]{3})?\)?|\d{1,4}([-./:]\d{1,2}){1,2}(\s+\d{1,2}:\d{2}(:\d{2})?)?")
_LONGEST_TITLE = 80
_LINES = 20
"""Cells below one another, and none beside them, are lines of text; more of them are a list."""


def has_header(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row reads like titles: short, all different, no numbers, while what follows is otherwise or goes on for some rows."""
    if len(rows) < 2:
        return False
    first = [cell.strip() for cell in rows[0]]
    width = max(len([cell for cell in row if cell.strip()]) for row in rows[:20])
    filled = [cell for cell in first if cell]
    if len(filled) < 2 or len(filled) < width - 1 or len(set(filled)) < len(filled):
        return False
    if any(_NUMBER.fullmatch(cell) or len(cell) > _LONGEST_TITLE for cell in filled):
        return False
    below = [cell.strip() for row in rows[1:20] for cell in row if cell.strip()]
    return len(rows) > 2 or any(_NUMBER.fullmatch(cell) or len(cell) > _LONGEST_TITLE for cell in below)


def add_grid(draft: Draft, rows: Iterable[tuple[int, Sequence[str]]]) -> None:
    """A sheet as its tables: rows by number, from those that have text; a gap divides tables, and rows of one cell are sentences, not tables."""
    group: list[Sequence[str]] = []
    last = None
    for number, row in rows:
        if draft.full:
            return
        if last is not None and number > last + 1:
            _add_group(draft, group)
            group = []
        group.append(row)
        last = number
    _add_group(draft, group)


def _add_group(draft: Draft, group: list[Sequence[str]]) -> None:
    filled = [sum(bool(cell.strip()) for cell in row) for row in group]
    if max(filled, default=0) == 1 and len(group) <= _LINES:
        draft.paragraph("\n".join(cell for row in group for cell in row if cell.strip()))
        return
    # Lines of one cell above a table are its title and what is said about it.
    above = next((place for place, count in enumerate(filled) if count > 1), 0)
    for row in group[:above]:
        draft.paragraph(next(cell for cell in row if cell.strip()))
    group = group[above:]
    for part in _side_by_side(group):
        first = min(next((place for place, cell in enumerate(row) if cell.strip()), len(row)) for row in part)
        rows = [row[first:] for row in part]
        draft.table(rows, header=int(has_header(rows)))


def _side_by_side(group: list[Sequence[str]]) -> list[list[Sequence[str]]]:
    """Tables beside one another: divided by an empty column, each of two columns at least, and not of the same rows (one with a gap)."""
    width = max(map(len, group), default=0)
    if width < 5 or len(group) > 10_000:
        return [group] if group else []
    used = [any(len(row) > column and row[column].strip() for row in group) for column in range(width)]
    spans: list[tuple[int, int]] = []
    for column, filled in enumerate(used):
        if filled and spans and spans[-1][1] == column:
            spans[-1] = (spans[-1][0], column + 1)
        elif filled:
            spans.append((column, column + 1))
    parts: list[list[Sequence[str]]] = []
    places: set[tuple[int, int]] = set()
    for start, end in spans:
        rows = [(number, row[start:end]) for number, row in enumerate(group) if any(cell.strip() for cell in row[start:end])]
        parts.append([row for _, row in rows])
        places.add((rows[0][0], rows[-1][0]))
    apart = len(spans) > 1 and all(end - start > 1 for start, end in spans) and len(places) == len(spans)
    return parts if apart else [group]

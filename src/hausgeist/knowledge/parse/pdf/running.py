"""Running headers, footers and page numbers: what stands at the edge of many pages at the same height and says the same, but for numbers."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from statistics import median

from hausgeist.knowledge.parse.pdf.rows import Row, Sheet

__all__ = ["set_apart"]

_EDGE = 0.14
"""Of the height of a page: where headers and footers stand."""
_OUTERMOST = 4
"""Rows at each edge that are looked at."""
_HEIGHT = 4.0
"""Points that a running line may move between pages."""
_LEAST = 3
"""Pages that say the same, in a document of many; in one of few it is two."""
_FEW = 4
_LETTERS = 3
_LONGEST = 200

_NUMBER = re.compile(r"\d+")
_PAGE = re.compile(
    r"[\W_]*(?:(?:page|seite|pagina|página|side|sida|strona|p|s|pag)\b\.?\s*)?(?P<number>\d{1,5}|[ivxlc]{1,6})(?:\s*(?:of|von|de|di|sur|av|z|/|\|)\s*\d{1,5})?[\W_]*",
    re.IGNORECASE,
)


def set_apart(sheets: Sequence[Sheet]) -> list[list[Row]]:
    """Takes the running lines out of the sheets; returns them for each sheet, from the top."""
    edges = [_at_the_edge(sheet) for sheet in sheets]
    seen: dict[tuple[str, bool], list[float]] = defaultdict(list)
    for sheet, rows in zip(sheets, edges, strict=True):
        for key, height in {_key(row, sheet): _height(row, sheet) for row in rows}.items():
            seen[key].append(height)
    least = _LEAST if len(sheets) > _FEW else 2
    usual = {key: median(heights) for key, heights in seen.items() if len(heights) >= least}
    apart: list[list[Row]] = []
    for sheet, rows in zip(sheets, edges, strict=True):
        taken = {id(row) for row in rows if _runs(row, sheet, usual) or _numbers(row, sheet, rows)}
        apart.append(sorted((row for row in rows if id(row) in taken), key=lambda row: (row.top, row.left)))
        if taken:
            sheet.rows = [row for row in sheet.rows if id(row) not in taken]
    return apart


def _at_the_edge(sheet: Sheet) -> list[Row]:
    if sheet.height <= 0:
        return []
    border = sheet.height * _EDGE
    under = sheet.height - border
    top = [row for row in sheet.rows if row.bottom <= border and row.upright and len(row.text) <= _LONGEST]
    bottom = [row for row in sheet.rows if row.top >= under and row.upright and len(row.text) <= _LONGEST]
    return sorted(top, key=lambda row: row.top)[:_OUTERMOST] + sorted(bottom, key=lambda row: -row.bottom)[:_OUTERMOST]


def _key(row: Row, sheet: Sheet) -> tuple[str, bool]:
    return _NUMBER.sub("#", row.text.casefold()), row.top < sheet.height / 2


def _height(row: Row, sheet: Sheet) -> float:
    """From the edge that it is near, so that pages of several sizes can agree."""
    return row.top if row.top < sheet.height / 2 else sheet.height - row.bottom


def _runs(row: Row, sheet: Sheet, usual: dict[tuple[str, bool], float]) -> bool:
    key = _key(row, sheet)
    if key not in usual or abs(_height(row, sheet) - usual[key]) > _HEIGHT:
        return False
    return sum(map(str.isalpha, row.text)) >= _LETTERS or _PAGE.fullmatch(row.text) is not None


def _numbers(row: Row, sheet: Sheet, rows: Sequence[Row]) -> bool:
    """Whether it is this page's number, alone at the very edge, though no other page says so."""
    found = _PAGE.fullmatch(row.text)
    if found is None or found["number"] != str(sheet.number):
        return False
    return all(
        other is row or (other.top >= row.top if row.top < sheet.height / 2 else other.bottom <= row.bottom)
        for other in rows
        if (other.top < sheet.height / 2) == (row.top < sheet.height / 2)
    ) and all(other is row or min(other.bottom, row.bottom) < max(other.top, row.top) for other in sheet.rows)

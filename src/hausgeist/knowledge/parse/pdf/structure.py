"""What the parts of a document are: headings by the size and weight of their letters, paragraphs by distance and indentation, lists, notes."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hausgeist.knowledge.parse.pdf.layout import Flow, step
from hausgeist.knowledge.parse.pdf.rows import Row
from hausgeist.knowledge.parse.pdf.tables import Grid
from hausgeist.knowledge.parsed import Kind

__all__ = ["Part", "body_size", "emphasise", "levels", "parts", "with_headings"]

_MARK = re.compile(r"(?:[•‣◦▪▫●○■□➢✓❖\u00b7\u2043\uf0b7\uf0a7*–—-]|\(?\d{1,3}[.)]|\(?[a-z][.)]|\(?[ivx]{1,5}[.)])\s+\S")
_NAMED = re.compile(
    r"(?i:figures?|fig|tables?|tab|abbildung|abb|tabelle|schaubild|listing|figura|tabla|tabella|tableau|exhibit|chart|図|表|图)\.?\s*"
    r"(?:[A-Z]?\d+|[IVX]+\b)[.\d-]*(?:\s*[.:–—|-]|\s*$|\s+[A-ZÄÖÜ])"
)
_NOTE = re.compile(r"(?:\d{1,3}|[*†‡§¹²³⁴⁵⁶⁷⁸⁹]+)\)?\s*\S")
_LAST = frozenset(".!?:;。！？\"'”’»)]")
_ENDS = re.compile(r"[.!?:;。！？][\"'”’»)\]]*$")
_NUMBERED = re.compile(r"(\d{1,2}(?:\.\d{1,3}){0,5})\.?\s+\S")
_SENTENCE_END = re.compile(r"[.,;!?]$")

_DISTANCE = 1.32
"""Times the usual step between rows, from which a new paragraph begins."""
_OTHER_SIZE = 1.13
_INDENTED = 0.9
"""Font sizes."""
_LARGER = 1.14
"""Times the body's size, from which letters are those of a heading."""
_SMALLER = 0.93
_SMALLEST = 0.8
_LONG = 60
"""Characters of a paragraph that a small bold line may be the heading of."""
_RARE = 0.06
"""Of all letters."""
_LONGEST_HEADING = 220
_LONGEST_BOLD_HEADING = 110
_ROWS_OF_A_HEADING = 4


@dataclass(slots=True)
class Part:
    """A part of the text before it is written down."""

    kind: Kind
    rows: list[Row]
    page: int
    level: int = 0
    grid: Grid | None = None
    flow: int = 0
    """Tells parts of one flow from those of another."""
    continued: bool = False


def body_size(rows: Iterable[Row]) -> float:
    """The size in which most of the text is set; in half points."""
    exact: defaultdict[float, int] = defaultdict(int)
    for row in rows:
        exact[row.size] += len(row.text)
    sizes: defaultdict[float, int] = defaultdict(int)
    for size, letters in exact.items():
        sizes[round(size * 2) / 2] += letters
    return max(sizes, key=lambda size: (sizes[size], -size)) if sizes else 0.0


def emphasise(rows: Iterable[Row]) -> None:
    """Counts as bold what is set in a font that little of the text is set in: weights are not always told."""
    listed = list(rows)
    letters: defaultdict[int, int] = defaultdict(int)
    for row in listed:
        letters[row.font] += len(row.text)
    total = sum(letters.values())
    rare = {font for font, count in letters.items() if count < _RARE * total}
    if rare:
        for row in listed:
            row.bold = row.bold or (row.font in rare and not row.fixed)


def parts(flow: Flow, page: int, number: int) -> list[Part]:
    """A flow cut into paragraphs, lists, code and tables."""
    if flow.grid is not None:
        return [Part("table", flow.rows, page, grid=flow.grid, flow=number)]
    usual = step(flow.rows)
    found: list[Part] = []
    before = None
    for row in flow.rows:
        if before is None or _breaks(flow, before, row, usual, found[-1]):
            found.append(Part("list" if _MARK.match(row.text) else "paragraph", [row], page, flow=number))
        else:
            found[-1].rows.append(row)
        before = row
    for part in found:
        first = part.rows[0]
        if first.fixed and len(part.rows) > 1 and all(row.fixed for row in part.rows):
            part.kind = "code"
        elif len(part.rows) <= 8 and _NAMED.match(first.text):
            part.kind = "caption"
    return found


def _breaks(flow: Flow, before: Row, row: Row, usual: float, part: Part) -> bool:
    """Whether a new part begins with this row."""
    larger = before.size if before.size > row.size else row.size
    distance = row.top - before.top
    if before.fixed and row.fixed:
        return distance > 2.2 * larger
    if usual and distance > _DISTANCE * usual and distance > 1.25 * larger:
        return True
    if before.size != row.size and larger > _OTHER_SIZE * min(before.size, row.size) and min(len(row.text), len(before.text)) > 2:
        return True
    if row.bold and before.bold and row.font != before.font:
        return True
    if row.bold != before.bold and (_short(before, flow) or _ENDS.search(before.text[-6:])):
        return True
    ends, short = before.text[-1:] in _LAST and _ENDS.search(before.text[-6:]) is not None, _short(before, flow)
    if (ends or short or part.kind == "list") and not before.hyphen and _MARK.match(row.text):
        return True
    if part.kind == "list":
        return row.left < part.rows[0].left - 0.5 * row.size
    if row.left > before.left + _INDENTED * row.size and abs(before.left - flow.left) < 0.5 * row.size and len(part.rows) > 1:
        return row.left < flow.left + 4 * row.size
    return short and ends


def _short(row: Row, flow: Flow) -> bool:
    return row.right < flow.right - 0.2 * (flow.right - flow.left)


def with_headings(listed: Sequence[Part], body: float, heights: dict[int, float]) -> None:
    """Marks headings and footnotes among the paragraphs. `heights`: of the pages."""
    for position, part in enumerate(listed):
        if part.kind not in {"paragraph", "list"}:
            continue
        size = max([row.size for row in part.rows])
        if len(part.rows) <= _ROWS_OF_A_HEADING and not part.rows[-1].hyphen:
            text = " ".join([row.text for row in part.rows])
            following = listed[position + 1] if position + 1 < len(listed) else None
            if _is_heading(part, text, size, body, following) and sum(map(str.isalpha, text)) >= 2:
                part.kind = "heading"
                continue
        if (
            part.kind == "paragraph"
            and size < _SMALLER * body
            and part.rows[0].top > 0.6 * heights.get(part.page, 0.0) > 0
            and _NOTE.match(" ".join([row.text for row in part.rows]))
        ):
            part.kind = "note"


def _is_heading(part: Part, text: str, size: float, body: float, following: Part | None) -> bool:
    if size >= _LARGER * body:
        return len(text) <= _LONGEST_HEADING and not (len(text) > 80 and _SENTENCE_END.search(text[-2:]))
    if not all(row.bold for row in part.rows) or size < _SMALLEST * body or len(text) > _LONGEST_BOLD_HEADING:
        return False
    if (part.kind == "list" and not _NUMBERED.match(text)) or _SENTENCE_END.search(text[-2:]):
        return False
    if following is None or all(row.bold for row in following.rows):
        return False
    return size >= _SMALLER * body or (following.kind == "paragraph" and sum(len(row.text) for row in following.rows) >= _LONG)


def levels(listed: Sequence[Part]) -> None:
    """Gives headings their levels: the larger, the higher; numbers like 2.1 say it themselves among those of the same look."""
    headings = [part for part in listed if part.kind == "heading"]
    looks = [(round(max(row.size for row in part.rows)), all(row.bold for row in part.rows)) for part in headings]
    ranks = {look: rank for rank, look in enumerate(sorted(set(looks), reverse=True), start=1)}
    largest = max((look[0] for look in looks), default=0)
    for index, (part, look) in enumerate(zip(headings, looks, strict=True)):
        part.level = min(ranks[look], 6)
        if index == 0 and part.page == 1 and look[0] == largest and sum(other[0] == largest for other in looks) == 1:
            part.kind, part.level = "title", 0
    numbered = [(part, found[1].count(".")) for part in headings if part.kind == "heading" and (found := _NUMBERED.match(part.rows[0].text))]
    if len(numbered) > 1:
        top = min(part.level for part, _ in numbered)
        shallow = min(depth for _, depth in numbered)
        for part, depth in numbered:
            part.level = min(6, top + depth - shallow)

"""Sheets of rows made a document: running lines set apart, pages put in order, parts told from one another, all written down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hausgeist.knowledge.parse.base import Limits
from hausgeist.knowledge.parse.pdf.assembly import Writer, joined
from hausgeist.knowledge.parse.pdf.layout import flows
from hausgeist.knowledge.parse.pdf.rows import Sheet
from hausgeist.knowledge.parse.pdf.running import set_apart
from hausgeist.knowledge.parse.pdf.structure import Part, body_size, emphasise, levels, parts, with_headings
from hausgeist.knowledge.parsed import Page, Parsed

__all__ = ["written"]


def written(
    sheets: list[Sheet],
    limits: Limits,
    *,
    media_type: str,
    title: str = "",
    properties: Mapping[str, str] | None = None,
    warnings: Sequence[str] = (),
) -> Parsed:
    """The document that these sheets make. Takes running lines out of the sheets. Without a `title` the first heading gives it."""
    running = set_apart(sheets)
    emphasise(row for sheet in sheets for row in sheet.rows)
    body = body_size(row for sheet in sheets for row in sheet.rows)
    listed: list[Part] = []
    number = 0
    for sheet in sheets:
        for flow in flows(sheet.rows):
            number += 1
            listed += parts(flow, sheet.number, number)
    with_headings(listed, body, {sheet.number: sheet.height for sheet in sheets})
    levels(listed)
    writer = Writer(limits.characters + sum(len(sheet.rows) for sheet in sheets) * 2)
    for part in joined(listed):
        writer.part(part)
    end = writer.length
    pages = _spans(sheets, writer, end)
    for rows in running:
        for row in rows:
            writer.furniture(row)
    text = writer.text
    if not title:
        title = next((text[block.start : block.end] for block in writer.blocks if block.kind in {"title", "heading"}), "")
    return Parsed(
        text=text,
        blocks=tuple(writer.blocks),
        pages=pages,
        lines=tuple(writer.lines),
        media_type=media_type,
        title=title[:300],
        properties=dict(properties or {}),
        warnings=tuple(warnings),
    )


def _spans(sheets: list[Sheet], writer: Writer, end: int) -> tuple[Page, ...]:
    """Where the text of each page begins and ends; a page without text stands where it would."""
    starts: dict[int, int] = {}
    ends: dict[int, int] = {}
    for start, beyond, number, _ in writer.lines:
        if starts.setdefault(number, start) > start:
            starts[number] = start
        if ends.setdefault(number, beyond) < beyond:
            ends[number] = beyond
    pages = []
    last = 0
    for sheet in sheets:
        start = starts.get(sheet.number, last)
        last = ends.get(sheet.number, start)
        pages.append(Page(sheet.number, min(start, end), min(last, end), sheet.width, sheet.height, recognised=sheet.recognised))
    return tuple(pages)

"""Questions that count or sum over documents: every document that may be seen is read, one at a time, rather than the best few.

What counts is found by rules that can be told and checked: the kind of document (by its name and its first lines), words that must stand in it, a day
(when it ends, was signed, is due, or is dated), an amount (its total). Lists (sheets, CSV) are counted by their rows, in SQLite. The answer says how
many documents were read, how the question was understood and what could not be told, and quotes from each that was counted, so that a person can
check. It never guesses: what `asking` does not understand is not counted at all.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, Protocol

from hausgeist.identity import Principal
from hausgeist.knowledge.answer.counting.asking import Asked, asked, is_counting
from hausgeist.knowledge.answer.counting.looking import Finding, look
from hausgeist.knowledge.answer.counting.telling import tell

__all__ = ["AllDocuments", "Counted", "CountedDocument", "CountedPlace", "CountedTable", "count", "is_counting"]

_PLACES: Final = 100
"""Quotations that are kept; more are counted and not quoted."""


@dataclass(frozen=True, slots=True)
class CountedTable:
    """Its rows as places in the text (cells divided by tabs), the first `header` of them titles."""

    rows: Sequence[tuple[int, int]]
    header: int = 0
    label: str = ""
    """Of the sheet it stands on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedDocument:
    """A document as it is counted: its text without running headers, and its tables."""

    file: str
    filename: str
    text: str
    tables: Sequence[CountedTable] = ()
    pages: Sequence[int] = ()
    """Where each page begins in the text."""
    media_type: str = ""
    """As found in the content."""


class AllDocuments(Protocol):
    """The documents of the stores that are asked."""

    def documents(self, who: Principal) -> AsyncIterator[CountedDocument]:
        """Each that may be seen, once (files of the same bytes are one document), never more than a few in memory. One that cannot be read is left
        out, and counted by `unread`."""
        ...

    @property
    def unread(self) -> int:
        """Documents that could not be read, so far."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedPlace:
    """A place that was counted."""

    file: str
    filename: str
    page: int
    start: int
    end: int
    quote: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """The answer to a question about all documents."""

    text: str
    documents: int
    """That were read."""
    matched: int
    """Documents and rows that were counted."""
    places: Sequence[CountedPlace] = ()
    """At most a hundred, in the order of reading."""
    sums: Mapping[str, Decimal] = field(default_factory=dict)
    """By currency; "" where none is written."""


@dataclass(slots=True)
class Tally:
    """What has been counted so far."""

    read: int = 0
    of_kind: int = 0
    """Documents of the kind that is asked for, and lists of such."""
    documents: int = 0
    rows: int = 0
    lists: int = 0
    silent: int = 0
    """Of that kind, but the day or the amount is not to be found in them."""
    sums: dict[str, Decimal] = field(default_factory=dict)
    summed: dict[str, int] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    places: list[CountedPlace] = field(default_factory=list)

    def add(self, document: CountedDocument, finding: Finding) -> None:
        self.read += 1
        if not finding.of_kind:
            return
        self.of_kind += 1
        self.silent += finding.silent
        self.lists += finding.is_list
        if finding.is_list:
            self.rows += finding.matched
        else:
            self.documents += finding.matched
        for currency, (value, number) in finding.sums.items():
            self.sums[currency] = self.sums.get(currency, Decimal(0)) + value
            self.summed[currency] = self.summed.get(currency, 0) + number
        if finding.matched and len(self.names) < _PLACES:
            self.names.append(document.filename)
        for start, end in finding.places[: _PLACES - len(self.places)]:
            page = max(1, bisect_right(document.pages, start)) if document.pages else 1
            self.places.append(
                CountedPlace(file=document.file, filename=document.filename, page=page, start=start, end=end, quote=document.text[start:end])
            )


async def count(question: str, who: Principal, documents: AllDocuments) -> Counted | None:
    """None: the question is none of these, says more than is understood, or is about a kind of document that is not there. Then search answers it,
    and should say that it has looked at the best passages only."""
    wanted: Asked | None = asked(question)
    if wanted is None:
        return None
    tally = Tally()
    async for document in documents.documents(who):
        # Rules over a whole document are work for the processor: in a thread, so that others are answered meanwhile.
        finding = await asyncio.to_thread(
            look,
            wanted,
            document.filename,
            document.text,
            [(one.rows, one.header, one.label) for one in document.tables],
            document.media_type,
        )
        tally.add(document, finding)
    if not tally.of_kind:
        return None
    text = tell(wanted, tally, documents.unread)
    return Counted(text=text, documents=tally.read, matched=tally.documents + tally.rows, places=tuple(tally.places), sums=dict(tally.sums))

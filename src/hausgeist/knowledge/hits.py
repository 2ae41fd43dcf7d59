"""What a search finds, and what may be asked about the document that it stands in. Who answers questions knows no more than this."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from hausgeist.identity import Principal
from hausgeist.knowledge.parsed import Box

__all__ = ["Hit", "Mark", "Reader", "Searcher", "Spot"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A passage, or several that follow one another. `text` is `start` to `end` (exclusive) of the text of the file's document."""

    file: str
    filename: str
    store: str
    document: int
    """Files of the same bytes in one project share a document."""
    start: int
    end: int
    text: str
    score: float
    """From 0 to 1; comparable between searches as far as that can be had."""
    page: int = 1
    """On which it begins."""
    heading: str = ""
    """The headings above it, from the highest, joined by " > "."""
    language: str = "und"
    kind: str = "paragraph"
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a piece of text stands: a rectangle on a page, one for each line."""

    page: int
    box: Box


@dataclass(frozen=True, slots=True)
class Spot:
    """On which page something stands, as people are told of it."""

    page: int = 1
    label: str = ""
    """The name of a sheet, or of a file within a mail; "" where its number says it better."""
    counted: bool = True
    """False: its file has no pages that people could turn to."""


class Searcher(Protocol):
    async def search(
        self,
        who: Principal,
        stores: Sequence[str],
        queries: Sequence[str],
        *,
        limit: int = 10,
        filters: Mapping[str, Any] | None = None,
        threshold: float = 0.0,
        rerank: bool | None = None,
    ) -> Sequence[Hit]:
        """The best passages of all queries together, best first. `filters`: as the API has them (`eq`, `in`, `and`, ...); `threshold`: none with a
        lower score; `rerank`: by the rerank model, None: as the settings say. Raises `NotFound` for a store that is not the project's, and
        `InvalidRequest`."""
        ...


class Reader(Protocol):
    async def text(self, who: Principal, file: str) -> str:
        """The whole text of a file, as a parser made it. Raises `NotFound`, and `InvalidRequest` for a file that cannot be read, saying why."""
        ...

    async def marks(self, who: Principal, file: str, start: int, end: int) -> Sequence[Mark]:
        """Where these characters stand on the file's pages; empty where it has none."""
        ...

    async def place(self, who: Principal, file: str, start: int) -> Spot:
        """On which page this character stands."""
        ...

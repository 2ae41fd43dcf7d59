"""The passages of one response, numbered as the model sees them, and where in their documents a quotation stands."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from hausgeist.errors import HausgeistError
from hausgeist.identity import Principal
from hausgeist.knowledge.answer.checking.verbatim import Normal, Place, find, normal
from hausgeist.knowledge.hits import Hit, Reader, Spot

__all__ = ["Found", "Passage", "Passages", "cited", "title_of"]

_ASIDE: Final = 20_000
"""Characters of a text from which on it is compared beside the event loop."""


@dataclass(frozen=True, slots=True)
class Passage:
    number: int
    hit: Hit

    @property
    def about(self) -> str:
        """What is known of it besides its text."""
        return f"{self.hit.filename} {self.hit.page} {self.hit.heading}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Where something stands: characters of the file's text, end exclusive."""

    file: str
    filename: str
    start: int
    end: int
    quote: str
    """As the document has it."""
    passage: Passage


class Passages:
    """Grows while the response is made; a number, once given, stays. Reads only the files that a search has found for who asks."""

    def __init__(self, who: Principal, reader: Reader) -> None:
        self.who = who
        self._reader = reader
        self._passages: dict[int, Passage] = {}
        self._texts: dict[str, str] = {}
        self._made: dict[str, Normal] = {}

    def __len__(self) -> int:
        return len(self._passages)

    @property
    def all(self) -> Sequence[Passage]:
        return list(self._passages.values())

    def clear(self) -> None:
        """Forget them, before the model has seen any."""
        self._passages.clear()

    def add(self, hits: Iterable[Hit]) -> list[Passage]:
        """Number those that are new: not within one that is there."""
        added = []
        for hit in hits:
            inside = any(
                one.hit.file == hit.file and one.hit.start <= hit.start and hit.end <= one.hit.end for one in self._passages.values()
            )  # fmt: skip
            if not inside and hit.text.strip():
                passage = Passage(len(self._passages) + 1, hit)
                self._passages[passage.number] = passage
                added.append(passage)
        return added

    def get(self, number: int) -> Passage | None:
        return self._passages.get(number)

    async def text(self, file: str) -> str:
        """The whole text of a file; empty where it is gone meanwhile."""
        if file not in self._texts:
            try:
                self._texts[file] = await self._reader.text(self.who, file)
            except HausgeistError:
                self._texts[file] = ""
        return self._texts[file]

    async def find(self, quote: str, first: Sequence[int] = ()) -> Found | None:
        """Where a quotation stands word for word: in the passages `first`, then in the others, then elsewhere in the documents of all."""
        ordered = [*(self._passages[number] for number in first if number in self._passages), *self._passages.values()]
        for passage in ordered:
            hit = passage.hit
            key = f"{hit.file}:{hit.start}:{hit.end}"
            if key not in self._made:
                self._made[key] = normal(hit.text)
            if place := find(quote, hit.text, self._made[key]):
                return self.found(passage, hit.start + place.start, hit.start + place.end, hit.text[place.start : place.end])
        for passage in {one.hit.file: one for one in reversed(ordered)}.values():
            text = await self.text(passage.hit.file)
            if not text:
                continue
            place = await asyncio.to_thread(self._search, quote, passage.hit.file, text) if len(text) > _ASIDE else find(quote, text)
            if place:
                return self.found(passage, place.start, place.end, text[place.start : place.end])
        return None

    def _search(self, quote: str, file: str, text: str) -> Place | None:
        if file not in self._made:
            self._made[file] = normal(text)
        return find(quote, text, self._made[file])

    @staticmethod
    def found(passage: Passage, start: int, end: int, quote: str) -> Found:
        return Found(file=passage.hit.file, filename=passage.hit.filename, start=start, end=end, quote=quote, passage=passage)


def title_of(hit: Hit, page: str = "page") -> str:
    """As people are told of it: "contract.pdf, page 3"."""
    name = " ".join(hit.filename.split())[:120]
    if page == "第":
        return f"{name}，第{hit.page}页"
    return f"{name}, {page} {hit.page}"


def cited(filename: str, place: Spot, page: str = "page") -> str:
    """Where a quotation stands: "contract.pdf, page 3", "prices.xlsx, Shipping", and only "minutes.md" where there are no pages."""
    name = " ".join(filename.split())[:120]
    if place.label:
        return f"{name}, {' '.join(place.label.split())[:60]}"
    if not place.counted:
        return name
    return f"{name}，第{place.page}页" if page == "第" else f"{name}, {page} {place.page}"

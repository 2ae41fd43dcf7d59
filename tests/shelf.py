"""Documents on a shelf, for tests: a small search by words and a reader over them, by the contracts of `knowledge.hits`. Projects see their own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hausgeist.app import App
from hausgeist.errors import NotFound
from hausgeist.identity import DEFAULT_PROJECT, Principal
from hausgeist.knowledge.answer.checking.support import content_words
from hausgeist.knowledge.answer.checking.watch import Policy
from hausgeist.knowledge.answer.tool import Ability, FileSearch
from hausgeist.knowledge.hits import Hit, Mark, Spot
from hausgeist.knowledge.parsed import Box

__all__ = ["Picked", "Shelf", "answerable", "extract", "file_search", "put_up"]

_PARAGRAPH = re.compile(r"\S(?:.|\n(?!\n))*")
_SENTENCE = re.compile(r"\S[^\n]*?(?:[.!?。！？](?=\s|$|[^\s\w])|(?=\n)|$)")
_LINE = 12.0


@dataclass(frozen=True)
class Paper:
    project: str
    store: str
    filename: str
    text: str
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Shelf:
    """`hits.Searcher` and `hits.Reader`. Three paragraphs are a page; a line of 80 characters is a line of it."""

    papers: dict[str, Paper] = field(default_factory=dict)
    asked: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    """Project and stores of every search, and project and file of every reading."""

    def put(self, file: str, filename: str, text: str, *, store: str = "vs_house", project: str = DEFAULT_PROJECT, **attributes: Any) -> None:
        self.papers[file] = Paper(project, store, filename, text, attributes)

    async def search(
        self, who: Principal, stores: Sequence[str], queries: Sequence[str], *, limit: int = 10, filters: Mapping[str, Any] | None = None,
        threshold: float = 0.0, rerank: bool | None = None,
    ) -> Sequence[Hit]:  # fmt: skip
        self.asked.append((who.project, tuple(stores)))
        for store in stores:
            if not any(paper.store == store and paper.project == who.project for paper in self.papers.values()):
                raise NotFound(f"There is no vector store '{store}'.")
        found = [hit for hit in self._passages(who, stores, filters) if hit.score >= threshold]
        wanted = {word[:5] for query in queries for word in content_words(query)}
        scored = [(self._share(hit.text, wanted), hit) for hit in found]
        best = sorted((one for one in scored if one[0] > max(threshold, 0.0)), key=lambda one: -one[0])[:limit]
        return [_scored(hit, score) for score, hit in best]

    def _passages(self, who: Principal, stores: Sequence[str], filters: Mapping[str, Any] | None) -> list[Hit]:
        found = []
        for number, (file, paper) in enumerate(self.papers.items()):
            if paper.project != who.project or paper.store not in stores:
                continue
            if filters is not None and paper.attributes.get(filters["key"]) != filters["value"]:
                continue
            for place, match in enumerate(_PARAGRAPH.finditer(paper.text)):
                found.append(
                    Hit(
                        file=file,
                        filename=paper.filename,
                        store=paper.store,
                        document=number,
                        start=match.start(),
                        end=match.end(),
                        text=match[0],
                        score=1.0,
                        page=place // 3 + 1,
                        attributes=paper.attributes,
                    )
                )
        return found

    @staticmethod
    def _share(text: str, wanted: set[str]) -> float:
        there = {word[:5] for word in content_words(text)}
        return len(wanted & there) / len(wanted) if wanted else 0.0

    async def text(self, who: Principal, file: str) -> str:
        self.asked.append((who.project, (file,)))
        paper = self.papers.get(file)
        if paper is None or paper.project != who.project:
            raise NotFound(f"There is no file '{file}'.")
        return paper.text

    async def place(self, who: Principal, file: str, start: int) -> Spot:
        text = await self.text(who, file)
        return Spot(next((number // 3 + 1 for number, one in enumerate(_PARAGRAPH.finditer(text)) if one.start() <= start < one.end()), 1))

    async def marks(self, who: Principal, file: str, start: int, end: int) -> Sequence[Mark]:
        text = await self.text(who, file)
        paragraphs = list(_PARAGRAPH.finditer(text))
        page = next((place // 3 + 1 for place, one in enumerate(paragraphs) if one.start() <= start < one.end()), 1)
        first, last = start // 80, max(start, end - 1) // 80
        return [Mark(page, Box(72.0, line * _LINE, 500.0, (line + 1) * _LINE)) for line in range(first, last + 1)]


def _scored(hit: Hit, score: float) -> Hit:
    return Hit(
        file=hit.file, filename=hit.filename, store=hit.store, document=hit.document, start=hit.start, end=hit.end, text=hit.text,
        score=round(score, 4), page=hit.page, attributes=hit.attributes,
    )  # fmt: skip


@dataclass(frozen=True)
class Picked:
    hit: Hit
    start: int
    end: int
    text: str


def extract(question: str, hits: Sequence[Hit]) -> list[Picked]:
    """The sentences that have most of the question's words."""
    wanted = {word[:5] for word in content_words(question)}
    found = []
    for hit in hits:
        for match in _SENTENCE.finditer(hit.text):
            shared = len(wanted & {word[:5] for word in content_words(match[0])})
            found.append((shared, Picked(hit, hit.start + match.start(), hit.start + match.end(), match[0])))
    return [one for shared, one in sorted(found, key=lambda one: -one[0])[:3] if shared]


def answerable(question: str, hits: Sequence[Hit]) -> float:
    return max((hit.score for hit in hits), default=0.0)


def file_search(shelf: Shelf, *, policy: Policy = "mark", context: int = 16_384, calls: bool = False, reads: bool = True, **more: Any) -> FileSearch:
    return FileSearch(
        shelf, shelf, ability=lambda who, name, asked: Ability(reads=reads, context=asked or context, calls=calls), extract=extract,
        answerable=answerable, tokens=lambda text: len(text) // 3 + 1, policy=policy, **more,
    )  # fmt: skip


def put_up(app: App, tool: FileSearch) -> None:
    """Have the app's responses search this."""
    app.responses.tools["file_search"] = tool  # type: ignore[index]

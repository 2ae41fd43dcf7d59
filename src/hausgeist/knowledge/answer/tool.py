"""The tool of type "file_search", for the response runner: documents are searched before the model is asked, and its answer is checked against them.

Owns how a question is answered (`Mode`) and what is kept of it; how documents are searched and read belongs to `Searcher` and `Reader`.
Small models call tools badly, so the question itself is searched first; a model that was trained to call tools may search again.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, Protocol
from weakref import WeakKeyDictionary

from hausgeist.errors import HausgeistError, InvalidRequest
from hausgeist.identity import Principal
from hausgeist.knowledge.answer.checking.inert import inert
from hausgeist.knowledge.answer.checking.passages import Found, Passage, Passages, cited
from hausgeist.knowledge.answer.checking.watch import Citation, Policy, Watcher, citation
from hausgeist.knowledge.answer.extracting.rows import with_titles
from hausgeist.knowledge.answer.phrases import Phrases, guess, phrases
from hausgeist.knowledge.answer.reading import material, questions_of
from hausgeist.knowledge.answer.spec import FileSearchSpec, parse_spec
from hausgeist.knowledge.hits import Hit, Mark, Reader, Searcher, Spot
from hausgeist.tools import Function, Reading, Said, Turn, Watch

__all__ = ["Ability", "Counted", "FileSearch", "Mode", "Quoted"]

_log = logging.getLogger(__name__)

Mode = Literal["model", "whole", "extractive", "counted"]
"""`model`: passages and a model. `whole`: a document and a model. `extractive`: sentences of documents, no model. `counted`: all documents read."""

_AGAIN: Final = "search_documents"
_MOST_AGAIN: Final = 2
"""Further searches that a model may ask for in one response."""
_LEAST_CONTEXT: Final = 4096
"""Tokens of a model that is given passages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ability:
    """What a model can be trusted with."""

    reads: bool
    """It answers from passages."""
    context: int
    """Tokens."""
    calls: bool = False
    """It was trained to call functions."""


class Quoted(Protocol):
    """Sentences of a hit that answer a question."""

    @property
    def hit(self) -> Hit: ...
    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def text(self) -> str: ...


class CountedPlace(Protocol):
    """A place that was counted."""

    @property
    def file(self) -> str: ...
    @property
    def filename(self) -> str: ...
    @property
    def page(self) -> int: ...
    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def quote(self) -> str: ...


class Counted(Protocol):
    """The answer to a question about all documents."""

    @property
    def text(self) -> str: ...
    @property
    def documents(self) -> int:
        """That were read."""
        ...

    @property
    def places(self) -> Sequence[CountedPlace]: ...


Extract = Callable[[str, Sequence[Hit]], Sequence[Quoted]]
Answerable = Callable[[str, Sequence[Hit]], float]
"""From 0 to 1: whether these hits are about the question at all."""
Count = Callable[[Principal, Sequence[str], Mapping[str, Any] | None, str], Awaitable[Counted | None]]
"""Who, stores, filters, question. None: nothing is counted there."""


@dataclass(eq=False)
class _Open:
    """One response."""

    passages: Passages
    stores: list[FileSearchSpec]
    question: str
    phrases: Phrases
    language: str = "und"
    """Of the question."""
    fence: str = field(default_factory=lambda: secrets.token_hex(6))
    reading: Reading = field(default_factory=Reading)
    mode: Mode = "model"
    hits: list[Hit] = field(default_factory=list)
    used: list[Passage] = field(default_factory=list)
    """What the model is shown now."""
    room: int = 0
    """Tokens."""
    told: list[Citation] = field(default_factory=list)
    results: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """By the id of the item."""
    stands: dict[tuple[str, int, int], tuple[Spot, Sequence[Mark]]] = field(default_factory=dict)
    """By file, start and end: where what is cited stands."""
    again: int = 0
    counted: Counted | None = None
    answered: bool = True
    """False: the documents do not say; what is cited only comes nearest."""


class FileSearch:
    """One instance serves all requests."""

    kind = "file_search"

    def __init__(
        self, searcher: Searcher, reader: Reader, *, ability: Callable[[Principal, str, int | None], Ability], extract: Extract,
        answerable: Answerable, tokens: Callable[[str], int], count: Count | None = None, language: Callable[[str], str] = guess,
        policy: Policy = "mark", least: float = 0.05, nearest: Extract | None = None,
    ) -> None:  # fmt: skip
        """`ability`: of the model of that name with that context, for who asks. `policy`: what becomes of what the documents do not bear out.
        `least`: how answerable a question has to be to be answered. `nearest`: what to show of hits that do not answer; None: as `extract`."""
        self._searcher = searcher
        self._reader = reader
        self._ability = ability
        self._extract = extract
        self._near = nearest or extract
        self._answerable = answerable
        self._tokens = tokens
        self._count = count
        self._language = language
        self._policy: Policy = policy
        self._least = least
        self._open: WeakKeyDictionary[Turn, _Open] = WeakKeyDictionary()

    def check(self, spec: Mapping[str, Any], param: str) -> Mapping[str, Any]:
        """Raises `InvalidRequest`."""
        parse_spec(spec, param)
        return dict(spec)

    def shown(self, spec: Mapping[str, Any]) -> Mapping[str, Any]:
        return spec

    # Before the model is asked

    async def read(self, spec: Mapping[str, Any], turn: Turn) -> Reading:
        """Raises `NotFound` for a store that is not the project's, and `InvalidRequest`."""
        parsed = parse_spec(spec, "tools")
        if turn in self._open:
            raise InvalidRequest("There are two tools of type 'file_search'; name all stores in one.", param="tools")
        said = _said(turn)
        queries = questions_of(said)
        question = queries[0] if queries else ""
        language = self._language(question)
        language = language if language != "und" else guess(question)
        opened = _Open(Passages(turn.who, self._reader), [parsed], question, phrases(language), language)
        self._open[turn] = opened
        if not queries:
            return opened.reading
        opened.hits = await self._search(opened, queries, turn)
        ability = self._ability(turn.who, turn.model, turn.context)
        wanted = turn.metadata.get("mode", "")
        if wanted in ("", "counted") and self._count is not None:
            opened.counted = await self._count(turn.who, parsed.vector_store_ids, parsed.filters, question)
        if opened.counted is not None:
            opened.mode = "counted"
            opened.reading.answer = self._told(opened.counted, opened)
        elif not await self._is_about(opened):
            opened.mode = "model" if ability.reads and wanted != "extractive" else "extractive"
            opened.reading.answer = self._silent(opened)
        elif wanted == "extractive" or not ability.reads or ability.context < _LEAST_CONTEXT:
            opened.mode = "extractive"
            opened.reading.answer = self._extracted(opened)
        else:
            opened.room = _room(ability.context, sum(map(self._tokens, said)))
            await self._fill(opened, wanted)
        self._note(opened, turn)
        return opened.reading

    async def _is_about(self, opened: _Open) -> bool:
        """What is in another language than the question shares no words with it; whether it answers is for the model to say."""
        if not opened.hits:
            return False
        if opened.language != "und" and any(hit.language not in (opened.language, "und") for hit in opened.hits[:3]):
            return True
        return await asyncio.to_thread(self._answerable, opened.question, opened.hits) >= self._least

    async def _search(self, opened: _Open, queries: Sequence[str], turn: Turn) -> list[Hit]:
        """Search, and tell it. What a store refuses is raised before anything is told, so that the request fails rather than its response."""
        parsed = opened.stores[0]
        hits = list(
            await self._searcher.search(
                turn.who, parsed.vector_store_ids, queries, limit=parsed.limit, filters=parsed.filters, threshold=parsed.threshold
            )
        )
        entry = turn.add({"type": "file_search_call", "status": "in_progress", "queries": list(queries), "results": None})
        entry.tell("response.file_search_call.in_progress")
        entry.body["status"] = "searching"
        entry.tell("response.file_search_call.searching")
        results = [
            {"attributes": dict(hit.attributes), "file_id": hit.file, "filename": hit.filename, "score": round(hit.score, 4), "text": hit.text}
            for hit in hits
        ]
        opened.results[str(entry.body["id"])] = results
        entry.body["status"] = "completed"
        if "file_search_call.results" in turn.include:
            entry.body["results"] = results
        entry.tell("response.file_search_call.completed")
        entry.done()
        return hits

    async def _fill(self, opened: _Open, wanted: str) -> None:
        """Choose what the model reads: the whole document where all that was found best is in one that fits, else as many passages as fit."""
        files = list(dict.fromkeys(hit.file for hit in opened.hits))
        leading = files if wanted == "whole" else list(dict.fromkeys(hit.file for hit in opened.hits[:3]))
        if wanted in ("", "whole") and (len(leading) == 1 or wanted == "whole"):
            whole = await self._whole(opened, leading)
            if whole:
                opened.mode = "whole"
                opened.used = opened.passages.add(whole)
                self._show(opened)
                return
        opened.mode = "model"
        left = opened.room
        chosen: list[Hit] = []
        for hit in opened.hits:
            size = self._tokens(hit.text) + 30
            if chosen and size > left:
                break
            chosen.append(hit)
            left -= size
        opened.used = opened.passages.add(chosen)
        self._show(opened)

    async def _whole(self, opened: _Open, files: Sequence[str]) -> list[Hit]:
        """The documents in full, if all fit."""
        found, left = [], opened.room
        for file in files:
            hit = next(one for one in opened.hits if one.file == file)
            text = await opened.passages.text(file)
            left -= self._tokens(text) + 30 if text and len(text) < 40 * opened.room else left + 1
            if left < 0:
                return []
            found.append(replace(hit, start=0, end=len(text), text=text, page=1, heading=""))
        return found

    def _show(self, opened: _Open) -> None:
        kind: Literal["passages", "whole"] = "whole" if opened.mode == "whole" else "passages"
        opened.reading.text = material(opened.used, opened.fence, opened.phrases, kind=kind)

    async def shorten(self, spec: Mapping[str, Any], turn: Turn) -> bool:
        opened = self._open[turn]
        if opened.mode == "whole":
            opened.passages.clear()
            opened.room = min(opened.room, sum(self._tokens(hit.text) + 30 for hit in opened.hits))
            await self._fill(opened, "model")
        elif len(opened.used) > 1:
            opened.used = opened.used[: len(opened.used) // 2]
            self._show(opened)
        else:
            return False
        self._note(opened, turn)
        return True

    # While the model is asked

    async def offer(self, spec: Mapping[str, Any], turn: Turn) -> Sequence[Function]:
        opened = self._open.get(turn)
        if opened is None or not opened.used or not self._ability(turn.who, turn.model, turn.context).calls:
            return []
        query = {"type": "string", "description": "What to look for, in a few words or a question."}
        return [
            Function(
                name=_AGAIN,
                description="Search the user's documents for something else, should the material not have what the question needs.",
                parameters={"type": "object", "properties": {"query": query}, "required": ["query"], "additionalProperties": False},
            )
        ]

    async def call(self, spec: Mapping[str, Any], function: str, arguments: str, turn: Turn) -> bool:
        """Search again, in the same stores; what is found is put to what the model reads."""
        opened = self._open[turn]
        query = _query(arguments)
        opened.again += 1
        if query and opened.again <= _MOST_AGAIN:
            try:
                hits = await self._search(opened, [query], turn)
            except HausgeistError as error:
                _log.warning("a further search failed: %s", error.message)
                hits = []
            left = opened.room - sum(self._tokens(one.hit.text) + 30 for one in opened.used)
            for hit in hits:
                left -= self._tokens(hit.text) + 30
                if left < 0:
                    break
                opened.used += opened.passages.add([hit])
                opened.hits.append(hit)
            self._show(opened)
        if opened.again >= _MOST_AGAIN:
            opened.reading.text += "\nThere is nothing more to search for: answer now."
        return True

    def watch(self, turn: Turn) -> Watch:
        opened = self._open[turn]
        return Watcher(
            opened.passages, question=opened.question, phrases=opened.phrases, policy=self._policy, told=opened.told.append,
            nearest=lambda: self._nearest(opened),
        )  # fmt: skip

    # Answers without a model

    async def _extracted(self, opened: _Open) -> AsyncIterator[Said]:
        quotes = await asyncio.to_thread(self._extract, opened.question, opened.hits)
        if not quotes:
            async for said in self._silent(opened):
                yield said
            return
        for number, quote in enumerate(quotes):
            yield await self._quote(opened, quote.hit, quote.start, quote.end, quote.text, first=number == 0)

    async def _quote(self, opened: _Open, hit: Hit, start: int, end: int, text: str, *, first: bool) -> Said:
        """Sentences of a document, quoted, with their place."""
        passage = next((one for one in opened.passages.add([hit]) or opened.passages.all if one.hit.file == hit.file), Passage(0, hit))
        found = Found(file=hit.file, filename=hit.filename, start=start, end=end, quote=text, passage=passage)
        opened.told.append(Citation(found=found, said=text, kind="quote", verified=True))
        left, right = ("„", "“") if opened.phrases.name == "German" else ("“", "”")
        place, _ = await self._stands(opened, found)
        shown = with_titles(await opened.passages.text(hit.file), start, end) if "\t" in text else " ".join(text.split())
        said = f"{'' if first else chr(10) * 2}{left}{shown}{right} ({cited(hit.filename, place, opened.phrases.page)})"
        return Said(inert(said), [citation(found)])

    async def _silent(self, opened: _Open) -> AsyncIterator[Said]:
        opened.answered = False
        yield Said(opened.phrases.silent)
        for said in await self._nearest(opened):
            yield said

    async def _nearest(self, opened: _Open) -> list[Said]:
        """The passages that come nearest to what is asked, and are no answer."""
        opened.answered = False
        if not opened.hits:
            return []
        found = [Said(f"\n\n{opened.phrases.nearest}")]
        for one in await asyncio.to_thread(self._near, opened.question, opened.hits):
            found.append(await self._quote(opened, one.hit, one.start, one.end, one.text, first=False))
        return found

    async def _told(self, counted: Counted, opened: _Open) -> AsyncIterator[Said]:
        yield Said(inert(counted.text))
        for place in counted.places:
            hit = Hit(
                file=place.file, filename=place.filename, store="", document=0, start=place.start, end=place.end, text=place.quote, score=1.0,
                page=place.page,
            )  # fmt: skip
            yield await self._quote(opened, hit, place.start, place.end, place.quote, first=False)

    # Afterwards

    def _note(self, opened: _Open, turn: Turn) -> None:
        noted = {"mode": str(opened.mode)}
        if opened.mode == "whole":
            noted["read"] = ", ".join(dict.fromkeys(one.hit.filename for one in opened.used))[:512]
        if opened.counted is not None:
            noted["documents"] = str(opened.counted.documents)
        turn.note(**noted)

    async def finish(self, turn: Turn) -> None:
        """What the answer rests on is kept with it. Never raises."""
        opened = self._open.pop(turn, None)
        if opened is None:
            return
        try:
            turn.keep(await self._facts(opened, turn))
        except Exception:
            _log.exception("the citations of a response could not be put together")

    async def _facts(self, opened: _Open, turn: Turn) -> dict[str, Any]:
        return {
            "mode": opened.mode,
            "answered": opened.answered,
            "documents": opened.counted.documents if opened.counted else len({hit.document for hit in opened.hits}),
            "citations": [await self._fact(one, opened) for one in opened.told],
            "passages": [
                {
                    "number": one.number, "file_id": one.hit.file, "filename": one.hit.filename, "page": one.hit.page, "start": one.hit.start,
                    "end": one.hit.end, "heading": one.hit.heading, "score": round(one.hit.score, 4),
                }
                for one in opened.passages.all
            ],
            "results": opened.results,
        }  # fmt: skip

    async def _stands(self, opened: _Open, found: Found) -> tuple[Spot, Sequence[Mark]]:
        """On which page a quotation begins, and its marks. Asked of its own beginning: a passage goes on over pages."""
        key = found.file, found.start, found.end
        if key not in opened.stands:
            who = opened.passages.who
            try:
                place = await self._reader.place(who, found.file, found.start)
                marks = await self._reader.marks(who, found.file, found.start, found.end)
            except HausgeistError:
                place, marks = Spot(found.passage.hit.page), []
            opened.stands[key] = replace(place, page=marks[0].page) if marks else place, marks
        return opened.stands[key]

    async def _fact(self, told: Citation, opened: _Open) -> dict[str, Any]:
        found = told.found
        fact: dict[str, Any] = {"kind": told.kind, "verified": told.verified, "moved": told.moved, "said": told.said}
        if found is None:
            return {**fact, "file_id": None, "filename": None, "page": None, "label": None, "start": None, "end": None, "quote": None, "boxes": []}
        place, marks = await self._stands(opened, found)
        boxes = [
            {"page": mark.page, "left": mark.box.left, "top": mark.box.top, "right": mark.box.right, "bottom": mark.box.bottom} for mark in marks
        ]
        return {
            **fact, "file_id": found.file, "filename": found.filename, "page": place.page, "label": cited(found.filename, place),
            "start": found.start, "end": found.end, "quote": found.quote,
            "boxes": boxes,
        }  # fmt: skip


def _said(turn: Turn) -> list[str]:
    """What the user said, oldest first."""
    found = []
    for item in turn.items:
        if item.get("type", "message") == "message" and item.get("role") == "user":
            content = item.get("content")
            parts = [content] if isinstance(content, str) else [str(part.get("text") or "") for part in content or () if isinstance(part, Mapping)]
            found.append("\n".join(part for part in parts if part))
    return found


def _room(context: int, said: int) -> int:
    """Tokens for what is read: what the answer, the instructions and what was said leave of the context."""
    return max(context - min(1024, context // 4) - 300 - said, 200)


def _query(arguments: str) -> str:
    try:
        found = json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        return ""
    query = found.get("query") if isinstance(found, dict) else None
    return " ".join(query.split())[:500] if isinstance(query, str) else ""

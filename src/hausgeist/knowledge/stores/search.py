"""Search: what a caller may see is decided first, then words and vectors are asked side by side, their answers are fused, and the best are read.

A passage is found only as long as the database has it, with a file of the caller's project that is completed and passes the filter; what an index
still holds beyond that is dropped.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Any, Final, Protocol

from sqlalchemy import ColumnElement, Connection, select

from hausgeist.errors import HausgeistError, InvalidRequest, ModelNotFound, StoreError
from hausgeist.identity import Principal
from hausgeist.knowledge.hits import Hit
from hausgeist.knowledge.index.base import Found
from hausgeist.knowledge.language.detection import UNKNOWN
from hausgeist.knowledge.records import store_files
from hausgeist.knowledge.stores import filters as filtering
from hausgeist.knowledge.stores import rows
from hausgeist.knowledge.stores.candidates import Candidate, candidates, texts_of
from hausgeist.knowledge.stores.indexes import Indexes, Reading
from hausgeist.knowledge.stores.merging import merged
from hausgeist.store.database import Database

__all__ = ["MOST_QUERIES", "MOST_RESULTS", "Fuse", "Ranker", "Search"]

MOST_RESULTS: Final = 50
MOST_QUERIES: Final = 16
_MOST_STORES: Final = 64
_LONGEST_QUERY: Final = 8192
"""Characters."""
_DEPTH: Final = 100
"""Candidates of each index at least: the other one may think more of them."""
_SPARE: Final = 10
"""Passages that are read beyond twice those that are wanted."""
_RANKED: Final = 30
"""Passages that a rerank model reads."""
_REST: Final = 15.0
"""Seconds for which an embedding model that failed at a question is asked no more: no search waits for it twice."""

log = logging.getLogger(__name__)


class Fuse(Protocol):
    """Makes one list of two, the best first. Scores from 0 to 1, comparable between searches."""

    def __call__(
        self, words: Sequence[Found], vectors: Sequence[Found], cosines: Mapping[int, float], *, query: str, language: str,
        languages: frozenset[str],
    ) -> Sequence[Found]: ...  # fmt: skip


class Ranker(Protocol):
    """A rerank model."""

    async def __call__(self, who: Principal, model: str, query: str, texts: Sequence[str]) -> Sequence[float]:
        """A score from 0 to 1 for each text. Raises `HausgeistError`, `ModelNotFound`."""
        ...


@dataclass(frozen=True, slots=True)
class _Allowed:
    """What may be found in a store. `entries`: only in these; `None`: in all."""

    store: str
    mark: int
    """Up to which its indexes should reach."""
    entries: frozenset[int] | None


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the indexes of one store have said to one question."""

    query: str
    at: Reading | None = None
    """`None`: they were not asked."""
    language: str = UNKNOWN
    words: Sequence[Found] = ()
    vectors: Sequence[Found] = ()
    vector: Any = None
    """Of the question; `None`: there is none."""


class Search:
    """`hits.Searcher`."""

    def __init__(
        self, database: Database, indexes: Indexes, *, fuse: Fuse, language: Callable[[str], str], rank: Ranker | None = None,
        rank_model: str = "", searched: Callable[[str], object] = lambda _: None,
    ) -> None:  # fmt: skip
        """`language`: of a question. `rank_model`: the one that is used where nobody names another; empty: none. `searched`: told of each store."""
        self._database = database
        self._indexes = indexes
        self._fuse = fuse
        self._language = language
        self._rank = rank
        self._rank_model = rank_model
        self._searched = searched
        self._failed: dict[str, float] = {}

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
        ranker: str = "",
    ) -> Sequence[Hit]:
        """`ranker`: the rerank model, by name."""
        asked = _demand_sensible(stores, queries, limit)
        condition = None if filters is None else filtering.condition(filters)
        read = partial(_allowed, who=who, stores=stores, condition=condition)
        allowed = self._database.read(read) if condition is None else await asyncio.to_thread(self._database.read, read)
        for one in allowed:
            self._searched(one.store)
        depth = max(_DEPTH, 5 * limit)
        async with AsyncExitStack() as held:
            # All are waited for, also where one fails: none may open an index when the others have been let go.
            found = await asyncio.gather(*(self._one(held, one, query, depth) for one in allowed for query in asked), return_exceptions=True)
            for failure in found:
                if isinstance(failure, BaseException):
                    raise failure
            answers = [one for one in found if isinstance(one, _Answer)]
            hits = await asyncio.to_thread(self._told, who, answers, condition, limit)
        model = ranker or (self._rank_model if rerank is not False else "")
        if model and rerank is not False and hits:
            hits = await self._ranked(who, model, asked[0], hits, named=bool(ranker or rerank))
        return [hit for hit in hits if hit.score >= threshold][:limit]

    async def _one(self, held: AsyncExitStack, allowed: _Allowed, query: str, depth: int) -> _Answer:
        """`held`: for as long as it lasts, the indexes stay open."""
        if allowed.entries is not None and not allowed.entries:
            return _Answer(query)
        at = await held.enter_async_context(self._indexes.reading(allowed.store, mark=allowed.mark))
        (language, words), (vectors, vector) = await asyncio.gather(
            asyncio.to_thread(self._words, at, query, depth, allowed.entries), self._vectors(at, query, depth, allowed.entries)
        )
        return _Answer(query, at, language, words, vectors, vector)

    def _words(self, at: Reading, query: str, depth: int, allowed: frozenset[int] | None) -> tuple[str, Sequence[Found]]:
        """The language of the question, and what has its words."""
        language = self._language(query)
        return language, [] if at.words is None else at.words.search(query, depth, language=language, entries=allowed)

    def _told(self, who: Principal, found: Sequence[_Answer], condition: ColumnElement[bool] | None, limit: int) -> list[Hit]:
        best = _together([self._fused(one) for one in found])
        return self._database.read(lambda connection: _read(connection, who, best, condition, limit))

    def _fused(self, one: _Answer) -> Sequence[Found]:
        if one.at is None:
            return []
        cosines = dict[int, float](one.vectors)
        missing = [passage for passage, _ in one.words if passage not in cosines]
        if one.vector is not None and one.at.vectors is not None and missing:
            known = one.at.vectors.scores(one.vector, missing)
            cosines.update((passage, score) for passage, score in zip(missing, known, strict=True) if not math.isnan(score))
        languages = one.at.embedder.languages if one.at.embedder is not None else frozenset[str]()
        return self._fuse(one.words, one.vectors, cosines, query=one.query, language=one.language, languages=languages)

    async def _vectors(self, at: Reading, query: str, depth: int, allowed: frozenset[int] | None) -> tuple[Sequence[Found], Any]:
        """Nothing where the embedding model fails: words answer alone then."""
        index, embedder = at.vectors, at.embedder
        if index is None or embedder is None:
            return [], None
        name = ""
        try:
            name = embedder.name
            if time.monotonic() < self._failed.get(name, 0.0):
                return [], None
            vector = await embedder.query(query)
            self._failed.pop(name, None)
            return await asyncio.to_thread(lambda: index.search(vector, depth, entries=allowed)), vector
        except StoreError:
            raise
        except HausgeistError as error:
            self._failed[name] = time.monotonic() + _REST
            log.warning("searched by words only, for the embedding model %s failed: %s", name, error.message)
            return [], None

    async def _ranked(self, who: Principal, model: str, query: str, hits: Sequence[Hit], *, named: bool) -> list[Hit]:
        """The best of them in the order that a model gives. One that was asked for has to be there; without it the others are told as they are."""
        if self._rank is None:
            return list(hits)
        first, rest = hits[:_RANKED], hits[_RANKED:]
        try:
            scores = await self._rank(who, model, query, [hit.text for hit in first])
        except HausgeistError as error:
            if named and isinstance(error, ModelNotFound | InvalidRequest):
                raise
            log.warning("what was found could not be ranked by %s: %s", model, error.message)
            return list(hits)
        ranked = [replace(hit, score=round(score, 6)) for hit, score in zip(first, scores, strict=True)]
        lowest = min(scores)
        return [*sorted(ranked, key=lambda hit: -hit.score), *(replace(hit, score=min(hit.score, lowest)) for hit in rest)]


def _together(found: Sequence[Sequence[Found]]) -> Sequence[Found]:
    """One list of those of all stores and questions, the best first."""
    if len(found) == 1:
        return found[0]
    scores: dict[int, float] = {}
    for passage in chain.from_iterable(found):
        scores[passage.id] = max(scores.get(passage.id, 0.0), passage.score)
    return sorted((Found(id_, score) for id_, score in scores.items()), key=lambda one: (-one.score, one.id))


def _read(connection: Connection, who: Principal, best: Sequence[Found], condition: ColumnElement[bool] | None, limit: int) -> list[Hit]:
    """The best that may be seen, joined where they stand beside each other, with their texts."""
    hits: list[Hit] = []
    read: list[Candidate] = []
    # Mostly the first round does: only of neighbours, near-duplicates and what has just gone there can be more than expected.
    some = 2 * limit + _SPARE
    for at in range(0, len(best), some):
        read += candidates(connection, who, best[at : at + some], condition)
        hits = merged(read, limit, partial(texts_of, connection))
        if len(hits) >= limit:
            break
    return hits


def _demand_sensible(stores: Sequence[str], queries: Sequence[str], limit: int) -> list[str]:
    """The questions, without those that say nothing. Raises `InvalidRequest`."""
    if not 1 <= limit <= MOST_RESULTS:
        raise InvalidRequest(f"max_num_results: should be a number from 1 to {MOST_RESULTS}", param="max_num_results")
    if len(stores) > _MOST_STORES:
        raise InvalidRequest(f"{_MOST_STORES} vector stores are the most that one search goes through.", param="vector_store_ids")
    asked = [query.strip() for query in queries if query.strip()]
    if not asked:
        raise InvalidRequest("query: say what is looked for", param="query")
    if len(asked) > MOST_QUERIES or any(len(query) > _LONGEST_QUERY for query in asked):
        raise InvalidRequest(f"query: at most {MOST_QUERIES} questions of {_LONGEST_QUERY:,} characters each", param="query")
    return asked


def _allowed(connection: Connection, who: Principal, stores: Sequence[str], condition: ColumnElement[bool] | None) -> list[_Allowed]:
    """Raises `NotFound` for a store that is not the project's."""
    found = rows.of_stores(connection, who, stores)
    if condition is None:
        return [_Allowed(store.id, store.mark, None) for store in found]
    allowed = []
    for store in found:
        query = select(store_files.c.entry).where(
            store_files.c.store == store.id, store_files.c.status == "completed", store_files.c.entry.is_not(None), condition
        )
        allowed.append(_Allowed(store.id, store.mark, frozenset(connection.execute(query).scalars())))
    return allowed

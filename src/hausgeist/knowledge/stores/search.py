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
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, Protocol

from sqlalchemy import ColumnElement, Connection, select

from hausgeist.errors import HausgeistError, InvalidRequest, ModelNotFound, StoreError
from hausgeist.files.records import files
from hausgeist.files.service import seen_by
from hausgeist.identity import Principal
from hausgeist.knowledge.hits import Hit
from hausgeist.knowledge.index.base import Found
from hausgeist.knowledge.records import entries, passages, store_files
from hausgeist.knowledge.stores import filters as filtering
from hausgeist.knowledge.stores import rows, texts
from hausgeist.knowledge.stores.indexes import Indexes, Reading
from hausgeist.knowledge.stores.merging import Candidate, merged
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
_SOME: Final = 500

log = logging.getLogger(__name__)


class Fuse(Protocol):
    """Makes one list of two. Scores from 0 to 1, comparable between searches."""

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
    entries: frozenset[int] | None


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
        condition = filtering.condition(filters)
        read = lambda connection: _allowed(connection, who, stores, None if filters is None else condition)  # noqa: E731
        allowed = self._database.read(read) if filters is None else await asyncio.to_thread(self._database.read, read)
        for one in allowed:
            self._searched(one.store)
        depth = max(_DEPTH, 5 * limit)
        found = await asyncio.gather(*(self._one(one, query, depth) for one in allowed for query in asked))
        scores: dict[int, float] = {}
        for one_found in found:
            for passage in one_found:
                scores[passage.id] = max(scores.get(passage.id, 0.0), passage.score)
        best = sorted((Found(id_, score) for id_, score in scores.items()), key=lambda one: (-one.score, one.id))
        hits: list[Hit] = []
        candidates: list[Candidate] = []
        # Mostly the first round does: only of neighbours, near-duplicates and what has just gone there can be more than expected.
        some = 2 * limit + _SPARE
        for at in range(0, len(best), some):
            read_some = partial(_candidates, who=who, best=best[at : at + some], condition=condition)
            candidates += await asyncio.to_thread(self._database.read, read_some)
            hits = merged(candidates, limit)
            if len(hits) >= limit:
                break
        hits = self._database.read(lambda connection: _whole(connection, hits))
        model = ranker or (self._rank_model if rerank is not False else "")
        if model and rerank is not False and hits:
            hits = await self._ranked(who, model, asked[0], hits, named=bool(ranker or rerank))
        return [hit for hit in hits if hit.score >= threshold][:limit]

    async def _one(self, allowed: _Allowed, query: str, depth: int) -> Sequence[Found]:
        if allowed.entries is not None and not allowed.entries:
            return []
        async with self._indexes.reading(allowed.store) as at:
            language = self._language(query)
            words, (vectors, vector) = await asyncio.gather(
                _words(at, query, depth, language, allowed.entries), self._vectors(at, query, depth, allowed.entries)
            )
            cosines = {one.id: one.score for one in vectors}
            missing = [one.id for one in words if one.id not in cosines]
            if vector is not None and at.vectors is not None and missing:
                known = await asyncio.to_thread(at.vectors.scores, vector, missing)
                cosines.update({id_: score for id_, score in zip(missing, known, strict=True) if not math.isnan(score)})
            languages = at.embedder.languages if at.embedder is not None else frozenset[str]()
            return self._fuse(words, vectors, cosines, query=query, language=language, languages=languages)

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


async def _words(at: Reading, query: str, depth: int, language: str, allowed: frozenset[int] | None) -> Sequence[Found]:
    if at.words is None:
        return []
    index = at.words
    return await asyncio.to_thread(lambda: index.search(query, depth, language=language, entries=allowed))


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
        return [_Allowed(store.id, None) for store in found]
    allowed = []
    for store in found:
        query = select(store_files.c.entry).where(
            store_files.c.store == store.id, store_files.c.status == "completed", store_files.c.entry.is_not(None), condition
        )
        allowed.append(_Allowed(store.id, frozenset(connection.execute(query).scalars())))
    return allowed


def _candidates(connection: Connection, who: Principal, best: Sequence[Found], condition: ColumnElement[bool]) -> list[Candidate]:
    """What was found, read from the database: with its text, and the first file that has it and that may be seen."""
    scores = {one.id: one.score for one in best}
    ids = list(scores)
    found: list[Any] = []
    for at in range(0, len(ids), _SOME):
        query = (
            select(passages, entries.c.store, entries.c.document)
            .join(entries, entries.c.id == passages.c.entry)
            .where(passages.c.id.in_(ids[at : at + _SOME]))
        )
        found += connection.execute(query).all()
    owners = _owners(connection, who, {row.entry for row in found}, condition)
    seen = [row for row in found if row.entry in owners]
    seen.sort(key=lambda row: (-scores[row.id], row.id))
    words = texts.texts(connection, [(row.document, row.start, row.end) for row in seen])
    made = []
    for row, text in zip(seen, words, strict=True):
        owner = owners[row.entry]
        hit = Hit(
            file=owner.file, filename=owner.filename, store=row.store, document=row.document, start=row.start, end=row.end, text=text,
            score=round(scores[row.id], 6), page=row.page, heading=row.heading, language=row.language, kind=row.kind,
            attributes=filtering.attributes_of(owner.attributes),
        )  # fmt: skip
        made.append(Candidate(hit, row.entry, row.number, row.number, bytes(row.digest)))
    return made


def _whole(connection: Connection, hits: Sequence[Hit]) -> list[Hit]:
    """Those that were joined get the text from where they begin to where they end."""
    joined = [hit for hit in hits if not hit.text]
    words = iter(texts.texts(connection, [(hit.document, hit.start, hit.end) for hit in joined]))
    return [hit if hit.text else replace(hit, text=next(words)) for hit in hits]


def _owners(connection: Connection, who: Principal, wanted: set[int], condition: ColumnElement[bool]) -> dict[int, Any]:
    """Of each entry the first file that was attached, is completed, may be seen, and passes the filter."""
    found: dict[int, Any] = {}
    for at in range(0, len(ids := list(wanted)), _SOME):
        query = (
            select(store_files.c.entry, store_files.c.file, store_files.c.attributes, files.c.filename)
            .join(files, files.c.id == store_files.c.file)
            .where(store_files.c.entry.in_(ids[at : at + _SOME]), store_files.c.status == "completed", seen_by(who), condition)
            .order_by(store_files.c.created, store_files.c.file)
        )
        for row in connection.execute(query):
            found.setdefault(row.entry, row)
    return found

"""The parts of documents, put together: what `app` starts and stops. Nothing heavy is loaded before something is read or searched."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from hausgeist.errors import EngineFailed, HausgeistError
from hausgeist.files import Files
from hausgeist.governance.erasure import Erased, Subject
from hausgeist.identity import Origin, Principal
from hausgeist.knowledge.answer.assembly import file_search
from hausgeist.knowledge.answer.tool import FileSearch
from hausgeist.knowledge.attached import Attached
from hausgeist.knowledge.embed.base import Embedder
from hausgeist.knowledge.index.base import Found, VectorIndex
from hausgeist.knowledge.index.fusion import fuse, share_of_words
from hausgeist.knowledge.index.words import open_words
from hausgeist.knowledge.language import detect
from hausgeist.knowledge.parse.lending import sweep
from hausgeist.knowledge.parse.ocr import LANGUAGES
from hausgeist.knowledge.parse.process import Parsers
from hausgeist.knowledge.parse.reading import PARSER
from hausgeist.knowledge.parsed import Parsed
from hausgeist.knowledge.split import split
from hausgeist.knowledge.stores.documents import Documents
from hausgeist.knowledge.stores.indexes import Indexes
from hausgeist.knowledge.stores.ingest import Ingest
from hausgeist.knowledge.stores.search import Search
from hausgeist.knowledge.stores.service import Stores
from hausgeist.knowledge.stores.upkeep import Upkeep
from hausgeist.serving.calls import Call
from hausgeist.serving.door import Door
from hausgeist.settings import Settings
from hausgeist.store.database import Database
from hausgeist.store.space import Space

__all__ = ["Knowledge"]

_PARSERS = "parsing"
"""The folder in the home in which parser processes have what they need while they work."""
_ATTACHED = "attached"
"""The one in which files that belong to nobody's store lie while they are read."""


@dataclass(eq=False)
class Knowledge:
    """`start` before the first request, `stop` after the last."""

    settings: Settings
    database: Database
    files: Files
    door: Door
    _parsers: Parsers | None = field(default=None, init=False)

    @property
    def parsers(self) -> Parsers:
        """Made when something is read for the first time."""
        if self._parsers is None:
            packs = [LANGUAGES.get(one, one) for one in self.settings.ocr_languages]
            self._parsers = Parsers(self.settings.home / _PARSERS, processes=self.settings.parsers, languages=packs)
        return self._parsers

    @cached_property
    def indexes(self) -> Indexes:
        return Indexes(
            self.database, self.settings.home, embedders=Embedders(self.settings, self.door), open_words=open_words, open_vectors=_open_vectors
        )

    @cached_property
    def documents(self) -> Documents:
        return Documents(self.database, self.files, lambda: self.parsers, version=lambda: PARSER)

    @cached_property
    def upkeep(self) -> Upkeep:
        upkeep = Upkeep(self.database, self.indexes)
        self.files.gone = upkeep.wake
        return upkeep

    @cached_property
    def ingest(self) -> Ingest:
        at_once = self.settings.documents
        return Ingest(
            self.database, self.documents, self.indexes, split=lambda: split, at_once=at_once, replaced=self.upkeep.wake,
            room=Space(self.settings.home).require,
        )  # fmt: skip

    @cached_property
    def stores(self) -> Stores:
        return Stores(self.database, self.ingest, changed=self.upkeep.wake)

    @cached_property
    def search(self) -> Search:
        return Search(
            self.database, self.indexes, fuse=_fuse, language=detect, rank=partial(_rank, self.door), rank_model=self.settings.rerank_model,
            searched=self.stores.touch,
        )  # fmt: skip

    @cached_property
    def attached(self) -> Attached:
        """Files that come with a question."""
        return Attached(self._parse, self.settings.home / _ATTACHED)

    @cached_property
    def file_search(self) -> FileSearch:
        """The tool for the response runner."""
        return file_search(self.settings, self.door, self.search, self.documents)

    async def _parse(self, path: Path, filename: str) -> Parsed:
        return await self.parsers.parse(path, filename)

    async def start(self) -> None:
        """Go on with what was not finished, and clear away what a process that was killed has left."""
        await asyncio.to_thread(self.attached.sweep)
        # What lies there may be of files that are deleted by now.
        if (parsing := self.settings.home / _PARSERS).exists():
            await asyncio.to_thread(sweep, parsing)
        self.upkeep.start()
        await self.ingest.jobs.start()

    async def stop(self) -> None:
        await self.ingest.jobs.stop()
        await self.upkeep.stop()
        await self.indexes.close()
        if self._parsers is not None:
            await self._parsers.close()

    async def erase(self, subject: Subject) -> Erased:
        """For `governance.erasure`, after the files: of a project the stores, of a person what is left empty of those that they made."""
        count = await self.stores.erase(project=subject.project, user=subject.user)
        await self.upkeep.settle()
        return Erased({"vector_stores": count})


class Embedders:
    """The one of the settings, and those that older vectors were made by."""

    def __init__(self, settings: Settings, door: Door) -> None:
        self._settings = settings
        self._door = door
        self._made: dict[str, Embedder] = {}

    def current(self) -> Embedder:
        return self._of(self._settings.embedding_model)

    def named(self, name: str) -> Embedder | None:
        # A model of the library is named with the beginning of its digest, see `FromLibrary.name`.
        for model in dict.fromkeys((self._settings.embedding_model, "", name.rpartition("@")[0])):
            try:
                made = self._of(model)
                if made.name == name:
                    return made
            except HausgeistError:
                continue
        return None

    def _of(self, model: str) -> Embedder:
        """Of a model of the library; of an empty name, the one that is installed along."""
        if model not in self._made:
            # numpy is theirs, which a server without documents has no use for.
            from hausgeist.knowledge.embed.installed import Installed
            from hausgeist.knowledge.embed.library import FromLibrary

            self._made[model] = FromLibrary(self._door, model) if model else Installed()
        return self._made[model]


def _open_vectors(folder: Path, dimension: int) -> VectorIndex:
    from hausgeist.knowledge.index.vectors import open_vectors  # numpy

    return open_vectors(folder, dimension)


def _fuse(
    words: Sequence[Found], vectors: Sequence[Found], cosines: Mapping[int, float], *, query: str, language: str, languages: frozenset[str]
) -> Sequence[Found]:
    share = share_of_words(query, language, languages, quoted=not getattr(words, "plain", True))
    return fuse(words, vectors, share=share, cosines=cosines, limit=len(words) + len(vectors))


async def _rank(door: Door, who: Principal, model: str, query: str, texts: Sequence[str]) -> Sequence[float]:
    """By a rerank model of the library. What it says is taken as it is where it is between 0 and 1, and squeezed in between where it is not."""
    body: dict[str, Any] = {"query": query, "documents": list(texts), "top_n": len(texts)}
    call = Call(model=model, operation="rerank", body=body, origin=Origin("127.0.0.1", "search"), task="rerank")
    async with await door.call(who, call) as answer:
        reply = await answer.json()
    found: Mapping[int, float] = {int(one["index"]): float(one["relevance_score"]) for one in reply.get("results") or []}
    if set(found) != set(range(len(texts))):
        raise EngineFailed(f"The engine ranked {len(found)} of {len(texts)} passages.")
    scores = [found[number] for number in range(len(texts))]
    return scores if all(0 <= one <= 1 for one in scores) else [1 / (1 + math.exp(-max(-60.0, min(60.0, one)))) for one in scores]

"""A home with one store of made passages, as a server keeps it: rows and texts in the database, words and vectors in their indexes."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, func, insert, select

from hausgeist.files.records import files
from hausgeist.identity import LOCAL_OWNER
from hausgeist.knowledge import assembly
from hausgeist.knowledge.hits import Hit
from hausgeist.knowledge.index.base import TextEntry
from hausgeist.knowledge.index.words import open_words
from hausgeist.knowledge.language import detect
from hausgeist.knowledge.records import document_parts, documents, entries, passages, store_files, vector_stores
from hausgeist.knowledge.stores.indexes import Indexes
from hausgeist.knowledge.stores.search import Search
from hausgeist.knowledge.stores.shelf import WORDS, vectors_name
from hausgeist.knowledge.stores.texts import PART
from hausgeist.store.database import Database

__all__ = ["PER_DOCUMENT", "STEP", "STORE", "WORDS_FOLDER", "Store", "fill", "opened"]

STORE = "vs_scale"
WORDS_FOLDER = Path("indexes") / STORE / WORDS
STEP = 10_000
PER_DOCUMENT = 100
Vector = NDArray[np.float32]


@dataclass(frozen=True)
class Store:
    """`picks` [passages, 4]: the sentences of each. `asked`: questions, with their vectors."""

    sentences: Sequence[str]
    picks: NDArray[np.intp]
    asked: Sequence[str]
    queries: Vector

    @property
    def vectors(self) -> Path:
        return Path("indexes") / STORE / vectors_name(Prepared.name)

    @cached_property
    def known(self) -> dict[str, Vector]:
        return {text.strip(): query for text, query in zip(self.asked, self.queries, strict=True)}

    def texts(self, start: int, end: int) -> list[str]:
        return [" ".join(self.sentences[one] for one in some) for some in self.picks[start:end].tolist()]


class Prepared:
    """An embedder that has the vectors of the questions already."""

    name = "prepared"
    languages = frozenset({"en"})

    def __init__(self, store: Store) -> None:
        self._known = store.known
        self.dimension = store.queries.shape[1]

    def current(self) -> Prepared:
        return self

    def named(self, name: str) -> Prepared | None:
        return self if name == self.name else None

    async def query(self, text: str) -> Vector:
        return self._known[text]

    async def passages(self, texts: Sequence[str], *, background: bool = False) -> Vector:
        raise NotImplementedError("the vectors of passages are in the index")


def fill(home: Path, store: Store) -> bool:
    """Rows and words, as far as they are missing. Whether any were."""
    count = len(store.picks)
    database = Database.open(home)
    try:
        done = database.read(lambda connection: connection.execute(select(func.max(passages.c.id))).scalar()) or 0
        for start in range(done, count, STEP):
            with database._engine.begin() as connection:
                _add(connection, store, start, min(start + STEP, count))
    finally:
        database.close()
    words = open_words(home / WORDS_FOLDER)
    reached = words.mark
    for start in range(reached, count, STEP):
        some = enumerate(store.texts(start, start + STEP), start)
        words.add(TextEntry(n + 1, n // PER_DOCUMENT + 1, text, "en", "", _filename(n // PER_DOCUMENT)) for n, text in some)
        words.commit(min(start + STEP, count))
    words.close()
    return done < count or reached < count


def _filename(document: int) -> str:
    return f"{document:05}.txt"


def _add(connection: Connection, store: Store, start: int, end: int) -> None:
    """Whole documents: `start` and `end` are multiples of `PER_DOCUMENT`, unless it is the last."""
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in ("documents", "parts", "entries", "passages", "files", "store_files")}
    for first in range(start, end, PER_DOCUMENT):
        number, texts = first // PER_DOCUMENT, store.texts(first, min(first + PER_DOCUMENT, end))
        at, last = 0, first + len(texts)
        for place, text in enumerate(texts):
            rows["passages"].append(
                {"id": first + place + 1, "entry": number + 1, "number": place, "start": at, "end": at + len(text), "page": 1, "kind": "paragraph",
                 "language": "en", "heading": "", "tokens": len(text) // 4, "digest": os.urandom(16)}
            )  # fmt: skip
            at += len(text) + 2
        whole, digest = "\n\n".join(texts), f"{number:064x}"
        rows["documents"].append(
            {"id": number + 1, "project": "default", "digest": digest, "parser": "made", "created": 1.0, "media_type": "text/plain", "title": "",
             "properties": "{}", "warnings": "[]", "characters": len(whole), "pages": 0, "structure": b""}
        )  # fmt: skip
        rows["parts"] += [{"document": number + 1, "start": part, "text": whole[part : part + PART]} for part in range(0, len(whole), PART)]
        rows["entries"].append(
            {"id": number + 1, "store": STORE, "document": number + 1, "chunking": "400/0", "passages": len(texts), "bytes": len(whole),
             "first": first + 1, "last": last}
        )  # fmt: skip
        rows["files"].append(
            {"id": f"file-{number}", "project": "default", "user": "local", "created": 1.0 + number, "purpose": "user_data",
             "filename": _filename(number), "media_type": "text/plain", "bytes": len(whole), "digest": digest}
        )  # fmt: skip
        rows["store_files"].append(
            {"store": STORE, "file": f"file-{number}", "created": 1.0 + number, "status": "completed", "attributes": "{}", "chunking": "400/0",
             "entry": number + 1, "done": 0, "total": 0}
        )  # fmt: skip
    if start == 0:
        its = {"project": "default", "user": "local", "created": 1.0, "active": 1.0, "name": "scale", "description": "", "metadata": "{}"}
        connection.execute(insert(vector_stores).values(id=STORE, embedder=Prepared.name, mark=0, gone=0, **its))
    tables = {"documents": documents, "parts": document_parts, "entries": entries, "passages": passages, "files": files, "store_files": store_files}
    for name, table in tables.items():
        connection.execute(insert(table), rows[name])
    connection.execute(vector_stores.update().where(vector_stores.c.id == STORE).values(mark=end))


@asynccontextmanager
async def opened(home: Path, store: Store) -> AsyncIterator[tuple[Callable[[str, int], Awaitable[Sequence[Hit]]], Indexes]]:
    """Search as the server puts it together."""
    database = Database.open(home)
    prepared = Prepared(store)
    indexes = Indexes(database, home, embedders=prepared, open_words=open_words, open_vectors=assembly._open_vectors)
    search = Search(database, indexes, fuse=assembly._fuse, language=detect)

    async def ask(text: str, limit: int) -> Sequence[Hit]:
        return await search.search(LOCAL_OWNER, [STORE], [text], limit=limit)

    try:
        yield ask, indexes
    finally:
        await indexes.close()
        database.close()

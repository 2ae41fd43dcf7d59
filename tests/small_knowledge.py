"""Small parts for tests of vector stores that are real: a parser of plain text, a splitter at empty lines, exact indexes in a file each, and an
embedder that counts words. Each does what its contract says, without the libraries of the large ones."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import zlib
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hausgeist.errors import HausgeistError
from hausgeist.files import Files
from hausgeist.files.folder import Folder
from hausgeist.identity import LOCAL_OWNER
from hausgeist.knowledge.embed.base import Embedder
from hausgeist.knowledge.index.base import Found, TextEntry
from hausgeist.knowledge.parse.base import Unreadable
from hausgeist.knowledge.parsed import Block, Box, Cut, Line, Page, Parsed, Piece, Small
from hausgeist.knowledge.stores.documents import Documents
from hausgeist.knowledge.stores.indexes import Indexes
from hausgeist.knowledge.stores.ingest import Ingest
from hausgeist.knowledge.stores.search import Search
from hausgeist.knowledge.stores.service import Stores
from hausgeist.knowledge.stores.upkeep import Upkeep
from hausgeist.knowledge.stores.values import StoreFile
from hausgeist.store.database import Database
from hausgeist.store.space import Space

__all__ = ["Bench", "Counting", "ExactVectors", "ExactWords", "PlainParser", "paragraphs"]

WORD = re.compile(r"\w+")


class PlainParser:
    """Text in UTF-8, a form feed between pages, each line 12 points below the other."""

    def __init__(self, pause: float = 0.0) -> None:
        self.parsed: list[str] = []
        self.rounds: list[list[str]] = []
        self.processes = 1
        self.pause = pause

    async def parse(self, path: Path, filename: str, *, progress: Callable[[int, int], None] | None = None) -> Parsed:
        self.parsed.append(filename)
        data = path.read_bytes()
        if data.startswith(b"\x00BROKEN"):
            raise Unreadable("The file is damaged; save it again.")
        if data.startswith(b"\x00CRASH"):
            raise RuntimeError("the parser has a fault")
        whole = data.decode("utf-8", "replace")
        pages, lines, text = [], [], ""
        sheets = whole.split("\f")
        for number, sheet in enumerate(sheets, 1):
            await asyncio.sleep(self.pause)
            start = len(text)
            for row, line in enumerate(sheet.split("\n")):
                begin = len(text)
                text += line + "\n"
                lines.append(Line(begin, begin + len(line), number, Box(50, 50 + 12 * row, 50 + 6 * len(line), 60 + 12 * row)))
            pages.append(Page(number, start, len(text), 595, 842))
            if progress is not None:
                progress(number, len(sheets))
        blocks = [Block("paragraph", found.start(), found.end()) for found in re.finditer(r"\S[^\n]*(?:\n[^\n]+)*", text)]
        return Parsed(text=text, blocks=blocks, pages=pages, lines=lines, title=filename)

    async def cut_all(
        self, files: Sequence[Small], each: Callable[[int, Cut | HausgeistError], Awaitable[None]], *,
        progress: Callable[[int, int, int], None] | None = None,
    ) -> None:  # fmt: skip
        self.rounds.append([one.filename for one in files])
        for number, one in enumerate(files):
            made: Cut | HausgeistError
            try:
                parsed = await self.parse(one.path, one.filename, progress=partial(progress, number) if progress is not None else None)
                made = Cut(parsed, paragraphs(parsed, most=one.most, overlap=one.overlap))
            except HausgeistError as error:
                made = error
            await each(number, made)


def paragraphs(parsed: Parsed, *, most: int = 400, overlap: int = 0) -> list[Piece]:
    """One passage for each block; `most` characters, so that a test can tell two ways of cutting apart."""
    made = []
    for block in parsed.blocks:
        page = next((page.number for page in parsed.pages if page.start <= block.start < page.end), 1)
        for start in range(block.start, block.end, most):
            made.append(Piece(start, min(block.end, start + most), page, block.kind, "", most // 4, "en"))
    return made


class Counting:
    """Vectors of 256: words, hashed. `languages`: any."""

    dimension = 256
    languages: frozenset[str] = frozenset()

    def __init__(self, name: str = "counting", *, shift: int = 0) -> None:
        self.name = name
        self.shift = shift
        self.embedded: list[str] = []

    def _vector(self, text: str) -> NDArray[np.float32]:
        made = np.zeros(self.dimension, np.float32)
        for word in WORD.findall(text.lower()):
            made[(zlib.crc32(word.encode()) + self.shift) % self.dimension] += 1
        length = float(np.linalg.norm(made))
        return made / length if length else np.full(self.dimension, self.dimension**-0.5, np.float32)

    async def passages(self, texts: Sequence[str], *, background: bool = False) -> NDArray[np.float32]:
        self.embedded += texts
        await asyncio.sleep(0)
        return np.stack([self._vector(text) for text in texts])

    async def query(self, text: str) -> NDArray[np.float32]:
        return self._vector(text)


class _Kept:
    """Rows in one file, written whole with each commit."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "rows.json"
        folder.mkdir(parents=True, exist_ok=True)
        kept: Mapping[str, Any] = json.loads(self._file.read_text("utf-8")) if self._file.exists() else {"mark": 0, "rows": {}}
        self.mark = int(kept["mark"])
        self.rows: dict[int, Any] = {int(key): value for key, value in kept["rows"].items()}
        self.shown = dict(self.rows)
        self.open = True

    def remove(self, ids: Collection[int]) -> None:
        assert self.open
        for one in ids:
            self.rows.pop(one, None)

    def commit(self, mark: int) -> None:
        assert self.open
        draft = self._file.with_suffix(".draft")
        draft.write_text(json.dumps({"mark": mark, "rows": self.rows}), "utf-8")
        os.replace(draft, self._file)
        self.mark, self.shown = mark, dict(self.rows)

    def close(self) -> None:
        self.open = False


class ExactWords(_Kept):
    """Passages by the share of the question's words that they have."""

    def add(self, passages: Iterable[TextEntry]) -> None:
        assert self.open
        for one in passages:
            self.rows[one.id] = [one.entry, WORD.findall(f"{one.filename} {one.heading} {one.text}".lower())]

    def search(self, query: str, limit: int, *, language: str = "und", entries: Collection[int] | None = None) -> Sequence[Found]:
        assert self.open
        asked = set(WORD.findall(query.lower()))
        found = [
            Found(number, len(asked & set(words)) / len(asked))
            for number, (entry, words) in self.shown.items()
            if (entries is None or entry in entries) and asked & set(words)
        ]
        return sorted(found, key=lambda one: (-one.score, one.id))[:limit]


class ExactVectors(_Kept):
    """All cosines, each time."""

    def __init__(self, folder: Path, dimension: int) -> None:
        super().__init__(folder)
        self.dimension = dimension

    def add(self, ids: Sequence[int], entries: Sequence[int], vectors: NDArray[np.float32]) -> None:
        assert self.open
        assert vectors.shape == (len(ids), self.dimension or vectors.shape[1])
        for one, entry, vector in zip(ids, entries, vectors, strict=True):
            self.rows[one] = [entry, [round(float(value), 5) for value in vector]]

    def search(self, vector: NDArray[np.float32], limit: int, *, entries: Collection[int] | None = None) -> Sequence[Found]:
        assert self.open
        ids = [one for one, (entry, _) in self.shown.items() if entries is None or entry in entries]
        found = [Found(one, score) for one, score in zip(ids, self.scores(vector, ids), strict=True)]
        return sorted(found, key=lambda one: (-one.score, one.id))[:limit]

    def scores(self, vector: NDArray[np.float32], ids: Sequence[int]) -> Sequence[float]:
        return [float(np.dot(vector, np.array(self.shown[one][1], np.float32))) if one in self.shown else float("nan") for one in ids]

    def vectors(self, ids: Sequence[int]) -> NDArray[np.float32]:
        return np.array([self.rows[one][1] for one in ids], np.float32).reshape(len(ids), self.dimension)


def fused(
    words: Sequence[Found], vectors: Sequence[Found], cosines: Mapping[int, float], *, query: str, language: str, languages: frozenset[str]
) -> Sequence[Found]:
    """Half of each."""
    shares = {one.id: one.score for one in words}
    made = [Found(one, 0.5 * shares.get(one, 0.0) + 0.5 * max(0.0, cosines.get(one, 0.0))) for one in shares.keys() | cosines.keys()]
    return sorted(made, key=lambda one: (-one.score, one.id))


class Chosen:
    """Embedders by name; the first is the current one."""

    def __init__(self, *embedders: Embedder) -> None:
        self.all = list(embedders)

    def current(self) -> Embedder:
        return self.all[0]

    def named(self, name: str) -> Embedder | None:
        return next((one for one in self.all if one.name == name), None)


class Bench:
    """All parts over one home, as `app` puts them together. Use it as an async context manager."""

    def __init__(
        self, home: Path, *, parser: PlainParser | None = None, embedders: Chosen | None = None, at_once: int = 2, most_open: int = 64
    ) -> None:
        self.home = home
        self.parser = parser or PlainParser()
        self.embedders = embedders or Chosen(Counting())
        self.database = Database.open(home)
        self.files = Files(self.database, Folder(home, space=Space(home, reserve=0)), quota=1 << 40, limit=1 << 30)
        self.indexes = Indexes(self.database, home, embedders=self.embedders, open_words=ExactWords, open_vectors=ExactVectors, most_open=most_open)
        self.documents = Documents(self.database, self.files, lambda: self.parser, version=lambda: "plain 1")
        self.upkeep = Upkeep(self.database, self.indexes)
        self.files.gone = self.upkeep.wake
        self.ingest = Ingest(
            self.database, self.documents, self.indexes, split=lambda: paragraphs, at_once=at_once, pause=0.05, replaced=self.upkeep.wake
        )
        self.stores = Stores(self.database, self.ingest, changed=self.upkeep.wake)
        self.search = Search(self.database, self.indexes, fuse=fused, language=lambda text: "en", searched=self.stores.touch)

    async def __aenter__(self) -> Bench:
        self.upkeep.start()
        await self.ingest.jobs.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.ingest.jobs.stop()
        await self.upkeep.stop()
        await self.indexes.close()
        self.database.close()

    async def bring(self, text: str | bytes, name: str = "a.txt", who: Any = LOCAL_OWNER) -> str:
        """A file; its id."""
        data = text.encode() if isinstance(text, str) else text

        async def chunks() -> Any:
            yield data

        return (await self.files.create(who, chunks(), filename=name, purpose="user_data")).id

    async def settled(self, store: str, who: Any = LOCAL_OWNER, *, seconds: float = 90.0) -> list[StoreFile]:
        """All files of a store, once none is in progress."""
        async with asyncio.timeout(seconds):
            while (found := self.stores.get(who, store)).counts.in_progress:
                await asyncio.sleep(0.01)
        return list(self.stores.files(who, store, limit=max(1, found.counts.total), order="asc"))


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

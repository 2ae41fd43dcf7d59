"""Ingestion: text files with vectors that are looked up, against LangChain and LlamaIndex with Chroma in the same run; and pages of PDF, parsed in
processes of their own and split, against PDFium merely yielding text with line boxes.

`HAUSGEIST_PEERS` names a Python in which the peers can be imported (pip install langchain-community langchain-text-splitters langchain-chroma
chromadb llama-index-core llama-index-vector-stores-chroma). The texts are paragraphs of XQuAD (`HAUSGEIST_XQUAD`). What is durable differs: here
each file is flushed to the disk when it is brought and again when it is cut, and its words are indexed besides its vectors.

By the clock counts on a machine that is idle; on one that others use, compare what was taken of the processor.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import subprocess
import tempfile
import time
import zlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from benchmarks.embedding import questions, xquad
from benchmarks.ingestion_peers import vectors
from benchmarks.parsing import LINES, both_ways
from benchmarks.report import Figure

__all__ = ["measure"]

_GOAL, _PAGES_GOAL = 3.0, 0.8
_PEERS = {"langchain": "LangChain", "llamaindex": "LlamaIndex"}
_PARAGRAPHS = 5
"""Of a document."""
_BATCH, _LANES = 50, 2
"""Files are brought as a client with two workers brings them: one makes a batch while the other waits for the disk."""


@dataclass(frozen=True, slots=True)
class _Taken:
    """What taking the documents in has taken."""

    seconds: float
    processor: float
    passages: int


class _Looked:
    """An embedder whose vectors are there already."""

    name, dimension, languages = "looked-up", 384, frozenset({"en"})

    def __init__(self) -> None:
        self._pool = np.array(vectors(), np.float32)

    async def passages(self, texts: Sequence[str], *, background: bool = False) -> NDArray[np.float32]:
        found: NDArray[np.float32] = self._pool[[zlib.crc32(text.encode()) % len(self._pool) for text in texts]]
        return found

    async def query(self, text: str) -> NDArray[np.float32]:
        row: NDArray[np.float32] = (await self.passages([text]))[0]
        return row


class _Only:
    def __init__(self) -> None:
        self._one: Any = _Looked()

    def current(self) -> Any:
        return self._one

    def named(self, name: str) -> Any:
        return self._one if name == self._one.name else None


async def measure() -> list[Figure]:
    """`HAUSGEIST_BENCH_DOCUMENTS`: how many there are, 2,000 where it says nothing."""
    pages = await _pages()
    if not xquad("en").exists():
        return [*pages, Figure("documents", f"not measured; set HAUSGEIST_XQUAD to the folder of {xquad('en').name}")]
    number = int(os.environ.get("HAUSGEIST_BENCH_DOCUMENTS", "2000"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        texts = folder / "texts"
        _write(texts, number)
        ours = await _ours(texts, folder / "home")
        figures = [_said("Hausgeist", number, ours)]
        for peer, called in _PEERS.items():
            theirs, why = _peer(peer, texts, folder / peer)
            if theirs is None:
                figures.append(Figure(f"{called} with Chroma", f"not measured: {why}"))
                continue
            times = theirs.seconds / ours.seconds
            figures += [
                _said(f"{called} with Chroma", number, theirs),
                Figure(f"times {called} by the clock", f"{times:.2f}", f">= {_GOAL:g}", times >= _GOAL),
                Figure(f"times {called} by the processor", f"{theirs.processor / ours.processor:.2f}"),
            ]
    return [*pages, *figures]


def _said(name: str, number: int, taken: _Taken) -> Figure:
    each = taken.processor * 1000 / number
    return Figure(f"{name}: documents per second", f"{number / taken.seconds:.0f}; {each:.1f} ms of the processor each, {taken.passages} passages")


def _write(folder: Path, number: int) -> None:
    folder.mkdir()
    paragraphs, _ = questions("en")
    chance = random.Random(7)
    for one in range(number):
        body = "\n\n".join(chance.choice(paragraphs) for _ in range(_PARAGRAPHS))
        (folder / f"{one:05}.txt").write_text(f"{body}\n\nDocument {one}.\n", "utf-8")


async def _ours(texts: Path, home: Path) -> _Taken:
    """From the files on the disk to the last that is found, in the parts that a server is made of."""
    from hausgeist.cli.serve import collect_seldom
    from hausgeist.files import Files
    from hausgeist.files.folder import Folder
    from hausgeist.identity import LOCAL_OWNER
    from hausgeist.knowledge.assembly import Knowledge, _open_vectors
    from hausgeist.knowledge.index.words import open_words
    from hausgeist.knowledge.stores.indexes import Indexes
    from hausgeist.knowledge.stores.values import Attachment
    from hausgeist.settings import load_settings
    from hausgeist.store.database import Database
    from hausgeist.store.space import Space

    database = Database.open(home)
    files = Files(database, Folder(home, space=Space(home, reserve=0)), quota=1 << 40, limit=1 << 30)
    nobody: Any = None  # No model of the library is asked for anything.
    knowledge = Knowledge(load_settings(home=home), database, files, nobody)
    knowledge.__dict__["indexes"] = Indexes(database, home, embedders=_Only(), open_words=open_words, open_vectors=_open_vectors)
    await knowledge.start()

    async def bring(path: Path) -> Attachment:
        async def chunks() -> AsyncIterator[bytes]:
            yield path.read_bytes()

        return Attachment(file=(await files.create(LOCAL_OWNER, chunks(), filename=path.name, purpose="assistants")).id)

    async def take_in(paths: Sequence[Path]) -> None:
        store = await knowledge.stores.create(LOCAL_OWNER)
        starts = iter(range(0, len(paths), _BATCH))

        async def lane() -> None:
            for at in starts:
                await knowledge.stores.create_batch(LOCAL_OWNER, store.id, await asyncio.gather(*map(bring, paths[at : at + _BATCH])))

        await asyncio.gather(*(lane() for _ in range(_LANES)))
        while (counts := knowledge.stores.get(LOCAL_OWNER, store.id).counts).in_progress:
            await asyncio.sleep(0.02)
        assert counts.completed == len(paths), counts

    # Importing and the start of a parser process do not count, as with the others; so some come first, alone and together.
    first = [home / f"{name}.txt" for name in ("first", "second", "third")]
    for one in first:
        one.write_text(f"What is read {one.stem}.", "utf-8")
    await take_in(first[:1])
    await take_in(first[1:])
    collect_seldom()  # as a server does when it has started
    began, used = time.perf_counter(), _used()
    await take_in(sorted(texts.iterdir()))
    seconds, processor = time.perf_counter() - began, _used() - used
    passages = database.read(lambda connection: connection.exec_driver_sql("SELECT count(*) FROM passages").scalar())
    await knowledge.stop()
    database.close()
    return _Taken(seconds, processor, int(passages or 0) - len(first))


def _peer(name: str, texts: Path, kept: Path) -> tuple[_Taken | None, str]:
    """What a peer has taken, or why that is not known."""
    python = os.environ.get("HAUSGEIST_PEERS", "")
    if not python or shutil.which(python) is None:
        return None, "HAUSGEIST_PEERS names no Python that has it"
    environment = {**os.environ, "ANONYMIZED_TELEMETRY": "False", "TIKTOKEN_CACHE_DIR": str(kept), "PYTHONPATH": ""}
    script = Path(__file__).with_name("ingestion_peers.py")
    done = subprocess.run([python, str(script), name, str(texts), str(kept)], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        return None, (done.stderr.strip().splitlines() or ["it ended"])[-1][:120]
    told = json.loads(done.stdout.strip().splitlines()[-1])
    return _Taken(told["seconds"], told["processor"], told["passages"]), ""


async def _pages() -> list[Figure]:
    """One parser process against one that merely yields."""
    from hausgeist.knowledge.parse.process import Parsers
    from hausgeist.knowledge.split.splitting import split

    figures = []
    with tempfile.TemporaryDirectory() as folder:
        parsers = Parsers(Path(folder), processes=1)
        try:
            for name, path, merely in both_ways():
                await parsers.parse(path, path.name)  # warms up
                used = _used()
                parsed = await parsers.parse(path, path.name)
                assert split(parsed)
                ours = _used() - used
                figures.append(Figure(f"{name}: pages a second, parsed and split", f"{len(parsed.pages) / ours:.0f}"))
                for way, seconds in merely.items():
                    times, held = seconds / ours, way == LINES
                    goal = (f">= {_PAGES_GOAL}", times >= _PAGES_GOAL) if held else ()
                    figures.append(Figure(f"{name}: times {way}", f"{times:.2f}", *goal))
        finally:
            await parsers.close()
    return figures


def _used() -> float:
    """Seconds of the processor of this process and those that it has started."""
    own = psutil.Process()
    return sum(one.cpu_times().user + one.cpu_times().system for one in (own, *own.children(recursive=True)))

"""One store of many passages: about 600 bytes each, of recombined sentences of XQuAD en, a vector is the normalised mean of its sentences' vectors.

1,000 of XQuAD's questions are asked by one client, warm: vectors alone against exact search, and the whole way (words, vectors, fusion, reading
rows). HAUSGEIST_PASSAGES: how many, 100000,1000000 by default. HAUSGEIST_SCALE: a folder where what was built stays for the next run.
HAUSGEIST_DENSE_ONLY: leave the whole way out.
"""

from __future__ import annotations

import asyncio
import os
import re
import sqlite3
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from benchmarks.embedding import questions, xquad
from benchmarks.report import Figure, quantile
from hausgeist.knowledge.embed.installed import Installed
from hausgeist.knowledge.index.vectors import Vectors

__all__ = ["measure"]

_QUESTIONS, _LIMIT, _DEPTH, _SEED = 1000, 10, 100, 20_261_128
_STEP = 10_000
_PER_DOCUMENT = 100
_GOALS = {100_000: ("p95", 0.95, 12.0), 1_000_000: ("p99", 0.99, 25.0)}
Vector = NDArray[np.float32]


async def measure() -> list[Figure]:
    if not xquad("en").exists():
        return [Figure("XQuAD", f"not found; set HAUSGEIST_XQUAD to the folder of {xquad('en').name}")]
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        base = Path(os.environ.get("HAUSGEIST_SCALE", folder))
        base.mkdir(parents=True, exist_ok=True)
        sentences, rows, asked, queries = await _material(base)
        for count in map(int, os.environ.get("HAUSGEIST_PASSAGES", "100000,1000000").split(",")):
            figures += await asyncio.to_thread(_one, base / str(count), count, sentences, rows, asked, queries)
    return figures


async def _material(base: Path) -> tuple[list[str], Vector, list[str], Vector]:
    """Sentences and questions with their vectors."""
    paragraphs, pairs = questions("en")
    sentences = [part for text in paragraphs for part in re.split(r"(?<=[.!?])\s+", text) if len(part) > 20]
    asked = [text for text, _ in pairs[:_QUESTIONS]]
    kept = base / "sentences.npz"
    if not kept.exists():
        embedder = Installed(base)
        np.savez(kept, sentences=await embedder.passages(sentences), questions=await embedder.passages(asked))
        await embedder.close()
    found = np.load(kept)
    return sentences, found["sentences"], asked, found["questions"]


def _picks(sentences: Sequence[str], count: int) -> NDArray[np.intp]:
    """Four sentences for each passage."""
    return np.random.default_rng(_SEED).integers(0, len(sentences), (count, 4))


def _vectors(rows: Vector, picks: NDArray[np.intp]) -> Vector:
    found = rows[picks].sum(axis=1)
    units: Vector = (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)
    return units


def _one(folder: Path, count: int, sentences: list[str], rows: Vector, asked: list[str], queries: Vector) -> list[Figure]:
    picks = _picks(sentences, count)
    name = f"{count:,} passages"
    minutes = _fill_vectors(folder / "vectors", picks, rows)
    figures = [Figure(f"{name}: vectors indexed", f"{minutes:.1f} minutes")] if minutes else []
    before = psutil.Process().memory_info()
    started = time.perf_counter()
    index = Vectors(folder / "vectors", rows.shape[1])
    opened = (time.perf_counter() - started) * 1000
    after = psutil.Process().memory_info()
    # What is mapped is shared with the system's cache; the rest is loaded.
    loaded = (after.rss - after.shared) - (before.rss - before.shared)
    graphs, tail = len(index._state.graphs), index._state.tail.count
    figures.append(Figure(f"{name}: opened", f"{opened:.0f} ms, {loaded / 2**20:.0f} MiB loaded; {graphs} graphs, {tail:,} rows in the tail"))
    size = _size(folder / "vectors") / count
    figures.append(Figure(f"{name}: vectors on the disk", f"{size:.0f} B a passage", "<= 1,200", size <= 1200))
    found, times = _timed([lambda query=query: index.search(query, _LIMIT) for query in queries])
    recall = _recall([[one.id for one in some] for some in found], picks, rows, queries)
    figures.append(Figure(f"{name}: recall@10 of exact, vectors alone", f"{recall:.4f}", ">= .98", recall >= 0.98))
    figures.append(_latency(f"{name}: vectors alone", times, ("p99", 0.99, 15.0)))
    few = np.arange(1, 40) * 7
    _, times = _timed([lambda query=query: index.search(query, _LIMIT, entries=few.tolist()) for query in queries[:200]])
    figures.append(_latency(f"{name}: among 39 documents", times))
    half = list(range(count // _PER_DOCUMENT // 2))
    _, times = _timed([lambda query=query: index.search(query, _LIMIT, entries=half) for query in queries[:200]])
    figures.append(_latency(f"{name}: among half of the documents", times))
    if not os.environ.get("HAUSGEIST_DENSE_ONLY"):
        figures += _hybrid(folder, name, count, sentences, picks, index, asked, queries)
    index.close()
    return figures


def _fill_vectors(folder: Path, picks: NDArray[np.intp], rows: Vector) -> float:
    """Minutes; 0 when they were there."""
    index = Vectors(folder, rows.shape[1])
    started = time.perf_counter()
    begin = index.mark
    for start in range(begin, len(picks), _STEP):
        some = picks[start : start + _STEP]
        ids = range(start + 1, start + len(some) + 1)
        index.add(ids, [one // _PER_DOCUMENT for one in ids], _vectors(rows, some))
        index.commit(start + len(some))
    index.compact()
    index.close()
    return 0.0 if begin == len(picks) else (time.perf_counter() - started) / 60


def _recall(found: list[list[int]], picks: NDArray[np.intp], rows: Vector, queries: Vector) -> float:
    """Passages as near as the tenth of all are as good as it: equal sentences in another order have equal vectors."""
    best = np.full((len(queries), _LIMIT), -2, np.float32)
    for start in range(0, len(picks), _STEP):
        scores = queries @ _vectors(rows, picks[start : start + _STEP]).T
        best = np.sort(np.concatenate((best, scores), axis=1), axis=1)[:, -_LIMIT:]
    hits = 0
    for query, ids, least in zip(queries, found, best[:, 0], strict=True):
        hits += int((_vectors(rows, picks[np.array(ids) - 1]) @ query >= least - 1e-6).sum())
    return hits / len(queries) / _LIMIT


def _timed(calls: Sequence[Callable[[], Any]]) -> tuple[list[Any], list[tuple[float, float]]]:
    """Results, and milliseconds of each call after a first round: by the clock, and of the processor."""
    for call in calls:
        call()
    results, times = [], []
    for call in calls:
        clock, processor = time.perf_counter(), time.process_time()
        results.append(call())
        times.append(((time.perf_counter() - clock) * 1000, (time.process_time() - processor) * 1000))
    return results, times


def _latency(name: str, times: list[tuple[float, float]], goal: tuple[str, float, float] | None = None) -> Figure:
    clock, processor = [one[0] for one in times], [one[1] for one in times]
    value, work = (", ".join(f"{quantile(some, share):.1f}" for share in (0.5, 0.95, 0.99)) for some in (clock, processor))
    value = f"{value} ms (processor {work})"
    if goal is None:
        return Figure(f"{name}, p50, p95, p99", value)
    return Figure(f"{name}, p50, p95, p99", value, f"{goal[0]} <= {goal[2]:.0f} ms", quantile(clock, goal[1]) <= goal[2])


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _hybrid(
    folder: Path, name: str, count: int, sentences: list[str], picks: NDArray[np.intp], index: Vectors, asked: list[str], queries: Vector
) -> list[Figure]:
    """Words and vectors side by side, fused, and the best ten read from the database."""
    from hausgeist.knowledge.index.fusion import fuse, share_of_words
    from hausgeist.knowledge.index.words import open_words

    started = time.perf_counter()
    built = _fill_words(folder, sentences, picks)
    figures = [Figure(f"{name}: words and rows written", f"{(time.perf_counter() - started) / 60:.1f} minutes")] if built else []
    words = open_words(folder / "words")
    database = sqlite3.connect(folder / "rows.sqlite", check_same_thread=False)
    database.execute("PRAGMA mmap_size = 268435456")
    pool = ThreadPoolExecutor(1)

    def search(text: str, query: Vector) -> int:
        by_words = pool.submit(words.search, text, _DEPTH, language="en")
        by_vectors = index.search(query, _DEPTH)
        cosines = {one.id: one.score for one in by_vectors}
        found = by_words.result()
        missing = [one.id for one in found if one.id not in cosines]
        cosines.update(zip(missing, index.scores(query, missing), strict=True))
        best = fuse(found, by_vectors, share=share_of_words(text, "en", {"en"}), cosines=cosines, limit=_LIMIT)
        return sum(len(_text(database, one.id)) for one in best)

    lengths, times = _timed([lambda text=text, query=query: search(text, query) for text, query in zip(asked, queries, strict=True)])
    _, alone = _timed([lambda text=text: words.search(text, _DEPTH, language="en") for text in asked])
    goal = _GOALS.get(count)
    figures.append(_latency(f"{name}: words alone", alone))
    figures.append(_latency(f"{name}: the whole way after embedding", times, goal))
    size = _size(folder) / count
    figures.append(Figure(f"{name}: on the disk, all in", f"{size:,.0f} B a passage", "<= 2,560", size <= 2560))
    figures.append(Figure(f"{name}: a passage", f"{np.mean(lengths) / _LIMIT:.0f} characters"))
    database.close()
    words.close()
    pool.shutdown()
    return figures


def _fill_words(folder: Path, sentences: list[str], picks: NDArray[np.intp]) -> bool:
    """As the database keeps them: the text of a document in parts, passages as places in it."""
    from hausgeist.knowledge.index.base import TextEntry
    from hausgeist.knowledge.index.words import open_words

    words = open_words(folder / "words")
    if words.mark == len(picks):
        words.close()
        return False
    database = sqlite3.connect(folder / "rows.sqlite")
    database.executescript(
        "DROP TABLE IF EXISTS passages; DROP TABLE IF EXISTS document_parts;"
        "CREATE TABLE document_parts (document INTEGER, start INTEGER, text TEXT, PRIMARY KEY (document, start)) WITHOUT ROWID;"
        "CREATE TABLE passages (id INTEGER PRIMARY KEY, entry INTEGER, number INTEGER, start INTEGER, end INTEGER, page INTEGER, kind TEXT,"
        " language TEXT, heading TEXT, tokens INTEGER, digest BLOB); CREATE INDEX passages_entry ON passages (entry, number);"
    )
    for start in range(0, len(picks), _STEP):
        entries, places, parts, at = [], [], [], 0
        for number, some in enumerate(picks[start : start + _STEP].tolist(), start):
            passage, entry = number + 1, number // _PER_DOCUMENT
            text = " ".join(sentences[one] for one in some)
            at = 0 if number % _PER_DOCUMENT == 0 else at
            entries.append(TextEntry(passage, entry, text, "en"))
            places.append((passage, entry, number % _PER_DOCUMENT, at, at + len(text), 1, "paragraph", "en", "", len(text) // 4, os.urandom(16)))
            parts.append((entry, at, text + "\n\n"))
            at += len(text) + 2
        words.add(entries)
        words.commit(start + len(entries))
        with database:
            database.executemany("INSERT INTO passages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", places)
            database.executemany("INSERT INTO document_parts VALUES (?, ?, ?)", parts)
    database.close()
    words.close()
    return True


def _text(database: sqlite3.Connection, passage: int) -> str:
    entry, start, end = database.execute("SELECT entry, start, end FROM passages WHERE id = ?", (passage,)).fetchone()
    query = "SELECT start, text FROM document_parts WHERE document = ? AND start <= ? ORDER BY start DESC LIMIT 1"
    begin, text = database.execute(query, (entry, start)).fetchone()
    return str(text[start - begin : end - begin])

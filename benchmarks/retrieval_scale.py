"""One store of many passages: about 600 bytes each, of recombined sentences of XQuAD en, a vector is the normalised mean of its sentences' vectors.

XQuAD's questions are asked by one client, warm: vectors alone against exact search, and the whole way as a server goes it (rows of the database,
words, vectors, fusion, reading, joining neighbours), without making the vector of the question. Parameters were chosen with the first 500
questions; the next 500 are reported. Numbers of passages may follow on the command line, 100000 and 1000000 by default. HAUSGEIST_SCALE: a folder
where what was built stays for the next run. HAUSGEIST_DENSE_ONLY: leave the whole way out.

On a machine that others use, what the processor did says more than the clock.
"""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from benchmarks import retrieval_rows
from benchmarks.embedding import questions, xquad
from benchmarks.report import Figure, quantile
from benchmarks.retrieval_rows import PER_DOCUMENT, STEP
from hausgeist.knowledge.embed.installed import Installed
from hausgeist.knowledge.index.vectors import Vectors

__all__ = ["measure"]

_CHOSEN, _QUESTIONS, _LIMIT, _SEED = 500, 1000, 10, 20_261_128
_SIZES = (100_000, 1_000_000)
_GOALS = {100_000: ("p95", 0.95, 12.0), 1_000_000: ("p99", 0.99, 25.0)}
Vector = NDArray[np.float32]


async def measure(*sizes: int) -> list[Figure]:
    if not xquad("en").exists():
        return [Figure("XQuAD", f"not found; set HAUSGEIST_XQUAD to the folder of {xquad('en').name}")]
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        base = Path(os.environ.get("HAUSGEIST_SCALE", folder))
        base.mkdir(parents=True, exist_ok=True)
        sentences, rows, asked, queries = await _material(base)
        for count in sizes or _SIZES:
            home, store = base / str(count), retrieval_rows.Store(sentences, _picks(sentences, count), asked, queries)
            figures += await asyncio.to_thread(_dense, home / store.vectors, count, store.picks, rows, queries[_CHOSEN:])
            if not os.environ.get("HAUSGEIST_DENSE_ONLY"):
                figures += await _whole(home, store)
    return figures


async def _material(base: Path) -> tuple[list[str], Vector, list[str], Vector]:
    """Sentences and questions with their vectors."""
    paragraphs, pairs = questions("en")
    sentences = [part for text in paragraphs for part in re.split(r"(?<=[.!?])\s+", text) if len(part) > 20]
    asked = [text for text, _ in pairs[:_QUESTIONS]]
    kept = base / "sentences.npz"
    if not kept.exists():
        embedder = Installed()
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


def _dense(folder: Path, count: int, picks: NDArray[np.intp], rows: Vector, queries: Vector) -> list[Figure]:
    name = f"{count:,} passages"
    minutes = _fill(folder, picks, rows)
    figures = [Figure(f"{name}: vectors indexed", f"{minutes:.1f} minutes")] if minutes else []
    before = psutil.Process().memory_info()
    started = time.perf_counter()
    index = Vectors(folder, rows.shape[1])
    opened = (time.perf_counter() - started) * 1000
    after = psutil.Process().memory_info()
    # What is mapped is shared with the system's cache; the rest is loaded.
    loaded = (after.rss - after.shared) - (before.rss - before.shared)
    graphs, tail = len(index._state.graphs), index._state.tail.count
    figures.append(Figure(f"{name}: opened", f"{opened:.0f} ms, {loaded / 2**20:.0f} MiB loaded; {graphs} graphs, {tail:,} rows in the tail"))
    size = _size(folder) / count
    figures.append(Figure(f"{name}: vectors on the disk", f"{size:.0f} B a passage", "<= 1,200", size <= 1200))
    found, times = _timed([lambda query=query: index.search(query, _LIMIT) for query in queries])
    recall = _recall([[one.id for one in some] for some in found], picks, rows, queries)
    figures.append(Figure(f"{name}: recall@10 of exact, vectors alone", f"{recall:.4f}", ">= .98", recall >= 0.98))
    figures.append(_latency(f"{name}: vectors alone", times, ("p99", 0.99, 15.0)))
    few = np.arange(1, 40) * 7
    _, times = _timed([lambda query=query: index.search(query, _LIMIT, entries=few.tolist()) for query in queries[:200]])
    figures.append(_latency(f"{name}: among 39 documents", times))
    half = list(range(1, count // PER_DOCUMENT // 2 + 1))
    _, times = _timed([lambda query=query: index.search(query, _LIMIT, entries=half) for query in queries[:200]])
    figures.append(_latency(f"{name}: among half of the documents", times))
    index.close()
    return figures


def _fill(folder: Path, picks: NDArray[np.intp], rows: Vector) -> float:
    """Minutes; 0 when they were there."""
    index = Vectors(folder, rows.shape[1])
    started = time.perf_counter()
    begin = index.mark
    for start in range(begin, len(picks), STEP):
        some = picks[start : start + STEP]
        ids = range(start + 1, start + len(some) + 1)
        index.add(ids, [(one - 1) // PER_DOCUMENT + 1 for one in ids], _vectors(rows, some))
        index.commit(start + len(some))
    index.compact()
    index.close()
    return 0.0 if begin == len(picks) else (time.perf_counter() - started) / 60


def _recall(found: list[list[int]], picks: NDArray[np.intp], rows: Vector, queries: Vector) -> float:
    """Passages as near as the tenth of all are as good as it: equal sentences in another order have equal vectors."""
    best = np.full((len(queries), _LIMIT), -2, np.float32)
    for start in range(0, len(picks), STEP):
        scores = queries @ _vectors(rows, picks[start : start + STEP]).T
        best = np.sort(np.concatenate((best, scores), axis=1), axis=1)[:, -_LIMIT:]
    hits = 0
    for query, ids, least in zip(queries, found, best[:, 0], strict=True):
        hits += int((_vectors(rows, picks[np.array(ids) - 1]) @ query >= least - 1e-6).sum())
    return hits / len(queries) / _LIMIT


async def _whole(home: Path, store: retrieval_rows.Store) -> list[Figure]:
    count = len(store.picks)
    name = f"{count:,} passages"
    started = time.perf_counter()
    if await asyncio.to_thread(retrieval_rows.fill, home, store):
        yielded = [Figure(f"{name}: words and rows written", f"{(time.perf_counter() - started) / 60:.1f} minutes")]
    else:
        yielded = []
    asked = store.asked[_CHOSEN:]
    async with retrieval_rows.opened(home, store) as (search, indexes):
        times: list[tuple[float, float]] = []
        characters = 0
        for warm in (True, False):
            for text in asked:
                clock, processor = time.perf_counter(), time.process_time()
                hits = await search(text, _LIMIT)
                if not warm:
                    times.append(((time.perf_counter() - clock) * 1000, (time.process_time() - processor) * 1000))
                    characters += sum(len(hit.text) for hit in hits)
        async with indexes.reading(retrieval_rows.STORE) as at:
            words = at.words
            assert words is not None
            _, alone = await asyncio.to_thread(_timed, [lambda text=text: words.search(text, 100, language="en") for text in asked])
        memory = psutil.Process().memory_info()
    parts = {"vectors": home / store.vectors, "words": home / retrieval_rows.WORDS_FOLDER}
    sizes = {part: _size(folder) / count for part, folder in parts.items()}
    sizes["rows and texts"] = sum(path.stat().st_size for path in home.glob("hausgeist.db*")) / count
    every = sum(sizes.values())
    each = ", ".join(f"{part} {size:,.0f}" for part, size in sizes.items())
    return [
        *yielded,
        _latency(f"{name}: words alone", alone),
        _latency(f"{name}: the whole way after embedding", times, _GOALS.get(count)),
        Figure(f"{name}: on the disk, all in", f"{every:,.0f} B a passage ({each})", "<= 2,560", every <= 2560),
        Figure(f"{name}: memory", f"{memory.rss / 2**20:.0f} MiB resident, {memory.shared / 2**20:.0f} MiB of them mapped files"),
        Figure(f"{name}: a hit", f"{characters / len(asked) / _LIMIT:.0f} characters"),
    ]


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

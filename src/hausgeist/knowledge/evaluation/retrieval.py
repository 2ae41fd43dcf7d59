"""Asks the questions of a set in indexes of its own, in a folder that is given, and measures words, vectors and both together.

No server takes part, and no store of the installation is touched.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hausgeist.errors import InvalidRequest, shown
from hausgeist.knowledge.evaluation.measures import DEEP, Figures, figures, ndcg, rank
from hausgeist.knowledge.evaluation.questions import Question, Questions
from hausgeist.knowledge.hits import Hit
from hausgeist.knowledge.index.base import Found, TextEntry, VectorIndex
from hausgeist.knowledge.index.fusion import fuse, share_of_words
from hausgeist.knowledge.index.words import Words, WordsFound, open_words
from hausgeist.knowledge.language import detect

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hausgeist.knowledge.embed.base import Embedder

__all__ = ["PARTS", "Run", "Support", "evaluate"]

PARTS: Final = ("words", "vectors", "fused")
_CANDIDATES: Final = 100
"""Passages that each index is asked for, as search of a store does."""
_AT_ONCE: Final = 256
"""Passages that are embedded between two reports of progress."""

Support = Callable[[str, Sequence[Hit]], Sequence[str]]
"""Makes quotations of the passages that were found for a question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one evaluation found. `ranks` has the rank of each question for each part; it is what runs are compared by."""

    name: str
    kind: str
    digest: str
    questions: int
    passages: int
    embedder: str
    """Empty: words only."""
    figures: Mapping[str, Figures]
    """Of each part of search that took part: `words`, `vectors`, `fused`."""
    ranks: Mapping[str, Sequence[int]]
    ms_per_query: float
    """Mean, both indexes and fusion, without making the vector of the question."""
    ms_per_embedding: float
    bytes_per_passage: float
    """Of the index of words on the disk."""
    support: float | None = None
    """Share of the questions with known answers that one of three quotations holds; None where that was not measured."""
    notes: Sequence[str] = ()

    @property
    def best(self) -> Figures:
        return self.figures["fused" if "fused" in self.figures else "words"]

    def as_json(self) -> dict[str, Any]:
        """The figures of what search would answer at the top, as the other things are."""
        whole = asdict(self)
        whole["figures"] = {part: asdict(its) for part, its in self.figures.items()}
        return asdict(self.best) | {"ms_per_query": self.ms_per_query} | whole

    @classmethod
    def from_file(cls, path: Path) -> Run:
        """What `as_json` wrote. Raises `InvalidRequest`."""
        try:
            whole = json.loads(path.read_text("utf-8"))
            fields = {name: whole[name] for name in cls.__slots__}
            fields["figures"] = {part: Figures(**its) for part, its in whole["figures"].items()}
            return cls(**fields | {"notes": tuple(fields["notes"])})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InvalidRequest(
                f"{path} is not a saved run ({shown(str(error))}); 'hausgeist eval retrieval SET --save FILE' writes one."
            ) from error


@dataclass(frozen=True, slots=True)
class _At:
    words: Words
    dense: VectorIndex | None
    asked: NDArray[np.float32] | None
    """The vector of each question."""
    known: frozenset[str]
    """Languages of the embedder."""


async def evaluate(
    questions: Questions,
    folder: Path,
    *,
    embedder: Embedder | None = None,
    vectors: Callable[[Path, int], VectorIndex] | None = None,
    support: Support | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Run:
    """`folder`: empty, for the indexes; `embedder`: None for words only; `vectors`: opens an index of them; `progress`: what, done, of how many."""
    told = progress or (lambda what, done, total: None)
    index = await asyncio.to_thread(_words, questions, folder / "words", told)
    dense: VectorIndex | None = None
    asked: NDArray[np.float32] | None = None
    embedding = 0.0
    try:
        if embedder is not None and vectors is not None:
            dense = await _vectors(questions, folder / "vectors", embedder, vectors, told)
            began = time.perf_counter()
            asked = await _asked(questions.questions, embedder, told)
            embedding = (time.perf_counter() - began) * 1e3 / len(questions.questions)
        at = _At(index, dense, asked, frozenset() if embedder is None else embedder.languages)
        name = embedder.name if embedder is not None and dense is not None else ""
        return await asyncio.to_thread(_measure, questions, at, name=name, embedding=embedding, support=support, told=told)
    finally:
        await asyncio.to_thread(index.close)
        if dense is not None:
            await asyncio.to_thread(dense.close)


def _words(questions: Questions, folder: Path, told: Callable[[str, int, int], None]) -> Words:
    index = open_words(folder)
    total = len(questions.texts)
    for start in range(0, total, 2_000):
        told("indexing words", start, total)
        part = questions.texts[start : start + 2_000]
        index.add(
            TextEntry(start + place, start + place, text.text, text.language, text.heading, text.filename) for place, text in enumerate(part, start=1)
        )
    index.commit(total)
    return index


async def _vectors(
    questions: Questions, folder: Path, embedder: Embedder, opened: Callable[[Path, int], VectorIndex], told: Callable[[str, int, int], None]
) -> VectorIndex:
    index = await asyncio.to_thread(opened, folder, embedder.dimension)
    total = len(questions.texts)
    for start in range(0, total, _AT_ONCE):
        told("embedding passages", start, total)
        part = questions.texts[start : start + _AT_ONCE]
        made = await embedder.passages([text.text for text in part], background=True)
        ids = list(range(start + 1, start + len(part) + 1))
        await asyncio.to_thread(index.add, ids, ids, made)
    await asyncio.to_thread(index.commit, total)
    return index


async def _asked(questions: Sequence[Question], embedder: Embedder, told: Callable[[str, int, int], None]) -> NDArray[np.float32]:
    import numpy as np

    made = []
    for number, question in enumerate(questions):
        if number % 32 == 0:
            told("embedding questions", number, len(questions))
        made.append(await embedder.query(question.text))
    return np.stack(made)


def _measure(questions: Questions, at: _At, *, name: str, embedding: float, support: Support | None, told: Callable[[str, int, int], None]) -> Run:
    dense = at.dense
    parts = PARTS if dense is not None else ("words",)
    ranks: dict[str, list[int]] = {part: [] for part in parts}
    ndcgs: dict[str, list[float]] = {part: [] for part in parts}
    took = 0.0
    supported: list[bool] = []
    for number, question in enumerate(questions.questions):
        if number % 32 == 0:
            told("asking", number, len(questions.questions))
        relevant = {place + 1: grade for place, grade in question.relevant.items()}
        began = time.perf_counter()
        found = _search(question.text, number, at)
        took += time.perf_counter() - began
        for part in parts:
            order = [one.id for one in found[part]]
            ranks[part].append(rank(order, relevant))
            ndcgs[part].append(ndcg(order, relevant))
        if support is not None and question.answers:
            hits = [_hit(questions, one) for one in found["fused" if dense is not None else "words"][:5]]
            quoted = " ".join(support(question.text, hits))
            supported.append(any(answer in quoted for answer in question.answers))
    return Run(
        name=questions.name,
        kind=questions.kind,
        digest=questions.digest,
        questions=len(questions.questions),
        passages=len(questions.texts),
        embedder=name,
        figures={part: figures(ranks[part], ndcgs[part]) for part in parts},
        ranks=ranks,
        ms_per_query=took * 1e3 / len(questions.questions),
        ms_per_embedding=embedding,
        bytes_per_passage=at.words.size / max(1, len(questions.texts)),
        support=sum(supported) / len(supported) if supported else None,
        notes=questions.notes,
    )


def _search(query: str, number: int, at: _At) -> dict[str, Sequence[Found]]:
    language = detect(query)
    by_words: WordsFound = at.words.search(query, _CANDIDATES, language=language)
    if at.dense is None or at.asked is None:
        return {"words": by_words}
    vector = at.asked[number]
    by_vectors = at.dense.search(vector, _CANDIDATES)
    there = {one.id for one in by_vectors}
    missing = [one.id for one in by_words if one.id not in there]
    cosines = dict(zip(missing, at.dense.scores(vector, missing), strict=True)) if missing else {}
    share = share_of_words(query, language, at.known, quoted=not by_words.plain)
    return {"words": by_words, "vectors": by_vectors, "fused": fuse(by_words, by_vectors, share=share, cosines=cosines, limit=DEEP)}


def _hit(questions: Questions, found: Found) -> Hit:
    text = questions.texts[found.id - 1]
    return Hit(
        file=f"file-{found.id}", filename=text.filename or f"{found.id}.txt", store="evaluation", document=found.id, start=0, end=len(text.text),
        text=text.text, score=found.score, heading=text.heading, language=text.language,
    )  # fmt: skip

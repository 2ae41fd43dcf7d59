"""Whether words and vectors together are ever significantly worse than the better of the two, over kinds of questions that people ask.

Sets are made of XQuAD (HAUSGEIST_XQUAD names its folder): its questions in English and German, the same misspelt, as key words, by a number or a
code that one passage has, by a heading, and both languages in one store. The share of words is chosen over articles with even numbers, as a sweep
would, and everything is reported over the others, which no value was chosen by.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.embedding import xquad
from benchmarks.report import Figure
from hausgeist.knowledge.embed.installed import Installed
from hausgeist.knowledge.evaluation.measures import compare, rank
from hausgeist.knowledge.index.base import Found, TextEntry
from hausgeist.knowledge.index.fusion import fuse, share_of_words
from hausgeist.knowledge.index.vectors import open_vectors
from hausgeist.knowledge.index.words import WordsFound, open_words
from hausgeist.knowledge.language import detect
from hausgeist.knowledge.language.stopwords import stop_words

__all__ = ["measure"]

_MOST = 150
"""Questions of a set in each half."""
_SHARES = tuple(number / 20 for number in range(1, 20))
_CANDIDATES = 100
_SEED = 20_260_501


@dataclass(frozen=True, slots=True)
class _Passage:
    text: str
    heading: str
    language: str
    article: int


@dataclass(frozen=True, slots=True)
class _Asked:
    text: str
    relevant: Mapping[int, int]
    """Numbers of passages from 1."""
    article: int


@dataclass(frozen=True, slots=True)
class _Answered:
    """What both indexes found for a question."""

    asked: _Asked
    words: WordsFound
    vectors: Sequence[Found]
    cosines: Mapping[int, float]
    share: float
    """Of words, as search would take it."""

    def fused(self, share: float | None = None) -> int:
        found = fuse(self.words, self.vectors, share=self.share if share is None else share, cosines=self.cosines)
        return rank([one.id for one in found], self.asked.relevant)

    def alone(self, found: Sequence[Found]) -> int:
        return rank([one.id for one in found], self.asked.relevant)


async def measure() -> list[Figure]:
    """A line for each set."""
    if not xquad("en").exists():
        return [Figure("XQuAD", f"not found; set HAUSGEIST_XQUAD to the folder of {xquad('en').name}")]
    figures: list[Figure] = []
    embedder = Installed()
    try:
        read = {language: _read(language) for language in ("en", "de") if xquad(language).exists()}
        for language, (passages, questions) in read.items():
            sets = {kind: make(passages, questions) for kind, make in _KINDS.items()}
            figures += await _store(language, passages, sets, embedder)
        if len(read) == 2:
            passages, questions = _both(read["en"], read["de"])
            figures += await _store("en+de", passages, {"questions": questions}, embedder)
    finally:
        await embedder.close()
    return figures


async def _store(name: str, passages: Sequence[_Passage], sets: Mapping[str, Sequence[_Asked]], embedder: Installed) -> list[Figure]:
    """Figures of sets over one store."""
    with tempfile.TemporaryDirectory(prefix="hausgeist-fusion-") as folder:
        words, dense = open_words(Path(folder) / "words"), open_vectors(Path(folder) / "vectors", embedder.dimension)
        try:
            ids = list(range(1, len(passages) + 1))
            words.add(TextEntry(number, number, one.text, one.language, one.heading) for number, one in zip(ids, passages, strict=True))
            words.commit(len(ids))
            dense.add(ids, ids, await embedder.passages([f"{one.heading}\n{one.text}" if one.heading else one.text for one in passages]))
            dense.commit(len(ids))
            found = []
            for kind, asked in sets.items():
                answered = []
                for one in [*_some(asked, 0), *_some(asked, 1)]:
                    language, vector = detect(one.text), await embedder.query(one.text)
                    by_words, by_vectors = words.search(one.text, _CANDIDATES, language=language), dense.search(vector, _CANDIDATES)
                    missing = [hit.id for hit in by_words if hit.id not in {other.id for other in by_vectors}]
                    cosines = dict(zip(missing, dense.scores(vector, missing), strict=True))
                    share = share_of_words(one.text, language, embedder.languages, quoted=not by_words.plain)
                    answered.append(_Answered(one, by_words, by_vectors, cosines, share))
                found.append(_figure(f"{name}, {kind}", answered))
                print(f"{found[-1].name}: {found[-1].value}", file=sys.stderr, flush=True)
            return found
        finally:
            words.close()
            dense.close()


def _figure(name: str, answered: Sequence[_Answered]) -> Figure:
    chosen, reported = ([one for one in answered if one.asked.article % 2 == half] for half in (0, 1))
    best = max(_SHARES, key=lambda share: sum(one.fused(share) == 1 for one in chosen))
    ranks = {"words": [one.alone(one.words) for one in reported], "vectors": [one.alone(one.vectors) for one in reported]}
    fused = [one.fused() for one in reported]
    better = max(ranks, key=lambda part: ranks[part].count(1))
    against = compare(ranks[better], fused)
    swept = [one.fused(best) for one in reported].count(1) / len(reported)
    said = ", ".join(f"{part} {its.count(1) / len(its):.3f}" for part, its in ranks.items())
    value = (
        f"{said}, fused {fused.count(1) / len(fused):.3f} ({against.difference:+.3f} of {better}, {against.low:+.3f} to {against.high:+.3f}); "
        f"with {best:.2f} for words throughout, the best of the other half, {swept:.3f}; {len(reported)} questions"
    )
    return Figure(f"recall@1, {name}", value, "not worse than the better one", against.high >= 0)


def _some(asked: Sequence[_Asked], half: int) -> Sequence[_Asked]:
    mine = [one for one in asked if one.article % 2 == half]
    step = max(1.0, len(mine) / _MOST)
    return [mine[int(number * step)] for number in range(min(len(mine), _MOST))]


def _read(language: str) -> tuple[list[_Passage], list[_Asked]]:
    passages: list[_Passage] = []
    asked: list[_Asked] = []
    for number, article in enumerate(json.loads(xquad(language).read_text("utf-8"))["data"]):
        heading = str(article.get("title", "")).replace("_", " ")
        for paragraph in article["paragraphs"]:
            passages.append(_Passage(paragraph["context"], heading, language, number))
            asked += [_Asked(one["question"], {len(passages): 1}, number) for one in paragraph["qas"]]
    return passages, asked


def _both(first: tuple[list[_Passage], list[_Asked]], second: tuple[list[_Passage], list[_Asked]]) -> tuple[list[_Passage], list[_Asked]]:
    """Two languages of the same text in one store: a question may find the passage in either, in its own language it answers better."""
    count = len(first[0])
    asked = [_Asked(one.text, dict.fromkeys(one.relevant, 2) | {place + count: 1 for place in one.relevant}, one.article) for one in first[1]]
    asked += [_Asked(one.text, {place + count: 2 for place in one.relevant} | dict.fromkeys(one.relevant, 1), one.article) for one in second[1]]
    return [*first[0], *second[0]], asked


def _misspelt(passages: Sequence[_Passage], questions: Sequence[_Asked]) -> list[_Asked]:
    """Two neighbouring letters of the longest word change places."""
    dice = random.Random(_SEED)
    made = []
    for one in questions:
        word = max(re.findall(r"[^\W\d_]+", one.text), key=len, default="")
        if len(word) > 4:
            place = dice.randrange(1, len(word) - 2)
            wrong = word[:place] + word[place + 1] + word[place] + word[place + 2 :]
            made.append(_Asked(one.text.replace(word, wrong, 1), one.relevant, one.article))
    return made


def _keywords(passages: Sequence[_Passage], questions: Sequence[_Asked]) -> list[_Asked]:
    """As people type into a search field."""
    made = []
    for one in questions:
        stop = stop_words().get(passages[next(iter(one.relevant)) - 1].language, frozenset())
        kept = [word for word in re.findall(r"[^\W_]+(?:-[^\W_]+)*", one.text) if word.lower() not in stop and len(word) > 2]
        if len(kept) >= 2:
            made.append(_Asked(" ".join(kept), one.relevant, one.article))
    return made


def _codes(passages: Sequence[_Passage], questions: Sequence[_Asked]) -> list[_Asked]:
    """A number that one passage has and no other, with the word before it."""
    pattern = re.compile(r"([^\W\d_]{3,}) (\d[\d.,]*\d)(?!\w)")
    having = Counter(number for one in passages for number in {found[1] for found in pattern.findall(one.text)})
    rest = [one.text for one in passages]
    made = []
    for place, one in enumerate(passages, start=1):
        for word, number in dict.fromkeys(pattern.findall(one.text)):
            if having[number] == 1 and sum(number in text for text in rest) == 1:
                made.append(_Asked(f"{word} {number}", {place: 1}, one.article))
    return made


def _headings(passages: Sequence[_Passage], questions: Sequence[_Asked]) -> list[_Asked]:
    """What an article is called; any passage of it will do. Once in capitals, as headings are copied."""
    articles: dict[str, _Asked] = {}
    for place, one in enumerate(passages, start=1):
        if one.heading:
            known = articles.get(one.heading)
            articles[one.heading] = _Asked(one.heading, {**(known.relevant if known else {}), place: 1}, one.article)
    return [version for one in articles.values() for version in (one, _Asked(one.text.upper(), one.relevant, one.article))]


_KINDS: Mapping[str, Callable[[Sequence[_Passage], Sequence[_Asked]], Sequence[_Asked]]] = {
    "questions": lambda passages, questions: questions,
    "misspelt": _misspelt,
    "keywords": _keywords,
    "numbers": _codes,
    "headings": _headings,
}

if __name__ == "__main__":
    from benchmarks.report import table

    print(table(asyncio.run(measure())))

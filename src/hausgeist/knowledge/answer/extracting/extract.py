"""The sentences of passages that answer a question best, as they stand there: the answer of a machine without a capable model, and what `--quote`
shows. Also whether the passages are about the question at all.

A sentence counts for the question's words in it (by their stems; rare words more), for those in the passage and the heading around it, for how well
the passage was found, and for holding the kind of thing that is asked for.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hausgeist.knowledge.answer.extracting.expected import Wanted, holds, wanted
from hausgeist.knowledge.hits import Hit
from hausgeist.knowledge.language import detect, words
from hausgeist.knowledge.split.sentences import sentences

__all__ = ["Embed", "Quote", "answerable", "extract", "nearest"]

Embed = Callable[[Sequence[str]], Sequence[Sequence[float]]]
"""Vectors of length 1 for texts; the first is the question."""

_LONGEST = 2
"""Sentences of a quotation. With three instead of two, one answer more in a hundred is in the quotations, which are a fifth longer."""
_CHARACTERS = 700
"""Of a quotation of more than one sentence."""
_CANDIDATES = 400
"""Sentences that are weighed: enough for fifty passages."""
_LEAST = 0.3
"""Of a sentence's score beside the best one's, and of the share of the question that must be there at all."""
_POINTING = re.compile(
    r"[\"“„(]?(?:he|she|it|they|his|her|its|their|this|that|these|those|such|there|here|then|both|er|sie|es|sein|seine|seiner|ihre?r?|"
    r"dies(?:e[rsmn]?)?|"
    r"das|dabei|dadurch|dort|damit|diese[rsmn]?|jene[rsmn]?|beide|él|ella|ellos|ellas|ello|est[aeo]s?|es[aeo]s?|su|sus|allí|il|ils|elle|elles|"
    r"ce|cette|ces|cela|son|sa|ses|leurs?|"
    r"egli|esso|questo|questa|ele|ela|eles|elas|hij|zij|deze|dit)\b",
    re.IGNORECASE,
)
_LETTERED = re.compile(r"\w")
_PARTED = re.compile(r"\n\s*\n|\n(?=\(?\w{1,3}[.)]\s|§|[•‣◦▪*–—-]\s)")
"""Between paragraphs, and between the items of a list."""
_BULLET = re.compile(r"[•‣◦▪·*_–—-]\s+")
_ADDRESSED = re.compile(r"(?:from|to|cc|bcc|date|subject|von|an|datum|betreff):\s", re.IGNORECASE)
_FIGURE = re.compile(r"\d+(?:[.,:]\d+)*")
_FOLLOWS = 0.5
"""Of the best quotation's score: with less, nothing else is quoted beside it."""
_NEAR = 240
"""Characters of a quotation that answers nothing."""


@dataclass(frozen=True, slots=True)
class Quote:
    """Sentences of a hit: `start` to `end` (exclusive) of the text of the file's document, as `Hit.start` counts."""

    hit: Hit
    start: int
    end: int
    text: str
    score: float
    """From 0 to about 1."""


@dataclass(slots=True)
class _Sentence:
    hit: int
    number: int
    """In its hit."""
    start: int
    end: int
    """Of the text of the hit."""
    terms: frozenset[str]
    score: float = 0.0
    row: bool = False
    """Of a table: quoted by itself, whatever stands above and below."""
    titles: frozenset[str] = frozenset()
    """Of a row: the words of its `terms` that are those of its titles."""
    under: frozenset[str] = frozenset()
    """Of the first sentence below a heading: the words of the heading."""


@dataclass(slots=True)
class _Asked:
    """The question as the passages of one language see it."""

    terms: frozenset[str]
    raw: frozenset[str]
    kind: Wanted


@dataclass(slots=True)
class _Weighed:
    sentences: list[_Sentence]
    passages: list[frozenset[str]]
    headings: list[frozenset[str]]
    asked: list[_Asked]
    """Of each hit."""
    idf: dict[str, float]
    by_hit: dict[int, list[_Sentence]] = field(default_factory=dict)
    shared: bool = False
    """Whether a word of the question is in any passage."""

    def share(self, terms: frozenset[str], hit: int) -> float:
        """How much of the question is in `terms`, by weight, from 0 to 1."""
        asked = self.asked[hit].terms
        whole = sum(self.idf[term] for term in asked)
        # A set has no order, and floating sums do: the same question has the same answer on every run.
        return sum(sorted(self.idf[term] for term in asked & terms)) / whole if whole else 0.0


def extract(question: str, hits: Sequence[Hit], *, most: int = 3, embed: Embed | None = None) -> list[Quote]:
    """The best first, at most `most`; empty where the passages share no word with the question that says anything (then nothing is answered).
    `hits`: the best first. `embed`: adds nearness of meaning; it blocks for about the time that 50 sentences need."""
    weighed = _weigh(question, hits)
    if weighed is None or (embed is None and (not weighed.shared or _likely(weighed) < _SILENT)):
        return []
    best_hit = max((hit.score for hit in hits), default=0.0) or 1.0
    for one in weighed.sentences:
        one.score = _score(one, hits[one.hit], weighed, hits[one.hit].score / best_hit)
    ranked = sorted(weighed.sentences, key=lambda one: (-one.score, one.hit, one.start))
    if embed is not None and ranked:
        ranked = _embedded(question, ranked, hits, embed)
    return _quotes(ranked, weighed, hits, most)


def nearest(question: str, hits: Sequence[Hit], *, most: int = 3) -> list[Quote]:
    """Of the best hits, the sentence that is nearest to the question, although it does not answer it."""
    weighed = _weigh(question, hits)
    if weighed is None:
        return []
    found: list[Quote] = []
    for number, hit in enumerate(hits):
        inner = [one for one in weighed.by_hit[number] if _LETTERED.search(hit.text, one.start, one.end)]
        if len(found) == most or not inner:
            continue
        best = max(inner, key=lambda one: (_score(one, hit, weighed, 0.0), -one.number))
        end = best.end
        if end - best.start > _NEAR:
            end = max(hit.text.rfind(" ", best.start, best.start + _NEAR), best.start + _NEAR // 2)
        place = hit.start + best.start
        if not any(one.hit.file == hit.file and one.start < hit.start + end and place < one.end for one in found):
            found.append(Quote(hit, place, hit.start + end, hit.text[best.start : end], best.score))
    return found


def answerable(question: str, hits: Sequence[Hit]) -> float:
    """How likely these passages, the best ones of a search, are about what is asked: 0 to 1. Calibrated on questions whose documents were there and
    on the same ones whose documents had been taken away."""
    weighed = _weigh(question, hits)
    if weighed is None or not weighed.shared:
        return 0.0
    return _likely(weighed)


# Logistic regression on half of the articles of XQuAD en and de.
_BIAS, _OF_SENTENCE, _OF_PASSAGE, _OF_LENGTH = -7.4, 8.9, 6.0, 0.29
_SILENT = 0.05
"""Below this nothing is quoted."""


def _likely(weighed: _Weighed) -> float:
    sentence = max(weighed.share(one.terms, one.hit) for one in weighed.sentences)
    passage = max(weighed.share(terms | weighed.headings[number], number) for number, terms in enumerate(weighed.passages))
    length = min(10, max(len(one.terms) for one in weighed.asked))
    return 1 / (1 + math.exp(-(_BIAS + _OF_SENTENCE * sentence + _OF_PASSAGE * passage + _OF_LENGTH * length)))


def _weigh(question: str, hits: Sequence[Hit]) -> _Weighed | None:
    """None where there is nothing to weigh."""
    spoken = detect(question)
    raw = frozenset(re.findall(r"\w+", question.lower()))
    kind = wanted(question)
    asked: dict[str, _Asked] = {}
    found = _Weighed([], [], [], [], {})
    for number, hit in enumerate(hits):
        language = hit.language if hit.language != "und" else spoken
        if language not in asked:
            asked[language] = _Asked(_terms(question, language), raw, kind)
        found.asked.append(asked[language])
        inner, titles = _sentences_of(hit, number, language, _CANDIDATES - len(found.sentences))
        found.sentences += inner
        found.by_hit[number] = inner
        found.passages.append(titles.union(*(one.terms for one in inner)))
        found.headings.append(frozenset(words(f"{hit.heading} {hit.filename.rpartition('.')[0]}", language)))
    counts = Counter(term for one in found.sentences for term in one.terms)
    terms = frozenset(term for one in asked.values() for term in one.terms)
    total = len(found.sentences)
    found.idf = {term: math.log(1 + (total + 1) / (counts[term] + 0.5)) for term in terms}
    found.shared = any(counts[term] for term in terms)
    return found if total else None


def _sentences_of(hit: Hit, number: int, language: str, most: int) -> tuple[list[_Sentence], frozenset[str]]:
    """What may be quoted of a hit, and the words of what may not: headings and the titles of tables, which say nothing by themselves."""
    above = {" ".join(part.split()) for part in hit.heading.split(" > ")}
    titles: frozenset[str] = frozenset()
    heads: frozenset[str] = frozenset()
    found: list[_Sentence] = []
    in_table = False
    under: frozenset[str] = frozenset()
    for start, end in sentences(hit.text, language):
        if len(found) >= most:
            break
        text = hit.text[start:end]
        terms = _terms(text, language)
        row = "\t" in text
        first, in_table = row and not in_table, row
        if row and first:
            heads = terms if not re.search(r"\d", text) else frozenset()
            if heads:
                titles |= terms
                continue
        if not row and " ".join(text.split()) in above:
            titles |= terms
            under = terms
            continue
        if bullet := _BULLET.match(text):
            start += bullet.end()
        one = _Sentence(number, len(found), start, end, terms, row=row, under=under)
        under = frozenset()
        if row:
            one.terms, one.titles = terms | heads, heads - terms
        found.append(one)
    return found, titles


def _terms(text: str, language: str) -> frozenset[str]:
    """Its words by their stems, and every figure, however short: "6 %" is asked for by it."""
    return frozenset(words(text, language)).union(_FIGURE.findall(text))


# The weights were chosen on half of the articles of XQuAD in English and German; figures of the other half are in docs/lab.md.
_AROUND, _HEADING, _FOUND, _KIND, _NEXT = 0.4, 0.1, 0.5, 0.2, 0.3
_UNDER = 0.85
"""What the words of a heading count for in the first sentence below it, which need not say them again."""


def _score(one: _Sentence, hit: Hit, weighed: _Weighed, found: float) -> float:
    text = hit.text[one.start : one.end]
    asked = weighed.asked[one.hit]
    inside = weighed.share(one.terms, one.hit)
    if one.under:
        inside = max(inside, _UNDER * weighed.share(one.terms | one.under, one.hit))
    neighbours = weighed.by_hit[one.hit]
    before = neighbours[one.number - 1].terms if one.number else frozenset[str]()
    score = inside + _AROUND * weighed.share(weighed.passages[one.hit], one.hit) + _HEADING * weighed.share(weighed.headings[one.hit], one.hit)
    if before and _POINTING.match(text):
        score += _NEXT * weighed.share(before - one.terms, one.hit)
    score += _FOUND * found
    if asked.kind != "any" and holds(asked.kind, text, asked.raw):
        score += _KIND
    if text.rstrip().endswith(("?", "？", "؟")):
        score *= 0.7  # A question answers none.
    if _ADDRESSED.match(text):
        score *= 0.6  # The head of a mail.
    if len(one.terms - asked.terms) < 2:
        score *= 0.6  # Headlines and the question's own words: nothing is said.
    return score / (1 + _AROUND + _HEADING + _FOUND + _KIND)


def _embedded(question: str, ranked: list[_Sentence], hits: Sequence[Hit], embed: Embed) -> list[_Sentence]:
    """The best fifty again, by words and by meaning."""
    short = ranked[:50]
    vectors = embed([question, *(hits[one.hit].text[one.start : one.end] for one in short)])
    for one, vector in zip(short, vectors[1:], strict=True):
        one.score = (one.score + _MEANING * max(0.0, sum(a * b for a, b in zip(vectors[0], vector, strict=True)))) / (1 + _MEANING)
    return sorted(short, key=lambda one: (-one.score, one.hit, one.start))


_MEANING = 0.5


def _quotes(ranked: Sequence[_Sentence], weighed: _Weighed, hits: Sequence[Hit], most: int) -> list[Quote]:
    spans: list[list[_Sentence]] = []
    least = ranked[0].score * _LEAST if ranked else 0.0
    for one in ranked[: most * _LONGEST]:
        if spans and one.score < _FOLLOWS * ranked[0].score:
            break
        if one.score <= least or not _LETTERED.search(hits[one.hit].text, one.start, one.end):
            continue
        if spans and one.row and not (one.terms - one.titles) & weighed.asked[one.hit].terms:
            continue  # Any row of that table would do.
        if any(one in span for span in spans) or _told(one, spans, hits):
            continue
        if any(_extend(span, one, hits) for span in spans):
            continue
        if len(spans) < most:
            spans.append([one])
            text = hits[one.hit].text[one.start : one.end]
            if one.number and _POINTING.match(text):
                _extend(spans[-1], weighed.by_hit[one.hit][one.number - 1], hits)
    quotes: list[Quote] = []
    for span in spans:
        hit = hits[span[0].hit]
        start, end = span[0].start, span[-1].end
        if any(one.hit.file == hit.file and one.start < hit.start + end and hit.start + start < one.end for one in quotes):
            continue  # Passages overlap.
        quotes.append(Quote(hit, hit.start + start, hit.start + end, hit.text[start:end], max(one.score for one in span)))
    return quotes


def _told(one: _Sentence, spans: Sequence[Sequence[_Sentence]], hits: Sequence[Hit]) -> bool:
    """The same words are quoted already: passages overlap, and files come twice."""
    text = hits[one.hit].text[one.start : one.end]
    return any(text in hits[span[0].hit].text[span[0].start : span[-1].end] for span in spans)


def _extend(span: list[_Sentence], one: _Sentence, hits: Sequence[Hit]) -> bool:
    """Put a sentence to a quotation that it stands beside, in the same paragraph."""
    if one.hit != span[0].hit or len(span) >= _LONGEST or one.row or span[0].row:
        return False
    text = hits[one.hit].text
    if _PARTED.search(text, min(one.end, span[-1].end), max(one.start, span[0].start) + 6):
        return False
    if max(one.end, span[-1].end) - min(one.start, span[0].start) > _CHARACTERS:
        return False
    if one.number == span[-1].number + 1:
        span.append(one)
    elif one.number == span[0].number - 1:
        span.insert(0, one)
    else:
        return False
    return True

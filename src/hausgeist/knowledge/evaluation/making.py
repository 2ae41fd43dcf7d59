"""Questions made of documents without a model. They are a meter for changes, not a measure of how people's questions fare.

From each passage one sentence is taken that has something to ask about, and two questions are made of it: its key words without their order and
ending, as people type into a search field, and its statement with one fact left out, which is the answer. A word that many passages of the set have
is no key word, and what the passage shares with no other is not given away: the rarest word is left out where enough others remain.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

from hausgeist.knowledge.evaluation.questions import Question, Text
from hausgeist.knowledge.language import words
from hausgeist.knowledge.language.stopwords import stop_words

__all__ = ["questions_of"]

_SENTENCE: Final = re.compile(r"(?<=[.!?。！？।])\s*(?=\S)|\n+")
_SHORTEST: Final = 40
_LONGEST: Final = 300
"""Characters of a sentence that is asked about; a third of it for scripts that need fewer."""
_DENSE: Final = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_KEYS: Final = 5
_LEAST: Final = 3
_FACT: Final = re.compile(r"\d[\d.,:/-]*\d|\d|(?<=[^\W\d_] )[A-ZÄÖÜ][\w-]{2,}(?: [A-ZÄÖÜ][\w-]{2,})*")
"""What a question may be for: a number, or a name within the sentence."""


def questions_of(texts: Sequence[Text]) -> list[Question]:
    """Two for each passage that has a sentence to ask about; the same for the same passages."""
    having: Counter[str] = Counter(term for text in texts for term in set(words(text.text, text.language)))
    made: list[Question] = []
    for place, text in enumerate(texts):
        chosen = max(_sentences(text.text), key=lambda sentence: _worth(sentence, text.language, having), default="")
        if not chosen:
            continue
        keys = _keys(chosen, text.language, having)
        if len(keys) >= _LEAST:
            made.append(Question(" ".join(keys), {place: 1}, ()))
        fact = next(iter(sorted(_FACT.findall(chosen), key=len, reverse=True)), "")
        gap = chosen.replace(fact, "…", 1).strip() if fact else ""
        if gap and len(words(gap, text.language)) >= _LEAST:
            made.append(Question(gap, {place: 1}, (fact,)))
    return made


def _sentences(text: str) -> list[str]:
    found = []
    for sentence in _SENTENCE.split(text):
        sentence = " ".join(sentence.split())
        shortest = _SHORTEST // 3 if _DENSE.search(sentence) else _SHORTEST
        if shortest <= len(sentence) <= _LONGEST:
            found.append(sentence)
    return found


def _worth(sentence: str, language: str, having: Counter[str]) -> float:
    """Sentences that say something of their own: many words that few passages have, and a fact."""
    terms = set(words(sentence, language))
    return sum(1 / having[term] for term in terms if having[term]) + (1.0 if _FACT.search(sentence) else 0.0)


def _keys(sentence: str, language: str, having: Counter[str]) -> list[str]:
    """Words as they are written, in the order of the sentence, without the one that gives the passage away."""
    stop = stop_words().get(language, frozenset())
    if _DENSE.search(sentence):
        runs = [run[:8] for run in re.split(r"\W+", sentence) if run]
        return runs[:_KEYS] if len(runs) >= _LEAST else [sentence[index : index + 4] for index in range(0, min(len(sentence), 16), 4)]
    found: dict[str, int] = {}
    for word in re.findall(r"[^\W_]+(?:-[^\W_]+)*", sentence):
        terms = words(word, language)
        if len(word) > 3 and word.lower() not in stop and terms:
            found[word] = min(having[term] or 1 for term in terms)
    rare = sorted(found, key=lambda word: found[word])
    if len(rare) > _KEYS + 1:
        rare = rare[1:]
    chosen = set(rare[:_KEYS])
    return [word for word in found if word in chosen]

"""What an index of words and one of vectors have found becomes one list: by score, knowing what either is worth for this question.

The score of words is divided by what a passage with all the question's words once would have (`WordsFound.possible`): a share of what was asked,
comparable between questions, while division by the best one found would make something of nothing. Cosines are taken as they are. The fused score is

    share * words / max(possible, best) + (1 - share) * max(0, cosine)

(A passage that has the words often gets more than `possible`; then the best one found is the measure, so that no two become equal.)

`share` begins with what decides how far vectors can be trusted: whether the model that made them knows the language of the question, whether it
knows at least its script, and whether the question is for something that stands there to the letter (a code, a number, a quotation). It grows with
the lead of the best passage of words over the second. `docs/lab.md` has the figures by which the values were chosen: on no set was the fused list
significantly worse in recall@1 than the better of the two.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from hausgeist.knowledge.index.base import Found
from hausgeist.knowledge.index.words import WordsFound
from hausgeist.knowledge.language.detection import UNKNOWN
from hausgeist.knowledge.language.terms import words

__all__ = ["fuse", "share_of_words"]

_KNOWN: Final = 0.35
"""The share of words where the model knows the language."""
_RELATED: Final = 0.6
"""Where it does not, but knows others of the same script: names and loan words it has seen."""
_FOREIGN: Final = 0.85
"""Where the script is strange to it: its vectors say little more than how long a text is."""
_LITERAL: Final = 0.25
"""What a number or a code in the question adds; a quotation that was found adds it twice."""
_SURE: Final = 0.9
"""The share of words where they have found one passage and no other; in between by how far the best is ahead."""
_SCRIPTS: Final = {
    "han": frozenset({"zh", "ja", "ko"}),
    "south": frozenset({"th", "lo", "km", "my", "hi", "mr", "ne", "bn", "pa", "gu", "ta", "te", "kn", "ml", "si"}),
    "arabic": frozenset({"ar", "fa", "ur", "he", "am"}),
    "cyrillic": frozenset({"ru", "uk", "bg", "mk", "sr", "el", "hy", "ka"}),
}
"""Every other language is written in Latin letters, as far as embedding models are concerned."""


def share_of_words(question: str, language: str, known: Collection[str], *, quoted: bool = False) -> float:
    """From 0 to 1: what words count in fusion. `known`: the languages of the embedder, empty where nobody has said; `quoted`: the question has a
    phrase in quotation marks, and it was found."""
    if not known or language in known:
        share = _KNOWN
    elif language == UNKNOWN or _script(language) in {_script(one) for one in known}:
        share = _RELATED
    else:
        share = _FOREIGN
    if quoted:
        return min(0.95, share + 2 * _LITERAL)
    figures = sum(term.startswith("=") for term in words(question, language))
    return min(0.95, share + _LITERAL) if figures else share


def fuse(
    by_words: Sequence[Found],
    by_vectors: Sequence[Found],
    *,
    share: float,
    cosines: Mapping[int, float] | None = None,
    limit: int = 10,
) -> list[Found]:
    """The best first, scores from 0 to 1. `share`: see `share_of_words`; `cosines`: those of passages that only words have found; without one (or
    NaN: the passage has no vector yet) a passage is taken to be as near as the last that vectors have found."""
    best = max((one.score for one in by_words), default=0.0)
    possible = max(by_words.possible, best) if isinstance(by_words, WordsFound) else best
    near = {passage: score for passage, score in (cosines or {}).items() if not math.isnan(score)}
    near.update(by_vectors)
    share = 1.0 if not near else share + max(0.0, _SURE - share) * _lead(by_words)
    coverage = {passage: score / possible if possible > 0 else 0.0 for passage, score in by_words}
    floor = max(0.0, min((one.score for one in by_vectors), default=0.0))
    near.update(dict.fromkeys(coverage.keys() - near.keys(), floor))
    rest = 1 - share
    # Passages of the same score stand in the order in which they came into the store.
    fused = sorted([
        (-(share * coverage.get(passage, 0.0) + rest * (0.0 if cosine < 0 else 1.0 if cosine > 1 else cosine)), passage)
        for passage, cosine in near.items()
    ])  # fmt: skip
    return [Found(passage, -less) for less, passage in fused[:limit]]


def _lead(by_words: Sequence[Found]) -> float:
    """How far the best is ahead of the second, from 0 to 1: one passage that has much more of the question than all others is likely to be meant."""
    if not by_words or by_words[0].score <= 0:
        return 0.0
    second = by_words[1].score if len(by_words) > 1 else 0.0
    return max(0.0, 1 - second / by_words[0].score)


def _script(language: str) -> str:
    return next((script for script, languages in _SCRIPTS.items() if language in languages), "latin")

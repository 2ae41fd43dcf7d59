"""Which language a text is in: by its script, and among those that share one by trigrams of characters and by stop words.

The trigrams are from the profiles of language-detection (Apache-2.0, (c) 2010-2014 Cybozu Labs, Inc.; counted in Wikipedia), the 1,600 most
frequent of each language, in `data/profiles.xz`: for each language lines of `level<TAB>trigrams`, where `level` is -2 log2 of the share of each.
"""

from __future__ import annotations

import lzma
import re
import threading
import unicodedata
from dataclasses import dataclass
from functools import cache
from importlib import resources
from struct import unpack
from typing import Final

from hausgeist.knowledge.language.stopwords import stop_words

__all__ = ["UNKNOWN", "detect"]

UNKNOWN: Final = "und"

_READ: Final = 200
"""Characters that are looked at: more do not change the answer, and a passage is asked for each time one is stored."""
_LATIN: Final = re.compile(r"[\u0000-\u024f\u1e00-\u1eff]*")
_PLAIN: Final = re.compile(r"[\u0000-\u024f\u1e00-\u1eff\u2000-\u206f\u20a0-\u20cf]*")
"""Latin letters, and signs that stand beside them."""
_WORD: Final = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_SCRIPTS: Final = (
    ("ja", re.compile(r"[\u3040-\u30ff\u31f0-\u31ff]")),
    ("ko", re.compile(r"[\uac00-\ud7af\u1100-\u11ff]")),
    ("zh", re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003fffd]")),
    ("th", re.compile(r"[\u0e00-\u0e7f]")),
    ("lo", re.compile(r"[\u0e80-\u0eff]")),
    ("km", re.compile(r"[\u1780-\u17ff]")),
    ("my", re.compile(r"[\u1000-\u109f]")),
    ("el", re.compile(r"[\u0370-\u03ff\u1f00-\u1fff]")),
    ("he", re.compile(r"[\u0590-\u05ff]")),
    ("hy", re.compile(r"[\u0530-\u058f]")),
    ("ka", re.compile(r"[\u10a0-\u10ff]")),
    ("bn", re.compile(r"[\u0980-\u09ff]")),
    ("pa", re.compile(r"[\u0a00-\u0a7f]")),
    ("gu", re.compile(r"[\u0a80-\u0aff]")),
    ("ta", re.compile(r"[\u0b80-\u0bff]")),
    ("te", re.compile(r"[\u0c00-\u0c7f]")),
    ("kn", re.compile(r"[\u0c80-\u0cff]")),
    ("ml", re.compile(r"[\u0d00-\u0d7f]")),
    ("si", re.compile(r"[\u0d80-\u0dff]")),
    ("am", re.compile(r"[\u1200-\u137f]")),
)
"""Scripts that stand for one language, as far as search is concerned. Japanese comes before Chinese: it has both."""
_SHARED: Final = (
    (re.compile(r"[\u0400-\u052f]"), ("ru", "bg", "uk", "mk")),
    (re.compile(r"[\u0600-\u06ff\u0750-\u077f]"), ("ar", "fa", "ur")),
    (re.compile(r"[\u0900-\u097f]"), ("hi", "mr", "ne")),
)
_UNSEEN: Final = 33
"""The level of a trigram in a language whose profile lacks it; the profiles end at about 26."""
_FIELD: Final = 16
"""Bits of a number in which the levels of a text for one language are summed up: 200 trigrams of at most 33 need 13."""
_STOP_WORD: Final = 11.0
"""What a stop word adds to its languages, divided by how many languages have it: about two trigrams' worth."""
_SURE: Final = 3.0
"""Bits by which the first language must be ahead of the second in a text of few letters."""
_FAVOURED: Final = {"en": 1.5, "de": 1.0, "fr": 1.0, "es": 1.0, "it": 0.5, "pt": 0.5, "nl": 0.5}
"""Bits ahead of evidence: what papers are mostly written in."""


_MAKING: Final = threading.Lock()


@dataclass(frozen=True, slots=True)
class _Profiles:
    languages: tuple[str, ...]
    grams: dict[str, int]
    """Of each trigram by how many levels each language is above `_UNSEEN`: one number, with a field for each language. Numbers are added at once,
    whatever number of languages they speak of, and need no library for it: a process that reads one document begins no slower for it."""
    words: dict[str, tuple[tuple[int, float], ...]]


def detect(text: str) -> str:
    """ISO 639-1, or "und" for what has no words or could be in many languages."""
    sample = unicodedata.normalize("NFKC", text[: 2 * _READ]).lower()
    if _PLAIN.fullmatch(sample):
        return _among(sample, None)
    run = "".join(letter for letter in sample if letter.isalpha())
    if not run:
        return UNKNOWN
    if _LATIN.fullmatch(run):
        return _among(sample, None)
    for language, script in _SCRIPTS:
        # A name in another script within a text does not make its language.
        if len(script.findall(run)) * (6 if language == "ja" else 3) > len(run):
            return language
    for script, languages in _SHARED:
        if len(script.findall(run)) * 2 > len(run):
            return _among(sample, languages)
    return _among(sample, None)


def _among(sample: str, only: tuple[str, ...] | None) -> str:
    """The likeliest of some languages; None: of those in Latin letters."""
    profiles = _profiles()
    words = _WORD.findall(sample)
    joined = f" {' '.join(words)[:_READ]} "
    found = list(filter(None, map(profiles.grams.get, map("".join, zip(joined, joined[1:], joined[2:], strict=False)))))
    if not found:
        return UNKNOWN
    size = len(profiles.languages)
    above = unpack(f"<{size}H", sum(found).to_bytes(size * _FIELD // 8, "little"))
    least = -_UNSEEN / 2 * len(found)
    scores = [least + one / 2 for one in above]
    for columns in filter(None, map(profiles.words.get, words[:40])):
        for column, bonus in columns:
            scores[column] += bonus
    ranked = sorted([(scores[column] + favour, language) for language, column, favour in _columns(only)], reverse=True)
    # Few letters prove little: names and codes are in no language. Text of some length always is in the likeliest.
    if only is None and len(joined) < 60 and ranked[0][0] - ranked[1][0] < _SURE:
        return UNKNOWN
    return ranked[0][1]


@cache
def _columns(only: tuple[str, ...] | None) -> list[tuple[str, int, float]]:
    """Language, column, and how much it is favoured."""
    shared = {language for _, languages in _SHARED for language in languages}
    return [
        (language, column, _FAVOURED.get(language, 0.0))
        for column, language in enumerate(_profiles().languages)
        if (language in only if only else language not in shared)
    ]


def _profiles() -> _Profiles:
    # Threads that come first together would each make their own, which takes a while.
    with _MAKING:
        return _made()


@cache
def _made() -> _Profiles:
    text = lzma.decompress(resources.files(__package__).joinpath("data/profiles.xz").read_bytes()).decode("utf-8")
    parts = [part.split("\n") for part in text.split("\n\n")]
    languages = tuple(part[0] for part in parts)
    grams: dict[str, int] = {}
    known = grams.get
    for column, part in enumerate(parts):
        for line in part[1:]:
            level, _, run = line.partition("\t")
            above = (_UNSEEN - int(level)) << (_FIELD * column)
            for gram in map("".join, zip(run[::3], run[1::3], run[2::3], strict=False)):
                grams[gram] = known(gram, 0) + above
    lists = stop_words()
    holders: dict[str, list[int]] = {}
    for column, language in enumerate(languages):
        for word in lists.get(language, ()):
            holders.setdefault(word, []).append(column)
    return _Profiles(languages, grams, {word: tuple((column, _STOP_WORD / len(columns)) for column in columns) for word, columns in holders.items()})

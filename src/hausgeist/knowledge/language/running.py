"""The languages of passages that follow one another: mostly that of the one before, which is quicker to see than to find out.

A passage is looked at on its own each time, so a text in two languages has both. What is looked at first are its words: those that nearly every
sentence in English or German has, then those that earlier passages of the same text had, which serves every language and lists of names as well.
Only where neither speaks for a language is it found out anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from hausgeist.knowledge.language.detection import UNKNOWN, detect
from hausgeist.knowledge.language.stopwords import stop_words

__all__ = ["Running"]

_ENGLISH: Final = "the of and to is that for with as was by are be it shall this or not"
_GERMAN: Final = (
    "der die und das ist nicht für auf dem den ein eine einer einen von mit zu zum zur des werden wurde sich wird im durch oder aus bei als nach "
    "auch sind war vom dass"
)
_SURE: Final = {"en": frozenset(_ENGLISH.split()), "de": frozenset(_GERMAN.split())}
"""Words that make up a sixth of nearly any text in the language, and of none in another."""
_FIRST: Final = {"en": "the", "de": "und"}
"""The one of them that is a word of no other language: it must be there where nothing was known before ("is", "was" and "of" are Dutch too)."""
_LOOKED: Final = 240
"""Characters of a passage whose words are looked at, about as many as where the language is found out: what begins in one language and goes on in
another has the one that it begins in."""
_READ: Final = 1000
"""Characters that are handed over where the language is found out."""
_FEWEST: Final = 12
"""Words that say something."""
_KEPT: Final = 4_000
"""Words of earlier passages that are remembered."""


class Running:
    """Of one text. `detect`: tells the language of a passage whose words don't."""

    def __init__(self, detect: Callable[[str], str] = detect) -> None:
        self._detect = detect
        self._spoken = ""
        self._seen: dict[str, str] = {}

    def of(self, text: str, start: int, end: int) -> str:
        """ISO 639-1 of what stands from `start` to `end`; "und" where it is not known."""
        words = text[start : min(end, start + _LOOKED)].lower().split()
        telling = len(words) >= _FEWEST
        if telling and self._goes_on(words):
            return self._spoken
        if telling:
            for language, first in _FIRST.items():
                if first in words and _share(words, language):
                    self._spoken = language
                    return language
        self._spoken = self._detect(text[start : min(end, start + _READ)])
        if telling:
            self._remember(words)
        return self._spoken

    def _goes_on(self, words: list[str]) -> bool:
        if self._spoken in _SURE and _little(words, self._spoken):
            return True
        # Half of the words were there before, and in no other language.
        return self._spoken != UNKNOWN and list(map(self._seen.get, words)).count(self._spoken) * 2 >= len(words)

    def _remember(self, words: list[str]) -> None:
        if self._spoken == UNKNOWN:
            return
        if len(self._seen) > _KEPT:
            self._seen.clear()
        for word in words:
            if self._seen.setdefault(word, self._spoken) != self._spoken:
                self._seen[word] = ""


def _share(words: list[str], language: str) -> bool:
    return sum(map(_SURE[language].__contains__, words)) * 6 >= len(words)


def _little(words: list[str], language: str) -> bool:
    """Whether a quarter of the words say little, as two fifths of a usual text do, and a tenth to a seventh of one in a language beside it."""
    return sum(map(stop_words()[language].__contains__, words)) * 4 >= len(words)

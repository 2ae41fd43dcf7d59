"""Whether a passage bears out a claim that quotes nothing: most of its words stand there, and numbers, dates, names and every "not" agree. Pure.

A judgement by words, made to catch what was changed or made up; it does not follow an argument. What it cannot judge, such as a claim in another
language than the passage, is left open rather than called wrong, unless a number or a name disagrees.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, Literal

from hausgeist.knowledge.answer.checking.limiting import denials
from hausgeist.knowledge.answer.phrases import COMMON_WORDS, guess

__all__ = ["Judge", "Verdict", "content_words", "numbers"]

Verdict = Literal["supported", "unsupported", "open"]

_SHARE: Final = 0.5
"""Of a claim's words that its passage has."""
_NEAR: Final = 0.6
"""Of a claim's words that one sentence has: then it says the same, and what differs was changed."""
_LEAST: Final = 3
"""A sentence of fewer words that say something claims nothing."""
_WORD: Final = re.compile(r"[^\W_]+(?:[-'’][^\W_]+)*")
_CHINESE: Final = re.compile(r"[\u3400-\u9fff]+")
_NUMBER: Final = re.compile(r"\d+(?:[ \u00a0\u202f'’]\d{3})+(?:[.,]\d{1,2})?(?!\d)|\d+(?:[.,]\d{3})+(?:[.,]\d{1,2})?(?!\d)|\d+[.,]\d+(?![.,]?\d)|\d+")
_DATE: Final = re.compile(r"\b(?:(?P<d>\d{1,2})[./](?P<m>\d{1,2})[./]\d{2,4}|\d{4}-(?P<m2>\d{2})-\d{2}|\d{2,4}年(?P<m3>\d{1,2})月)")
_SENTENCE: Final = re.compile(r"(?<=[^\d\s][.!?])\s+|(?<=[。！？])|\n+")
_NUMERALS: Final[Mapping[str, str]] = {
    word: str(value)
    for words, value in (
        ("two zwei dos deux", 2), ("three drei tres trois", 3), ("four vier cuatro quatre", 4), ("five fünf cinco cinq", 5), ("six sechs seis", 6),
        ("seven sieben siete sept", 7), ("eight acht ocho huit", 8), ("nine neun nueve neuf", 9), ("ten zehn diez dix", 10),
        ("eleven elf once onze", 11), ("twelve zwölf doce douze", 12), ("fifteen fünfzehn quince quinze", 15), ("twenty zwanzig veinte vingt", 20),
        ("thirty dreißig treinta trente", 30),
    )
    for word in words.split()
}  # fmt: skip
_CHINESE_NUMERALS: Final = re.compile(r"[二两三四五六七八九十百千]+")
_MONTHS: Final[Mapping[str, int]] = {
    name: number
    for number, names in enumerate(
        (
            "january januar jänner enero janvier", "february februar febrero février", "march märz marzo mars", "april abril avril", "mai mayo",
            "june juni junio juin", "july juli julio juillet", "august agosto août", "september septiembre septembre",
            "october oktober octubre octobre", "november noviembre novembre", "december dezember diciembre décembre",
        ),
        1,
    )
    for name in names.split()
}  # fmt: skip
_COMMON: Final = frozenset().union(*COMMON_WORDS.values())


def numbers(text: str) -> set[str]:
    """Numbers and months as they can be compared: "1.500,00" and "1,500" alike; months with an M."""
    found = {f"M{int(match['m'] or match['m2'] or match['m3'])}" for match in _DATE.finditer(text)}
    plain = _DATE.sub(lambda match: re.sub(r"\D", " ; ", match[0]), text)
    found |= {_value(match[0]) for match in _NUMBER.finditer(plain)}
    for word in _WORD.findall(text.lower()):
        if word in _NUMERALS:
            found.add(_NUMERALS[word])
        elif word in _MONTHS:
            found.add(f"M{_MONTHS[word]}")
    if re.search(r"\bMay\b", text):
        found.add("M5")
    return found | set(_CHINESE_NUMERALS.findall(text))


def _value(number: str) -> str:
    whole, fraction = re.sub(r"[ \u00a0\u202f'’]", "", number), ""
    if match := re.search(r"[.,](\d{1,2}|\d{4,})$", whole):
        whole, fraction = whole[: match.start()], match[1].rstrip("0")
    whole = re.sub(r"[.,]", "", whole).lstrip("0") or "0"
    return f"{whole}.{fraction}" if fraction else whole


def content_words(text: str) -> list[str]:
    """The words that say something, in lower case; of Chinese, pairs of characters."""
    found = [word.lower() for word in _WORD.findall(_CHINESE.sub(" ", text)) if word.lower() not in _COMMON and (len(word) > 2 or word.isdigit())]
    for run in _CHINESE.findall(text):
        found += [run[place : place + 2] for place in range(len(run) - 1)]
    return found


class Judge:
    """Judges the claims of one message; what it has learnt of a passage it keeps for the next."""

    def __init__(self) -> None:
        self._words: dict[str, _Words] = {}
        self._sentences: dict[str, list[tuple[str, _Words]]] = {}
        self._numbers: dict[str, set[str]] = {}

    def supported(self, claim: str, sources: Sequence[str], *, about: str = "", besides: str = "") -> Verdict:
        """Whether the sources together bear out the claim. `about`: what else is known of them (title, headings, page); `besides`: what the question
        says, whose words prove nothing, but whose numbers and names may be taken up."""
        words = [word for word in content_words(claim) if not word.isdigit()]
        figures = numbers(claim)
        if len(words) < _LEAST and not figures:
            return "open"
        for text in (*sources, about, besides):
            figures -= self.numbers_of(text)
        if figures:
            return "unsupported"
        there = [self._words_of(text) for text in (*sources, about)]
        known = [*there, self._words_of(besides)]
        language = guess(claim)
        share = sum(_within(word, there) for word in words) / len(words) if words else 1.0
        best, near = self._nearest(words, sources)
        names = _names(claim, everywhere=language != "de", first=near >= _NEAR, nouns=near >= _NEAR)
        if any(not _within(name, known) for name in names):
            return "unsupported"
        if not _same_language(language, guess(" ".join(source[:2000] for source in sources))):
            return "open"
        if share < _SHARE:
            return "unsupported"
        if near >= _SHARE and all(denials(claim) % 2 != denials(said) % 2 for said in best):
            return "unsupported"
        return "supported"

    def numbers_of(self, text: str) -> set[str]:
        if text not in self._numbers:
            self._numbers[text] = numbers(text)
        return self._numbers[text]

    def _words_of(self, text: str) -> _Words:
        if text not in self._words:
            self._words[text] = _Words(text)
        return self._words[text]

    def _nearest(self, words: Sequence[str], sources: Sequence[str]) -> tuple[tuple[str, str], float]:
        """The sentence that has most of the words, alone and with the one after it (a claim may say both in one), and their share."""
        best, most = ("", ""), 0.0
        for source in sources:
            if source not in self._sentences:
                self._sentences[source] = [(part, _Words(part)) for part in _SENTENCE.split(source) if part and part.strip()]
            sentences = self._sentences[source]
            for number, (sentence, there) in enumerate(sentences):
                share = sum(word in there for word in words) / len(words) if words else 0.0
                if share > most:
                    following = sentences[number + 1][0] if number + 1 < len(sentences) else ""
                    best, most = (sentence, f"{sentence} {following}"), share
        return best, most


def _within(word: str, texts: Sequence[_Words]) -> bool:
    return any(word in text for text in texts)


class _Words:
    """The words of a text, found in any of their forms, as far as their beginning tells."""

    def __init__(self, text: str) -> None:
        self._words = set(content_words(text)) | {word.lower() for word in _WORD.findall(text)}
        self._stems = {_stem(word) for whole in self._words for word in (whole, *re.split(r"[-'’]", whole))}

    def __contains__(self, word: str) -> bool:
        return (
            word in self._words or _stem(word) in self._stems or all(_stem(part) in self._stems for part in re.split(r"[-'’]", word) if len(part) > 1)
        )


def _stem(word: str) -> str:
    return word[:5] if len(word) > 6 else word[:4] if len(word) > 4 else word.removesuffix("s")


def _names(claim: str, *, everywhere: bool, first: bool, nouns: bool) -> list[str]:
    """Words that begin with a capital. In German all nouns do: they count only where the claim is near to a sentence of the source."""
    found = []
    begun = False
    for match in _WORD.finditer(claim):
        word = match[0]
        at_start, begun = not begun, True
        lower = word.lower()
        if not word[0].isupper() or lower in _COMMON or lower in _MONTHS or lower in _NUMERALS or len(word) < 2 or word.isdigit():
            continue
        if (at_start and not first) or (not everywhere and not nouns):
            continue
        found.append(re.sub(r"['’]s$", "", lower))
    return found


def _same_language(claim: str, source: str) -> bool:
    return claim == source or "und" in (claim, source)

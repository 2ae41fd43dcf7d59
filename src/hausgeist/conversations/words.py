"""Words of a text as full-text search has them. Scripts that put no spaces between words are cut into pairs of characters.

And where in a text the words of a query stand, for those who show what was found.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import Final

__all__ = ["bare", "match_of", "places_of", "words_of"]

_LONGEST: Final = 200_000
"""Characters of one item that can be found; what follows is kept and not searched."""
_TOGETHER: Final = re.compile(
    r"[\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uac00-\ud7af\u0e00-\u0e7f\u0e80-\u0eff\u1780-\u17ff\u1000-\u109f"
    r"\U00020000-\U0003fffd]+"
)
"""Kana, Han, Hangul; Thai, Lao, Khmer, Burmese."""
_WORD: Final = re.compile(r"\w+")
_QUOTES: Final = str.maketrans(dict.fromkeys("„“”«»", '"'))
_SHARP: Final = str.maketrans({"ß": "ss", "ẞ": "ss"})
_MOST_TERMS: Final = 32
_START: Final = r"(?<![^\W_])"
_END: Final = r"(?![^\W_])"
_GAP: Final = r"[\W_]+"


def words_of(text: str) -> str:
    """What is indexed of a text: its words, and pairs of neighbouring characters where words are not set apart."""
    plain = unicodedata.normalize("NFKC", text[:_LONGEST]).translate(_SHARP)
    # The last character stands alone once more: each one begins a word, so that it can be looked for by itself.
    return _TOGETHER.sub(lambda found: f" {' '.join([*_pairs(found[0]), found[0][-1]])} ", plain)


def match_of(query: str) -> str:
    """An FTS5 expression: all words must be there, the last one may go on, what is quoted must stand so. Empty: nothing to look for."""
    terms: list[str] = []
    for number, part in enumerate(_parts(query)):
        found = _WORD.findall(_TOGETHER.sub(lambda run: f" {' '.join(_pairs(run[0]))} ", part))
        if number % 2:
            terms += [_quoted(" ".join(found))] if found else []
        else:
            terms += _terms(part)
    return " AND ".join(terms[:_MOST_TERMS])


def places_of(query: str) -> list[re.Pattern[str]]:
    """For each term of the query: where it stands in a text that was made `bare`."""
    found: list[str] = []
    for number, part in enumerate(_parts(query)):
        apart = _TOGETHER.sub(lambda run: f" {run[0]} ", bare(part))
        pieces = [re.escape(piece).replace("ss", "(?:ss|ß)") for piece in re.findall(r"[^\W_]+", apart)]
        if number % 2:
            found += [("" if _TOGETHER.match(pieces[0]) else _START) + _GAP.join(pieces)] if pieces else []
            continue
        whole = [piece if _TOGETHER.match(piece) else rf"{_START}{piece}{_END}" for piece in pieces]
        if pieces and not _TOGETHER.match(pieces[-1]):
            whole[-1] = rf"{_START}{pieces[-1]}[^\W_]*"
        found += whole
    return [re.compile(one) for one in found[:_MOST_TERMS]]


def bare(text: str) -> str:
    """In lower case, without accents, every character in its place: as the index compares words, near enough to find them in the text again."""
    marked, alone = _accents()
    lower = marked.sub(lambda letter: alone[letter[0]], text).lower()
    return lower if len(lower) == len(text) else text


@cache
def _accents() -> tuple[re.Pattern[str], dict[str, str]]:
    """Letters with marks, and each of them without: Latin, Greek, Cyrillic."""
    letters = (chr(code) for block in ((0xC0, 0x250), (0x370, 0x530), (0x1E00, 0x2000)) for code in range(*block))
    bases = {letter: unicodedata.normalize("NFKD", letter)[:1] for letter in letters}
    alone = {letter: base for letter, base in bases.items() if base != letter and base.isalpha()}
    return re.compile(f"[{''.join(alone)}]"), alone


def _parts(query: str) -> list[str]:
    """Those with an odd number were quoted."""
    return unicodedata.normalize("NFKC", query[:1000]).translate(_QUOTES).translate(_SHARP).split('"')


def _terms(text: str) -> list[str]:
    terms: list[str] = []
    position = 0
    for run in _TOGETHER.finditer(text):
        terms += [_quoted(word) for word in _WORD.findall(text[position : run.start()])]
        terms.append(_quoted(" ".join(_pairs(run[0]))) if len(run[0]) > 1 else f"{_quoted(run[0])}*")
        position = run.end()
    rest = _WORD.findall(text[position:])
    terms += [_quoted(word) for word in rest[:-1]]
    if rest:
        terms.append(f"{_quoted(rest[-1])}*")
    return terms


def _pairs(run: str) -> list[str]:
    return [run[index : index + 2] for index in range(len(run) - 1)] or [run]


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'

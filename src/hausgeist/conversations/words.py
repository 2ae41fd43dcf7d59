"""Words of a text as full-text search has them. Scripts that put no spaces between words are cut into pairs of characters."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

__all__ = ["match_of", "words_of"]

_LONGEST: Final = 200_000
"""Characters of one item that can be found; what follows is kept and not searched."""
_TOGETHER: Final = re.compile(
    r"[\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uac00-\ud7af\u0e00-\u0e7f\u0e80-\u0eff\u1780-\u17ff\u1000-\u109f"
    r"\U00020000-\U0003fffd]+"
)
"""Kana, Han, Hangul; Thai, Lao, Khmer, Burmese."""
_WORD: Final = re.compile(r"\w+")


def words_of(text: str) -> str:
    """What is indexed of a text: its words, and pairs of neighbouring characters where words are not set apart."""
    plain = unicodedata.normalize("NFKC", text[:_LONGEST])
    return _TOGETHER.sub(lambda found: f" {' '.join(_pairs(found[0]))} ", plain)


def match_of(query: str) -> str:
    """An FTS5 expression: all words must be there, the last one may go on, what is quoted must stand so. Empty: nothing to look for."""
    plain = unicodedata.normalize("NFKC", query[:1000]).replace("„", '"').replace("“", '"').replace("”", '"').replace("«", '"').replace("»", '"')
    terms: list[str] = []
    for number, part in enumerate(plain.split('"')):
        found = _WORD.findall(_TOGETHER.sub(lambda run: f" {' '.join(_pairs(run[0]))} ", part))
        if number % 2:
            terms += [_quoted(" ".join(found))] if found else []
        else:
            terms += _terms(part)
    return " AND ".join(terms[:32])


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

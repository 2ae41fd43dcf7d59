"""Words of a question that stand nowhere: which words of the index may be meant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

__all__ = ["beginning", "meant"]

_BEGINNING: Final = 2
"""Letters that are taken to be right: people seldom miss those."""
_SHORTEST: Final = 5
_TWO_ERRORS: Final = 8
"""Letters of a word that may have two errors."""
_MOST: Final = 2


def beginning(term: str) -> str:
    """With which the terms begin that `meant` is given; empty for what is not corrected: short words, numbers, codes, scripts without letters."""
    return term[:_BEGINNING] if len(term) >= _SHORTEST and term.isalpha() and ord(term[0]) < 0x0590 else ""


def meant(term: str, there: Sequence[tuple[str, int]]) -> list[str]:
    """The nearest few terms. `there`: terms, and how many passages have each."""
    allowed = 2 if len(term) >= _TWO_ERRORS else 1
    letters = set(term)
    found: list[tuple[int, int, str]] = []
    for other, having in there:
        if abs(len(other) - len(term)) <= allowed and len(letters.symmetric_difference(other)) <= 2 * allowed:
            errors = _distance(term, other)
            if errors <= allowed:
                found.append((errors, -having, other))
    found.sort()
    return [other for errors, _, other in found[:_MOST] if errors == found[0][0]]


def _distance(one: str, other: str) -> int:
    """Letters that are missing, too many, wrong, or exchanged with their neighbour (Damerau 1964, restricted)."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, start=1):
        before, last, row = row, before, [i]
        for j, its in enumerate(other, start=1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != its))
            if i > 1 and j > 1 and letter == other[j - 2] and its == one[i - 2]:
                cost = min(cost, last[j - 2] + 1)
            row.append(cost)
    return row[-1]

"""What is found becomes what is told: passages that follow one another are joined, and what says the same twice is told once."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from hausgeist.knowledge.hits import Hit
from hausgeist.knowledge.stores.candidates import Candidate

__all__ = ["merged"]

_SAME: Final = 0.85
"""Share of their runs of words that near-duplicates have in common."""
_RUN: Final = 4
_LONGEST: Final = 3
"""Passages that are joined to one hit at most."""
_WORTH: Final = 0.6
"""Share of the score of a hit that a passage beside it has at least, to be joined with it."""
_WORD: Final = re.compile(r"\w+")
_APART: Final = {code: " " for code in range(128) if _WORD.fullmatch(chr(code)) is None}
"""Leaves the same words of a text in ASCII, in half the time."""


def merged(found: Sequence[Candidate], limit: int, read: Callable[[Sequence[Candidate]], Sequence[str]]) -> list[Hit]:
    """The best first; up to `limit`. `read`: fetches texts, mostly of those only that are told."""
    kept: list[Candidate] = []
    places: dict[int, list[int]] = {}
    texts: list[str] = []
    told: list[frozenset[int]] = []
    digests: set[bytes] = set()
    ahead: dict[int, str] = {}
    for number, one in enumerate(found):
        if one.digest in digests:
            continue
        beside = places.setdefault(one.entry, [])
        if (at := _neighbour(kept, beside, one)) is not None:
            digests.add(one.digest)
            kept[at] = _joined(kept[at], one)
            continue
        if len(kept) >= limit:
            # Others may still belong to what is there already, but nothing new is told.
            continue
        if number not in ahead:
            some = range(number, min(len(found), number + limit - len(kept)))
            ahead |= zip(some, read([found[each] for each in some]), strict=True)
        own = _runs(ahead[number])
        if any(_alike(own, other) for other in told):
            continue
        digests.add(one.digest)
        beside.append(len(kept))
        kept.append(one)
        texts.append(ahead[number])
        told.append(own)
    several = [at for at, one in enumerate(kept) if one.first != one.last]
    for at, text in zip(several, read([kept[at] for at in several]), strict=True):
        texts[at] = text
    return [one.told(text) for one, text in zip(kept, texts, strict=True)]


def _neighbour(kept: Sequence[Candidate], places: Sequence[int], one: Candidate) -> int | None:
    """`places`: of those that are kept of the same entry."""
    for at in places:
        other = kept[at]
        beside = one.first == other.last + 1 or one.last == other.first - 1
        worth = one.score >= _WORTH * other.score
        if beside and worth and other.last - other.first + 1 + one.last - one.first + 1 <= _LONGEST:
            return at
    return None


def _joined(better: Candidate, other: Candidate) -> Candidate:
    """One hit of two that stand beside each other; between them is only what stands between them in the text."""
    first, second = (better, other) if better.first < other.first else (other, better)
    return better._replace(
        first=first.first, last=second.last, start=first.start, end=max(first.end, second.end), page=first.page, heading=first.heading
    )  # fmt: skip


def _runs(text: str) -> frozenset[int]:
    """Of each run of words its hash: sets of numbers are compared in a third of the time."""
    lower = text.lower()
    words = lower.translate(_APART).split() if lower.isascii() else _WORD.findall(lower)
    if len(words) < _RUN:
        return frozenset([hash(tuple(words))])
    return frozenset(map(hash, zip(*(words[start:] for start in range(_RUN)), strict=False)))


def _alike(one: frozenset[int], other: frozenset[int]) -> bool:
    small, large = (len(one), len(other)) if len(one) < len(other) else (len(other), len(one))
    if small < _SAME * large:
        return False
    common = len(one & other)
    return common >= _SAME * (small + large - common)

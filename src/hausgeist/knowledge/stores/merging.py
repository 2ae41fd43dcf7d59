"""What is found becomes what is told: passages that follow one another are joined, and what says the same twice is told once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from hausgeist.knowledge.hits import Hit

__all__ = ["Candidate", "merged"]

_SAME: Final = 0.85
"""Share of their runs of words that near-duplicates have in common."""
_RUN: Final = 4
_LONGEST: Final = 3
"""Passages that are joined to one hit at most."""
_WORTH: Final = 0.6
"""Share of the score of a hit that a passage beside it has at least, to be joined with it."""
_WORD: Final = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A passage, or several that follow one another: numbers `first` to `last` of an entry."""

    hit: Hit
    entry: int
    first: int
    last: int
    digest: bytes
    """Of the text; of the first, where they are several."""


def merged(found: Sequence[Candidate], limit: int) -> list[Hit]:
    """The best first; up to `limit`. Hits of several passages have no text yet."""
    kept: list[Candidate] = []
    runs: list[frozenset[str]] = []
    digests: set[bytes] = set()
    for one in found:
        if one.digest in digests:
            continue
        if (at := _neighbour(kept, one)) is not None:
            digests.add(one.digest)
            kept[at] = _joined(kept[at], one)
            continue
        if len(kept) >= limit:
            # Others may still belong to what is there already, but nothing new is told.
            continue
        own = _runs(one.hit.text)
        if any(_alike(own, other) for other in runs):
            continue
        digests.add(one.digest)
        kept.append(one)
        runs.append(own)
    return [one.hit for one in kept]


def _neighbour(kept: Sequence[Candidate], one: Candidate) -> int | None:
    for at, other in enumerate(kept):
        beside = one.first == other.last + 1 or one.last == other.first - 1
        worth = one.hit.score >= _WORTH * other.hit.score
        if other.entry == one.entry and beside and worth and other.last - other.first + 1 + one.last - one.first + 1 <= _LONGEST:
            return at
    return None


def _joined(better: Candidate, other: Candidate) -> Candidate:
    """One hit of two that stand beside each other; between them is only what stands between them in the text."""
    first, second = (better, other) if better.first < other.first else (other, better)
    # The text between is the caller's to read.
    hit = replace(better.hit, start=first.hit.start, end=max(first.hit.end, second.hit.end), text="", page=first.hit.page, heading=first.hit.heading)
    return Candidate(hit, better.entry, first.first, second.last, better.digest)


def _runs(text: str) -> frozenset[str]:
    words = _WORD.findall(text.lower())
    if len(words) < _RUN:
        return frozenset([" ".join(words)])
    return frozenset(" ".join(words[at : at + _RUN]) for at in range(len(words) - _RUN + 1))


def _alike(one: frozenset[str], other: frozenset[str]) -> bool:
    small, large = sorted((len(one), len(other)))
    if small < _SAME * large:
        return False
    return len(one & other) >= _SAME * len(one | other)

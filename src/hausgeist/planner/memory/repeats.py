"""Layers that come again and again: which of them a graph can do without, to be as small for 120 layers as for 20.

Owns the choice alone. Whether what was left out would have changed anything is seen when the graph's results find their places (`arena`).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["Repeat", "Selection", "select"]

_LONGEST: Final = 12
"""Layers after which a pattern begins anew: 6 in Gemma 3, 8 in Jamba."""


@dataclass(frozen=True, slots=True)
class Repeat:
    """Layers that come again in groups of `length`. Of the groups the first `kept` - 1 are built, and the last; `left_out` between them are not."""

    first: int
    """Where the first group begins, as a number of layers that are built."""
    length: int
    kept: int
    left_out: int

    @property
    def last(self) -> range:
        """The layers of the last group before those that are left out, counted from one."""
        end = self.first + (self.kept - 1) * self.length
        return range(end - self.length + 1, end + 1)


@dataclass(frozen=True, slots=True)
class Selection:
    """`layers`: those that are built, by number."""

    layers: tuple[int, ...]
    repeats: tuple[Repeat, ...] = ()


def select(kinds: Sequence[Hashable], kept: int) -> Selection:
    """Of layers that are alike if their kinds are equal, all that are not in a long row of equal groups, and `kept` groups of each such row."""
    layers: list[int] = []
    repeats: list[Repeat] = []
    position = 0
    while position < len(kinds):
        length, times = _row(kinds, position, kept)
        if times <= kept:
            layers.append(position)
            position += 1
            continue
        repeats.append(Repeat(len(layers), length, kept, times - kept))
        end = position + times * length
        layers += range(position, position + (kept - 1) * length)
        layers += range(end - length, end)
        position = end
    return Selection(tuple(layers), tuple(repeats))


def _row(kinds: Sequence[Hashable], position: int, kept: int) -> tuple[int, int]:
    """Length and number of the groups that begin here, so that most layers can be left out; the layer before them is as the last of a group."""
    best = (1, 1)
    for length in range(1, min(_LONGEST, (len(kinds) - position) // (kept + 1)) + 1):
        if not position or kinds[position - 1] != kinds[position + length - 1]:
            continue
        end = position + length
        while end < len(kinds) and kinds[end] == kinds[end - length]:
            end += 1
        times = (end - position) // length
        if (times - kept) * length > max(0, (best[1] - kept) * best[0]):
            best = (length, times)
    return best

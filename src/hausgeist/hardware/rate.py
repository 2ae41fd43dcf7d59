"""A speed that was measured in several rounds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

__all__ = ["Rate"]


@dataclass(frozen=True, slots=True)
class Rate:
    """Rounds in the order in which they were run, in the unit of whoever holds it. At least one."""

    rounds: tuple[float, ...]

    @classmethod
    def of(cls, rounds: Iterable[float]) -> Rate:
        """To four digits: the rest is noise."""
        return cls(tuple(float(f"{one:.4g}") for one in rounds))

    @property
    def best(self) -> float:
        """What the machine can do: whatever else runs on it only ever slows a round down."""
        return max(self.rounds)

    @property
    def usual(self) -> float:
        """The middle one."""
        return median(self.rounds)

    @property
    def spread(self) -> float:
        """How far the middle one lies below the best, 0 to 1: how much of the machine others took meanwhile."""
        return 1 - self.usual / self.best if self.best > 0 else 0.0

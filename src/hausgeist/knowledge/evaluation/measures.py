"""What is measured of rankings, and whether two of them differ by more than chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log2
from typing import Final

__all__ = ["DEEP", "Comparison", "Figures", "compare", "figures", "ndcg", "rank"]

DEEP: Final = 10
"""Ranks that are looked at: what stands behind them counts as not found."""
_SAMPLES: Final = 2_000
_SEED: Final = 20_260_501


@dataclass(frozen=True, slots=True)
class Figures:
    """Means over questions, from 0 to 1."""

    recall_at_1: float
    recall_at_5: float
    mrr: float
    ndcg_at_10: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """How far the second of two is ahead in recall at 1, and the bounds that hold 95 % of paired bootstrap samples of the difference."""

    difference: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        return "better" if self.low > 0 else "worse" if self.high < 0 else "no difference that chance does not explain"


def rank(found: Sequence[int], relevant: Mapping[int, int]) -> int:
    """The rank of the first passage that answers, from 1; 0: none of the first ten does."""
    return next((place for place, passage in enumerate(found[:DEEP], start=1) if relevant.get(passage, 0) > 0), 0)


def ndcg(found: Sequence[int], relevant: Mapping[int, int]) -> float:
    """Normalised discounted cumulative gain of the first ten (Järvelin and Kekäläinen 2002), with grades as gains."""
    gain = sum(relevant.get(passage, 0) / log2(place + 1) for place, passage in enumerate(found[:DEEP], start=1))
    best = sum(grade / log2(place + 1) for place, grade in enumerate(sorted(relevant.values(), reverse=True)[:DEEP], start=1))
    return gain / best if best else 0.0


def figures(ranks: Sequence[int], ndcgs: Sequence[float]) -> Figures:
    """`ranks`: of each question, 0 where nothing was found; `ndcgs`: of each question."""
    count = max(1, len(ranks))
    return Figures(
        recall_at_1=sum(one == 1 for one in ranks) / count,
        recall_at_5=sum(1 <= one <= 5 for one in ranks) / count,
        mrr=sum(1 / one for one in ranks if one) / count,
        ndcg_at_10=sum(ndcgs) / count,
    )


def compare(before: Sequence[int], after: Sequence[int]) -> Comparison:
    """Ranks of the same questions in the same order. The same samples each time, so the same answer. Raises `ValueError` for other lengths."""
    import numpy as np

    if len(before) != len(after) or not before:
        raise ValueError(f"{len(before)} questions before and {len(after)} after cannot be paired")
    gains = (np.asarray(after) == 1).astype(np.float64) - (np.asarray(before) == 1).astype(np.float64)
    random = np.random.default_rng(_SEED)
    means = [float(gains[random.integers(0, len(gains), len(gains))].mean()) for _ in range(_SAMPLES)]
    low, high = np.quantile(means, (0.025, 0.975))
    return Comparison(float(gains.mean()), float(low), float(high))

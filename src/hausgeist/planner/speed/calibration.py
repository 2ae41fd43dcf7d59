"""What a short run of one small model on this machine tells of all others: rates of its memory and its processor per family of types."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from hausgeist.errors import InvalidRequest
from hausgeist.planner.memory.header import Header
from hausgeist.planner.speed.rates import Rates
from hausgeist.planner.speed.work import FAMILIES, FEW, Family, Pass, layers, passing

__all__ = ["Calibration", "Run", "calibrate"]

_LEAST, _MOST = 0.05, 20.0
"""A rate that is further from the expected one is a fault of the measurement."""
_MAIN: Final = 0.5
"""Part of the weights from which on a run is one of a family."""
_TRACE: Final = 0.03
"""Part from which on it says something of it."""
_VOID: Final = 0.1
_APART: Final = 1.3
"""Steps per byte of two runs must differ so much for them to tell one from the other."""
_TOGETHER: Final = 4.0
_ROUNDS: Final = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One measured point: `tokens` of one sequence in one step, after which the engine kept `filled` of them."""

    header: Header
    tokens: int
    """1: generation; more than 8: a step of a prompt, as many as went through the layers at once."""
    filled: int
    seconds: float
    """Of the whole step. Of several runs of one point the best counts; the others tell whether the machine was busy."""
    cache_type: str = "f16"

    def __post_init__(self) -> None:
        if self.tokens < 1 or self.filled < self.tokens or not 0 < self.seconds < math.inf:
            raise InvalidRequest(f"A run of {self.tokens} tokens, {self.filled} filled, in {self.seconds:g} s is no measurement.", param="measured")


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Rates as they were found here."""

    host: Rates | None = None
    device: Rates | None = None
    """The same of the cards, where the small model ran on one."""
    spread: float = 0.05
    """How far the best runs are from what the rates say of them, half of them nearer; or, if that is more, how far the best of every other run is
    from the best of the rest, at the worst point: what a second calibration might have said."""

    @property
    def void(self) -> bool:
        """The runs contradict each other: the machine did something else as well."""
        return self.spread > _VOID


_Runs = Sequence[tuple[Run, Pass]]


def calibrate(measured: Sequence[Run], expected: Rates, *, device: bool = False) -> Calibration:
    """Rates from runs of one small model: `expected` are those of the place it ran in (`host_rates`, `device_rates`), which say what no run tells.

    Generation tells the bandwidth, long steps the speed of products; two generations of one file with more and less in the cache tell the cache's
    bandwidth, and runs of a second, smaller model of the same type the time per step of the graph. Families that no run has keep their ratio to those
    that one has. Raises `InvalidRequest` without a run of one token.
    """
    best, apart = _best(measured)
    passes = [(run, _pass_of(run, expected.tile)) for run in best]
    single = [(run, one) for run, one in passes if run.tokens == 1]
    several = [(run, one) for run, one in passes if run.tokens > FEW]
    if not single:
        raise InvalidRequest("A calibration needs a run that generates.", param="measured")
    rates = _cache(single, expected)
    for _ in range(_ROUNDS):
        rates = _operation(single, rates)
        factors = _factors(single, rates, _weighing, lambda one: one.read)
        rates = replace(
            rates, bandwidth=_slower(rates.bandwidth, factors, expected.bandwidth), vector=_slower(rates.vector, factors, expected.vector)
        )
        if several:
            slower = _factors(several, rates, _products, lambda one: one.multiplied)
            rates = replace(rates, compute=_slower(rates.compute, slower, expected.compute))
    off = [abs(_seconds(one, rates) / run.seconds - 1.0) for run, one in passes]
    spread = max(statistics.median(off), apart, 0.02)
    return Calibration(device=rates, spread=spread) if device else Calibration(host=rates, spread=spread)


def _best(measured: Sequence[Run]) -> tuple[list[Run], float]:
    """Of runs of the same point the fastest, and how far two halves of them, taken in turns, disagree on it, at the worst point."""
    points: dict[tuple[int, int, int, str], list[Run]] = {}
    for run in measured:
        points.setdefault((id(run.header), run.tokens, run.filled, run.cache_type), []).append(run)
    best = [min(some, key=lambda run: run.seconds) for some in points.values()]
    halves = [[min(run.seconds for run in some[start::2]) for start in (0, 1)] for some in points.values() if len(some) > 1]
    return best, max((max(two) / min(two) - 1.0 for two in halves), default=0.0)


def _pass_of(run: Run, tile: float) -> Pass:
    return passing(layers(run.header, run.cache_type), tokens=run.tokens, sequences=1, filled=run.filled, outputs=1, tile=tile)


def _seconds(one: Pass, rates: Rates) -> float:
    return rates.reading(one) + rates.computing(one) + rates.starting(one) + rates.start


def _products(one: Pass, rates: Rates) -> float:
    speeds = rates.vector if one.few else rates.compute
    return sum(count / speeds[kind] for kind, count in one.multiplied.items())


def _weighing(one: Pass, rates: Rates) -> float:
    """Seconds that grow with the weights: reading and unpacking them."""
    return sum(size / rates.bandwidth[kind] for kind, size in one.read.items()) + _products(one, rates)


def _operation(single: _Runs, rates: Rates) -> Rates:
    """Time per step of the graph: seconds = weighing * x + operations * y, by least squares of relative errors, among runs of one family of types.

    It takes models of two sizes to tell steps from bytes; without them it stays as it is expected, which is little next to a larger model's bytes.
    """
    found = []
    for kind in FAMILIES:
        points = [(run, one, _weighing(one, rates)) for run, one in single if one.read.get(kind, 0.0) >= _MAIN * sum(one.read.values())]
        ratios = [one.operations / weighed for _, one, weighed in points]
        if len(points) < 2 or max(ratios) < _APART * min(ratios):
            continue
        xx = xy = yy = xs = ys = 0.0
        for run, one, weighed in points:
            rest = _seconds(one, rates) - weighed - rates.starting(one)
            x, y, s = (value / run.seconds for value in (weighed, float(one.operations), max(run.seconds - rest, 0.0)))
            xx, xy, yy, xs, ys = xx + x * x, xy + x * y, yy + y * y, xs + x * s, ys + y * s
        determinant = xx * yy - xy * xy
        slope, step = (xs * yy - ys * xy) / determinant, (ys * xx - xs * xy) / determinant
        if slope > 0 and 0 <= step < 1e-3:
            found.append(step)
    return replace(rates, operation=statistics.median(found)) if found else rates


def _cache(single: _Runs, rates: Rates) -> Rates:
    """From two runs of the same file that differ in what is filled."""
    found = []
    for run, one in single:
        for other, another in single:
            more, longer = one.cached - another.cached, run.seconds - other.seconds
            attended = (one.attended - another.attended) / rates.attention
            if run.header is other.header and run.filled > other.filled + 256 and longer > 0.02 * run.seconds + attended and more > 0:
                found.append(more / (longer - attended))
    return replace(rates, cache=min(max(statistics.median(found), rates.cache * _LEAST), rates.cache * _MOST)) if found else rates


def _factors(
    runs: _Runs, rates: Rates, part: Callable[[Pass, Rates], float], sizes: Callable[[Pass], Mapping[Family, float]]
) -> dict[Family, float]:  # fmt: skip
    """How much longer than by the rates the part takes per family: what runs leave for it over what it would take, each by the family's share in it.

    Repeated, this settles where all runs come out, mixes of types included.
    """
    shares: dict[Family, float] = {}
    longer: dict[Family, float] = {}
    for run, one in runs:
        amounts, takes = sizes(one), part(one, rates)
        left = max(run.seconds - (_seconds(one, rates) - takes), 0.05 * run.seconds)
        total = sum(amounts.values())
        for kind, amount in amounts.items():
            if total and takes > 0 and amount > _TRACE * total:
                shares[kind] = shares.get(kind, 0.0) + amount / total
                longer[kind] = longer.get(kind, 0.0) + amount / total * min(max(left / takes, _LEAST), _MOST)
    return {kind: longer[kind] / share for kind, share in shares.items()}


def _slower(rates: Mapping[Family, float], factors: Mapping[Family, float], expected: Mapping[Family, float]) -> dict[Family, float]:
    """Families stay together: what runs of mixed types seem to say of a small part must not run away."""
    others = statistics.geometric_mean(factors.values()) if factors else 1.0
    found = {kind: rates[kind] / factors.get(kind, others) for kind in FAMILIES}
    usual = statistics.median(found[kind] / expected[kind] for kind in FAMILIES)
    return {kind: min(max(found[kind], expected[kind] * usual / _TOGETHER), expected[kind] * usual * _TOGETHER) for kind in FAMILIES}

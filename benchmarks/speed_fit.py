"""Where the constants of `planner.speed.rates` come from: least squares over published measurements, and the error on devices that were left out.

Seconds are a sum of features, each of them known from header and device, times one constant per kind of kernels: bytes over bandwidth, operations
over peak, steps of the graph. Errors are relative and weighted so that outliers count little; constants are not negative, and nobody reads faster
than 96 % of the bandwidth. What no row tells stays as it is expected. `python -m benchmarks speed_fit` prints what goes into the table, but that the
cache of the kind "cuda", of which one row tells, is not read faster than weights, and that "gcn" generates like "cdna".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from typing import Any, Final

import numpy as np

from benchmarks.report import Figure, median, quantile
from benchmarks.speed import Row, predicted, rows
from hausgeist.planner.speed import FAMILIES, KINDS, Calibration, Rates
from hausgeist.planner.speed.rates import peaks as peaks_of

__all__ = ["Kind", "features", "fit", "kinds", "measure"]

_GENERATION: Final = ("bandwidth", "cache", "vector", "operation")
_PROMPT: Final = ("compute", "attention")
_EXPECTED: Final[Mapping[str, tuple[float, float]]] = {
    "bandwidth": (1.1, 0.3), "cache": (1.6, 0.1), "vector": (5.0, 0.03), "operation": (5.0, 0.03), "compute": (0.6, 0.02), "attention": (2.5, 0.03),
}  # fmt: skip
"""What a constant is where few rows tell, and how much that weighs beside them."""
_LEAST: Final = 1 / 0.96
_SMALL: Final = 0.03
"""Errors below this part do not weigh more the smaller they are."""
_OFF: Final = float("inf")


def features(row: Row) -> tuple[str, dict[str, float]]:
    """Kind of kernels, and seconds of a step per unit of each constant; `seconds` is what was measured, `rest` what no constant is of."""
    name, peaks = peaks_of(row.target, "vllm" if row.engine == "vllm" else "llamacpp")
    kind = KINDS[name]
    count = row.users if row.kind == "tg" else row.tokens

    def taken(**given: Any) -> float:
        nothing = dict.fromkeys(FAMILIES, _OFF)
        base: dict[str, Any] = dict.fromkeys(("bandwidth", "compute", "vector"), nothing)
        base |= {"cache": _OFF, "attention": _OFF, "memory": _OFF, "operation": 0.0, "start": 0.0}
        rates = Rates(tile=kind.tile, **(base | given))
        found = predicted(row, Calibration(host=rates, device=rates))
        return count / found.prompt_tokens_per_second if row.kind == "pp" else count / found.total_tokens_per_second

    # A tenth of a microsecond at the start keeps sums from being nothing.
    empty = taken(start=1e-7)

    def per(**given: Any) -> float:
        return taken(start=1e-7, **given) - empty

    return name, {
        "bandwidth": per(bandwidth=dict.fromkeys(FAMILIES, peaks.bandwidth)),
        "cache": per(cache=peaks.bandwidth),
        "vector": per(vector={one: peaks.vector / kind.unpacked[one] for one in FAMILIES}),
        "operation": per(operation=1e-6 / peaks.clock),
        "compute": per(compute={one: peaks.unit * kind.factors[one] for one in FAMILIES}),
        "attention": per(attention=peaks.attention),
        "rest": taken(start=kind.start * 1e-6, memory=peaks.bandwidth * kind.bandwidth),
        "seconds": count / row.value,
    }


def _least_squares(matrix: Any, wanted: Any) -> Any:
    """None negative: the best of all subsets, which are few."""
    best: tuple[float, Any] | None = None
    for size in range(matrix.shape[1] + 1):
        for some in combinations(range(matrix.shape[1]), size):
            found = np.zeros(matrix.shape[1])
            if some:
                part = np.linalg.lstsq(matrix[:, some], wanted, rcond=None)[0]
                if (part < 0).any():
                    continue
                found[list(some)] = part
            left = float(((matrix @ found - wanted) ** 2).sum())
            if best is None or left < best[0]:
                best = left, found
    assert best is not None
    return best[1]


def _solve(some: Sequence[Mapping[str, float]], names: Sequence[str], known: Mapping[str, float]) -> dict[str, float]:
    seconds = np.array([one["seconds"] for one in some])
    matrix = np.array([[one[name] for name in names] for one in some]) / seconds[:, None]
    fixed = np.array([one["rest"] + sum(one[name] * value for name, value in known.items() if name not in names) for one in some])
    wanted, weights = 1.0 - fixed / seconds, np.ones(len(some))
    prior = np.diag([_EXPECTED[name][1] for name in names])
    aim = np.array([_EXPECTED[name][0] * _EXPECTED[name][1] for name in names])
    found = np.zeros(len(names))
    for _ in range(20):
        root = np.sqrt(weights)
        whole, right = np.vstack([matrix * root[:, None], prior]), np.concatenate([wanted * root, aim])
        found = _least_squares(whole, right)
        if names[0] == "bandwidth" and found[0] < _LEAST:
            found = np.concatenate([[_LEAST], _least_squares(whole[:, 1:], right - whole[:, 0] * _LEAST)])
        off = np.abs(matrix @ found - wanted)
        weights = 1.0 / np.maximum(off, _SMALL)
        weights /= weights.mean()
    return dict(zip(names, map(float, found), strict=True))


def fit(some: Sequence[tuple[Row, Mapping[str, float]]]) -> dict[str, float]:
    """Constants as they multiply features; those of bandwidths and peaks are the inverse of what the table has."""
    generation = [one for row, one in some if row.kind == "tg"]
    prompts = [one for row, one in some if row.kind == "pp"]
    known = {name: _EXPECTED[name][0] for name in (*_GENERATION, *_PROMPT)}
    names = _GENERATION if prompts else (*_GENERATION, "compute")
    for _ in range(6):
        if generation:
            known |= _solve(generation, names, known)
        if prompts:
            known |= _solve(prompts, _PROMPT, known)
    return known


def _off(one: Mapping[str, float], known: Mapping[str, float]) -> float:
    return abs(one["seconds"] / (one["rest"] + sum(one[name] * value for name, value in known.items())) - 1.0)


def _device(row: Row) -> str:
    return row.target.group.device.name if row.target.group is not None else row.target.title


def _without(some: Sequence[tuple[Row, Mapping[str, float]]], kind: str) -> list[float]:
    """Errors of each device's rows by constants fitted to the others'."""
    found = []
    for device in sorted({_device(row) for row, _ in some}):
        others = [(row, one) for row, one in some if _device(row) != device]
        if others:
            known = fit(others)
            found += [_off(one, known) for row, one in some if _device(row) == device and row.kind == kind]
    return found


@dataclass(frozen=True, slots=True)
class Kind:
    """Constants of a kind of kernels, and errors by "tg" and "pp": of what they were fitted to, and of each device without its own rows."""

    name: str
    constants: Mapping[str, float]
    fitted: Mapping[str, Sequence[float]]
    left_out: Mapping[str, Sequence[float]]


@cache
def kinds() -> tuple[Kind, ...]:
    """Some ten seconds of one core."""
    found: dict[str, list[tuple[Row, Mapping[str, float]]]] = {}
    for row in rows():
        if not row.held and not row.old:
            name, one = features(row)
            found.setdefault(name, []).append((row, one))
    return tuple(_kind(name, some) for name, some in sorted(found.items()))


def _kind(name: str, some: Sequence[tuple[Row, Mapping[str, float]]]) -> Kind:
    known = fit(some)
    fitted = {kind: [_off(one, known) for row, one in some if row.kind == kind] for kind in ("tg", "pp")}
    return Kind(name, known, fitted, {kind: _without(some, kind) for kind in ("tg", "pp")})


def _said(some: Sequence[float]) -> str:
    return f"median {median(some):.1%}, nine of ten {quantile(some, 0.9):.1%} ({len(some)})" if some else "none"


def measure() -> list[Figure]:
    """What goes into the table, and errors."""
    figures = []
    for kind in kinds():
        told = {name: value if name == "operation" else 1 / value if value else 0.0 for name, value in kind.constants.items()}
        figures.append(Figure(f"{kind.name}: constants", ", ".join(f"{name} {value:.3g}" for name, value in told.items())))
        for test, name in (("tg", "generation"), ("pp", "prompt")):
            if kind.fitted[test]:
                figures.append(Figure(f"  {name}, fitted", _said(kind.fitted[test])))
                figures.append(Figure(f"  {name}, device left out", _said(kind.left_out[test])))
    return figures

"""Was it true? What was said of loads before they were made, against what they took.

Compared is what a model takes, without the process around it: `error = (said - runtime - (measured - base)) / (measured - base)`. `base` is what a
worker takes without a model: the fit pass measures it each time, in a process of the same build, with the same vocabulary, which lays everything
out and loads nothing. A constant per build would leave the vocabulary out, and be wrong with the next build.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final, Literal, get_args

from hausgeist.model import Footprint

__all__ = ["FULL", "LARGE", "METHODS", "Accuracy", "Comparison", "Load", "Method", "Spread", "accuracy"]

Method = Literal["arithmetic", "fit"]
METHODS: Final[tuple[Method, ...]] = get_args(Method)

FULL: Final = 0.9
"""Share of a request's context from which on it counts as full: an answer ends before the last token."""
LARGE: Final = 10**9
"""Bytes that a model takes from which on what the process itself takes more or less, some megabytes, is no longer seen in the error."""

_NAMES: Final[Mapping[str, str]] = {"cache": "kv_cache"}
"""Parts that are called otherwise in JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One start of a worker: what was said before, what was measured. `None`: that was not done, or is not known."""

    model: str
    digest: str
    architecture: str
    task: str
    context: int
    """Tokens per request."""
    slots: int
    cache_type: str
    engine: str
    """Which build."""
    at: float
    """Unix time."""
    arithmetic: Footprint | None = None
    fit: Footprint | None = None
    loaded: Footprint | None = None
    """Measured when it had just been loaded. What is mapped from the file is not in memory then."""
    peak: Footprint | None = None
    """The most that was measured after an answer."""
    filled: int = 0
    """Tokens that were in the context of one request at most when it was measured."""

    @property
    def base(self) -> int:
        """Bytes of a worker without a model."""
        said = self.fit or self.arithmetic
        return 0 if said is None else said.alone or said.parts.get("runtime", 0)

    @property
    def filled_share(self) -> float:
        return min(1.0, self.filled / self.context) if self.context else 0.0


@dataclass(frozen=True, slots=True)
class Comparison:
    """A load and the relative errors of what was said of it; positive: more was said than it took."""

    load: Load
    measured: int
    """Bytes of the model: the peak less the worker without a model; 0: nothing was measured."""
    arithmetic: float | None
    fit: float | None

    @property
    def full(self) -> bool:
        """Whether the model is large and the context was full once, so that everything that can be in use has been."""
        return self.measured >= LARGE and self.load.filled_share >= FULL

    def error(self, method: Method) -> float | None:
        return self.arithmetic if method == "arithmetic" else self.fit

    def json(self) -> dict[str, Any]:
        load = self.load
        return {
            "model": load.model,
            "digest": load.digest,
            "architecture": load.architecture,
            "task": load.task,
            "context": load.context,
            "slots": load.slots,
            "cache_type": load.cache_type,
            "engine": load.engine,
            "at": load.at,
            "filled": round(load.filled_share, 4),
            "full": self.full,
            "base_bytes": load.base,
            "measured_bytes": self.measured or None,
            "arithmetic_error": _rounded(self.arithmetic),
            "fit_error": _rounded(self.fit),
            "arithmetic": _parts(load.arithmetic),
            "fit": _parts(load.fit),
            "loaded": _parts(load.loaded),
            "measured": _parts(load.peak),
        }


@dataclass(frozen=True, slots=True)
class Spread:
    """Errors of several loads. `median` is that of their sizes; `worst` the largest with its sign, and whose it is."""

    loads: int = 0
    median: float | None = None
    worst: float | None = None
    worst_model: str = ""

    def json(self, *, named: bool = True) -> dict[str, Any]:
        """`named`: with whose the worst is."""
        told = {"loads": self.loads, "median_error": _rounded(self.median), "worst_error": _rounded(self.worst)}
        return told | ({"worst_model": self.worst_model or None} if named else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """Of all loads that were measured after an answer, and of those among them that are `Comparison.full`."""

    loads: tuple[Comparison, ...]
    """The last one first; those without a measurement are listed, and counted nowhere."""
    arithmetic: Spread
    fit: Spread
    full_arithmetic: Spread
    full_fit: Spread

    def spread(self, method: Method, *, full: bool = False) -> Spread:
        if method == "arithmetic":
            return self.full_arithmetic if full else self.arithmetic
        return self.full_fit if full else self.fit

    def json(self, *, loads: bool = True) -> dict[str, Any]:
        """`loads`: with each of them, and names of models. Errors are fractions: 0.01 is 1 % more said than measured."""
        told: dict[str, Any] = {
            "arithmetic": self.arithmetic.json(named=loads),
            "fit": self.fit.json(named=loads),
            "full": {"arithmetic": self.full_arithmetic.json(named=loads), "fit": self.full_fit.json(named=loads)},
        }
        return told | ({"loads": [one.json() for one in self.loads]} if loads else {})


def accuracy(loads: Iterable[Load]) -> Accuracy:
    """Each load compared, and medians and worst of all."""
    compared = tuple(sorted(map(_compared, loads), key=lambda one: -one.load.at))
    full = [one for one in compared if one.full]
    return Accuracy(
        loads=compared,
        arithmetic=_spread(compared, "arithmetic"),
        fit=_spread(compared, "fit"),
        full_arithmetic=_spread(full, "arithmetic"),
        full_fit=_spread(full, "fit"),
    )


def _compared(load: Load) -> Comparison:
    peak = load.peak
    measured = 0 if peak is None else max(0, peak.total - load.base)
    if peak is None or not measured:
        return Comparison(load, 0, None, None)
    return Comparison(load, measured, _error(load.arithmetic, peak, measured), _error(load.fit, peak, measured))


def _error(said: Footprint | None, peak: Footprint, measured: int) -> float | None:
    """Where a driver does not tell what a process holds on its devices, nothing can be said of their part, and so of the whole."""
    if said is None or (any(said.devices.values()) and not peak.devices):
        return None
    return (said.total - said.parts.get("runtime", 0) - measured) / measured


def _spread(compared: Sequence[Comparison], method: Method) -> Spread:
    errors = [(error, one.load.model) for one in compared if (error := one.error(method)) is not None]
    if not errors:
        return Spread()
    worst, model = max(errors, key=lambda one: abs(one[0]))
    return Spread(len(errors), median(abs(error) for error, _ in errors), worst, model)


def _parts(footprint: Footprint | None) -> dict[str, Any] | None:
    if footprint is None:
        return None
    parts = {f"{_NAMES.get(name, name)}_bytes": size for name, size in footprint.parts.items()}
    return {**parts, "host_bytes": footprint.host, "devices_bytes": dict(footprint.devices), "total_bytes": footprint.total}


def _rounded(error: float | None) -> float | None:
    return None if error is None else round(error, 5)

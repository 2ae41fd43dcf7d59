"""A first look at many models on one machine: does each fit, where, how fast. Some milliseconds a model, where a whole plan takes many times that."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hausgeist.errors import HausgeistError
from hausgeist.planner.advice.models import choose_precision, quality, suited
from hausgeist.planner.fitting import Placed
from hausgeist.planner.target import Target
from hausgeist.planner.wish import GOOD_SPEED, Wish, placing, running
from hausgeist.serving.sizing.models import model_of
from hausgeist.serving.sizing.subjects import Subject, Subjects, of_entry

if TYPE_CHECKING:
    from hausgeist.planner.speed import Calibration

__all__ = ["CONTEXT", "LADDER", "Glance", "Glances", "Unknown", "chosen", "glance"]

CONTEXT: Final = 8192
"""Tokens per request, where a model was made for so many."""
LADDER: Final = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q3_K_M", "Q2_K")
"""The precisions that those who publish files offer of nearly every model."""
_KEPT: Final = 60.0
"""Seconds until the machine is looked at again."""
_MOST_KNOWN: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Glance:
    """Sizes in bytes, rates in tokens per second for one user; `None`: it does not run, or does not write."""

    model: str
    precision: str
    context: int
    placed: Placed
    gpu_layers: int
    layers: int
    weights_bytes: int
    total_bytes: int
    missing_bytes: int
    device_bytes: tuple[int, ...]
    generate_tokens_per_second: float | None
    prompt_tokens_per_second: float | None
    good: bool
    """Fits wholly, and is as fast as one wants to read."""
    quality: float | None
    """What size and age promise, for comparing: one more is twice the size (`planner.advice`). `None`: made for one task alone, or not known."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """A name of which nothing can be said, and why."""

    model: str
    reason: str


def glance(subject: Subject, target: Target, *, context: int = CONTEXT, calibration: Calibration | None = None) -> Glance:
    """Raises `InvalidRequest` for sizes that are none."""
    wish = _wish(subject, context)
    found = placing(wish, target)
    rate = running(wish, target, found, calibration=calibration) if found.placed != "no" else None
    writes = rate.generate_tokens_per_second if rate is not None and subject.task == "generate" else 0.0
    quick = writes >= GOOD_SPEED.value if subject.task == "generate" else rate is not None
    model = model_of(subject.entry) if subject.entry is not None else None
    memory = found.memory
    return Glance(
        model=subject.name,
        precision=subject.precision,
        context=wish.tokens,
        placed=found.placed,
        gpu_layers=found.gpu_layers,
        layers=wish.header.blocks + 1,
        weights_bytes=sum(tensor.nbytes for tensor in subject.header.tensors.values()) + subject.projector_bytes,
        total_bytes=memory.total,
        missing_bytes=found.missing,
        device_bytes=memory.devices,
        generate_tokens_per_second=_short(writes),
        prompt_tokens_per_second=_short(rate.prompt_tokens_per_second) if rate is not None else None,
        good=found.placed == "wholly" and quick,
        quality=round(quality(model), 3) if model is not None and any(suited(model, use) for use in ("chat", "code", "vision")) else None,
    )


def chosen(subject: Subject, target: Target, *, context: int = CONTEXT, calibration: Calibration | None = None) -> str:
    """Which precision of the ladder a pull would take here, were all of them offered; empty for what is not in the catalogue."""
    entry = subject.entry
    if entry is None:
        return ""
    wish = _wish(subject, context)
    choice = choose_precision(
        LADDER, lambda name: of_entry(entry, name).header, target, model=subject.name, task=subject.task, context=wish.context,
        trained=subject.trained or None, calibration=calibration,
    )  # fmt: skip
    return choice.precision


def _wish(subject: Subject, context: int) -> Wish:
    return Wish(
        model=subject.name,
        header=subject.header,
        precision=subject.precision,
        context=min(context, subject.trained) if subject.trained else context,
        trained=subject.trained or None,
        task=subject.task,
        projector=subject.projector_bytes,
        adapters=subject.adapter_bytes,
    )


def _short(value: float) -> float | None:
    return float(f"{value:.4g}") if value else None


class Glances:
    """Glances at models by their names, those at the catalogue's remembered for as long as the machine stays as it is."""

    def __init__(self, *, subjects: Subjects, machine: Callable[[], Target], calibration: Callable[[], Calibration | None]) -> None:
        self._subjects = subjects
        self._machine = machine
        self._calibration = calibration
        self._looked: tuple[float, Target, Calibration | None] | None = None
        self._known: dict[tuple[str, str, int], Glance] = {}

    def at(self, names: Sequence[str], *, context: int = CONTEXT) -> list[Glance | Unknown]:
        """One for each name, at the usual precision. Blocks, some milliseconds for each that was not asked for before."""
        there, calibration = self._here()
        return [self._at(name, "", context, there, calibration) for name in names]

    def precisions(self, name: str, *, context: int = CONTEXT) -> tuple[list[Glance], str]:
        """One model at each precision of the ladder, and which of them a pull would take; what its maker publishes in another one (MXFP4), and
        what is not in the catalogue, at that alone. Raises `NotFound`."""
        there, calibration = self._here()
        usual = self._subjects.find(name)
        if usual.entry is None or usual.precision not in LADDER:
            return [glance(usual, there, context=context, calibration=calibration)], usual.precision
        found = [self._at(name, kind, context, there, calibration) for kind in LADDER]
        return [one for one in found if isinstance(one, Glance)], chosen(usual, there, context=context, calibration=calibration)

    @property
    def target(self) -> Target:
        """The machine as models see it."""
        return self._here()[0]

    def _at(self, name: str, precision: str, context: int, there: Target, calibration: Calibration | None) -> Glance | Unknown:
        asked = (name, precision, context)
        # What was installed meanwhile is looked at itself, not what the catalogue says of it.
        if (found := self._known.get(asked)) is not None and not self._subjects.is_here(name):
            return found
        try:
            subject = self._subjects.find(name, precision)
            found = glance(subject, there, context=context, calibration=calibration)
        except HausgeistError as error:
            return Unknown(name, error.message)
        if subject.installed is None and len(self._known) < _MOST_KNOWN:
            self._known[asked] = found
        return found

    def _here(self) -> tuple[Target, Calibration | None]:
        now = time.monotonic()
        if self._looked is None or now - self._looked[0] > _KEPT:
            there, calibration = self._machine(), self._calibration()
            if self._looked is None or self._looked[1:] != (there, calibration):
                self._known.clear()
            self._looked = (now, there, calibration)
        return self._looked[1], self._looked[2]

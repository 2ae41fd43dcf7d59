"""Which model to take: the best for a use on this machine, the precision of one, the largest that fits.

Models come as values; what the catalogue says of them is turned into these elsewhere. How good a model is, is not measured here: `quality` says what
size and age suggest.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, get_args

from hausgeist.errors import InvalidRequest, shown
from hausgeist.model import Task
from hausgeist.planner.costs.prices import Figure
from hausgeist.planner.fitting import Fit, fit, largest_context, room
from hausgeist.planner.memory import Header
from hausgeist.planner.plan import gib
from hausgeist.planner.target import Target
from hausgeist.planner.wish import FIRST_PROMPT, GOOD_SPEED, Speeds, Wish, placing, running, speeds, starting

if TYPE_CHECKING:
    from hausgeist.planner.speed import Calibration, Speed

__all__ = [
    "CONTEXTS",
    "DOUBLING",
    "EXPERTS",
    "USES",
    "Choice",
    "Model",
    "Ranked",
    "Use",
    "best_here",
    "choose_precision",
    "largest_that_fits",
    "max_context",
    "promising",
    "quality",
    "ranked",
    "suited",
    "use_of",
    "wished",
]

Use = Literal["chat", "code", "vision", "documents"]
USES: Final[tuple[Use, ...]] = get_args(Use)

CONTEXTS: Final[Mapping[Use, int]] = MappingProxyType({"chat": 8192, "code": 16384, "vision": 8192, "documents": 32768})
"""Tokens per request that a use wants where nothing is said: a conversation; some files; a picture and words about it; passages of papers."""

DOUBLING: Final = Figure(
    value=7, unit="months", what="in which a model of half the size becomes as good", date="2025-11", estimate=True,
    source="Densing law of LLMs, Nature Machine Intelligence, https://doi.org/10.1038/s42256-025-01137-0: 3.5 months for the best of their time",
    note="twice as long, for not every model is the best of its time",
)  # fmt: skip
EXPERTS: Final = Figure(
    value=0.5, unit="exponent", what="a mixture of experts counts as the mean of its parameters and of those in use", date="2024-03", estimate=True,
    source="geometric mean, a rule of thumb: https://www.reddit.com/r/LocalLLaMA/comments/1bqa96t/",
)  # fmt: skip

_SPARE: Final = 2 / 3
"""Of memory: precisions above four bits may take so much, so that longer contexts and a second model find room."""
_LEAST_BYTES: Final = 0.45
"""For each parameter at the precisions that are usual; less is not worth an estimate."""
_SPECIAL: Final = re.compile(r"translate|guard|shield|function|medgemma|meditron|medllama|docling|ocr|math|prover|ui-tars|rwkv")
"""In names of models that were made for one task alone, or to try an architecture."""
_FLOOR: Final = 4
"""Bits. Below, the tables of those who publish such files say "high quality loss", at four bits "balanced quality"."""
_ORDER: Final = (
    "Q8_0", "Q6_K", "Q5_K_M", "Q5_K_S", "Q5_1", "Q5_0", "Q4_K_M", "MXFP4", "NVFP4", "IQ4_NL", "Q4_K_S", "IQ4_XS", "Q4_1", "Q4_0", "Q3_K_L", "IQ3_M",
    "Q3_K_M", "IQ3_S", "Q3_K_S", "IQ3_XS", "IQ3_XXS", "Q2_K", "IQ2_M", "IQ2_S", "IQ2_XS", "IQ2_XXS", "TQ2_0", "IQ1_M", "IQ1_S", "TQ1_0",
    "BF16", "F16", "F32",
)  # fmt: skip
"""The best first; 16 bits and more only where nothing else is offered, for 8 are hardly worse: mean divergence from 16 bits .0014 nats at Q8_0,
.0055 at Q6_K, .011 at Q5_K_M (Llama 3 8B, https://github.com/ggml-org/llama.cpp/pull/6936, 2024-05)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One that could be installed."""

    name: str
    family: str = ""
    uses: tuple[str, ...] = ("chat",)
    """As the catalogue names them."""
    parameters: int
    active: int = 0
    """Of them, per token; 0: all."""
    context: int
    """Tokens that it was made for."""
    released: str
    """Year, month and day as far as they are known."""
    precision: str = "Q4_K_M"
    """What it is usually run at."""
    header: Callable[[str], Header]
    """By precision."""
    projector: int = 0
    """Bytes of the encoder's file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """A model on a machine."""

    model: Model
    wish: Wish
    """What to plan, to know more."""
    fit: Fit
    speed: Speed
    quality: float

    @property
    def good(self) -> bool:
        """Fits wholly with the context that is wanted, and writes as fast as one wants to read."""
        return self.fit.placed == "wholly" and self.speed.generate_tokens_per_second >= GOOD_SPEED.value

    @property
    def reason(self) -> str:
        """In a few words."""
        rate = self.speed.generate_tokens_per_second
        where = "wholly" if self.fit.placed == "wholly" else f"with {self.fit.gpu_layers} layers on the card"
        taken = gib(sum(self.fit.memory.devices) or self.fit.memory.total)
        return f"fits {where} ({taken}) with {self.wish.tokens:,} tokens of context, about {rate:.{0 if rate >= 10 else 1}f} tokens per second"


def use_of(name: str) -> Use:
    """Raises `InvalidRequest` for a use that is none."""
    for use in USES:
        if use == name.strip().lower():
            return use
    raise InvalidRequest(f"'{shown(name)}' is no use that models are advised for; {', '.join(USES)} are.", param="for")


def suited(model: Model, use: Use) -> bool:
    """Papers want a model that talks, with room for passages; what was made for one task alone is for nothing else."""
    if _SPECIAL.search(model.name):
        return False
    if use == "documents":
        return "chat" in model.uses and model.context >= CONTEXTS[use]
    return use in model.uses


def quality(model: Model) -> float:
    """Doublings of size that it is worth, a billion parameters of January 2023 being 0. A guess: no test of the model's answers is in it."""
    billions = model.parameters / 1e9
    share = (model.active or model.parameters) / model.parameters
    year, month = (*(int(part) for part in re.findall(r"\d+", model.released)[:2]), 1, 1)[:2]
    months = (year - 2023) * 12 + month - 1
    return math.log2(max(billions, 1e-3) * min(1.0, share) ** EXPERTS.value) + months / DOUBLING.value


def best_here(
    models: Iterable[Model], target: Target, use: str, *, context: int | None = None, users: int = 1, count: int = 10,
    calibration: Calibration | None = None, run: Speeds | None = None,
) -> tuple[Ranked, ...]:  # fmt: skip
    """What this machine runs well for a use, what promises most first; where it runs none well, what runs at all, the fastest first.

    Raises `InvalidRequest` for a use that is none.
    """
    wanted = use_of(use)
    length = context or CONTEXTS[wanted]
    good: list[Ranked] = []
    slow: list[Model] = []
    for known in sorted((one for one in models if suited(one, wanted) and not _hopeless(one, target)), key=quality, reverse=True):
        model = replace(known, header=cache(known.header))
        if not promising(model, target, context=length, users=users, calibration=calibration, run=run):
            slow.append(model)
        elif (found := ranked(model, target, context=length, users=users, calibration=calibration, run=run)) is not None and found.good:
            good.append(found)
        elif found is not None:
            slow.append(model)
        if len(good) == count:
            break
    if good:
        return tuple(good)
    fewest = sorted(slow, key=lambda one: one.active or one.parameters)[: 3 * count]
    others = (ranked(one, target, context=length, users=users, calibration=calibration, run=run) for one in fewest)
    return tuple(sorted((one for one in others if one is not None), key=lambda one: one.speed.generate_tokens_per_second, reverse=True)[:count])


def promising(
    model: Model, target: Target, *, context: int, users: int = 1, calibration: Calibration | None = None, run: Speeds | None = None
) -> bool:
    """Whether it would write fast enough if all of it were where it is fastest: a glance before anybody asks whether it fits."""
    if context > model.context:
        return False
    wish = wished(model, context, users, model.precision)
    start = replace(starting(wish, target), gpu_layers=wish.header.blocks + 1 if target.group is not None else 0)
    rate = (run or speeds())(
        wish.header, start, target, gpu_layers=start.gpu_layers, filled=min(FIRST_PROMPT, context), users=min(users, start.slots),
        calibration=calibration,
    )  # fmt: skip
    return rate.generate_tokens_per_second >= GOOD_SPEED.value


def ranked(
    model: Model, target: Target, *, context: int, users: int = 1, precision: str = "", calibration: Calibration | None = None,
    run: Speeds | None = None,
) -> Ranked | None:  # fmt: skip
    """`None`: it does not fit, or was not made for so long a context."""
    if context > model.context:
        return None
    wish = wished(model, context, users, precision or model.precision)
    found = placing(wish, target)
    if found.placed == "no":
        return None
    rate = running(wish, target, found, calibration=calibration, run=run)
    return Ranked(model=model, wish=wish, fit=found, speed=rate, quality=quality(model))


def wished(model: Model, context: int, users: int, precision: str) -> Wish:
    """What is asked for where a model is only looked at."""
    return Wish(
        model=model.name,
        header=model.header(precision),
        precision=precision,
        context=context,
        trained=model.context,
        users=users,
        projector=model.projector,
    )


def _hopeless(model: Model, target: Target) -> bool:
    return model.parameters * _LEAST_BYTES > target.memory_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A precision, and why."""

    precision: str
    reason: str
    """One sentence."""
    fit: Fit | None
    """`None`: there was but one, or nothing is known of how it would fit."""


def choose_precision(
    available: Sequence[str], header: Callable[[str], Header], target: Target, *, model: str = "the model", task: Task = "generate",
    context: int | None = None, users: int = 1, trained: int | None = None, calibration: Calibration | None = None, run: Speeds | None = None,
) -> Choice:  # fmt: skip
    """Eight bits where they fit with room to spare and are fast enough, else the finest of which that is true; four bits where they fit at all.

    Fewer only where four do not fit even with the processor's help, and the sentence says so. Raises `InvalidRequest` where nothing is available.
    """
    if not available:
        raise InvalidRequest(f"There is no precision of {model} to choose from.", param="precision")
    names = sorted(dict.fromkeys(available), key=_rank)
    if len(names) == 1:
        return Choice(precision=names[0], reason=f"{names[0]}: {model} comes in no other precision.", fit=None)
    where, space = target.title, room(target)
    found: dict[str, Fit] = {}

    def wish(name: str) -> Wish:
        return Wish(model=model, header=header(name), precision=name, context=context, trained=trained, users=users, task=task)

    def placed(name: str) -> Fit:
        if name not in found:
            wanted = wish(name)
            found[name] = fit(wanted.header, starting(wanted, target), space)
        return found[name]

    finer = [name for name in names if _FLOOR < _bits(name) <= 8]
    for name in finer:
        one = placed(name)
        if one.placed != "wholly" or _share(one, target) > _SPARE:
            continue
        slow = task == "generate" and running(wish(name), target, one, calibration=calibration, run=run).generate_tokens_per_second < GOOD_SPEED.value
        if slow:
            continue
        loss = "next to nothing is lost by it" if _bits(name) == 8 else "finer ones would leave too little room"
        reason = f"{name}: it fits on {where} with room to spare ({gib(one.memory.total)}), and {loss}."
        return Choice(precision=name, reason=reason, fit=one)
    return _coarser(names, placed, where, bool(finer))


def _coarser(names: Sequence[str], placed: Callable[[str], Fit], where: str, finer: bool) -> Choice:
    """Four bits; else anything of more; else fewer."""
    four = [name for name in names if _bits(name) == _FLOOR]
    for name in four:
        if (one := placed(name)).placed == "wholly":
            why = "; finer ones would leave too little room there or be slow" if finer else ""
            return Choice(precision=name, reason=f"{name}: it fits on {where} ({gib(one.memory.total)}){why}.", fit=one)
    for name in (*four, *sorted((name for name in names if _bits(name) > _FLOOR), key=lambda name: (_bits(name), _rank(name)))):
        one = placed(name)
        if one.placed == "wholly":
            reason = f"{name}: it fits on {where} ({gib(one.memory.total)}), and none of {_FLOOR} bits is offered."
            return Choice(precision=name, reason=reason, fit=one)
        if one.placed == "offload":
            part = f"{one.gpu_layers} layers on the card"
            reason = f"{name}: it fits on {where} only with the processor's help ({part}); fewer bits would lose too much."
            return Choice(precision=name, reason=reason, fit=one)
    fewer = [name for name in names if _bits(name) < _FLOOR]
    for name in fewer:
        if (one := placed(name)).placed != "no":
            reason = f"{name}: nothing of {_FLOOR} bits or more fits on {where}; so few bits lose noticeably, a smaller model may answer better."
            return Choice(precision=name, reason=reason, fit=one)
    least = min(names, key=lambda name: placed(name).memory.total)
    one = placed(least)
    return Choice(precision=least, reason=f"{least}: none fits on {where}; the smallest takes {gib(one.missing)} too much.", fit=one)


def _share(one: Fit, target: Target) -> float:
    """Of the memory that it lies in."""
    there = sum(target.device_bytes) or target.memory_bytes
    return (sum(one.memory.devices) or one.memory.total) / there


def _plain(name: str) -> str:
    return name.upper().removeprefix("UD-")


def _bits(name: str) -> int:
    """As the name says: Q4_K_M, IQ4_XS, MXFP4 have 4."""
    digits = re.search(r"\d+", _plain(name))
    return int(digits[0]) if digits else 16


def _rank(name: str) -> float:
    """What is not listed comes after what has as many bits."""
    plain = _plain(name)
    if plain in _ORDER:
        return float(_ORDER.index(plain))
    alike = [index for index, one in enumerate(_ORDER) if _bits(one) == _bits(plain)]
    return alike[-1] + 0.5 if alike else float(len(_ORDER))


def largest_that_fits(
    models: Iterable[Model], target: Target, *, like: Model | None = None, context: int | None = None, users: int = 1,
    calibration: Calibration | None = None, run: Speeds | None = None,
) -> Ranked | None:  # fmt: skip
    """The largest that the machine runs well: of the same family where it has one, else of the same uses. `None`: none fits."""
    known = [one for one in models if not _hopeless(one, target) and (like is None or (one.name != like.name and one.parameters < like.parameters))]
    kin = [one for one in known if like is not None and like.family and one.family == like.family and set(one.uses) & set(like.uses)]
    alike = [one for one in known if like is None or set(one.uses) & set(like.uses)]
    fallback: Ranked | None = None
    for group in (kin, alike):
        for model in sorted(group, key=lambda one: (one.parameters, one.released), reverse=True):
            found = ranked(model, target, context=min(context or CONTEXTS["chat"], model.context), users=users, calibration=calibration, run=run)
            if found is not None and found.good:
                return found
            fallback = fallback or found
    return fallback


def max_context(wish: Wish, target: Target) -> int:
    """Tokens per request that fit, at most those that it was made for; 0: it does not fit at all."""
    space = room(target)
    return largest_context(wish.header, placing(wish, target, space), space, wish.made_for, gpu_layers=wish.gpu_layers)

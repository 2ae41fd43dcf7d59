"""Tokens per second of a model on a target: generation, prompt, several users at once.

Layers on several cards or on cards and processor work one after the other, and each change of place waits for a connection (llama.cpp's split by
layers). vLLM instead splits each layer over the cards of a machine, which then add up what they have twice per layer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

from hausgeist.errors import InvalidRequest
from hausgeist.planner.devices.device import Group, Link
from hausgeist.planner.memory import Header, Start
from hausgeist.planner.memory.placement import HOST, Placement
from hausgeist.planner.speed.calibration import Calibration
from hausgeist.planner.speed.rates import KINDS, Engine, Rates, device_rates, host_rates, kernels
from hausgeist.planner.speed.work import Layer, Pass, layers, passing
from hausgeist.planner.target import Target

__all__ = ["Bound", "Speed", "most_users", "speed"]

Bound = Literal["memory", "compute", "link", "overhead"]
"""What most of the time of a generated token goes to: reading, computing, waiting for connections, starting one step after the other."""

_HOP: Final = 1.5e-4
"""Seconds to hand over to the next card beyond what the connection takes: 0.12 to 0.3 ms with 2 to 8 cards (Dai's table of May 2024)."""
_SUM: Final = 1e-5
"""Seconds of an all-reduce between cards, without what the connection takes."""
_REACHED: Final = 0.8
"""Of what a connection promises."""
_MOVED: Final = 32
"""From so many tokens at once on, llama.cpp takes weights of the processor's layers to a card for a step (`GGML_OP_OFFLOAD_MIN_BATCH`)."""
_CHUNK: Final = 2048
"""Tokens of a prompt that vLLM takes at once."""
_MOST: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    prompt_tokens_per_second: float
    """Of one prompt alone, of the length that was asked for."""
    generate_tokens_per_second: float
    """Each user's; 0: the model generates nothing."""
    total_tokens_per_second: float
    """All users' generation together."""
    first_token_seconds: float
    """From the prompt's arrival, when nobody else asks."""
    bound: Bound
    generate_spread: float
    prompt_spread: float
    """Half of the measurements that the figure rests on lie nearer than this part of it."""
    basis: Literal["measured here", "published", "assumed"]
    """Calibrated on this machine; from other people's measurements of such devices; from those of the nearest kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stage:
    """Layers in one place."""

    place: int
    """The card, or the first of those that share them."""
    parts: tuple[Layer, ...]
    rates: Rates
    ways: int = 1
    """Cards that share each layer."""


@dataclass(frozen=True, slots=True)
class _Time:
    """Seconds of one pass."""

    reading: float
    computing: float
    starting: float
    waiting: float
    stages: tuple[float, ...]

    @property
    def total(self) -> float:
        return sum(self.stages) + self.waiting

    @property
    def bound(self) -> Bound:
        kinds: tuple[tuple[float, Bound], ...] = (
            (self.reading, "memory"), (self.computing, "compute"), (self.waiting, "link"), (self.starting, "overhead"),
        )  # fmt: skip
        return max(kinds)[1]


def speed(
    header: Header, start: Start, target: Target, *, gpu_layers: int, filled: int, users: int = 1, calibration: Calibration | None = None,
    engine: Engine = "llamacpp", ways: int = 0, cached: int = 0,
) -> Speed:  # fmt: skip
    """`filled`: tokens in the cache of each user while it generates, which is also the prompt's length; `cached` of them are there from before.

    `calibration`, of llama.cpp, replaces rates of the place that it has some of. vLLM keeps all layers on cards, whatever `gpu_layers` says;
    `ways`: cards that share each of its layers, 0: all of a machine.

    Raises `InvalidRequest` for numbers that make no sense.
    """
    for name, value, least, most in (
        ("gpu_layers", gpu_layers, 0, 2**20),
        ("filled", filled, 0, 2**24),
        ("users", users, 1, _MOST),
        ("cached", cached, 0, filled),
    ):
        if not least <= value <= most:
            raise InvalidRequest(f"{name} = {value} is not possible; {least} to {most} is.", param=name)
    calibration = None if engine == "vllm" else calibration
    stages = _stages(header, start, target, gpu_layers, calibration, engine, ways)
    group = target.group
    one = _pass(stages, target, header, tokens=users, sequences=users, filled=filled, outputs=users, engine=engine)
    prompt = max(filled - cached, 1)
    seconds = _prompt(stages, target, header, start, prompt=prompt, cached=cached, engine=engine)
    rate = 0.0 if header.cacheless else 1.0 / one.total
    on_host = any(stage.place == HOST for stage in stages)
    kind = KINDS["processor"] if on_host or group is None else kernels(group.device, engine)
    known = calibration is not None and (calibration.host is not None if on_host else calibration.device is not None)
    generate, prompted = (calibration.spread,) * 2 if known and calibration is not None else kind.spread
    # vLLM was measured on NVIDIA's.
    foreign = engine == "vllm" and group is not None and group.device.vendor != "NVIDIA"
    return Speed(
        prompt_tokens_per_second=prompt / seconds,
        generate_tokens_per_second=rate,
        total_tokens_per_second=rate * users,
        first_token_seconds=seconds,
        bound=one.bound,
        generate_spread=generate,
        prompt_spread=prompted,
        basis="measured here" if known else "published" if kind.measured[0] and not foreign else "assumed",
    )


def most_users(
    header: Header, start: Start, target: Target, *, gpu_layers: int, filled: int, rate: float, calibration: Calibration | None = None,
    engine: Engine = "llamacpp", ways: int = 0, most: int = 256,
) -> int:  # fmt: skip
    """How many can generate at once so that each still gets `rate` tokens per second; 0: not even one. Whether memory holds them is not asked."""
    if not rate > 0 or not 1 <= most <= _MOST:
        raise InvalidRequest(f"{rate:g} tokens per second for up to {most} users is no question.", param="rate")
    stages = _stages(header, start, target, gpu_layers, None if engine == "vllm" else calibration, engine, ways)

    def enough(users: int) -> bool:
        return _pass(stages, target, header, tokens=users, sequences=users, filled=filled, outputs=users, engine=engine).total * rate <= 1.0

    if header.cacheless or not enough(1):
        return 0
    low, high = 1, most + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if enough(middle) else (low, middle)
    return low


def _stages(
    header: Header, start: Start, target: Target, gpu_layers: int, calibration: Calibration | None, engine: Engine, ways: int
) -> tuple[_Stage, ...]:
    """In the order in which a token passes them."""
    parts = layers(header, start.cache_type, flash=start.flash_attention)
    host = (calibration and calibration.host) or host_rates(target.host)
    group = target.group
    if group is None:
        return (_Stage(place=HOST, parts=parts, rates=host),)
    device = (calibration and calibration.device) or device_rates(group.device, engine)
    if engine == "vllm":
        each = ways or group.count
        size = math.ceil(len(parts) * each / group.total)
        cuts = [parts[first : first + size] for first in range(0, len(parts), size)]
        return tuple(_Stage(place=place * each, parts=cut, rates=device, ways=each) for place, cut in enumerate(cuts))
    places: dict[int, list[Layer]] = {}
    for part, place in zip(parts, Placement(header.blocks, gpu_layers, start.shares or target.shares).places, strict=True):
        if part.operations:
            places.setdefault(place, []).append(part)
    return tuple(_Stage(place=place, parts=tuple(some), rates=host if place == HOST else device) for place, some in places.items())


def _pass(
    stages: Sequence[_Stage], target: Target, header: Header, *, tokens: float, sequences: float, filled: float, outputs: float, engine: Engine
) -> _Time:
    reading = computing = starting = 0.0
    times = []
    for stage in stages:
        one = passing(stage.parts, tokens=tokens, sequences=sequences, filled=filled, outputs=outputs, tile=stage.rates.tile)
        read, computed, begun = (part / ways for part, ways in zip(_parts(stage, one), (stage.ways, stage.ways, 1), strict=True))
        if stage.place == HOST and target.group is not None and tokens >= _MOVED and not target.unified:
            read, computed = min((read, computed), _moved(target.group, one, tokens), key=sum)
        reading, computing, starting = reading + read, computing + computed, starting + begun
        times.append(read + computed + begun)
    last = stages[-1].rates.start
    times[-1] += last
    waiting = _hops(stages, target, header, tokens) + (_sums(stages, target, header, tokens) if engine == "vllm" else 0.0)
    return _Time(reading, computing, starting + last, waiting, tuple(times))


def _parts(stage: _Stage, one: Pass) -> tuple[float, float, float]:
    return stage.rates.reading(one), stage.rates.computing(one), stage.rates.starting(one)


def _moved(group: Group, one: Pass, tokens: float) -> tuple[float, float]:
    """Weights of the processor's layers go to a card for this step."""
    rates = device_rates(group.device)
    return sum(one.read.values()) / (group.link.gb_s * 1e9 * _REACHED) + rates.reading(one), rates.computing(one)


def _over(link: Link, size: float) -> float:
    return link.latency_us * 1e-6 + size / (link.gb_s * 1e9 * _REACHED)


def _hops(stages: Sequence[_Stage], target: Target, header: Header, tokens: float) -> float:
    """What a token's state takes from place to place, 4 bytes per number."""
    group, size = target.group, 4.0 * header.hidden * tokens
    if group is None:
        return 0.0
    total = 0.0
    for before, after in pairwise(stages):
        if HOST in (before.place, after.place):
            total += _HOP + (0.0 if target.unified else _over(group.link, size))
            continue
        same = group.count > 1 and before.place // group.count == after.place // group.count
        total += _HOP + _over(group.link if same else group.network, size)
    return total


def _sums(stages: Sequence[_Stage], target: Target, header: Header, tokens: float) -> float:
    """Two all-reduces per layer of 2 bytes per number; a ring sends each number twice, less one card's part."""
    group, ways = target.group, stages[0].ways
    if group is None or ways == 1:
        return 0.0
    size = 2.0 * header.hidden * tokens * 2.0 * (ways - 1) / ways
    once = _SUM + math.log2(ways) * group.link.latency_us * 1e-6 + size / (group.link.gb_s * 1e9 * _REACHED)
    return 2.0 * sum(len(stage.parts) for stage in stages) * once


def _prompt(stages: Sequence[_Stage], target: Target, header: Header, start: Start, *, prompt: int, cached: int, engine: Engine) -> float:
    """Seconds until the first token is there: all steps of the prompt, the last of which yields it."""
    step = min(prompt, _CHUNK if engine == "vllm" else start.micro_batch)
    whole, rest = divmod(prompt, step)

    def taken(tokens: int, end: float) -> _Time:
        return _pass(stages, target, header, tokens=tokens, sequences=1, filled=end, outputs=1, engine=engine)

    first, last = taken(step, cached + step), taken(step, cached + whole * step)
    middle = taken(step, cached + (whole + 1) / 2 * step)
    # What grows with the length does so evenly, but for windows: three points tell the sum (Simpson).
    mean = (first.total + 4.0 * middle.total + last.total) / 6.0
    total = mean * whole
    piped = len(stages) > 1 and all(stage.place != HOST for stage in stages)
    if piped and whole > 1 and sum(middle.stages) > 0:
        many = max(min(whole, start.batch // step), 1)
        share = (sum(middle.stages) + (many - 1) * max(middle.stages)) / (many * sum(middle.stages))
        total *= share
    return total + (taken(rest, prompt + cached).total if rest else 0.0)

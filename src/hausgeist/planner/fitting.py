"""How much of a model goes onto the cards, and how long its context may be: `memory.estimate`, searched.

What a layer takes, weights and cache, is known without building a graph, and what the graph takes on each card is the same for any number of layers
there. So all numbers of layers are tried on paper, and what is found is estimated as it would be started: it counts as found only if that fits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from hausgeist.planner.costs.prices import Figure
from hausgeist.planner.memory import Header, Memory, Start, estimate, weights
from hausgeist.planner.memory.cache import cache_bytes, padded, state_bytes, window_cells
from hausgeist.planner.memory.placement import HOST, Placement
from hausgeist.planner.target import Target

__all__ = ["CARD_MARGIN", "HOST_RESERVE", "SYSTEM_RESERVE", "Fit", "Room", "fit", "largest_context", "least_bytes", "room"]

CARD_MARGIN: Final = Figure(
    value=1024,
    unit="MiB",
    what="left free on each card",
    date="2025-09-07",
    source="llama.cpp, --fit-target and pull request 15860, https://github.com/ggml-org/llama.cpp/pull/15860",
    note="Of an RTX 4090 with 24,564 MiB by NVML, CUDA hands out 24,080, of which the driver, its context and kernels take another 451 to 456.",
)
HOST_RESERVE: Final = Figure(value=512, unit="MiB", what="memory of the machine that is left alone", source="setting memory_reserve")
SYSTEM_RESERVE: Final = Figure(
    value=2048, unit="MiB", what="operating system of a machine that is only described", source="assumption of this planner", estimate=True
)

_MIB: Final = 2**20
_STEP: Final = 256
"""Tokens; the engine's caches grow in steps of so many."""
Placed = Literal["wholly", "offload", "no"]
"""On the cards, or, without any, in the machine's memory; in part on the cards; nowhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Bytes that a worker may take."""

    devices: tuple[int, ...]
    """Of each card."""
    host: int
    shared: bool = False
    """Cards and machine share one memory, which is counted with the first card."""


def room(target: Target) -> Room:
    """What is there, less what drivers and the system need."""
    margin = int(CARD_MARGIN.value) * _MIB
    devices = tuple(max(0, size - margin) for size in target.device_bytes)
    if target.unified:
        return Room(devices=devices, host=0, shared=True)
    reserve = HOST_RESERVE if target.host.measured else SYSTEM_RESERVE
    return Room(devices=devices, host=max(0, target.host.memory_bytes - int(reserve.value) * _MIB))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """How a model would be started, and what it would take."""

    start: Start
    memory: Memory
    placed: Placed
    missing: int
    """Bytes by which it is too large; 0: it fits."""

    @property
    def gpu_layers(self) -> int:
        """Layers on cards, the output counted as one more."""
        return self.start.gpu_layers


def fit(header: Header, start: Start, space: Room, *, gpu_layers: int | None = None) -> Fit:
    """The most layers that the cards hold, unless their number is given.

    `start.shares` says what part of them each card gets; where some would be too much so, one card is filled after the other.
    """
    if not space.devices:
        return _judged(header, replace(start, gpu_layers=0, shares=()), space)
    whole = header.blocks + 1
    if gpu_layers is not None or space.shared:
        return _judged(header, replace(start, gpu_layers=whole if gpu_layers is None else max(0, min(gpu_layers, whole))), space)
    if (wholly := _wholly(header, start, space)) is not None:
        return wholly
    some = replace(start, gpu_layers=max(1, header.blocks // 2))
    layers, rest = _layers(header, start), _rest(header, _judged(header, some, space))
    count = rest.most(layers, space, below=whole)
    while True:
        counts = rest.split(layers, count, space)
        shares = tuple(map(float, counts)) if count and counts else start.shares
        found = _judged(header, replace(start, gpu_layers=count, shares=shares), space)
        if not count or not _devices_missing(found.memory, space):
            return found
        count -= 1


def _wholly(header: Header, start: Start, space: Room) -> Fit | None:
    """All layers on cards, if these hold them."""
    whole = header.blocks + 1
    if sum(_layers(header, start)) > sum(space.devices):
        return None
    found = _judged(header, replace(start, gpu_layers=whole), space)
    if not _devices_missing(found.memory, space):
        return found
    counts = _rest(header, found).split(_layers(header, start), whole, space)
    return None if counts is None else _judged(header, replace(start, gpu_layers=whole, shares=tuple(map(float, counts))), space)


def _judged(header: Header, start: Start, space: Room) -> Fit:
    memory = estimate(header, start)
    missing = _missing(memory, space)
    whole = not space.devices or start.gpu_layers == header.blocks + 1
    return Fit(start=start, memory=memory, placed="no" if missing else "wholly" if whole else "offload", missing=missing)


def _devices_missing(memory: Memory, space: Room) -> int:
    return sum(max(0, size - there) for size, there in zip(memory.devices, space.devices, strict=False))


def _missing(memory: Memory, space: Room) -> int:
    if space.shared:
        first, *others = space.devices
        alone = max(0, memory.devices[0] + memory.host - first)
        return alone + sum(max(0, size - there) for size, there in zip(memory.devices[1:], others, strict=True))
    return _devices_missing(memory, space) + max(0, memory.host - space.host)


def _layers(header: Header, start: Start) -> tuple[int, ...]:
    """Bytes of each layer with its cache, were it on a card, the output as the last."""
    key = ("layers", start.instructions)
    if key not in header.measured:
        ones = Placement(header.blocks, header.blocks + 1, (1.0,) * (header.blocks + 1))
        header.measured[key] = weights(header, start.instructions, ones).devices
    bare: tuple[int, ...] = header.measured[key]
    kept = [sum(sizes) + start.adapters // header.blocks for sizes in zip(*_caches(header, start), strict=True)]
    return tuple(size + (kept[layer] if layer < len(kept) else 0) for layer, size in enumerate(bare))


def _caches(header: Header, start: Start) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Bytes of keys and values per layer, and of states."""
    slots, micro = start.slots, min(start.micro_batch, start.batch, padded(start.context) * start.slots)
    cells = padded(start.context) * (slots if start.unified else 1)
    window = window_cells(header, cells, slots=slots, unified=start.unified, micro_batch=micro) if header.window else cells
    streams = 1 if start.unified else slots
    key = ("rows", start.cache_type, start.flash_attention)
    if key not in header.measured:
        header.measured[key] = cache_bytes(header, cells=1, window=1, streams=1, cache_type=start.cache_type, flash=start.flash_attention)
    rows: tuple[int, ...] = header.measured[key]
    caches = tuple(row * (window if windowed else cells) * streams for row, windowed in zip(rows, header.windowed, strict=False))
    return caches, state_bytes(header, slots=slots)


def least_bytes(header: Header, start: Start) -> int:
    """What cards must hold at least, if all of it is to be there: weights and caches, without the graph."""
    return sum(_layers(header, start))


def _checkpoints(header: Header, start: Start) -> int:
    """Bytes of the copies that the host keeps of what cannot be rolled back; they grow up to the window, and no more."""
    caches, states = _caches(header, start)
    return start.checkpoints * (sum(cache for cache, windowed in zip(caches, header.windowed, strict=False) if windowed) + sum(states))


@dataclass(frozen=True, slots=True)
class _Rest:
    """Bytes beside layers and checkpoints, on each card and on the host. The same however many layers are on cards, be it all, some or none."""

    devices: tuple[float, ...]
    host: float

    def split(self, layers: Sequence[float], count: int, space: Room) -> tuple[int, ...] | None:
        """How many of the last `count` layers each card gets, each filled before the next one; `None`: they do not fit."""
        counts, card = [0] * len(space.devices), 0
        load = self.devices[0]
        for layer in range(len(layers) - count, len(layers)):
            while load + layers[layer] > space.devices[card]:
                card += 1
                if card == len(counts):
                    return None
                load = self.devices[card]
            counts[card] += 1
            load += layers[layer]
        return tuple(counts)

    def most(self, layers: Sequence[float], space: Room, *, below: int) -> int:
        """The most layers that the cards hold, less than `below`."""
        low, high = 0, below - 1
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (low, middle - 1) if self.split(layers, middle, space) is None else (middle, high)
        return low

    def towards(self, other: _Rest, part: float, more: int) -> _Rest:
        """What lies between this context and another: masks grow with it in proportion, all else stays. `more`: by which the line may be exceeded."""
        devices = tuple(one + (two - one) * part + more for one, two in zip(self.devices, other.devices, strict=True))
        return _Rest(devices, self.host + (other.host - self.host) * part + more)

    def plus(self, other: _Rest) -> _Rest:
        return _Rest(tuple(map(sum, zip(self.devices, other.devices, strict=True))), self.host + other.host)

    def times(self, factor: float) -> _Rest:
        return _Rest(tuple(size * factor for size in self.devices), self.host * factor)


def _rest(header: Header, found: Fit) -> _Rest:
    layers, start = _layers(header, found.start), found.start
    devices, host = list(map(float, found.memory.devices)), float(found.memory.host - _checkpoints(header, start))
    for size, place in zip(layers, Placement(header.blocks, start.gpu_layers, start.shares).places, strict=True):
        if place == HOST:
            host -= size
        else:
            devices[place] -= size
    return _Rest(tuple(devices), host)


def largest_context(header: Header, found: Fit, space: Room, trained: int, *, gpu_layers: int | None = None) -> int:
    """Tokens per request, up to those that the model was made for, with which it is placed as it is now; where it is not, with which it fits at all.

    0: with none. Multiples of 256, for caches grow in such steps, or what it was made for. `gpu_layers` as in `fit`.
    """
    if found.start.task != "generate":
        return _longest_input(header, found, space, trained, gpu_layers)
    if found.placed == "no":
        least = replace(found.start, context=min(_STEP, trained))
        if sum(_layers(header, least)) > sum(space.devices) + space.host:
            return 0
        found = fit(header, least, space, gpu_layers=gpu_layers)
        if found.placed == "no":
            return 0
    start = found.start
    if trained <= start.context:
        return trained
    near = _rest(header, found)

    def fits(context: int, rest: _Rest) -> bool:
        there = replace(start, context=context)
        layers, rest = _layers(header, there), replace(rest, host=rest.host + _checkpoints(header, there))
        if gpu_layers is not None or space.shared or not space.devices or not start.gpu_layers:
            return _stays(layers, rest, start, space)
        if found.placed == "wholly":
            return _wholly_stays(layers, rest, space)
        count = rest.most(layers, space, below=len(layers))
        return count > 0 and rest.host + sum(layers[: len(layers) - count]) <= space.host

    if fits(trained, near.times(trained / start.context)):
        return trained
    far = _rest(header, _judged(header, replace(start, context=trained), space))
    if fits(trained, far):
        return trained
    # A result that finds no hole any more lies at the end, from some context on: then a vector per token comes on top of the straight line.
    span, more = trained - start.context, 2 * 4 * header.hidden * start.micro_batch
    low, high = start.context // _STEP, (trained - 1) // _STEP
    while low < high:
        middle = (low + high + 1) // 2
        between = near.towards(far, (middle * _STEP - start.context) / span, more)
        low, high = (middle, high) if fits(middle * _STEP, between) else (low, middle - 1)
    return max(low * _STEP, start.context)


def _longest_input(header: Header, found: Fit, space: Room, trained: int, gpu_layers: int | None) -> int:
    """The same where a whole input is one step, so that everything grows with it, and faster than it does: each length is laid out anew."""

    def there(context: int) -> Start:
        return replace(found.start, context=context, batch=max(context, found.start.slots), micro_batch=max(context, found.start.slots))

    def fits(context: int) -> bool:
        start = there(context)
        if found.placed == "wholly" and gpu_layers is None and space.devices and not space.shared:  # how else it may be placed is of no interest
            wholly = _wholly(header, start, space)
            return wholly is not None and wholly.placed == "wholly"
        placed = fit(header, start, space, gpu_layers=gpu_layers).placed
        return placed == found.placed if found.placed != "no" else placed != "no"

    if fits(trained):
        return trained
    low, high = 0, (trained - 1) // _STEP
    if found.placed == "wholly" and found.start.context < trained:
        far = _rest(header, _judged(header, there(trained), space))
        guess = _likely_input(header, found, space, far, trained) // _STEP
        for steps in (guess, guess + 1, guess + 4, guess - 1, guess - 4):
            if low < steps <= high:
                low, high = (steps, high) if fits(steps * _STEP) else (low, steps - 1)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle * _STEP) else (low, middle - 1)
    return low * _STEP


def _likely_input(header: Header, found: Fit, space: Room, far: _Rest, trained: int) -> int:
    """Where to look for it first. Masks grow with the square, all else in proportion: a parabola through nothing, this input and the longest one."""
    near, length = _rest(header, found), found.start.context
    low, high = 0, (trained - 1) // _STEP
    while low < high:
        middle = (low + high + 1) // 2
        context = middle * _STEP
        part = context / (trained - length)
        rest = near.times(part * (trained - context) / length).plus(far.times(part * (context - length) / trained))
        layers = _layers(header, replace(found.start, context=context))
        fits = _stays(layers, rest, found.start, space)
        if not fits and space.devices and not space.shared:
            fits = all(size <= there for size, there in zip(rest.devices, space.devices, strict=True)) and _wholly_stays(layers, rest, space)
        low, high = (middle, high) if fits else (low, middle - 1)
    return low * _STEP


def _wholly_stays(layers: Sequence[int], rest: _Rest, space: Room) -> bool:
    """Whether all layers fit on the cards, however many on each."""
    return rest.split(layers, len(layers), space) is not None and rest.host <= space.host


def _stays(layers: Sequence[int], rest: _Rest, start: Start, space: Room) -> bool:
    """Whether it fits with as many layers on each card as now."""
    devices, host = list(rest.devices), rest.host
    for size, place in zip(layers, Placement(len(layers) - 1, start.gpu_layers, start.shares).places, strict=True):
        if place == HOST:
            host += size
        else:
            devices[place] += size
    if space.shared:
        devices[0] += host
        host = 0.0
    return host <= space.host and all(size <= there for size, there in zip(devices, space.devices, strict=False))

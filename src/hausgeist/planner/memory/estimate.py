"""The memory of one worker, part by part, from a header and how it is to be started."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from hausgeist.errors import InvalidRequest
from hausgeist.model import CacheType, Task
from hausgeist.planner.memory.arena import Unsettled
from hausgeist.planner.memory.cache import cache_bytes, padded, state_bytes, window_cells
from hausgeist.planner.memory.graphs import build, kinds
from hausgeist.planner.memory.header import BLOCKS, Header
from hausgeist.planner.memory.operations import Batch, Builder
from hausgeist.planner.memory.placement import HOST, Placement
from hausgeist.planner.memory.repeats import Selection, select
from hausgeist.planner.memory.splits import split_bytes
from hausgeist.planner.memory.weights import InstructionSet, weights

__all__ = ["Memory", "Start", "estimate"]

_MAX_CONTEXT = 2**24
_MAX_SLOTS = 256
_KEPT = (3, 5)
"""How many groups of layers that are alike are built: so many, or more where what the others do cannot be told from these, or else all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """How a worker is started: what `engines.llamacpp` tells the engine."""

    context: int
    """Tokens per request."""
    slots: int = 1
    cache_type: CacheType = "f16"
    flash_attention: bool = True
    """The engine's own choice on processors and on nearly all devices."""
    batch: int = 128
    """Tokens per step."""
    micro_batch: int = 128
    """Tokens that go through the layers at once."""
    unified: bool = False
    task: Task = "generate"
    pooling: Literal["none", "mean", "cls", "last", "rank"] = "none"
    instructions: InstructionSet = "avx2"
    checkpoints: int = 0
    """Copies per slot of what cannot be rolled back: windowed caches, states."""
    drafted: int = 0
    """Tokens that are checked at once beyond the next one (speculative decoding)."""
    gpu_layers: int = 0
    """Layers on devices, the output counted as one more."""
    shares: tuple[float, ...] = ()
    """What part of these each device gets; none: there is no device."""
    projector: int = 0
    adapters: int = 0
    prompt_cache: int = 0
    runtime: int = 0
    """Bytes: of the vision projector, of LoRA adapters, of the cache of prompts; of a worker without a model.

    With layers on devices the projector is on the first one, and adapters are with the layers that they change. A draft model is a model of its
    own, with a context as long: its estimate comes on top. What adapters add to experts, and the projector's own graph on a device, are as the
    source has them, not compared with an engine.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Bytes. What lies on devices is counted in the parts as well."""

    weights: int
    repack: int
    kv_cache: int
    """With states of recurrent layers."""
    compute: int
    output: int
    overhead: int
    """Checkpoints, projector, adapters, the cache of prompts, the process itself."""
    devices: tuple[int, ...]
    exact: bool
    """The engine's own graph is known for this architecture; otherwise compute is an estimate."""
    nodes: int
    """Of the graph, as the engine counts them."""

    @property
    def total(self) -> int:
        return self.weights + self.repack + self.kv_cache + self.compute + self.output + self.overhead

    @property
    def host(self) -> int:
        return self.total - sum(self.devices)


def estimate(header: Header, start: Start) -> Memory:
    """Raises `InvalidRequest` for sizes that are none."""
    _demand(header, start)
    batch = _batch(header, start)
    placement = Placement(header.blocks, start.gpu_layers, start.shares)
    graph = _measured(header, batch, placement)
    placed = weights(header, start.instructions, placement)
    caches = cache_bytes(header, cells=batch.cells, window=batch.window_cells, streams=batch.streams, cache_type=start.cache_type, flash=batch.flash)
    states = state_bytes(header, slots=start.slots)
    devices = list(placed.devices)
    for cache, state, place in zip(caches, states, placement.places, strict=False):
        if place != HOST:
            devices[place] += cache + state + start.adapters // header.blocks
    if placement.offloaded:
        devices[0] += start.projector
    devices = [size + more for size, more in zip(devices, graph.devices, strict=True)]
    rolling = sum(cache for cache, windowed in zip(caches, header.windowed, strict=False) if windowed) + sum(states)
    width = header.vocabulary + (header.hidden if batch.embeddings else 0)
    extras = rolling * start.checkpoints + start.projector + start.adapters + start.prompt_cache + start.runtime
    return Memory(
        weights=placed.total - placed.repacked,
        repack=placed.repacked,
        kv_cache=sum(caches) + sum(states),
        compute=graph.host + sum(graph.devices),
        output=4 * width * start.slots,
        overhead=extras,
        devices=tuple(devices),
        exact=graph.exact,
        nodes=graph.nodes,
    )


def _demand(header: Header, start: Start) -> None:
    for name, value, most in (("context", start.context, _MAX_CONTEXT), ("slots", start.slots, _MAX_SLOTS), ("batch", start.batch, _MAX_CONTEXT)):
        if not 0 < value <= most:
            raise InvalidRequest(f"{name} = {value} is not possible; 1 to {most} is.", param=name)
    if not 0 < start.micro_batch <= start.batch:
        raise InvalidRequest(f"A step of {start.micro_batch} tokens out of {start.batch} is not possible.", param="micro_batch")
    length = max((header.key_length(layer) for layer in range(header.layers) if header.kv_heads[layer]), default=0)
    if length % BLOCKS[start.cache_type.upper()][0] and not header.cacheless:
        raise InvalidRequest(f"A cache of {start.cache_type} is not possible: it does not divide keys of {length} numbers.", param="cache_type")
    if any(share < 0 for share in start.shares) or (start.shares and not sum(start.shares)):
        raise InvalidRequest("The shares of devices must not be negative, and not all nothing.", param="shares")


def _batch(header: Header, start: Start) -> Batch:
    """The largest step, as `llama_context` reserves it (`sched_reserve`)."""
    embeds = start.task != "generate"
    whole = padded(start.context) * start.slots
    cells = whole if start.unified else padded(start.context)
    causal = not header.cacheless and bool(header.get("attention.causal", True))
    size = min(start.batch, whole) if causal else start.batch
    micro = min(size, start.micro_batch)
    tokens = -(-min(whole, micro) // start.slots) * start.slots
    window = window_cells(header, cells, slots=start.slots, unified=start.unified, micro_batch=micro) if header.window else cells
    outputs = size if embeds else min(size, start.slots * (1 + start.drafted))
    return Batch(
        tokens=tokens, sequences=start.slots, outputs=min(tokens, outputs), streams=1 if start.unified else start.slots, cells=cells,
        window_cells=window, flash=start.flash_attention, rotated=start.cache_type not in ("f16", "f32", "bf16"), embeddings=embeds,
        pooling=start.pooling, adapted=start.adapters > 0,
    )  # fmt: skip


class _Measured(NamedTuple):
    """What is asked of a graph: bytes of its intermediate results on the host, and on each device."""

    exact: bool
    nodes: int
    host: int
    devices: tuple[int, ...]


def _measured(header: Header, batch: Batch, placement: Placement) -> _Measured:
    """Built once for each step: who looks for the layers that fit asks for the same graph with one placement after another.

    Results do not depend on how many layers are on devices, as long as it is some, nor on the shares: half of them in equal parts stand for all.
    """
    count = len(placement.shares)
    known: dict[Hashable, _Measured] = header.measured
    key = (batch, count, placement.whole, placement.offloaded > 0)
    if key not in known:
        layers = 0 if not placement.offloaded else placement.blocks + 1 if placement.whole else max(count, placement.blocks // 2)
        standing = Placement(placement.blocks, layers, (1.0,) * count)
        alike = list(zip(kinds(header), standing.places, strict=False))
        for kept in (*_KEPT, len(alike)):
            try:
                known[key] = _laid_out(header, batch, standing, select(alike, kept))
                break
            except Unsettled:
                continue
    return known[key]


def _laid_out(header: Header, batch: Batch, placement: Placement, selection: Selection) -> _Measured:
    """Raises `Unsettled` where too few layers were selected."""
    builder = Builder(header, batch, selection.layers)
    exact, graph = build(builder), builder.graph
    graph.repeats = selection.repeats
    nodes = graph.count
    host, devices = split_bytes(graph, placement) if placement.offloaded else (graph.measure(), (0,) * len(placement.shares))
    return _Measured(exact, nodes, host, devices)

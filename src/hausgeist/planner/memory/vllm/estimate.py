"""The memory of each card, part by part, and what the cache in it holds (`determine_available_memory` in vLLM's vllm/v1/worker/gpu_worker.py)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from hausgeist.planner.memory.header import Header
from hausgeist.planner.memory.vllm.activations import graph_bytes, peak_bytes
from hausgeist.planner.memory.vllm.cache import Layout, layout
from hausgeist.planner.memory.vllm.start import Card, Start
from hausgeist.planner.memory.vllm.weights import stage_weights, stages

__all__ = ["CardMemory", "Memory", "estimate"]

_GIB: Final = 1024**3
_RUNTIME: Final = 0.25
_RUNTIME_LINKED: Final = 2.1
_RUNTIME_UNLINKED: Final = 0.5
_RUNTIME_PIPELINE: Final = 0.07
"""GiB that appear outside of PyTorch in the first step (kernels, NCCL, buffers of all-reduce), as v0.19 logged them on H100: 0.24 to 0.27 alone,
2.06 to 2.21 with tensor parallelism over NVLink, 0.07 in a pipeline. Without NVLink: what two RTX 5090 took more than one, under v0.20."""
_CONTEXT: Final = 0.51
_CONTEXT_SEVERAL: Final = 1.5
"""GiB that are gone before vLLM measures: the context of CUDA, and with several cards NCCL. They lie outside of what `utilization` allows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardMemory:
    """Bytes on each card of one stage."""

    weights: int
    activations: int
    """Peak of the largest step."""
    graphs: int
    runtime: int
    """Outside of PyTorch, from the first step on."""
    context: int
    """Outside of PyTorch, from before."""
    kv_cache: int

    @property
    def total(self) -> int:
        return self.weights + self.activations + self.graphs + self.runtime + self.context + self.kv_cache


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What a start makes of its cards. Weights and cache follow vLLM's source; graphs and runtime are what others measured."""

    cards: tuple[CardMemory, ...]
    """One for each stage of the pipeline; with tensor parallelism, each of a stage's cards has as much."""
    blocks: int
    """Of the cache; negative memory makes none."""
    layout: Layout
    context: int
    step: int
    """Tokens."""
    free: bool
    """The card has what `utilization` asks for, beside the context."""

    def requests(self, context: int) -> float:
        """How many requests of so many tokens find room at once ("Maximum concurrency")."""
        needed = self.layout.blocks_of_request(context, self.step)
        return self.blocks / needed if needed else float("inf")

    @property
    def tokens(self) -> int:
        """That requests of the longest kind can hold at once."""
        return 0 if not self.layout.groups else int(self.requests(self.context) * self.context)

    @property
    def fits(self) -> bool:
        """vLLM starts: at least one longest request finds room."""
        return self.free and self.requests(self.context) >= 1

    @property
    def max_context(self) -> int:
        """The longest request that could be served, up to what was asked for; 0: none."""
        low, high = 0, self.context
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self.requests(middle) >= 1 else (low, middle - 1)
        return low


def estimate(header: Header, start: Start, card: Card) -> Memory:
    """Raises `InvalidRequest` for what vLLM would refuse."""
    start.demand(header)
    how, requested = layout(header, start), int(card.memory_bytes * start.utilization)
    several = start.tensor_parallel * start.pipeline_parallel > 1
    context = int((_CONTEXT_SEVERAL if several else _CONTEXT) * _GIB)
    parts, blocks = [], []
    for stage, own in enumerate(stages(header.layers, start.pipeline_parallel)):
        weights, peak, graphs = stage_weights(header, start, stage), peak_bytes(header, start, card, stage), graph_bytes(header, start, card, stage)
        runtime = int(_runtime(start, card) * _GIB)
        left = requested - weights - peak - runtime - (graphs if start.graphs_counted else 0)
        each = how.bytes_of_block(own)
        if each:
            blocks.append(max(0, left // each))
        parts.append((weights, peak, graphs, runtime, each))
    count = min(blocks, default=0)
    cards = tuple(
        CardMemory(weights=weights, activations=peak, graphs=graphs, runtime=runtime, context=context, kv_cache=count * each)
        for weights, peak, graphs, runtime, each in parts
    )
    free = card.memory_bytes - context >= requested and all(one.total - one.kv_cache <= card.memory_bytes for one in cards)
    return Memory(cards=cards, blocks=count, layout=how, context=start.context, step=start.tokens(card), free=free)


def _runtime(start: Start, card: Card) -> float:
    if start.tensor_parallel > 1:
        return _RUNTIME_LINKED if card.linked else _RUNTIME_UNLINKED
    return _RUNTIME_PIPELINE if start.pipeline_parallel > 1 else _RUNTIME

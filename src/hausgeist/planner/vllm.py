"""Under vLLM: all of the model on cards, a cache of pages in what is left, and the layout over cards and machines that fits."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

from hausgeist.errors import InvalidRequest, shown
from hausgeist.planner.costs.prices import Figure
from hausgeist.planner.devices.device import Group
from hausgeist.planner.layout import Layout, Pages, Parts
from hausgeist.planner.memory import Start
from hausgeist.planner.memory import vllm as memory
from hausgeist.planner.target import Target
from hausgeist.planner.wish import Wish

__all__ = ["UTILIZATION", "laid_out"]

UTILIZATION: Final = Figure(
    value=0.9, unit="of a card", what="memory that vLLM takes, used or not", date="2026-05",
    source="--gpu-memory-utilization of vLLM, https://docs.vllm.ai/en/v0.21.0/configuration/engine_args/",
    note="0.92 by default in later versions; less where the driver leaves less",
)  # fmt: skip

_CHUNK: Final = 2048
"""Tokens of a prompt that are taken at once."""
_MOST_SEQUENCES: Final = 4096
_CACHES: Final = ("f16", "bf16", "fp8")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tried:
    """A layout over cards."""

    split: memory.Split
    start: memory.Start
    found: memory.Memory
    card: memory.Card
    short: tuple[int, ...]
    """Bytes that each card of a stage lacks for the first request."""

    @property
    def missing(self) -> int:
        return sum(self.short) * self.split.tensor


def laid_out(wish: Wish, target: Target) -> Layout:
    """Raises `InvalidRequest` where there is no card that vLLM runs on, and for what it does not run there."""
    group = _demanded(wish, target)
    # Cards of a machine share layers as far as the model divides; where that does not fit, fewer do: then nothing is kept twice.
    tried: list[_Tried] = []
    for split in memory.splits(wish.header, memory.PRECISIONS[wish.precision], cards=group.count, nodes=group.nodes):
        tried.append(_tried(wish, group, split))
        if tried[-1].found.fits:
            break
    best = min(tried, key=lambda one: (not one.found.fits, one.missing))
    return _laid(wish, best)


def _demanded(wish: Wish, target: Target) -> Group:
    if target.group is None:
        raise InvalidRequest(
            f"vLLM is planned for cards, and {target.title} has none that count. Name one with 'gpu', as in 'RTX 4090', "
            "or leave 'engine' out to plan for llama.cpp.", param="engine"
        )  # fmt: skip
    if wish.task != "generate":
        raise InvalidRequest(
            f"vLLM is planned for models that write; {shown(wish.model)} turns text into numbers. Leave 'engine' out to plan it for llama.cpp.",
            param="engine",
        )
    memory.demand_architecture(wish.header, wish.model)
    memory.demand_card(target.group.device, wish.precision)
    if wish.cache_type not in _CACHES:
        raise InvalidRequest(f"vLLM keeps its cache in 16 bits or in 8; kv is one of {', '.join(_CACHES)}, not {wish.cache_type}.", param="kv")
    if wish.draft is not None:
        raise InvalidRequest("A draft model is planned for llama.cpp only; leave 'draft' out.", param="draft")
    if wish.prompt_cache:
        raise InvalidRequest(
            "vLLM keeps the beginnings of prompts in its cache on the cards, with no memory besides; leave 'prompt_cache' out.", param="prompt_cache"
        )
    if wish.adapters:
        raise InvalidRequest(f"{shown(wish.model)} has adapters, which are planned for llama.cpp only; leave 'engine' out.", param="engine")
    return target.group


def _tried(wish: Wish, group: Group, split: memory.Split) -> _Tried:
    card = memory.Card.of(group.device, linked=group.link.kind in ("nvlink", "fabric"))
    start = memory.Start(
        context=wish.tokens,
        precision=memory.PRECISIONS[wish.precision],
        cache_type="fp8" if wish.cache_type == "fp8" else "auto",
        utilization=UTILIZATION.value,
        sequences=min(wish.slots or 0, _MOST_SEQUENCES),
        tensor_parallel=split.tensor,
        pipeline_parallel=split.pipeline,
        encoder=wish.projector,
    )
    found = memory.estimate(wish.header, start, card)
    most = math.floor((1 - found.cards[0].context / card.memory_bytes) * 100) / 100
    if 0 < most < start.utilization:
        # What CUDA has taken before is not there to be used.
        start = replace(start, utilization=most)
        found = memory.estimate(wish.header, start, card)
    return _Tried(split=split, start=start, found=found, card=card, short=_short(wish, start, found, card))


def _short(wish: Wish, start: memory.Start, found: memory.Memory, card: memory.Card) -> tuple[int, ...]:
    needed = found.layout.blocks_of_request(wish.tokens, found.step)
    there = int(card.memory_bytes * start.utilization)
    return tuple(
        max(0, one.total - one.kv_cache - one.context + needed * found.layout.bytes_of_block(own) - there)
        for one, own in zip(found.cards, memory.stages(wish.header.layers, start.pipeline_parallel), strict=True)
    )


def _laid(wish: Wish, tried: _Tried) -> Layout:
    found, start, tensor, header = tried.found, tried.start, tried.split.tensor, wish.header
    sequences = start.requests(tried.card)
    held = _whole(found.requests(wish.tokens))
    pages = Pages(
        tensor_parallel=tensor,
        pipeline_parallel=tried.split.pipeline,
        utilization=start.utilization,
        reserved=tuple(one.total for one in found.cards for _ in range(tensor)) if found.fits else (),
        cache_tokens=found.tokens,
        requests=held,
        sequences=sequences,
    )
    served = max(1, min(wish.slots or wish.users, pages.most))
    blocks = served * found.layout.blocks_of_request(wish.tokens, found.step)
    caches = [blocks * found.layout.bytes_of_block(own) for own in memory.stages(header.layers, tried.split.pipeline)]
    fits = found.fits
    devices = tuple(one.total - one.kv_cache + cache for one, cache in zip(found.cards, caches, strict=True) for _ in range(tensor))
    return Layout(
        start=Start(
            context=wish.tokens,
            slots=served,
            # Of the types that llama.cpp has, the one whose bytes are nearest.
            cache_type="q8_0" if wish.cache_type == "fp8" else "f16",
            batch=_CHUNK,
            micro_batch=_CHUNK,
            gpu_layers=header.blocks + 1,
        ),
        parts=Parts(
            weights=tensor * sum(one.weights for one in found.cards),
            kv_cache=tensor * sum(caches),
            compute=tensor * sum(one.activations + one.graphs for one in found.cards),
            output=0,
            repack=0,
            overhead=tensor * sum(one.runtime + one.context for one in found.cards),
        ),
        host=0,
        devices=devices,
        exact=header.architecture in memory.COMPARED,
        placed="wholly" if fits else "no",
        missing=0 if fits else max(1, tried.missing),
        max_context=_longest(wish, tried, served if fits else 1),
        pages=pages,
    )


def _longest(wish: Wish, tried: _Tried, served: int) -> int:
    """Tokens of each of so many requests at once."""
    found = memory.estimate(wish.header, replace(tried.start, context=wish.made_for), tried.card)
    if not found.free:
        return 0
    low, high = 0, max(wish.made_for, wish.tokens)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if found.requests(middle) >= served else (low, middle - 1)
    return low


def _whole(requests: float) -> int:
    return _MOST_SEQUENCES if math.isinf(requests) else int(requests)

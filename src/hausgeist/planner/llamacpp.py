"""Under llama.cpp: layers on cards as many as fit, a draft model and a prompt cache beside them."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from hausgeist.planner.fitting import Fit, largest_context, room
from hausgeist.planner.layout import Layout, Parts
from hausgeist.planner.memory import Memory
from hausgeist.planner.target import Target
from hausgeist.planner.wish import Wish, beside, drafting, placing, starting

__all__ = ["laid_out"]

_STEP: Final = 256
"""Tokens by which caches grow."""


def laid_out(wish: Wish, target: Target) -> Layout:
    """Raises `InvalidRequest` for sizes that are none."""
    space = room(target)
    found, draft = placing(wish, target, space), drafting(wish, target, starting(wish, target), space)
    return Layout(
        start=found.start,
        parts=_parts(found, draft, wish.prompt_cache),
        host=found.memory.host + (draft.host if draft is not None else 0),
        devices=_together(found.memory.devices, draft.devices if draft is not None else ()),
        exact=found.memory.exact and (draft is None or draft.exact),
        placed=found.placed,
        missing=found.missing,
        max_context=_longest(wish, target, found),
    )


def _longest(wish: Wish, target: Target, found: Fit) -> int:
    """Tokens per request. A draft model's cache grows along, so that what is left for the model is looked at anew for each length."""
    space, start = room(target), starting(wish, target)

    def beside_draft_of(context: int) -> int:
        left = beside(wish, target, replace(start, context=context), space)
        return largest_context(wish.header, found, left, wish.made_for, gpu_layers=wish.gpu_layers)

    first = beside_draft_of(found.start.context)
    if wish.draft is None or first <= found.start.context:
        return first
    low, high = found.start.context, first
    while high - low > _STEP:
        middle = (low + high) // 2 // _STEP * _STEP
        if middle <= low:
            break
        low, high = (middle, high) if beside_draft_of(middle) >= middle else (low, middle)
    return high if beside_draft_of(high) >= high else low


def _parts(found: Fit, draft: Memory | None, prompt_cache: int) -> Parts:
    memory, more = found.memory, draft.total if draft is not None else 0
    return Parts(
        weights=memory.weights,
        kv_cache=memory.kv_cache,
        compute=memory.compute,
        output=memory.output,
        repack=memory.repack,
        overhead=memory.overhead + more,
        draft=more,
        prompt_cache=prompt_cache,
    )


def _together(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size + (other[place] if place < len(other) else 0) for place, size in enumerate(one))

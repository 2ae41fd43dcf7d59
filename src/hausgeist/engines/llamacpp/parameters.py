"""From a launch plan to what the engine is told: one flat JSON object, understood by the worker process for wheel and llama-server alike."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from hausgeist.errors import LoadFailed
from hausgeist.model import LaunchPlan

__all__ = ["CHECKPOINTS", "PREFILL_BATCH", "parameters"]

PREFILL_BATCH = 128
"""Prompt tokens per step on processors. The engine looks for cancelled requests between steps, so this bounds how long one goes on after its
client has left. Steps of 128, 256, 512 and 2048 tokens are equally fast there, shorter ones are slower."""

_EXPERTS_BATCH = 512
"""With a mixture of experts each of them sees only a few tokens of a step; short steps would read all experts' weights for little."""

_ACCELERATED_BATCH, _ACCELERATED_MICRO_BATCH = 2048, 512
"""A device does a step of this size in a fraction of a second, and would be slower with smaller ones."""

CHECKPOINTS = 2
"""Copies per slot of a cache that cannot be rolled back (sliding windows, recurrent states), so that the next turn need not start anew."""

_RESERVED = 2 * 2**30
"""Bytes that a process reserves without ever using them: stacks of threads, arenas. What it really uses is watched by the server."""

_CELLS = 256
"""The engine rounds the cache of a slot up to whole blocks of so many tokens."""


def parameters(plan: LaunchPlan, *, prompt_cache: int = 0, accelerated: bool = False) -> dict[str, Any]:
    """What a worker for `plan` is started with. `prompt_cache` in bytes; `accelerated`: not on processors alone.

    Raises `LoadFailed` for a plan that contradicts itself or whose files are not there.
    """
    if plan.model.path is None:
        raise LoadFailed(f"The model '{plan.model.id}' has no file.")
    for file in (plan.model.path, plan.projector, plan.draft, *(adapter.path for adapter in plan.adapters)):
        if file is not None and not file.is_file():
            raise LoadFailed(f"The model '{plan.model.id}' cannot be loaded: the file {file} is missing.")
    if plan.speculation == "draft" and plan.draft is None:
        raise LoadFailed(f"The model '{plan.model.id}' is to draft tokens with a small model, but none is named. Set 'draft' to its file.")
    if plan.speculation == "ngram" and plan.draft is not None:
        raise LoadFailed(f"The model '{plan.model.id}' has both a draft model and speculation = ngram. Choose one.")
    batch, micro_batch = _batches(plan, accelerated=accelerated)
    return {
        "alias": plan.model.id,
        "model": _path(plan.model.path),
        "task": plan.task,
        "context": plan.context,
        "cells": -(-plan.context // _CELLS) * _CELLS * plan.slots,
        "slots": plan.slots,
        "batch": batch,
        "micro_batch": micro_batch,
        "cache_type": plan.cache_type,
        "flash_attention": plan.flash_attention,
        "threads": plan.threads or _cores(),
        "gpu_layers": plan.gpu_layers,
        "tensor_split": list(plan.tensor_split),
        "projector": _path(plan.projector),
        "adapters": [[_path(adapter.path), adapter.scale] for adapter in plan.adapters],
        "draft": _path(plan.draft),
        "speculation": plan.speculation,
        "pooling": _pooling(plan),
        "template": plan.model.template if plan.task == "generate" else "",
        "prompt_cache_mib": prompt_cache // 2**20,
        # With a prefix cache the engine looks there only for slots that it compares; without one, slots are chosen by the caller.
        "similarity": 0.1 if prompt_cache >= 2**20 else 0.0,
        "checkpoints": CHECKPOINTS,
        "http_threads": plan.slots + 8,
        # A device's driver reserves address space as it likes; there the server watches alone.
        "memory": None if accelerated or plan.memory is None else plan.memory + _RESERVED,
    }


def _batches(plan: LaunchPlan, *, accelerated: bool) -> tuple[int, int]:
    """Tokens per step, and per pass through the layers within it."""
    if plan.task != "generate":  # an embedding needs its whole input in one pass
        return max(plan.context, plan.slots), max(plan.context, plan.slots)
    if accelerated and plan.gpu_layers != 0:
        return max(_ACCELERATED_BATCH, plan.slots), max(_ACCELERATED_MICRO_BATCH, plan.slots, _whole_image(plan.projector))
    step = _EXPERTS_BATCH if b".expert_used_count" in _head(plan.model.path) else PREFILL_BATCH
    batch = max(step, plan.slots, _whole_image(plan.projector))
    return batch, batch


def _path(path: Path | None) -> str | None:
    return os.path.abspath(path) if path else None


def _pooling(plan: LaunchPlan) -> str | None:
    """`None`: as the file says. A language model's file says nothing; the mean of its states serves as an embedding."""
    if plan.task == "rerank":
        return "rank"
    if plan.task == "embed":
        return plan.pooling or plan.model.shape.pooling or "mean"
    return None


def _head(file: Path | None) -> bytes:
    """The beginning of a GGUF file, where its metadata has the numbers and names; the long lists of the tokenizer come after."""
    if file is None:
        return b""
    with file.open("rb") as stream:
        return stream.read(65536)


def _whole_image(projector: Path | None) -> int:
    """Tokens of the largest picture, where each of them attends to all others: then they have to go through the layers together."""
    head = _head(projector)
    return max((tokens for name, tokens in _WHOLE_IMAGES.items() if name in head), default=0)


_WHOLE_IMAGES = {b"gemma3": 256, b"gemma4v": 1120, b"gemma4uv": 1120, b"deepseek4v": 2048}
"""By the projector's type, as it stands in the file's metadata."""


@lru_cache(maxsize=1)
def _cores() -> int:
    """Physical ones that this process may use: a second thread on a core slows matrix arithmetic down."""
    from hausgeist.hardware import cpu

    return max(1, cpu().cores)

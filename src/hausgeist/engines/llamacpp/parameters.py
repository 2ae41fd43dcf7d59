"""From a launch plan to what the engine is told: one flat JSON object, understood by the worker process for wheel and llama-server alike."""

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from hausgeist.errors import LoadFailed
from hausgeist.model import LaunchPlan

__all__ = ["CHECKPOINTS", "PREFILL_BATCH", "parameters", "physical_cores"]

PREFILL_BATCH = 512
"""Prompt tokens per step. The engine looks for cancelled requests between steps, so this bounds how long one goes on after its client left."""

CHECKPOINTS = 2
"""Copies per slot of a cache that cannot be rolled back (sliding windows, recurrent states), so that the next turn need not start anew."""

_CELLS = 256
"""The engine rounds the cache of a slot up to whole blocks of so many tokens."""


def parameters(plan: LaunchPlan, *, prompt_cache: int = 0) -> dict[str, Any]:
    """What a worker for `plan` is started with. `prompt_cache` in bytes. Raises `LoadFailed` for a plan whose files are not there."""
    if plan.model.path is None:
        raise LoadFailed(f"The model '{plan.model.id}' has no file.")
    for file in (plan.model.path, plan.projector, plan.draft, *(adapter.path for adapter in plan.adapters)):
        if file is not None and not file.is_file():
            raise LoadFailed(f"The model '{plan.model.id}' cannot be loaded: the file {file} is missing.")
    whole_input = plan.task != "generate"
    return {
        "alias": plan.model.id,
        "model": str(plan.model.path),
        "task": plan.task,
        "context": plan.context,
        "cells": -(-plan.context // _CELLS) * _CELLS * plan.slots,
        "slots": plan.slots,
        # An embedding needs its input in one step; an image that is not attended causally, too.
        "batch": max(plan.context, plan.slots) if whole_input else max(PREFILL_BATCH, plan.slots),
        "cache_type": plan.cache_type,
        "flash_attention": plan.flash_attention,
        "threads": plan.threads or physical_cores(),
        "gpu_layers": plan.gpu_layers,
        "tensor_split": list(plan.tensor_split),
        "projector": _path(plan.projector),
        "adapters": [[str(adapter.path), adapter.scale] for adapter in plan.adapters],
        "draft": _path(plan.draft) if plan.speculation == "draft" else None,  # the plan may name one and not want it used
        "speculation": plan.speculation,
        "pooling": _pooling(plan),
        "template": plan.model.template if plan.task == "generate" else "",
        "prompt_cache_mib": prompt_cache // 2**20,
        "checkpoints": CHECKPOINTS,
        "http_threads": plan.slots + 8,
    }


def _path(path: Path | None) -> str | None:
    return str(path) if path else None


def _pooling(plan: LaunchPlan) -> str | None:
    if plan.task == "rerank":
        return "rank"
    if plan.task == "embed":
        return plan.pooling
    return None


@lru_cache(maxsize=1)
def physical_cores() -> int:
    """Cores that this process may use, hyper-threads not counted: a second thread on a core slows matrix arithmetic down."""
    import psutil

    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    logical, physical = psutil.cpu_count(logical=True) or allowed, psutil.cpu_count(logical=False) or allowed
    cores = max(1, round(allowed * physical / logical)) if logical else allowed
    return max(1, min(cores, _quota() or cores))


def _quota() -> int:
    """Whole cores that the cgroup grants; 0: no limit."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return 0 if quota == "max" else max(1, int(quota) // int(period))
    except (OSError, ValueError):
        pass
    try:
        folder = Path("/sys/fs/cgroup/cpu")
        quota = (folder / "cpu.cfs_quota_us").read_text(encoding="ascii")
        period = (folder / "cpu.cfs_period_us").read_text(encoding="ascii")
        return max(1, int(quota) // int(period)) if re.fullmatch(r"\d+\s*", quota) else 0
    except (OSError, ValueError, ZeroDivisionError):
        return 0

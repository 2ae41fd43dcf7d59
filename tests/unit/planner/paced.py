"""Models of the catalogue as the planner takes them, and a speed that follows from bandwidth alone, so that advice can be worked out by hand."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from hausgeist.library.catalog.mix import tensor_type
from hausgeist.library.catalog.reader import load
from hausgeist.planner.advice.models import Model
from hausgeist.planner.memory import Header, Start, describe
from hausgeist.planner.speed import Speed
from hausgeist.planner.target import Engine, Target

if TYPE_CHECKING:
    from hausgeist.planner.speed import Calibration

__all__ = ["header_of", "model_of", "paced"]


@cache
def header_of(name: str, precision: str = "Q4_K_M") -> Header:
    entry = load().find(name)
    assert entry is not None, name
    return describe(entry.anatomy, lambda tensor: tensor_type(entry.anatomy, tensor, precision))


def model_of(name: str) -> Model:
    entry = load().find(name)
    assert entry is not None, name
    return Model(
        name=entry.name, family=entry.family, uses=entry.use, parameters=entry.parameters, active=entry.active if entry.experts else 0,
        context=entry.context, released=entry.released, precision=entry.precision, header=lambda precision: header_of(name, precision),
        projector=entry.projector_bytes,
    )  # fmt: skip


def paced(
    header: Header, start: Start, target: Target, *, gpu_layers: int, filled: int, users: int = 1, calibration: Calibration | None = None,
    engine: Engine = "llamacpp", ways: int = 0, cached: int = 0,
) -> Speed:  # fmt: skip
    """Every weight that a token passes is read once, and a byte more per token that is there already."""
    used = float(header.get("expert_used_count", 0)) / (header.get("expert_count", 0) or 1)
    read = sum(tensor.nbytes * (used if "_exps" in tensor.name else 1.0) for tensor in header.tensors.values()) + filled
    part = gpu_layers / (header.blocks + 1)
    there = target.group.device.bandwidth_gb_s if target.group is not None else target.host.bandwidth_gb_s
    seconds = read * (part / there + (1 - part) / target.host.bandwidth_gb_s) / 1e9
    return Speed(
        prompt_tokens_per_second=20 / seconds, generate_tokens_per_second=1 / seconds, total_tokens_per_second=users / seconds,
        first_token_seconds=max(1, filled) * seconds / 20, bound="memory", generate_spread=0.1, prompt_spread=0.1, basis="assumed",
    )  # fmt: skip

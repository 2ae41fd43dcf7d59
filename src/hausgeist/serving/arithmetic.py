"""What a llama.cpp worker for a launch plan takes, by arithmetic over the heads of its files: no engine is asked, and none has to be there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, Literal, get_args

from hausgeist.engines.llamacpp.parameters import CHECKPOINTS, parameters
from hausgeist.engines.llamacpp.providers import Provider
from hausgeist.hardware import Cpu, Device
from hausgeist.library.gguf.contents import inspect
from hausgeist.model import Footprint, LaunchPlan, Speculation
from hausgeist.planner.memory import Header, Memory, Start, estimate, projector
from hausgeist.planner.wish import DRAFTED
from hausgeist.serving.sizing.machine import instructions_of
from hausgeist.serving.sizing.subjects import header_of

__all__ = ["llamacpp_footprint"]

_MIB: Final = 2**20
_PROCESS: Final = 48 * _MIB
"""Of a worker without a model: 28 MiB of Python and the engine's libraries (measured), and threads and buffers of requests."""
_TOKEN: Final = 400
"""Bytes of a token of the vocabulary: its text twice and its number (230 measured), and the merges it comes from. An estimate."""
_SAMPLER: Final = 32
"""Bytes per token of the vocabulary and slot: candidates, logits, penalties."""
_LEFT_FREE: Final = 2**30
"""Bytes of each device that the engine leaves free where it places layers by itself (`fit_params_target` in llama.cpp's common/common.h)."""

_DRAFTED: Final[Mapping[Speculation, int]] = {"none": 0, "draft": DRAFTED, "ngram": 48}
"""Tokens that are guessed at once: the engine's own choices (`n_max` and `size_m` of `CommonParams().speculative`)."""

Pooling = Literal["none", "mean", "cls", "last", "rank"]


def llamacpp_footprint(plan: LaunchPlan, *, provider: Provider, cpu: Cpu, devices: Sequence[Device] = (), prompt_cache: int = 0) -> Footprint:
    """Reads the heads of the files, which takes some tenths of a second for a large vocabulary. `devices`: what the provider can compute on;
    `prompt_cache`: bytes of prefix cache.

    Raises `InvalidRequest` for a file that is no model, or sizes that are none, `LoadFailed` for one that is missing.
    """
    told = parameters(plan, prompt_cache=prompt_cache, accelerated=provider.accelerated)
    free = [device.free for device in devices] if provider.accelerated and plan.gpu_layers != 0 else []
    header = _head(plan.model.path)
    start = Start(
        context=plan.context,
        slots=plan.slots,
        cache_type=plan.cache_type,
        flash_attention=plan.flash_attention != "off",
        batch=told["batch"],
        micro_batch=told["micro_batch"],
        task=plan.task,
        pooling=_pooling(told["pooling"]),
        instructions=instructions_of(cpu, wheel=provider.binary is None),
        checkpoints=CHECKPOINTS,
        shares=plan.tensor_split if free and sum(plan.tensor_split) else tuple(float(size) for size in free),
        projector=projector(_head(plan.projector)).total if plan.projector is not None else 0,
        adapters=sum(adapter.path.stat().st_size for adapter in plan.adapters),
        drafted=_DRAFTED[plan.speculation],
        prompt_cache=prompt_cache,
        runtime=_PROCESS + header.vocabulary * (_TOKEN + _SAMPLER * plan.slots),
    )
    memory, start = _placed(header, start, plan.gpu_layers, free)
    draft = None
    if plan.draft is not None:
        alone = replace(start, cache_type="f16", drafted=0, checkpoints=0, projector=0, adapters=0, prompt_cache=0, runtime=0)
        draft = estimate(_head(plan.draft), alone)
    return _footprint(memory, start, draft)


def _head(path: Path | None) -> Header:
    assert path is not None
    return header_of(inspect(path).headers)


def _pooling(told: str | None) -> Pooling:
    known: tuple[Pooling, ...] = get_args(Pooling)
    return next((one for one in known if one == told), "none")


def _placed(header: Header, start: Start, asked: int | None, free: Sequence[int]) -> tuple[Memory, Start]:
    """With as many layers on devices as were asked for, or, where nothing was, as fit there."""
    if not free:
        return estimate(header, start), start

    def at(layers: int) -> tuple[Memory, Start]:
        chosen = replace(start, gpu_layers=layers)
        return estimate(header, chosen), chosen

    def fits(memory: Memory) -> bool:
        return all(size <= room - _LEFT_FREE for size, room in zip(memory.devices, free, strict=False))

    most = header.blocks + 1
    found = at(most if asked is None or asked < 0 else min(asked, most))
    if asked is not None or fits(found[0]):
        return found
    low = 0
    while most - low > 1:
        middle = (low + most) // 2
        low, most = (middle, most) if fits(at(middle)[0]) else (low, middle)
    return at(low)


def _footprint(memory: Memory, start: Start, draft: Memory | None) -> Footprint:
    """With the parts named as the fit pass names them."""
    given = start.projector + start.adapters + start.prompt_cache + start.runtime
    extras = {
        "projector": start.projector,
        "adapters": start.adapters,
        "checkpoints": memory.overhead - given,
        "prompt_cache": start.prompt_cache,
        "runtime": start.runtime,
        "draft": draft.total if draft is not None else 0,
    }
    parts = {"weights": memory.weights, "cache": memory.kv_cache, "compute": memory.compute, "output": memory.output, "repack": memory.repack}
    sizes = [*memory.devices]
    for number, size in enumerate(draft.devices if draft is not None else ()):
        sizes[number] += size
    host = memory.host + (draft.host if draft is not None else 0)
    devices = {f"CUDA{number}": size for number, size in enumerate(sizes) if size}
    return Footprint(host=host, devices=devices, parts=parts | {name: size for name, size in extras.items() if size}, source="estimate")

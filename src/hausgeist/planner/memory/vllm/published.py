"""What vLLM runs: which architectures, on which cards, at which precisions; and a header with the bytes that these make of its tensors.

Source: vLLM's vllm/model_executor/models/registry.py, and of its documentation of v0.21 and later getting_started/installation/gpu (compute
capability 7.5 or higher; gfx90a, gfx942, gfx950, gfx11, gfx12), features/quantization (AWQ, GPTQ), .../llm_compressor/fp8 (7.5 or higher) and
.../int8 (below 10.0).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from hausgeist.errors import InvalidRequest, shown
from hausgeist.planner.devices.device import Device
from hausgeist.planner.memory.header import Header, Tensor
from hausgeist.planner.memory.vllm.start import Precision
from hausgeist.planner.memory.vllm.weights import matrix

__all__ = ["COMPARED", "PRECISIONS", "demand_architecture", "demand_card", "possible", "with_bytes"]

PRECISIONS: Final[Mapping[str, Precision]] = MappingProxyType(
    {"BF16": "bf16", "F16": "bf16", "FP8": "fp8", "INT8": "int8", "AWQ": "awq", "GPTQ": "gptq", "MXFP4": "mxfp4"}
)
"""As people call them."""
COMPARED: Final = frozenset(
    {"deepseek2", "gemma2", "gemma3", "gpt-oss", "granite", "llama", "mistral3", "phi3", "qwen2", "qwen3", "qwen35", "qwen3moe"}
)
"""Architectures whose memory others have logged; what is said of the rest follows the same source, and is an estimate."""

_KNOWN: Final = COMPARED | {
    "afmoe", "apertus", "baichuan", "bailingmoe", "bailingmoe2", "cohere2", "command-r", "deepseek", "deepseek32", "dots1", "ernie4_5",
    "ernie4_5-moe", "exaone", "exaone-moe", "exaone4", "falcon", "falcon-h1", "gemma", "gemma3n", "gemma4", "glm-dsa", "glm4", "glm4moe",
    "gptneox", "granitehybrid", "granitemoe", "hunyuan-dense", "hunyuan-moe", "internlm2", "jamba", "kimi-linear", "lfm2", "lfm2moe", "llama4",
    "mamba", "mamba2", "minimax-m2", "mistral4", "nemotron_h", "nemotron_h_moe", "olmo", "olmo2", "olmoe", "orion", "phi2", "phimoe",
    "qwen2moe", "qwen2vl", "qwen35moe", "qwen3next", "qwen3vl", "qwen3vlmoe", "seed_oss", "smollm3", "stablelm", "starcoder2", "xverse",
}  # fmt: skip
_LEAST: Final = 7.5
_INT8_BELOW: Final = 10.0
_AMD: Final = ("gfx90a", "gfx942", "gfx950", "gfx1100", "gfx1101", "gfx1150", "gfx1151", "gfx1200", "gfx1201")
_AMD_EIGHT: Final = ("gfx942", "gfx950", "gfx1200", "gfx1201")
_AMD_FOUR: Final = ("gfx942", "gfx950")
_TYPES: Final[Mapping[Precision, str]] = MappingProxyType(
    {"bf16": "BF16", "fp8": "I8", "int8": "I8", "awq": "MXFP4", "gptq": "MXFP4", "mxfp4": "MXFP4"}
)
"""The type of GGUF whose bytes are nearest: 4 bits and scales are .52 bytes a number as AWQ and GPTQ have them, .53 as MXFP4 has them."""


def demand_architecture(header: Header, name: str) -> None:
    """Raises `InvalidRequest` for one that vLLM does not run, or of which nothing is known here."""
    if header.architecture not in _KNOWN:
        raise InvalidRequest(
            f"What vLLM makes of {shown(name)} is not known: its architecture is '{shown(header.architecture, 40)}'. "
            "Leave 'engine' out to plan it for llama.cpp.", param="engine"
        )  # fmt: skip


def demand_card(device: Device, precision: str) -> None:
    """Raises `InvalidRequest` for a device or a precision on it that vLLM does not run."""
    there = possible(device)
    if not there:
        what = {"cpu": "a processor", "unified": "a chip"}.get(device.kind, "a card")
        raise InvalidRequest(
            f"vLLM is planned for NVIDIA's cards from Turing on (compute capability {_LEAST}) and AMD's from MI200 and RX 7700 on; {device.name} is "
            f"{what} of another kind. Name another with 'gpu', or leave 'engine' out to plan for llama.cpp.", param="engine"
        )  # fmt: skip
    if precision not in there:
        others = ", ".join(name for name in there if name != "MXFP4")
        raise InvalidRequest(f"vLLM does not run {precision} on {device.name}; {others} are possible there.", param="precision")


def possible(device: Device) -> tuple[str, ...]:
    """Precisions that a device runs; none: vLLM is not for it."""
    if device.vendor == "NVIDIA" and device.kind != "cpu":
        capability = float(device.isa.rpartition(" ")[2])
        if capability < _LEAST:
            return ()
        left_out = {*({"INT8"} if capability >= _INT8_BELOW else ()), *({"BF16", "MXFP4"} if capability < 8 else ())}
        return tuple(name for name in PRECISIONS if name not in left_out)
    if device.vendor == "AMD" and device.isa in _AMD:
        return ("BF16", "F16", *(("FP8",) if device.isa in _AMD_EIGHT else ()), *(("MXFP4",) if device.isa in _AMD_FOUR else ()))
    return ()


def with_bytes(header: Header, precision: Precision) -> Header:
    """The same model with tensors as large as vLLM's, of which its speed follows. Which of them are quantised is `weights`'s."""

    def stored(tensor: Tensor) -> Tensor:
        quantised = precision != "bf16" and matrix(tensor) and (precision != "mxfp4" or "_exps." in tensor.name)
        return tensor._replace(type=_TYPES[precision] if quantised else "BF16")

    return Header.of(header.metadata, (stored(tensor) for tensor in header.tensors.values()))

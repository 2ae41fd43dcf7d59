"""How many bytes a model takes at a precision: which type each tensor gets when llama.cpp quantises to Q4_K_M and its like.

The rules are those of llama.cpp's `llama_tensor_get_type` (src/llama-quant.cpp) without an importance matrix, for the precisions that people publish;
those that are made with one are in `importance`. NVFP4 is not made by llama.cpp but converted from what makers publish: matrices of layers are
in it, embeddings and output in BF16.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from hausgeist.anatomy import Anatomy, Tensor, tensors
from hausgeist.errors import InvalidRequest
from hausgeist.library.catalog.importance import IMPORTANCE_MIXES, importance_type
from hausgeist.library.gguf.quantization import TENSOR_TYPES

__all__ = ["DEFAULT_PRECISION", "MIXES", "file_bytes", "tensor_type"]

DEFAULT_PRECISION: Final = "Q4_K_M"

MIXES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "F32": "F32",
        "F16": "F16",
        "BF16": "BF16",
        "Q8_0": "Q8_0",
        "Q6_K": "Q6_K",
        "Q5_K_M": "Q5_K",
        "Q5_K_S": "Q5_K",
        "Q5_1": "Q5_1",
        "Q5_0": "Q5_0",
        "Q4_K_M": "Q4_K",
        "Q4_K_S": "Q4_K",
        "Q4_1": "Q4_1",
        "Q4_0": "Q4_0",
        "Q3_K_L": "Q3_K",
        "Q3_K_M": "Q3_K",
        "Q3_K_S": "Q3_K",
        "Q2_K": "Q2_K",
        "MXFP4": "Q8_0",
        "NVFP4": "NVFP4",
        **IMPORTANCE_MIXES,
    }
)
"""Name of the precision -> type of the tensors that no rule names."""

_TYPES: Final = {one.name: one for one in TENSOR_TYPES.values()}
_INSTEAD: Final = {"Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0", "NVFP4": "BF16"}
"""For rows whose length is no multiple of the block. All others of 256 become IQ4_NL or Q4_0, which take the same bytes."""
_KEPT: Final = (
    "ffn_gate_inp", "position_embd", "token_types", "ssm_conv1d", "ssm_a", "ssm_d", "shortconv.conv", "ffn_gate_inp_shexp", "altup_coef",
    "altup_router", "time_mix_w1", "time_mix_w2", "time_mix_decay_w1", "time_mix_decay_w2", "time_mix_a1", "time_mix_a2", "time_mix_v1",
    "time_mix_v2", "time_mix_g1", "time_mix_g2",
)  # fmt: skip
"""Never quantised, whatever their shape."""
_HALVED: Final = ("altup_proj", "laurel_l", "laurel_r", "per_layer_model_proj")
"""Not quantised either, but left in the 16 bits that they come in."""
_PER_TOKEN: Final = 36
"""Bytes that a token takes in the file's vocabulary: its text, type and length, and its merge. Measured on Qwen's, Llama's and Gemma's."""


def file_bytes(anatomy: Anatomy, precision: str) -> int:
    """Bytes of the file with the language model; the encoder's is another one. Raises `InvalidRequest` for a precision that is not known."""
    if precision not in MIXES:
        raise InvalidRequest(f"The precision '{precision[:40]}' is not known; known are {', '.join(MIXES)}.", param="precision")
    total = anatomy.vocabulary * _PER_TOKEN
    for tensor in tensors(anatomy):
        kind = _TYPES[tensor_type(anatomy, tensor, precision)]
        total += tensor.elements // kind.block * kind.nbytes
    return total


def tensor_type(anatomy: Anatomy, tensor: Tensor, precision: str) -> str:
    """The type that a tensor gets, or the one that llama.cpp takes instead where its rows do not divide into blocks of that."""
    name = _type(anatomy, tensor, precision)
    kind = _TYPES[name]
    if tensor.length % kind.block:
        kind = _TYPES[_INSTEAD.get(name, "Q4_0" if kind.block == 256 else "F16")]
        if tensor.length % kind.block:
            kind = _TYPES["F16"]
    return kind.name


def _type(anatomy: Anatomy, tensor: Tensor, precision: str) -> str:
    base = MIXES[precision]
    if tensor.rows == 1 or tensor.name in _KEPT or tensor.name.endswith(".bias") or base == "F32":
        return "F32"
    if base in ("F16", "BF16"):
        return base
    if tensor.name in _HALVED:
        return "BF16"
    if precision == "MXFP4":
        return "MXFP4" if tensor.name.endswith("_exps") else base
    if precision == "NVFP4":
        return "BF16" if tensor.layer < 0 else base
    if precision in IMPORTANCE_MIXES:
        return importance_type(anatomy, tensor, precision)
    if tensor.name == "output" or (tensor.name == "token_embd" and anatomy.tied):
        return "Q8_0" if base == "Q8_0" or anatomy.architecture == "falcon" or tensor.length % 256 else "Q6_K"
    if base in ("Q8_0", "Q6_K"):
        return base
    return _mixed(anatomy, tensor, precision, base)


def _mixed(anatomy: Anatomy, tensor: Tensor, precision: str, base: str) -> str:
    """The rules for single kinds of tensors."""
    eight = anatomy.experts is not None and anatomy.experts.count == 8
    match tensor.name:
        case "attn_v":
            return "Q8_0" if eight else _value(anatomy, tensor.layer, precision, base)
        case "attn_k" if eight:
            return "Q8_0"
        case "attn_qkv":
            return {"Q3_K_M": "Q4_K", "Q3_K_L": "Q4_K", "Q4_K_M": "Q5_K", "Q5_K_M": "Q6_K"}.get(precision, base)
        case "attn_output" if anatomy.architecture != "falcon":
            if eight and precision in ("Q2_K", "Q3_K_S", "Q3_K_M", "Q4_K_S", "Q4_K_M"):
                return "Q5_K"
            return {"Q2_K": "Q3_K", "Q3_K_M": "Q4_K", "Q3_K_L": "Q5_K"}.get(precision, base)
        case "ffn_down" | "ffn_down_exps" | "ffn_down_shexp":
            return _down(anatomy, tensor.layer, precision, base)
    return base


def _value(anatomy: Anatomy, layer: int, precision: str, base: str) -> str:
    place = sum(anatomy.attends(before) for before in range(layer)) if anatomy.recurrent or anatomy.no_attention else layer
    count = sum(anatomy.attends(one) for one in range(anatomy.layers)) if anatomy.recurrent or anatomy.no_attention else anatomy.layers
    grouped = anatomy.kv_heads[0] > 0 and anatomy.heads // anatomy.kv_heads[0] >= 4
    found = base
    if precision == "Q2_K":
        found = "Q4_K" if grouped else "Q3_K"
    elif precision == "Q3_K_M":
        found = "Q5_K" if place < 2 else "Q4_K"
    elif precision == "Q3_K_L" or (precision == "Q4_K_S" and place < 4):
        found = "Q5_K"
    elif precision in ("Q4_K_M", "Q5_K_M") and _more_bits(place, count):
        found = "Q6_K"
    # Models of 80 layers share values among 8 heads, so that more bits cost next to nothing.
    return "Q5_K" if anatomy.layers == 80 and found in ("Q3_K", "Q4_K") else found


def _down(anatomy: Anatomy, layer: int, precision: str, base: str) -> str:
    falcon, layers = anatomy.architecture == "falcon", anatomy.layers
    if precision == "Q2_K":
        return "Q3_K"
    if precision == "Q3_K_M":
        return "Q5_K" if layer < layers // 16 else "Q3_K" if falcon and not _more_bits(layer, layers) else "Q4_K"
    if precision == "Q3_K_L":
        return "Q4_K" if falcon else "Q5_K"
    if precision == "Q4_K_M":
        if falcon:
            return "Q6_K" if layer < layers // 16 else "Q5_K" if _more_bits(layer, layers) else "Q4_K"
        return "Q6_K" if _more_bits(layer, layers) else base
    if precision == "Q5_K_M":
        return "Q6_K" if _more_bits(layer, layers) else base
    if precision == "Q4_K_S":
        return "Q5_K" if not falcon and layer < layers // 8 else base
    return base


def _more_bits(layer: int, layers: int) -> bool:
    """The first and last eighth, and every third between."""
    return layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2

"""Which type each tensor gets at the precisions that are made with an importance matrix: IQ1_S to IQ4_XS, Q2_K_S, and those of ternary weights.

The rules are those of llama.cpp's `llama_tensor_get_type_impl` (src/llama-quant.cpp), with a matrix: without one it refuses most of these, and
nobody publishes the rest. A precision is a name for a mixture; IQ2_S is made of IQ2_XS, IQ3_M of IQ3_S.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from hausgeist.anatomy import Anatomy, Tensor

__all__ = ["IMPORTANCE_MIXES", "importance_type"]

IMPORTANCE_MIXES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "IQ1_S": "IQ1_S",
        "IQ1_M": "IQ1_M",
        "TQ1_0": "TQ1_0",
        "TQ2_0": "TQ2_0",
        "IQ2_XXS": "IQ2_XXS",
        "IQ2_XS": "IQ2_XS",
        "IQ2_S": "IQ2_XS",
        "IQ2_M": "IQ2_S",
        "Q2_K_S": "Q2_K",
        "IQ3_XXS": "IQ3_XXS",
        "IQ3_XS": "IQ3_S",
        "IQ3_S": "IQ3_S",
        "IQ3_M": "IQ3_S",
        "IQ4_XS": "IQ4_XS",
        "IQ4_NL": "IQ4_NL",
    }
)
"""Name of the precision -> type of the tensors that no rule names."""

_TINY: Final = ("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS")
_SMALL: Final = ("IQ2_S", "IQ2_M")
_EMBEDDINGS: Final = {
    **dict.fromkeys(_TINY, "Q2_K"),
    **dict.fromkeys((*_SMALL, "IQ3_XXS"), "IQ3_S"),
    **dict.fromkeys(("TQ1_0", "TQ2_0"), "Q4_K"),
}


def importance_type(anatomy: Anatomy, tensor: Tensor, precision: str) -> str:
    """The type of a matrix; what is never quantised has been sorted out before."""
    base = IMPORTANCE_MIXES[precision]
    if tensor.name == "output" or (tensor.name == "token_embd" and anatomy.tied):
        if anatomy.architecture == "falcon" or tensor.length % 256:
            return "Q8_0"
        return "Q5_K" if precision in (*_TINY, *_SMALL, "IQ3_XXS") else "Q6_K"
    if tensor.name == "token_embd":
        return _EMBEDDINGS.get(precision, base)
    if precision in _TINY or precision in _SMALL:
        return _below_three_bits(anatomy, tensor, precision, base)
    return _from_three_bits(anatomy, tensor, precision, base)


def _below_three_bits(anatomy: Anatomy, tensor: Tensor, precision: str, base: str) -> str:
    better = "IQ3_S" if precision in _SMALL else "Q2_K"
    eight = _eight(anatomy)
    match tensor.name:
        case "attn_v" | "attn_qkv":
            return "Q4_K" if _grouped(anatomy) or _experts(anatomy) >= 4 else better
        case "attn_k" if eight:
            return "Q4_K"
        case "ffn_down" | "ffn_down_exps" | "ffn_down_shexp" if tensor.layer < anatomy.layers // 8:
            return better
        case "attn_output":
            if eight:
                return "Q5_K"
            return "IQ2_XXS" if precision in ("IQ1_S", "IQ1_M") else "IQ3_S" if precision in _SMALL else base
    return base


def _from_three_bits(anatomy: Anatomy, tensor: Tensor, precision: str, base: str) -> str:
    early = tensor.layer < anatomy.layers // 8
    eight = _eight(anatomy)
    match tensor.name:
        case "attn_v" | "attn_qkv":
            return "Q8_0" if eight else _value(anatomy, precision, base)
        case "attn_k" if eight:
            return "Q8_0"
        case "attn_k" | "attn_q":
            return {"IQ3_XS": "IQ3_XXS", "IQ3_XXS": "IQ2_S"}.get(precision, base)
        case "ffn_down" | "ffn_down_exps" | "ffn_down_shexp":
            return "Q4_K" if early and precision in ("Q2_K_S", "IQ3_M") else base
        case "attn_output" if anatomy.architecture != "falcon":
            if eight:
                return "Q5_K" if precision.startswith(("IQ3", "IQ4")) else base
            return {"IQ3_XXS": "IQ3_S", "IQ3_M": "Q4_K"}.get(precision, base)
        case _ if tensor.name.startswith(("ffn_gate", "ffn_up")) and precision == "IQ3_XS":
            return base if early or tensor.layer >= 7 * anatomy.layers // 8 else "IQ3_XXS"
    return base


def _value(anatomy: Anatomy, precision: str, base: str) -> str:
    found = base
    if precision == "IQ3_M" or (_grouped(anatomy) and precision in ("Q2_K_S", "IQ3_XXS", "IQ3_XS", "IQ3_S")):
        found = "Q4_K"
    elif _grouped(anatomy) and precision in ("IQ4_NL", "IQ4_XS"):
        found = "Q5_K"
    return "Q5_K" if anatomy.layers == 80 and found == "Q4_K" else found


def _experts(anatomy: Anatomy) -> int:
    return anatomy.experts.count if anatomy.experts else 0


def _eight(anatomy: Anatomy) -> bool:
    return _experts(anatomy) == 8


def _grouped(anatomy: Anatomy) -> bool:
    """At least four heads of queries share one of keys and values."""
    return anatomy.kv_heads[0] > 0 and anatomy.heads // anatomy.kv_heads[0] >= 4

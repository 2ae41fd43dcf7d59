"""How a model is shared out among cards: tensor parallelism within a machine, a pipeline of stages over what is left.

Source: vLLM's vllm/distributed/utils.py (`divide`), vllm/model_executor/layers/linear.py (`QKVParallelLinear`), the attention of its
models/llama.py, and layers/quantization/utils/marlin_utils.py (`verify_marlin_supports_shape`) for groups of weights that share a scale.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from hausgeist.errors import InvalidRequest
from hausgeist.planner.memory.header import Header
from hausgeist.planner.memory.vllm.start import Precision

__all__ = ["Split", "splits"]

_GROUP: Final = 128
"""Numbers that share a scale in 4 bits: rows are cut between groups only."""
_WIDEST: Final = 64
_CUT: Final = ("attn_output.weight", "ffn_down.weight", "ffn_down_exps.weight", "ffn_down_shexp.weight")
"""Matrices whose rows are cut among cards; those before them are cut across, into as many pieces."""


class Split(NamedTuple):
    tensor: int
    """Cards that share each layer."""
    pipeline: int
    """Stages, one after the other."""


def splits(header: Header, precision: Precision, *, cards: int, nodes: int = 1) -> tuple[Split, ...]:
    """All ways to use each of `cards` in each of `nodes`, those first in which more cards share a layer, which is faster.

    Raises `InvalidRequest` for more cards than the model can be shared out among.
    """
    found = tuple(_splits(header, precision, cards, nodes))
    if not found:
        several = f"{cards * nodes} cards" if cards * nodes > 1 else "one card"
        raise InvalidRequest(f"A model of {header.layers} layers cannot be shared out among {several}; name fewer.", param="gpus")
    return found


def _splits(header: Header, precision: Precision, cards: int, nodes: int) -> Iterator[Split]:
    for tensor in range(min(cards, _WIDEST), 0, -1):
        pipeline = cards // tensor * nodes
        if cards % tensor == 0 and pipeline <= header.layers and _divides(header, precision, tensor):
            yield Split(tensor, pipeline)


def _divides(header: Header, precision: Precision, ranks: int) -> bool:
    if ranks == 1:
        return True
    if any(heads % ranks for heads in header.heads):
        return False
    # Heads of keys and values are dealt out, or, where they are fewer than cards, repeated.
    if any(heads % ranks and ranks % heads for heads in header.kv_heads if heads):
        return False
    unit = ranks * (_GROUP if precision in ("awq", "gptq") else 1)
    return not any(
        tensor.dimensions[0] % unit
        for layer in range(header.layers)
        for name in _CUT
        if (tensor := header.tensors.get(f"blk.{layer}.{name}")) is not None
    )

"""Bytes of weights on one card: which tensors are split among the ranks of tensor parallelism, which each rank holds whole, what quantising makes.

Source: vLLM's vllm/model_executor/layers/linear.py (`QKVParallelLinear`, `MergedColumnParallelLinear`, `RowParallelLinear`, `ReplicatedLinear`),
vocab_parallel_embedding.py, layers/quantization/{fp8,gptq_marlin,awq_marlin,mxfp4}.py, vllm/distributed/utils.py (`get_pp_indices`); how much of it
PyTorch allocates: c10/cuda/CUDACachingAllocator.cpp.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from hausgeist.planner.memory.header import Header, Tensor
from hausgeist.planner.memory.vllm.start import Start

__all__ = ["kv_heads", "matrix", "stage_weights", "stages"]

_MIB: Final = 1024**2
_VOCABULARY: Final = 64
"""Tables of tokens are padded to a multiple of so many rows."""
_GROUP: Final = 128
"""Numbers that share a scale in 4 bits."""
_MODULES: Final = {
    "attn_q": "qkv", "attn_k": "qkv", "attn_v": "qkv", "attn_qkv": "qkv", "attn_gate": "qkv", "ffn_gate": "gate_up", "ffn_up": "gate_up",
    "ffn_gate_shexp": "gate_up_shexp", "ffn_up_shexp": "gate_up_shexp", "ffn_gate_exps": "w13", "ffn_up_exps": "w13", "ffn_gate_up_exps": "w13",
    "attn_q_a": "qkv_a", "attn_kv_a_mqa": "qkv_a", "attn_k_b": "kv_b", "attn_v_b": "kv_b",
}  # fmt: skip
"""Matrices that are one in memory."""
_WHOLE: Final = frozenset({"attn_q_a", "attn_kv_a_mqa", "ffn_gate_inp", "ffn_gate_inp_shexp", "ffn_latent_down", "ffn_latent_up", "exp_probs_b",
                           "indexer", "attn_output.bias", "ffn_down.bias"})  # fmt: skip
"""Each rank has all of them; and all norms."""
_UNQUANTISED: Final = ("ffn_gate_inp", "indexer", "ssm_conv1d", "shortconv.conv", "ssm_beta", "ssm_alpha", "ssm_ba")


def stages(layers: int, count: int) -> tuple[range, ...]:
    """Layers of each stage of the pipeline. What does not divide goes to the last but one and those before it (`get_pp_indices`)."""
    sizes = [layers // count] * count
    for back in range(2, layers % count + 2):
        sizes[-back] += 1
    ends = [sum(sizes[: number + 1]) for number in range(count)]
    return tuple(range(end - size, end) for size, end in zip(sizes, ends, strict=True))


def kv_heads(header: Header, layer: int, ranks: int) -> int:
    """Heads of keys and values on one card; where there are fewer than cards, each has one, and some have the same."""
    heads = header.kv_heads[layer]
    return max(1, heads // ranks) if heads else 0


def stage_weights(header: Header, start: Start, stage: int = 0) -> int:
    """Bytes on each card of a stage, as PyTorch counts them after loading."""
    ranks, own = start.tensor_parallel, stages(header.layers, start.pipeline_parallel)[stage]
    modules: defaultdict[str, int] = defaultdict(int)
    for tensor in header.tensors.values():
        name, layer = _named(tensor)
        if layer in own or (layer < 0 and _outside(header, start, stage, name)):
            modules[f"{layer}.{_MODULES.get(name, name)}.{tensor.name.rpartition('.')[2]}"] += _bytes(header, start, tensor, name, layer, ranks)
    total = sum(_allocated(size) for size in modules.values()) + _rotary(header, start) + start.encoder
    if header.latent:
        total += len(own) * _absorbed(header, ranks)
    return total


def _outside(header: Header, start: Start, stage: int, name: str) -> bool:
    """Whether a stage has a tensor of no layer. The last one needs the table of tokens as well where it is the output's, too."""
    last = stage == start.pipeline_parallel - 1
    if name.startswith(("output", "cls")):
        return last
    return stage == 0 or (last and name == "token_embd" and "output.weight" not in header.tensors)


def _named(tensor: Tensor) -> tuple[str, int]:
    """Name without layer and suffix, and the layer; -1: none."""
    parts = tensor.name.split(".")
    if parts[0] == "blk":
        return ".".join(parts[2:-1]) or parts[-1], int(parts[1])
    return ".".join(parts[:-1]) or parts[0], -1


def _bytes(header: Header, start: Start, tensor: Tensor, name: str, layer: int, ranks: int) -> int:
    rows, length = 1, tensor.dimensions[0]
    for size in tensor.dimensions[1:]:
        rows *= size
    if layer < 0 and name in ("token_embd", "output") and rows > 1:
        step = _VOCABULARY * ranks
        return 2 * length * (-(-rows // step) * step // ranks)
    elements = _local(header, tensor, name, layer, ranks, length * rows)
    expert = name.endswith("_exps")
    if not matrix(tensor) or start.precision == "bf16" or (start.precision == "mxfp4" and not expert):
        return 2 * elements
    if start.precision in ("fp8", "int8"):
        return elements + 4 * (elements // length)
    if start.precision == "mxfp4":
        return elements // 2 + elements // 32
    # Scales of 16 bits and zeros of 4; where weights are symmetric the zeros stay all the same.
    return elements // 2 + elements // _GROUP * 5 // 2


def matrix(tensor: Tensor) -> bool:
    """Whether a precision of less than 16 bits is for this tensor: a matrix of a layer, but none that routes or folds."""
    name, layer = _named(tensor)
    rows = len(tensor.dimensions) > 1 and max(tensor.dimensions[1:]) > 1
    return layer >= 0 and rows and tensor.name.endswith(".weight") and not name.startswith(_UNQUANTISED)


def _local(header: Header, tensor: Tensor, name: str, layer: int, ranks: int, elements: int) -> int:
    """Numbers of a tensor on one rank."""
    suffixed = f"{name}.{tensor.name.rpartition('.')[2]}"
    if ranks == 1 or "norm" in name or name.partition(".")[0] in _WHOLE or suffixed in _WHOLE:
        return elements
    if layer < 0 or not header.kv_heads[layer] or header.latent or header.recurrent[layer]:
        return -(-elements // ranks)
    heads, local = header.kv_heads[layer], kv_heads(header, layer, ranks)
    if name in ("attn_k", "attn_v"):
        return elements * local // heads
    if name == "attn_qkv":
        query = header.heads[layer] * header.key_length(layer)
        stored = heads * (header.key_length(layer) + header.value_length(layer))
        return elements * (query * heads // ranks + stored * local) // ((query + stored) * heads)
    return -(-elements // ranks)


def _rotary(header: Header, start: Start) -> int:
    """Tables of sines and cosines, in the model's type (`RotaryEmbedding._compute_cos_sin_cache`).

    Where positions are stretched evenly there is a row for each stretched one; Gemma 3 has one more table for windowed layers.
    """
    factor = float(header.get("rope.scaling.factor", 1.0)) if header.get("rope.scaling.type") == "linear" else 1.0
    positions = start.positions or int(header.number("context_length") * factor)
    if header.architecture == "gemma3":
        positions += header.number("context_length")
    length = header.number("rope.dimension_count") or (header.key_length(0) if header.heads[0] else 0)
    return 2 * positions * length


def _absorbed(header: Header, ranks: int) -> int:
    """Latent attention keeps both halves of kv_b once more, turned (`MLACommonImpl.process_weights_after_loading`), in 16 bits."""
    rank, rope = header.number("attention.kv_lora_rank"), header.number("rope.dimension_count")
    each = header.number("attention.key_length_mla") - rope + header.number("attention.value_length_mla")
    return 2 * header.heads[0] // ranks * each * rank


def _allocated(size: int) -> int:
    """What PyTorch counts for a tensor: large ones are cut from segments of whole 2 MiB, and a rest of up to 1 MiB stays with them."""
    if size < 10 * _MIB:
        return -(-size // 512) * 512
    rounded = -(-size // (2 * _MIB)) * 2 * _MIB
    return rounded if rounded - size <= _MIB else size

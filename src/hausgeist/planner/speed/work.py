"""What the engine reads and computes to push tokens through a model, layer by layer, from a header alone.

Rules: each matrix that takes part is read once per pass, whatever the number of tokens; of experts only those that some token chose; of tables of
embeddings a row; of the cache what is filled, of a windowed layer no more than the window. Two operations per weight and token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from hausgeist.planner.memory.cache import state_widths
from hausgeist.planner.memory.header import Header, Tensor, row_bytes

__all__ = ["FAMILIES", "FEW", "Family", "Layer", "Pass", "family", "layers", "passing"]

Family = Literal["float", "eight", "four", "k", "i"]
"""Types whose kernels are alike: F32, F16, BF16; Q8_0; Q4_0 and its kin, MXFP4; k-quants; i-quants with their tables."""

FAMILIES: Final[tuple[Family, ...]] = ("float", "eight", "four", "k", "i")

FEW: Final = 8
"""Up to so many tokens at once may go through kernels for vectors, more go through those for matrices (`MMVQ_MAX_BATCH_SIZE` in
ggml-cuda/mmvq.cuh, `ne11_mm_min` in ggml-metal); the limit is where the latter become faster."""
_ALIKE: Final = 0.8
"""Tokens do not choose their experts evenly: N of them touch as many as N ** 0.8 that did. From llama-batched-bench with 8 and 32 sequences
(benchmarks/published/benches.toml)."""

_FLOATS: Final = ("F64", "F32", "F16", "BF16")
_TABLES: Final = ("token_embd.weight", "position_embd.weight", "token_types.weight", "per_layer_token_embd.weight")
"""Rows are taken of them; the first is multiplied with as well where there is no other output."""
_ATTENTION: Final = 5
"""Operations beside those with weights: two rotations, two copies into the cache, attention itself."""
_NETWORK: Final = 3
"""Activation and two sums."""
_ROUTER: Final = 8
"""Choosing experts: softmax, sorting, weights, their norm, the sum of what the experts say."""
_STATE: Final = 10
"""Convolution, scan, and what is taken from the states and put back."""


def family(kind: str) -> Family:
    if kind in _FLOATS:
        return "float"
    if kind.startswith("Q8"):
        return "eight"
    if kind.startswith(("IQ", "TQ")) and kind != "IQ4_NL":
        return "i"
    return "k" if kind.endswith("_K") else "four"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One layer, or the output with what belongs to no layer. Bytes and operations."""

    dense: Mapping[Family, float]
    """Bytes of matrices that each token passes."""
    experts: Mapping[Family, float] = field(default_factory=dict)
    """Bytes of all experts together."""
    count: int = 1
    used: int = 1
    multiplied: Mapping[Family, float]
    """Operations per token in products with matrices that each token passes."""
    chosen: Mapping[Family, float] = field(default_factory=dict)
    """The same with all experts: each token takes used / count of it."""
    per_output: Mapping[Family, float] = field(default_factory=dict)
    """The same per token that is sampled from."""
    operations: int
    """Steps of the graph that compute something, each of which costs its start."""
    touched: float
    """Bytes of intermediate results per token, written and read."""
    cached: float = 0.0
    """Bytes of the cache per token that is filled."""
    window: int = 0
    """Tokens that are seen at most; 0: all."""
    attended: float = 0.0
    """Operations per token and token seen."""
    state: float = 0.0
    """Bytes per sequence, read and written back."""

    def seen(self, filled: float) -> float:
        return min(filled, float(self.window)) if self.window else filled


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """What a part of the model takes for some tokens at once."""

    read: Mapping[Family, float]
    """Bytes of weights."""
    cached: float
    """Bytes of cache and states."""
    multiplied: Mapping[Family, float]
    """Operations, with those on the empty places of tiles that tokens do not fill."""
    tiled: Mapping[Family, float]
    """The same where kernels for matrices would do what those for vectors do; empty: they would not, or do it anyway."""
    few: bool
    """By kernels for vectors."""
    attended: float
    operations: int
    touched: float


def layers(header: Header, cache_type: str = "f16", *, flash: bool = True) -> tuple[Layer, ...]:
    """All layers and, as one more at `header.blocks`, the output. Layers that guess ahead are empty: they are not loaded."""
    key = ("speed", cache_type, flash)
    if key not in header.measured:
        header.measured[key] = _layers(header, cache_type, flash=flash)
    found: tuple[Layer, ...] = header.measured[key]
    return found


def _layers(header: Header, cache_type: str, *, flash: bool) -> tuple[Layer, ...]:
    groups = header.by_layer
    used = header.per_layer("expert_used_count", 1)
    state = 4.0 * sum(state_widths(header)) if any(header.recurrent) else 0.0
    found = [_layer(header, number, groups.get(number, ()), cache_type, used[number], state, flash=flash) for number in range(header.layers)]
    empty = Layer(dense={}, multiplied={}, operations=0, touched=0.0)
    return (*found, *((empty,) * (header.blocks - header.layers)), _output(header, groups.get(header.blocks, ())))


def passing(parts: tuple[Layer, ...], *, tokens: float, sequences: float, filled: float, outputs: float, tile: float = 1.0) -> Pass:
    """`tokens` in all, of `sequences` with `filled` tokens in the cache each, when the pass ends; `outputs` of the tokens are sampled from.

    Experts of a layer that T tokens touch, if the choice is even: count * (1 - (1 - used / count) ** T). `tile`: tokens that kernels for matrices
    take at once; of experts, each of which sees a few tokens, the last tile is half empty.
    """
    read: dict[Family, float] = {}
    multiplied: dict[Family, float] = {}
    tiled: dict[Family, float] = {}
    cached = attended = touched = 0.0
    operations = 0
    each = tokens / sequences
    few = tokens <= FEW
    wide = max(tokens, tile)

    def add(kind: Family, vector: float, matrix: float) -> None:
        multiplied[kind] = multiplied.get(kind, 0.0) + (vector if few else matrix)
        if few and tokens > 1:
            tiled[kind] = tiled.get(kind, 0.0) + matrix

    for one in parts:
        share = 1.0 - (1.0 - one.used / one.count) ** (tokens**_ALIKE)
        crowd = tokens * one.used / one.count
        for kind, size in one.dense.items():
            read[kind] = read.get(kind, 0.0) + size
        for kind, size in one.experts.items():
            read[kind] = read.get(kind, 0.0) + size * share
        for kind, size in one.multiplied.items():
            add(kind, size * tokens, size * wide)
        for kind, size in one.chosen.items():
            add(kind, size * crowd, size * (crowd + share * tile / 2.0))
        for kind, size in one.per_output.items():
            add(kind, size * outputs, size * outputs)
        # Each token sees those before it in the step as well: half of them on average.
        seen = one.seen(max(filled - each / 2, 0.0))
        cached += one.cached * one.seen(filled) * sequences + 2.0 * one.state * sequences
        attended += one.attended * seen * tokens
        operations += one.operations
        touched += one.touched * tokens
    return Pass(read=read, cached=cached, multiplied=multiplied, tiled=tiled, few=few, attended=attended, operations=operations, touched=touched)


def _elements(tensor: Tensor) -> float:
    total = 1.0
    for size in tensor.dimensions:
        total *= size
    return total


def _layer(header: Header, number: int, tensors: Sequence[Tensor], cache_type: str, chooses: int, state: float, *, flash: bool) -> Layer:
    dense: dict[Family, float] = {}
    experts: dict[Family, float] = {}
    multiplied: dict[Family, float] = {}
    chosen: dict[Family, float] = {}
    count, used = 1, 1
    operations = 0
    for tensor in tensors:
        kind, size = family(tensor.type), float(tensor.nbytes)
        products = 2.0 * _elements(tensor) if len(tensor.dimensions) > 1 else 0.0
        operations += 1
        if "_exps." in tensor.name and len(tensor.dimensions) > 1 and tensor.dimensions[-1] > 1:
            count = tensor.dimensions[-1]
            used = min(count, chooses or 1)
            experts[kind] = experts.get(kind, 0.0) + size
            chosen[kind] = chosen.get(kind, 0.0) + products
        else:
            dense[kind] = dense.get(kind, 0.0) + size
            multiplied[kind] = multiplied.get(kind, 0.0) + products
    heads, kv_heads = header.heads[number], header.kv_heads[number]
    stateful = header.recurrent[number]
    attends = bool(heads and kv_heads) and not (stateful and header.architecture != "falcon-h1")
    key, value = (header.key_length(number), header.value_length(number)) if attends else (0, 0)
    row = 0
    if attends and not header.cacheless:
        row = row_bytes(cache_type, key * kv_heads)
        row += 0 if header.latent else row_bytes(cache_type, value * kv_heads)
    operations += _NETWORK + (_ATTENTION if attends else 0) + (_STATE if stateful else 0) + (_ROUTER if count > 1 else 0)
    return Layer(
        dense=dense,
        experts=experts,
        count=count,
        used=used,
        multiplied=multiplied,
        chosen=chosen,
        operations=operations + (0 if flash or not attends else 3),
        touched=8.0 * header.hidden * (operations if count == 1 else operations + 3 * used),
        cached=float(row),
        window=header.window if header.windowed[number] else 0,
        attended=2.0 * heads * (key + value),
        state=state if stateful else 0.0,
    )


def _output(header: Header, tensors: Sequence[Tensor]) -> Layer:
    dense: dict[Family, float] = {}
    multiplied: dict[Family, float] = {}
    per_output: dict[Family, float] = {}
    tied = "output.weight" not in header.tensors and not header.cacheless
    operations = 2
    for tensor in tensors:
        matrix = tensor.name == "output.weight" or (tied and tensor.name == "token_embd.weight")
        if tensor.name in _TABLES and not matrix:
            continue
        kind = family(tensor.type)
        dense[kind] = dense.get(kind, 0.0) + tensor.nbytes
        operations += 1
        into = per_output if matrix else multiplied
        if len(tensor.dimensions) > 1:
            into[kind] = into.get(kind, 0.0) + 2.0 * _elements(tensor)
    return Layer(dense=dense, multiplied=multiplied, per_output=per_output, operations=operations, touched=8.0 * header.hidden * operations)

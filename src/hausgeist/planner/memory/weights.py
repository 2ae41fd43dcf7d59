"""Where the weights of a file go: into plain memory as they are in the file, or repacked for the instruction set.

Source: llama.cpp's src/llama-model-loader.cpp (`create_tensor`, `select_weight_buft`) and ggml/src/ggml-cpu/repack.cpp
(`ggml_repack_get_optimal_repack_type`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from hausgeist.planner.memory.header import Header, Tensor
from hausgeist.planner.memory.placement import HOST, Placement

__all__ = ["InstructionSet", "Weights", "weights"]

InstructionSet = Literal["none", "avx2", "avx512", "neon"]
"""neon: with dot products and 8-bit matrices."""

_REPACKED: Final[Mapping[str, Mapping[str, int]]] = {
    "none": {},
    "avx2": {"Q4_0": 8, "Q4_K": 8, "IQ4_NL": 8, "MXFP4": 8},
    "avx512": {"Q4_0": 8, "Q4_K": 8, "IQ4_NL": 8, "MXFP4": 8, "Q2_K": 8},
    "neon": {"Q4_0": 4, "Q4_K": 8, "Q5_K": 8, "Q6_K": 8, "IQ4_NL": 4, "MXFP4": 4, "Q8_0": 4},
}
"""Types that an instruction set has kernels for, and the number that divides the rows of such a matrix."""

_LOOKED_UP: Final = ("token_embd.weight", "position_embd.weight", "token_types.weight", "per_layer_token_embd.weight")
"""Tables of which rows are taken; they stay as they are."""
_ALIGNMENT: Final = 32


class Weights(NamedTuple):
    """Bytes by place."""

    plain: int
    repacked: int
    """Copies in private memory; the file's own stay behind in the page cache."""
    devices: tuple[int, ...] = ()

    @property
    def total(self) -> int:
        return self.plain + self.repacked + sum(self.devices)


def weights(header: Header, instructions: InstructionSet = "avx2", placement: Placement | None = None) -> Weights:
    """Bytes of all tensors that are loaded. Those of layers that guess ahead are not."""
    placement = placement or Placement(header.blocks)
    host = [0, 0]
    devices = [0] * len(placement.shares)
    places = [placement.device(layer) for layer in range(header.blocks + 1)]

    def put(tensor: Tensor, layer: int, *, table: bool = False) -> None:
        place = HOST if table else places[layer]
        if place != HOST:
            devices[place] += _aligned(tensor.nbytes)
        else:
            host[not table and _repackable(tensor, instructions)] += _aligned(tensor.nbytes)

    for tensor in header.tensors.values():
        layer = _layer(header, tensor)
        if layer < header.layers or layer == header.blocks:
            put(tensor, layer, table=tensor.name in _LOOKED_UP)
    embedding = header.tensors.get("token_embd.weight")
    tied = embedding is not None and "output.weight" not in header.tensors and not header.cacheless
    elsewhere = places[header.blocks] != HOST or header.architecture in ("gemma3n", "gemma4")
    if embedding is not None and tied and (elsewhere or _repackable(embedding, instructions)):
        # The same table once to look up, and once to multiply where that is done elsewhere. Gemma 3n's and 4's are loaded twice in any case.
        put(embedding, header.blocks)
    return Weights(host[0], host[1], tuple(devices))


def _layer(header: Header, tensor: Tensor) -> int:
    """Of a tensor; what belongs to no layer goes with the output."""
    if tensor.name.startswith("blk."):
        number = tensor.name.split(".", 2)[1]
        if number.isdecimal():
            return int(number)
    return header.blocks


def _repackable(tensor: Tensor, instructions: InstructionSet) -> bool:
    """Matrices, and experts' stacks of them; other stacks (of latent attention) are not."""
    divisor = _REPACKED[instructions].get(tensor.type, 0)
    if not divisor or len(tensor.dimensions) < 2 or tensor.dimensions[1] % divisor:
        return False
    stacked = len(tensor.dimensions) > 2 and tensor.dimensions[2] > 1
    return stacked == tensor.name.endswith("_exps.weight") and tensor.name.endswith(".weight")


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT

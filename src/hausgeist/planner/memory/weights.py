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


class _Layer(NamedTuple):
    """Bytes of one layer: as they are in the file, and what of them is repacked where it stays on the host."""

    total: int
    repacked: int


def weights(header: Header, instructions: InstructionSet = "avx2", placement: Placement | None = None) -> Weights:
    """Bytes of all tensors that are loaded. Those of layers that guess ahead are not."""
    placement = placement or Placement(header.blocks)
    layers, tables = _layers(header, instructions)
    plain, repacked = tables, 0
    devices = [0] * len(placement.shares)
    for one, place in zip(layers, placement.places, strict=True):
        if place != HOST:
            devices[place] += one.total
        else:
            plain += one.total - one.repacked
            repacked += one.repacked
    embedding = header.tensors.get("token_embd.weight")
    tied = embedding is not None and "output.weight" not in header.tensors and not header.cacheless
    place = placement.places[header.blocks]
    if embedding is not None and tied:
        # The same table once to look up, and once to multiply where that is done elsewhere. Gemma 3n's and 4's are loaded twice in any case.
        size = _aligned(embedding.nbytes)
        if place != HOST:
            devices[place] += size
        elif _repackable(embedding, instructions):
            repacked += size
        elif header.architecture in ("gemma3n", "gemma4"):
            plain += size
    return Weights(plain, repacked, tuple(devices))


def _layers(header: Header, instructions: InstructionSet) -> tuple[tuple[_Layer, ...], int]:
    """Bytes of each layer, the output as the last, and of the tables that are with none. Added up once: one placement after another asks for them."""
    key = ("weights", instructions)
    if key not in header.measured:
        tables, layers = 0, []
        for layer in range(header.blocks + 1):
            total = repacked = 0
            for tensor in header.by_layer.get(layer, ()) if layer < header.layers or layer == header.blocks else ():
                size = _aligned(tensor.nbytes)
                if tensor.name in _LOOKED_UP:
                    tables += size
                    continue
                total += size
                repacked += size if _repackable(tensor, instructions) else 0
            layers.append(_Layer(total, repacked))
        header.measured[key] = tuple(layers), tables
    found: tuple[tuple[_Layer, ...], int] = header.measured[key]
    return found


def _repackable(tensor: Tensor, instructions: InstructionSet) -> bool:
    """Matrices, and experts' stacks of them; other stacks (of latent attention) are not."""
    divisor = _REPACKED[instructions].get(tensor.type, 0)
    if not divisor or len(tensor.dimensions) < 2 or tensor.dimensions[1] % divisor:
        return False
    stacked = len(tensor.dimensions) > 2 and tensor.dimensions[2] > 1
    return stacked == tensor.name.endswith("_exps.weight") and tensor.name.endswith(".weight")


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT

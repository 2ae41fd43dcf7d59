"""How vLLM is started, and on what card; what it takes for itself where nothing is said (`get_batch_defaults` in its vllm/engine/arg_utils.py)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from hausgeist.errors import InvalidRequest
from hausgeist.planner.devices.device import Device
from hausgeist.planner.memory.header import Header

__all__ = ["Card", "Precision", "Start"]

Precision = Literal["bf16", "fp8", "int8", "awq", "gptq", "mxfp4"]
"""Of the matrices of layers: 16 bits; 8 bits with a scale per row; 4 bits with scales and zeros per group of 128; 4 bits for experts only."""

_MIB: Final = 1024**2
_GIB: Final = 1024**3
_LARGE: Final = 70 * _GIB
_MAX_CONTEXT: Final = 2**24
_HALF_LANES: Final = ("6.0", "7.0", "7.2", "7.5", "8.0")
"""Compute capabilities with 64 lanes for fp32 per multiprocessor; others have 128."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One of the cards, all alike."""

    memory_bytes: int
    """That the driver says there is."""
    multiprocessors: int
    roomy: bool
    """Steps are larger by default: 70 GiB or more, and no A100."""
    workspace_bytes: int = 32 * _MIB
    """That PyTorch sets aside for cuBLAS (aten/src/ATen/cuda/CublasHandlePool.cpp): 32 MiB from Hopper on, 8.1 MiB before."""
    linked: bool = True
    """Several of them write into each other's memory (NVLink)."""

    @classmethod
    def of(cls, device: Device, *, linked: bool = False) -> Card:
        """Raises `InvalidRequest` for what is no card."""
        if device.kind == "cpu":
            raise InvalidRequest(f"vLLM is planned for cards, and {device.name} is a processor.", param="device")
        capability = device.isa.rpartition(" ")[2]
        lanes = 64 if capability in _HALF_LANES else 128
        modern = not capability[:1].isdecimal() or float(capability) >= 9
        return cls(
            memory_bytes=device.usable_bytes,
            multiprocessors=device.units // lanes,
            roomy=device.usable_bytes >= _LARGE and "a100" not in device.name.lower(),
            workspace_bytes=32 * _MIB if modern else 8_519_680,
            linked=linked or "nvlink" in device.link.lower(),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What `vllm serve` is told."""

    context: int
    """Tokens of the longest request (`max_model_len`)."""
    precision: Precision = "bf16"
    cache_type: Literal["auto", "fp8"] = "auto"
    """auto: as the model computes, in 16 bits."""
    utilization: float = 0.9
    """What part of a card's memory it may use (`gpu_memory_utilization`)."""
    batched_tokens: int = 0
    """Tokens of one step (`max_num_batched_tokens`); 0: the server's default."""
    sequences: int = 0
    """Requests of one step (`max_num_seqs`); 0: the default."""
    tensor_parallel: int = 1
    pipeline_parallel: int = 1
    block: int = 16
    """Tokens of a block of the cache."""
    hybrid: bool = True
    """Windowed layers give back blocks that they no longer see."""
    prefix_caching: bool = False
    """Kept blocks are used again; layers with a state then hold two (`mamba_cache_mode` align)."""
    state_type: Literal["auto", "f32", "bf16"] = "auto"
    """Of recurrent states; auto: in 32 bits where the model says so."""
    graphs: bool = True
    """CUDA graphs are captured (not `enforce_eager`)."""
    graphs_counted: bool = True
    """They are taken off before the cache gets the rest, as is the default since v0.21."""
    positions: int = 0
    """Rows of the table of rotary positions (`max_position_embeddings`, times the factor that stretches them); 0: as the header says."""
    encoder: int = 0
    """Bytes of an encoder of images or sound, which each card of a stage holds whole; more than 0: inputs come as vectors. What the encoder
    needs while it runs, and pictures themselves, are not counted: 0.1 to 0.2 GiB in logs of Gemma 3, Kimi-VL and Qwen2.5-VL."""

    def tokens(self, card: Card) -> int:
        return self.batched_tokens or (8192 if card.roomy else 2048)

    def requests(self, card: Card) -> int:
        return min(self.sequences or (1024 if card.roomy else 256), self.tokens(card))

    def demand(self, header: Header) -> None:
        """Raises `InvalidRequest` for what vLLM would refuse."""
        ranks, heads = self.tensor_parallel, max(header.heads, default=0)
        for name, value, most in (("context", self.context, _MAX_CONTEXT), ("tensor_parallel", ranks, 64), ("block", self.block, 4096)):
            if not 0 < value <= most:
                raise InvalidRequest(f"{name} = {value} is not possible; 1 to {most} is.", param=name)
        if not 0 < self.utilization <= 1:
            raise InvalidRequest(f"utilization = {self.utilization:g} is not possible; more than 0 and at most 1 is.", param="utilization")
        if min(self.batched_tokens, self.sequences, self.positions, self.encoder) < 0:
            raise InvalidRequest("Tokens, requests and bytes must not be negative.", param="batched_tokens")
        if heads % ranks:
            near = ", ".join(str(one) for one in range(1, min(heads, 64) + 1) if heads % one == 0)
            raise InvalidRequest(f"{heads} heads do not divide among {ranks} cards; {near} are possible.", param="tensor_parallel")
        if not 0 < self.pipeline_parallel <= header.layers:
            raise InvalidRequest(f"{header.layers} layers do not divide into {self.pipeline_parallel} stages.", param="pipeline_parallel")

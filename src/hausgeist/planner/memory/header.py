"""What memory needs to know of a model file: its tensors and the numbers of its header, as values.

Keys and defaults are those that llama.cpp reads (src/llama-model.cpp `load_hparams`, src/llama-hparams.cpp, src/models/*.cpp `load_arch_hparams`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, NamedTuple

from hausgeist.errors import InvalidRequest

__all__ = ["BLOCKS", "Header", "Tensor", "row_bytes"]

BLOCKS: Final[Mapping[str, tuple[int, int]]] = {
    "F64": (1, 8), "F32": (1, 4), "F16": (1, 2), "BF16": (1, 2), "I8": (1, 1), "I16": (1, 2), "I32": (1, 4), "I64": (1, 8),
    "Q4_0": (32, 18), "Q4_1": (32, 20), "Q5_0": (32, 22), "Q5_1": (32, 24), "Q8_0": (32, 34), "Q8_1": (32, 36),
    "Q2_K": (256, 84), "Q3_K": (256, 110), "Q4_K": (256, 144), "Q5_K": (256, 176), "Q6_K": (256, 210), "Q8_K": (256, 292),
    "IQ1_S": (256, 50), "IQ1_M": (256, 56), "IQ2_XXS": (256, 66), "IQ2_XS": (256, 74), "IQ2_S": (256, 82), "IQ3_XXS": (256, 98),
    "IQ3_S": (256, 110), "IQ4_NL": (32, 18), "IQ4_XS": (256, 136), "TQ1_0": (256, 54), "TQ2_0": (256, 66), "MXFP4": (32, 17), "NVFP4": (64, 36),
    "Q1_0": (128, 18), "Q2_0": (64, 18),
}  # fmt: skip
"""Type -> numbers per block, bytes per block (ggml/src/ggml.c `type_traits`)."""

_PATTERNS: Final[Mapping[str, tuple[int, bool]]] = {
    "afmoe": (4, False), "cohere2": (4, False), "cohere2moe": (4, True), "exaone-moe": (4, False), "exaone4": (4, False),
    "gemma-embedding": (6, False), "gemma2": (2, False), "gemma3": (6, False), "gemma3n": (5, False), "gpt-oss": (2, False), "laguna": (4, True),
    "llama4": (4, False), "mellum": (4, False), "modern-bert": (3, True), "muse-glimmer": (4, False), "olmo2": (4, False), "plamo3": (8, False),
    "smallthinker": (4, True), "gemma4": (0, False), "mimo2": (0, False), "step35": (0, False), "granite-swa": (0, False),
}  # fmt: skip
"""Architectures with sliding windows: of how many layers one sees everything unless the file says so itself, and whether the first one does
(`load_swa_pattern` in src/models/*.cpp). 0: the file says it per layer."""

_WINDOWS: Final[Mapping[str, int]] = {"gemma2": 4096, "llama4": 8192}
"""Window where the file names none."""

_RECURRENT: Final = frozenset({"mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7", "arwkv7"})
_HYBRID: Final = frozenset({"jamba", "falcon-h1", "plamo2", "granitehybrid", "lfm2", "lfm2moe", "nemotron_h", "nemotron_h_moe", "qwen3next",
                            "kimi-linear", "qwen35", "qwen35moe"})  # fmt: skip
_CACHELESS: Final = frozenset({"bert", "jina-bert-v2", "jina-bert-v3", "nomic-bert", "nomic-bert-moe", "neo-bert", "eurobert", "modern-bert",
                               "gemma-embedding", "dream", "llada", "llada-moe", "rnd1"})  # fmt: skip
"""They look at a whole input at once and keep nothing (`create_memory` in src/llama-model.cpp)."""


class Tensor(NamedTuple):
    """One tensor of a file. `dimensions` as GGUF has them: length of a row first."""

    name: str
    dimensions: tuple[int, ...]
    type: str
    """As ggml names it: F32, Q4_K."""

    @property
    def nbytes(self) -> int:
        rows = 1
        for size in self.dimensions[1:]:
            rows *= size
        return row_bytes(self.type, self.dimensions[0]) * rows


def row_bytes(kind: str, length: int) -> int:
    """Bytes of a row of `length` numbers. Raises `InvalidRequest` for a type that is not known."""
    try:
        numbers, size = BLOCKS[kind.upper()]
    except KeyError:
        raise InvalidRequest(f"The tensor type '{kind[:20]}' is not known; known are {', '.join(BLOCKS)}.", param="type") from None
    return -(-length // numbers) * size


class _Tensors(dict[str, Tensor]):
    """By name; one that should be there and is not makes the header unusable."""

    def __missing__(self, name: str) -> Tensor:
        raise InvalidRequest(f"The header has no tensor '{name}', which a model of its kind has: the file is incomplete, or was made by hand.")


@dataclass(frozen=True, kw_only=True)
class Header:
    """The head of a GGUF file: keys without arrays of the vocabulary, and tensors by name."""

    metadata: Mapping[str, Any]
    tensors: Mapping[str, Tensor] = field(default_factory=dict)

    @classmethod
    def of(cls, metadata: Mapping[str, Any], tensors: Iterable[Tensor]) -> Header:
        return cls(metadata=metadata, tensors=_Tensors({tensor.name: tensor for tensor in tensors}))

    def get(self, key: str, default: Any = None) -> Any:
        """A key of the architecture: `block_count` for `llama.block_count`."""
        return self.metadata.get(f"{self.architecture}.{key}", default)

    def number(self, key: str, default: int = 0) -> int:
        """Raises `InvalidRequest` where the file has something else there."""
        value = self.get(key, default)
        if isinstance(value, list | tuple):
            value = value[0] if value else default
        if not isinstance(value, int | float) or not 0 <= value <= 2**40:
            raise InvalidRequest(f"The header's {self.architecture}.{key} is {str(value)[:40]}, which is no size.", param="model")
        return int(value)

    def per_layer(self, key: str, default: int = 0) -> tuple[int, ...]:
        value = self.get(key, default)
        if isinstance(value, list | tuple):
            if len(value) < self.blocks:
                raise InvalidRequest(f"The header's {self.architecture}.{key} has {len(value)} values for {self.blocks} layers.", param="model")
            return tuple(int(one) for one in value)[: self.blocks]
        return (self.number(key, default),) * self.blocks

    def has(self, layer: int, name: str) -> bool:
        return f"blk.{layer}.{name}" in self.tensors

    @cached_property
    def by_layer(self) -> Mapping[int, Sequence[Tensor]]:
        """Tensors of each layer; what belongs to no layer goes with the output, which is the layer after the last."""
        found: dict[int, list[Tensor]] = {}
        for tensor in self.tensors.values():
            number = tensor.name.split(".", 2)[1] if tensor.name.startswith("blk.") else ""
            found.setdefault(int(number) if number.isdecimal() else self.blocks, []).append(tensor)
        return found

    @cached_property
    def measured(self) -> dict[Any, Any]:
        """What was found out about graphs and layers of this model, to be asked for again."""
        return {}

    @cached_property
    def architecture(self) -> str:
        return str(self.metadata.get("general.architecture", ""))

    @cached_property
    def blocks(self) -> int:
        """Layers with those that guess ahead."""
        count = self.number("block_count")
        if not 0 < count <= 1024:
            raise InvalidRequest(f"The header says that the model has {count} layers.", param="model")
        return count

    @cached_property
    def layers(self) -> int:
        return self.blocks - self.number("nextn_predict_layers")

    @cached_property
    def hidden(self) -> int:
        return self.number("embedding_length")

    @cached_property
    def vocabulary(self) -> int:
        """Tokens, which are as many as the input embedding has rows."""
        embedding = self.tensors.get("token_embd.weight")
        return embedding.dimensions[1] if embedding is not None else self.number("vocab_size")

    @cached_property
    def heads(self) -> tuple[int, ...]:
        return self.per_layer("attention.head_count")

    @cached_property
    def kv_heads(self) -> tuple[int, ...]:
        return self.heads if self.get("attention.head_count_kv") is None else self.per_layer("attention.head_count_kv")

    @cached_property
    def window(self) -> int:
        """Tokens that windowed layers look back; 0: none is windowed. phi3's is ignored by the engine."""
        if self.architecture not in _PATTERNS:
            return 0
        return self.number("attention.sliding_window", _WINDOWS.get(self.architecture, 0))

    @cached_property
    def windowed(self) -> tuple[bool, ...]:
        """Whether a layer keeps no more than the window (`set_swa_pattern`)."""
        if not self.window:
            return (False,) * self.blocks
        said = self.get("attention.sliding_window_pattern")
        if isinstance(said, list | tuple):
            return tuple(bool(one) for one in said)[: self.blocks]
        every, first = _PATTERNS[self.architecture]
        every = int(said) if said else every
        if not every:
            return (True,) * self.layers + (False,) * (self.blocks - self.layers)
        return tuple(layer < self.layers and (layer % every != 0 if first else layer % every < every - 1) for layer in range(self.blocks))

    @cached_property
    def recurrent(self) -> tuple[bool, ...]:
        """Whether a layer keeps a state instead of, or (Falcon-H1) beside, keys and values."""
        if self.architecture in _RECURRENT or self.architecture == "falcon-h1":
            return (True,) * self.blocks
        if self.architecture in ("qwen3next", "qwen35", "qwen35moe"):
            every = self.number("full_attention_interval", 4)
            return tuple(layer < self.layers and (layer + 1) % every != 0 for layer in range(self.blocks))
        if self.architecture in _HYBRID:
            free = tuple(not heads for heads in self.kv_heads)
            if self.architecture.startswith("nemotron_h"):
                return tuple(one and not length for one, length in zip(free, self.per_layer("feed_forward_length"), strict=True))
            return free
        return (False,) * self.blocks

    @cached_property
    def hybrid(self) -> bool:
        return self.architecture in _HYBRID

    @cached_property
    def cacheless(self) -> bool:
        return self.architecture in _CACHELESS

    @cached_property
    def latent(self) -> bool:
        """Multi-head latent attention: one short vector per token, of which values are a view (`is_mla`)."""
        return self.number("attention.key_length_mla") > 0

    @cached_property
    def cached_layers(self) -> int:
        """The first so many keep keys and values; the rest use theirs (`n_layer_kv_from_start`)."""
        if self.architecture == "gemma3n":
            return 20
        return self.layers - self.number("attention.shared_kv_layers") if self.architecture == "gemma4" else self.layers

    def key_length(self, layer: int) -> int:
        return self._key_lengths[self.windowed[layer]]

    def value_length(self, layer: int) -> int:
        return self._value_lengths[self.windowed[layer]]

    @cached_property
    def _key_lengths(self) -> tuple[int, int]:
        return self._lengths("key_length")

    @cached_property
    def _value_lengths(self) -> tuple[int, int]:
        return self._lengths("value_length")

    def _lengths(self, name: str) -> tuple[int, int]:
        """In layers that see everything, and in windowed ones."""
        full = self.number(f"attention.{name}", self.hidden // self.heads[0] if self.heads[0] else 0)
        return full, self.number(f"attention.{name}_swa", full) if self.window else full

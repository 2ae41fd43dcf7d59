"""Shapes of real models, by name: as many layers, heads and channels as their files have, so that random weights in them weigh and run the same."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SHAPES", "ModelShape"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """What a decoder's file describes. Lengths in channels and tokens."""

    architecture: str
    layers: int
    width: int
    inner: int
    heads: int
    kv_heads: int
    head: int
    vocabulary: int
    context: int
    rope_base: float
    epsilon: float = 1e-5
    tied: bool = False
    """The output matrix is the embedding's."""
    attention_bias: bool = False
    rope_factors: bool = False
    window: int = 0
    """Sliding attention window; 0: none."""
    rope_scale: float = 1.0

    @property
    def gemma(self) -> bool:
        return self.architecture == "gemma3"

    @property
    def normed(self) -> bool:
        """Queries and keys are normed, each head for itself."""
        return self.gemma or self.architecture == "qwen3"


SHAPES: dict[str, ModelShape] = {
    "gemma-3-270m": ModelShape(
        architecture="gemma3", layers=18, width=640, inner=2048, heads=4, kv_heads=1, head=256, vocabulary=262144, context=32768,
        rope_base=1e6, epsilon=1e-6, tied=True, window=512,
    ),
    "qwen2.5-0.5b": ModelShape(
        architecture="qwen2", layers=24, width=896, inner=4864, heads=14, kv_heads=2, head=64, vocabulary=151936, context=32768,
        rope_base=1e6, epsilon=1e-6, tied=True, attention_bias=True,
    ),
    "qwen3-0.6b": ModelShape(
        architecture="qwen3", layers=28, width=1024, inner=3072, heads=16, kv_heads=8, head=128, vocabulary=151936, context=40960,
        rope_base=1e6, epsilon=1e-6, tied=True,
    ),
    "llama-3.2-1b": ModelShape(
        architecture="llama", layers=16, width=2048, inner=8192, heads=32, kv_heads=8, head=64, vocabulary=128256, context=131072,
        rope_base=5e5, tied=True, rope_factors=True,
    ),
    "llama-3.2-3b": ModelShape(
        architecture="llama", layers=28, width=3072, inner=8192, heads=24, kv_heads=8, head=128, vocabulary=128256, context=131072,
        rope_base=5e5, tied=True, rope_factors=True,
    ),
    "gemma-3-4b": ModelShape(
        architecture="gemma3", layers=34, width=2560, inner=10240, heads=8, kv_heads=4, head=256, vocabulary=262208, context=131072,
        rope_base=1e6, epsilon=1e-6, tied=True, window=1024, rope_scale=8.0,
    ),
    "qwen2.5-7b": ModelShape(
        architecture="qwen2", layers=28, width=3584, inner=18944, heads=28, kv_heads=4, head=128, vocabulary=152064, context=131072,
        rope_base=1e6, epsilon=1e-6, attention_bias=True,
    ),
    "llama-3.1-8b": ModelShape(
        architecture="llama", layers=32, width=4096, inner=14336, heads=32, kv_heads=8, head=128, vocabulary=128256, context=131072,
        rope_base=5e5, rope_factors=True,
    ),
    "llama-3.3-70b": ModelShape(
        architecture="llama", layers=80, width=8192, inner=28672, heads=64, kv_heads=8, head=128, vocabulary=128256, context=131072,
        rope_base=5e5, rope_factors=True,
    ),
}  # fmt: skip

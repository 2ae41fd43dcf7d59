"""The small specimens: a language model, an embedding model, a ranker, a LoRA adapter. A few hundred kilobytes each."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hausgeist.engines.specimen import tokenizer as tokens
from hausgeist.engines.specimen.files import save
from hausgeist.model import Task

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]
    Arrays = dict[str, Array]

__all__ = ["CONTEXT", "WIDTH", "write_adapter", "write_specimen"]

CONTEXT = 8192
WIDTH = 64
_INNER, _LAYERS, _HEADS, _KV_HEADS = 160, 2, 2, 1
_HEAD = WIDTH // _HEADS
_ANCHOR = 4.0
"""The first channel of the language model's hidden states has this value at every token and no layer reads or writes it, so that the output
matrix has a bias to choose tokens by: answers are made of words, and they end."""

_POSITIONS = 2048
"""Longest input of the embedding model, which learns its positions."""


def write_specimen(path: Path, *, task: Task = "generate", seed: int = 0) -> Path:
    """Write a model for `task` to `path`: a decoder like Llama, an encoder like BERT ("embed"), or a ranker like Qwen3's ("rerank")."""
    architecture, fill = _KINDS[task]

    def write(writer: Any) -> None:
        import numpy as np

        tokenizer = tokens.learn()
        tokens.write(tokenizer, writer)
        writer.add_vocab_size(len(tokenizer.tokens))
        writer.add_block_count(_LAYERS)
        writer.add_embedding_length(WIDTH)
        writer.add_feed_forward_length(_INNER)
        writer.add_head_count(_HEADS)
        writer.add_file_type(1)
        for name, array in fill(writer, np.random.default_rng(seed), tokenizer).items():
            writer.add_tensor(name, array)

    return save(path, architecture, write)


def write_adapter(path: Path, *, seed: int = 1, rank: int = 4) -> Path:
    """Write a LoRA adapter for the language model."""

    def write(writer: Any) -> None:
        import numpy as np

        random = np.random.default_rng(seed)
        writer.add_type("adapter")
        writer.add_string("adapter.type", "lora")
        writer.add_float32("adapter.lora.alpha", float(rank))
        for layer in range(_LAYERS):
            for name, inputs, outputs in (("attn_q", WIDTH, WIDTH), ("attn_v", WIDTH, _KV_HEADS * _HEAD), ("ffn_up", WIDTH, _INNER)):
                base = f"blk.{layer}.{name}.weight"
                writer.add_tensor(f"{base}.lora_a", (random.standard_normal((rank, inputs)) * 0.3).astype(np.float32))
                writer.add_tensor(f"{base}.lora_b", (random.standard_normal((outputs, rank)) * 0.3).astype(np.float32))

    return save(path, "llama", write)


def _decoder(writer: Any, random: Any, *, anchor: bool) -> tuple[Arrays, Callable[..., Array]]:
    """What Llama and Qwen3 share."""
    import numpy as np

    writer.add_context_length(CONTEXT)
    writer.add_head_count_kv(_KV_HEADS)
    writer.add_key_length(_HEAD)
    writer.add_value_length(_HEAD)
    writer.add_rope_dimension_count(_HEAD)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    arrays: Arrays = {}

    def matrix(name: str, rows: int, columns: int, scale: float, *, reads: bool = False, writes: bool = False) -> Array:
        values = random.standard_normal((rows, columns)) * scale
        if anchor and reads:
            values[:, 0] = 0.0
        if anchor and writes:
            values[0] = 0.0
        arrays[name] = values.astype(np.float16)
        return arrays[name]

    for layer in range(_LAYERS):
        block = f"blk.{layer}."
        arrays[block + "attn_norm.weight"] = np.ones(WIDTH, np.float32)
        matrix(block + "attn_q.weight", WIDTH, WIDTH, 0.15, reads=True)
        matrix(block + "attn_k.weight", _KV_HEADS * _HEAD, WIDTH, 0.15, reads=True)
        matrix(block + "attn_v.weight", _KV_HEADS * _HEAD, WIDTH, 0.2, reads=True)
        matrix(block + "attn_output.weight", WIDTH, WIDTH, 0.2, writes=True)
        arrays[block + "ffn_norm.weight"] = np.ones(WIDTH, np.float32)
        matrix(block + "ffn_gate.weight", _INNER, WIDTH, 0.12, reads=True)
        matrix(block + "ffn_up.weight", _INNER, WIDTH, 0.12, reads=True)
        matrix(block + "ffn_down.weight", WIDTH, _INNER, 0.1, writes=True)
    arrays["output_norm.weight"] = np.ones(WIDTH, np.float32)
    return arrays, matrix


def _language_model(writer: Any, random: Any, tokenizer: tokens.Tokenizer) -> Arrays:
    arrays, matrix = _decoder(writer, random, anchor=True)
    matrix("token_embd.weight", len(tokenizer.tokens), WIDTH, 1.0)[:, 0] = _ANCHOR
    output = matrix("output.weight", len(tokenizer.tokens), WIDTH, 0.15)
    # What the anchor is after normalisation, when the other channels have a variance of about 1.
    level = _ANCHOR / math.sqrt((_ANCHOR**2 + WIDTH - 1) / WIDTH)
    total = sum(tokenizer.weights)
    output[:, 0] = [(math.log(weight / total) if weight else -60.0) / level for weight in tokenizer.weights]
    return arrays


def _ranker(writer: Any, random: Any, tokenizer: tokens.Tokenizer) -> Arrays:
    import numpy as np
    from gguf import PoolingType

    arrays, matrix = _decoder(writer, random, anchor=False)
    writer.add_pooling_type(PoolingType.RANK)
    writer.add_classifier_output_labels(["yes", "no"])
    for layer in range(_LAYERS):
        arrays[f"blk.{layer}.attn_q_norm.weight"] = np.ones(_HEAD, np.float32)
        arrays[f"blk.{layer}.attn_k_norm.weight"] = np.ones(_HEAD, np.float32)
    matrix("token_embd.weight", len(tokenizer.tokens), WIDTH, 1.0)
    matrix("cls.output.weight", 2, WIDTH, 0.2)
    return arrays


def _encoder(writer: Any, random: Any, tokenizer: tokens.Tokenizer) -> Arrays:
    import numpy as np
    from gguf import PoolingType

    writer.add_context_length(_POSITIONS)
    writer.add_causal_attention(False)
    writer.add_pooling_type(PoolingType.MEAN)
    writer.add_layer_norm_eps(1e-12)
    writer.add_token_type_count(2)
    arrays: Arrays = {}

    def layer_norm(name: str) -> None:
        arrays[f"{name}.weight"], arrays[f"{name}.bias"] = np.ones(WIDTH, np.float32), np.zeros(WIDTH, np.float32)

    def linear(name: str, rows: int, columns: int) -> None:
        arrays[f"{name}.weight"] = (random.standard_normal((rows, columns)) * 0.15).astype(np.float16)
        arrays[f"{name}.bias"] = np.zeros(rows, np.float32)

    arrays["token_embd.weight"] = random.standard_normal((len(tokenizer.tokens), WIDTH)).astype(np.float16)
    arrays["token_types.weight"] = np.zeros((2, WIDTH), np.float32)
    arrays["position_embd.weight"] = (random.standard_normal((_POSITIONS, WIDTH)) * 0.1).astype(np.float32)
    layer_norm("token_embd_norm")
    for layer in range(_LAYERS):
        block = f"blk.{layer}."
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            linear(block + name, WIDTH, WIDTH)
        layer_norm(block + "attn_output_norm")
        linear(block + "ffn_up", _INNER, WIDTH)
        linear(block + "ffn_down", WIDTH, _INNER)
        layer_norm(block + "layer_output_norm")
    return arrays


_KINDS: dict[Task, tuple[str, Callable[[Any, Any, tokens.Tokenizer], Arrays]]] = {
    "generate": ("llama", _language_model),
    "embed": ("bert", _encoder),
    "rerank": ("qwen3", _ranker),
}

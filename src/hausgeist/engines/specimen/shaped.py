"""Random weights in the shape of a real model, at a real precision, streamed to disk: as many bytes as the model has never stand in memory.

Quantised weights are random bits under scales that make them as large as trained ones are, so that arithmetic neither overflows nor gets trivial.
Bits repeat every few megabytes, which neither size nor speed can tell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from hausgeist.engines.specimen import tokenizer as tokens
from hausgeist.engines.specimen.files import save
from hausgeist.engines.specimen.shapes import SHAPES, ModelShape

if TYPE_CHECKING:
    import numpy as np

    Blocks = np.ndarray[Any, np.dtype[np.uint8]]

__all__ = ["PRECISIONS", "Precision", "write_shaped"]

Precision = Literal["F16", "Q8_0", "Q4_K_M", "Q4_0"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

_FILE_TYPES: dict[Precision, int] = {"F16": 1, "Q4_0": 2, "Q8_0": 7, "Q4_K_M": 15}
_SPREAD = 0.02
"""Standard deviation of the weights."""
_POOL = 4 * 2**20


def write_shaped(
    path: Path,
    shape: ModelShape | str,
    precision: Precision = "Q4_K_M",
    *,
    vocabulary: Path | None = None,
    seed: int = 0,
    sparse: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write a model of that shape.

    `vocabulary`: a GGUF to take a real tokenizer from; the built-in one of a few hundred tokens otherwise, filled up to the vocabulary's size.
    `sparse`: leave the weights out; the file has its full length but takes no room: enough for a fit pass. `progress(done, total)` in bytes.
    """
    form = SHAPES[shape] if isinstance(shape, str) else shape
    tokenizer = (tokens.read(vocabulary) if vocabulary else tokens.learn()).padded(form.vocabulary)
    tensors = list(_tensors(form, precision))

    def describe(writer: Any) -> None:
        _metadata(writer, form, precision)
        tokens.write(tokenizer, writer)
        for tensor in tensors:
            writer.add_tensor_info(tensor.name, tensor.shape, _numpy().dtype(_numpy().float32), tensor.size, raw_dtype=_kind(tensor.kind))

    def stream(file: Any, pad: Callable[[int], None]) -> None:
        source = _Source(seed)
        total, done = sum(tensor.size for tensor in tensors), 0
        for tensor in tensors:
            if sparse:
                file.seek(tensor.size, 1)
            else:
                for chunk in source.chunks(tensor):
                    file.write(chunk)
            pad(tensor.size)
            done += tensor.size
            if progress is not None:
                progress(done, total)
        if sparse:
            file.truncate(file.tell())

    return save(path, form.architecture, describe, stream)


@dataclass(frozen=True, slots=True)
class _Tensor:
    name: str
    shape: tuple[int, ...]
    kind: str

    @property
    def size(self) -> int:
        from gguf import GGML_QUANT_SIZES

        elements, bytes_ = GGML_QUANT_SIZES[_kind(self.kind)]
        count = 1
        for length in self.shape:
            count *= length
        return count // elements * bytes_


def _tensors(form: ModelShape, precision: Precision) -> Iterator[_Tensor]:
    def matrix(name: str, rows: int, columns: int, *, more: bool = False, output: bool = False) -> _Tensor:
        return _Tensor(name, (rows, columns), _precision(precision, form, name, columns, more=more, output=output))

    def vector(name: str, length: int) -> _Tensor:
        return _Tensor(name, (length,), "F32")

    yield matrix("token_embd.weight", form.vocabulary, form.width, output=form.tied)
    queries, keys = form.heads * form.head, form.kv_heads * form.head
    for layer in range(form.layers):
        block = f"blk.{layer}."
        # llama.cpp's Q4_K_M gives the first and the last eighth of the layers, and each third between them, more bits.
        eighth = form.layers // 8
        more = layer < eighth or layer >= 7 * form.layers // 8 or (layer - eighth) % 3 == 2
        yield vector(block + "attn_norm.weight", form.width)
        yield matrix(block + "attn_q.weight", queries, form.width)
        yield matrix(block + "attn_k.weight", keys, form.width)
        yield matrix(block + "attn_v.weight", keys, form.width, more=more)
        if form.attention_bias:
            for name, length in (("attn_q", queries), ("attn_k", keys), ("attn_v", keys)):
                yield vector(f"{block}{name}.bias", length)
        if form.normed:
            for name in ("attn_q_norm", "attn_k_norm"):
                yield vector(f"{block}{name}.weight", form.head)
        if form.gemma:
            for name in ("post_attention_norm", "post_ffw_norm"):
                yield vector(f"{block}{name}.weight", form.width)
        yield matrix(block + "attn_output.weight", form.width, queries)
        yield vector(block + "ffn_norm.weight", form.width)
        yield matrix(block + "ffn_gate.weight", form.inner, form.width)
        yield matrix(block + "ffn_up.weight", form.inner, form.width)
        yield matrix(block + "ffn_down.weight", form.width, form.inner, more=more)
    if form.rope_factors:
        yield vector("rope_freqs.weight", form.head // 2)
    yield vector("output_norm.weight", form.width)
    if not form.tied:
        yield matrix("output.weight", form.vocabulary, form.width, output=True)


def _precision(precision: Precision, form: ModelShape, name: str, columns: int, *, more: bool, output: bool) -> str:
    """Which format a matrix gets, by the rules of llama.cpp's quantiser."""
    if precision in ("F16", "Q8_0"):
        return precision
    if precision == "Q4_0":
        kind = "Q6_K" if output else "Q4_0"
    else:
        kind = "Q6_K" if output or more else "Q4_K"
        if kind == "Q4_K" and name.endswith("attn_v.weight") and form.layers == 80:
            kind = "Q5_K"
    if columns % 256 == 0:
        return kind
    return {"Q6_K": "Q8_0", "Q4_K": "Q5_0", "Q5_K": "Q5_1"}.get(kind, kind)


class _Source:
    """Pools of random blocks per format; each tensor starts somewhere else in its pool."""

    def __init__(self, seed: int) -> None:
        self._random = _numpy().random.default_rng(seed)
        self._pools: dict[str, Blocks] = {}

    def chunks(self, tensor: _Tensor) -> Iterator[memoryview]:
        np = _numpy()
        if tensor.kind == "F32":
            fill = 0.0 if tensor.name.endswith(".bias") else 1.0
            yield memoryview(np.full(tensor.shape, fill, np.float32)).cast("B")
            return
        pool: Any = self._pools.get(tensor.kind)
        if pool is None:
            pool = self._pools[tensor.kind] = _BLOCKS[tensor.kind](self._random)
        width = pool.shape[1]
        left = tensor.size
        start = int(self._random.integers(len(pool)))
        while left:
            part = pool[start : start + left // width]
            yield memoryview(part.reshape(-1)).cast("B")
            left -= part.size
            start = 0


def _scaled(size: int, fields: dict[int, float], constant: dict[int, bytes] | None = None) -> Callable[[Any], Blocks]:
    """Blocks of `size` random bytes with half-precision numbers and constant bytes at given offsets."""

    def make(random: Any) -> Blocks:
        np = _numpy()
        blocks: Blocks = random.integers(0, 256, (_POOL // size, size), dtype=np.uint8)
        for offset, value in fields.items():
            blocks[:, offset : offset + 2] = np.frombuffer(np.float16(value).tobytes(), np.uint8)
        for offset, content in (constant or {}).items():
            blocks[:, offset : offset + len(content)] = np.frombuffer(content, np.uint8)
        return blocks

    return make


def _half(random: Any) -> Blocks:
    np = _numpy()
    values = (random.standard_normal(_POOL // 2) * _SPREAD).astype(np.float16)
    blocks: Blocks = values.view(np.uint8).reshape(-1, 2)
    return blocks


_SIX_BITS = bytes([0xA0] * 8 + [0x00] * 4)
"""Twice eight packed scales of six bits, all of them 32."""

_BLOCKS: dict[str, Callable[[Any], Blocks]] = {
    "F16": _half,
    "Q8_0": _scaled(34, {0: _SPREAD / 74}),
    "Q4_0": _scaled(18, {0: _SPREAD / 4.6}),
    "Q5_0": _scaled(22, {0: _SPREAD / 9.2}),
    "Q5_1": _scaled(24, {0: _SPREAD / 9.2, 2: -15.5 * _SPREAD / 9.2}),
    "Q4_K": _scaled(144, {0: _SPREAD / (32 * 4.6), 2: 7.5 * _SPREAD / (32 * 4.6)}, {4: _SIX_BITS}),
    "Q5_K": _scaled(176, {0: _SPREAD / (32 * 9.2), 2: 15.5 * _SPREAD / (32 * 9.2)}, {4: _SIX_BITS}),
    "Q6_K": _scaled(210, {208: _SPREAD / (16 * 18.5)}, {192: bytes([16] * 16)}),
}


def _metadata(writer: Any, form: ModelShape, precision: Precision) -> None:
    writer.add_block_count(form.layers)
    writer.add_context_length(form.context)
    writer.add_embedding_length(form.width)
    writer.add_feed_forward_length(form.inner)
    writer.add_head_count(form.heads)
    writer.add_head_count_kv(form.kv_heads)
    writer.add_key_length(form.head)
    writer.add_value_length(form.head)
    writer.add_rope_dimension_count(form.head)
    writer.add_rope_freq_base(form.rope_base)
    writer.add_layer_norm_rms_eps(form.epsilon)
    writer.add_vocab_size(form.vocabulary)
    writer.add_file_type(_FILE_TYPES[precision])
    if form.window:
        writer.add_sliding_window(form.window)
    if form.rope_scale != 1.0:
        from gguf import RopeScalingType

        writer.add_rope_scaling_type(RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(form.rope_scale)


def _kind(name: str) -> Any:
    from gguf import GGMLQuantizationType

    return GGMLQuantizationType[name]


def _numpy() -> Any:
    import numpy

    return numpy

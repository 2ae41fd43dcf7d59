"""A file with the header of any model and no weights: it has its full length and takes no room, which is enough for a fit pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from hausgeist.engines.specimen import tokenizer as tokens
from hausgeist.engines.specimen.files import save

__all__ = ["write_sparse"]


def write_sparse(path: Path, metadata: Mapping[str, Any], tensors: Iterable[tuple[str, tuple[int, ...], str]]) -> Path:
    """`metadata` with "general.architecture"; `tensors` by name, dimensions (length of a row first) and type.

    The vocabulary is the built-in one, filled up to as many tokens as "token_embd.weight" has rows; without that there is none.
    """
    described = tuple(tensors)
    vocabulary = next((dimensions[1] for name, dimensions, _ in described if name == "token_embd.weight"), 0)
    sizes = [_size(dimensions, kind) for _, dimensions, kind in described]

    def describe(writer: Any) -> None:
        import numpy
        from gguf import GGMLQuantizationType

        for key, value in metadata.items():
            if key != "general.architecture":
                _add(writer, key, value)
        if vocabulary:
            tokens.write(tokens.learn().padded(vocabulary), writer)
        for (name, dimensions, kind), size in zip(described, sizes, strict=True):
            writer.add_tensor_info(name, dimensions[::-1], numpy.dtype(numpy.float32), size, raw_dtype=GGMLQuantizationType[kind])

    def stream(file: Any, pad: Callable[[int], None]) -> None:
        for size in sizes:
            file.seek(size, 1)
            pad(size)
        file.truncate(file.tell())

    return save(path, str(metadata["general.architecture"]), describe, stream)


def _add(writer: Any, key: str, value: Any) -> None:
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_array(key, list(value))


def _size(dimensions: tuple[int, ...], kind: str) -> int:
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    numbers, size = GGML_QUANT_SIZES[GGMLQuantizationType[kind]]
    count = 1
    for length in dimensions:
        count *= length
    return int(count // numbers * size)

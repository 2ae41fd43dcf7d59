"""What `show` tells of a model's file: its keys, its tensors, whether it can fill in. Reads the header, so call it off the event loop."""

from __future__ import annotations

import mmap
from pathlib import Path
from struct import Struct, calcsize, unpack_from
from typing import Any

from hausgeist.library.gguf.header import Header, LazyArray, read_header

__all__ = ["file_metadata"]

_FILL_IN = ("tokenizer.ggml.fim_pre_token_id", "tokenizer.ggml.prefix_token_id")
_FILL_IN_TOKENS = ("<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<｜fim▁begin｜>", "<PRE>", "▁<PRE>", "<|code_prefix|>", "<|prefix|>")
"""Tokens by which llama.cpp knows that a model can fill in, where no key says it."""
_U64 = Struct("<Q")
_FORMATS = {"u8": "B", "i8": "b", "u16": "H", "i16": "h", "u32": "I", "i32": "i", "f32": "f", "bool": "?", "u64": "Q", "i64": "q", "f64": "d"}


def file_metadata(path: Path, *, verbose: bool) -> tuple[dict[str, Any], list[dict[str, Any]], bool]:
    """(keys, tensors, can fill in). Long lists are `None` and there are no tensors unless `verbose`. Raises InvalidRequest for a damaged file."""
    header = read_header(path)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        keys = {name: _value(value, content if verbose else None) for name, value in header.metadata.items()}
        fills = any(name in header.metadata for name in _FILL_IN) or _has_token(header, content)
    tensors = [{"name": one.name, "type": one.type.upper(), "shape": list(one.dimensions)} for one in header.tensors] if verbose else []
    return keys, tensors, fills


def _value(value: Any, content: mmap.mmap | None) -> Any:
    if isinstance(value, tuple):
        return list(value)
    if not isinstance(value, LazyArray):
        return value
    return _elements(value, content) if content is not None else None


def _elements(array: LazyArray, content: mmap.mmap) -> list[Any]:
    """The header was checked when it was read: each element lies within the file."""
    if array.type != "string":
        form = _FORMATS[array.type]
        return list(unpack_from(f"<{array.length}{form}", content, array.offset)) if calcsize(form) else []
    found, position = [], array.offset
    for _ in range(array.length):
        (length,) = _U64.unpack_from(content, position)
        position += _U64.size
        found.append(content[position : position + length].decode("utf-8", "replace"))
        position += length
    return found


def _has_token(header: Header, content: mmap.mmap) -> bool:
    tokens = header.metadata.get("tokenizer.ggml.tokens")
    if isinstance(tokens, tuple):
        return any(token in _FILL_IN_TOKENS for token in tokens)
    if not isinstance(tokens, LazyArray):
        return False
    texts = (token.encode() for token in _FILL_IN_TOKENS)
    return any(content.find(_U64.pack(len(text)) + text, tokens.offset, header.data_offset) >= 0 for text in texts)

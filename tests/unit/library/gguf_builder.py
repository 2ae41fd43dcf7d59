"""Builds small GGUF files byte by byte, so that tests can also build the ones that no writer would write."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TYPES = {"u8": 0, "i8": 1, "u16": 2, "i16": 3, "u32": 4, "i32": 5, "f32": 6, "bool": 7, "string": 8, "array": 9, "u64": 10, "i64": 11, "f64": 12}
LAYOUTS = {
    "u8": "<B",
    "i8": "<b",
    "u16": "<H",
    "i16": "<h",
    "u32": "<I",
    "i32": "<i",
    "f32": "<f",
    "bool": "<B",
    "u64": "<Q",
    "i64": "<q",
    "f64": "<d",
}


def text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(raw)) + raw


def value(kind: str, given: Any) -> bytes:
    """A value as it stands after its key: the type, then the bytes. Arrays: `[kind, values]`."""
    if kind == "array":
        inner, values = given
        return struct.pack("<IIQ", TYPES["array"], TYPES[inner], len(values)) + b"".join(value(inner, one)[4:] for one in values)
    if kind == "string":
        return struct.pack("<I", TYPES[kind]) + text(given)
    return struct.pack("<I", TYPES[kind]) + struct.pack(LAYOUTS[kind], given)


@dataclass
class Gguf:
    """A file to be written; `pairs` and `tensors` may hold raw bytes instead of what they should."""

    pairs: list[tuple[str | bytes, str, Any]] = field(default_factory=list)
    tensors: list[tuple[str, tuple[int, ...], int]] = field(default_factory=list)
    version: int = 3
    alignment: int = 32

    def bytes(self, *, data: bool = True, keys: int | None = None, tensors: int | None = None) -> bytes:
        head = b"GGUF" + struct.pack(
            "<IQQ", self.version, len(self.tensors) if tensors is None else tensors, len(self.pairs) if keys is None else keys
        )
        body = b"".join(text(key) + value(kind, given) for key, kind, given in self.pairs)
        offset = 0
        for name, dimensions, kind in self.tensors:
            body += text(name) + struct.pack("<I", len(dimensions)) + struct.pack(f"<{len(dimensions)}Q", *dimensions)
            body += struct.pack("<IQ", kind, offset)
            offset += -(-self._nbytes(dimensions, kind) // self.alignment) * self.alignment
        whole = head + body
        padding = b"\0" * (-len(whole) % self.alignment)
        return whole + padding + (b"\0" * offset if data else b"")

    @staticmethod
    def _nbytes(dimensions: tuple[int, ...], kind: int) -> int:
        count = 1
        for size in dimensions:
            count *= size
        return {0: count * 4, 1: count * 2, 12: count // 256 * 144, 14: count // 256 * 210}.get(kind, count)

    def write(self, path: Path) -> Path:
        path.write_bytes(self.bytes())
        return path


def model(architecture: str = "llama", *extra: tuple[str, str, Any], file_type: int | None = 15, seed: int = 0) -> Gguf:
    """A model of two tensors that says what real ones say."""
    pairs: list[tuple[str | bytes, str, Any]] = [
        ("general.architecture", "string", architecture),
        ("general.type", "string", "model"),
        ("general.license", "string", "apache-2.0"),
        (f"{architecture}.context_length", "u32", 4096),
        (f"{architecture}.embedding_length", "u32", 256),
        (f"{architecture}.block_count", "u32", 2),
        (f"{architecture}.attention.head_count", "u32", 8),
        (f"{architecture}.attention.head_count_kv", "array", ("u32", [2, 4])),
        ("tokenizer.chat_template", "string", "{% for m in messages %}{{ m.content }}{% endfor %}"),
        ("tokenizer.ggml.tokens", "array", ("string", [f"token{number}" for number in range(2000)])),
        ("tokenizer.ggml.scores", "array", ("f32", [float(number) for number in range(2000)])),
        ("general.tags", "array", ("string", ["one", "two"])),
        ("hausgeist.seed", "u32", seed),
    ]
    if file_type is not None:
        pairs.append(("general.file_type", "u32", file_type))
    pairs += extra
    return Gguf(pairs, [("token_embd.weight", (256, 64), 12), ("output_norm.weight", (256,), 0)])


def projector() -> Gguf:
    pairs: list[tuple[str | bytes, str, Any]] = [("general.architecture", "string", "clip"), ("clip.has_vision_encoder", "bool", 1)]
    return Gguf(pairs, [("v.patch_embd.weight", (16, 4), 0)])


def adapter(architecture: str = "llama") -> Gguf:
    pairs: list[tuple[str | bytes, str, Any]] = [
        ("general.architecture", "string", architecture),
        ("general.type", "string", "adapter"),
        ("adapter.type", "string", "lora"),
    ]
    return Gguf(pairs, [("blk.0.attn_q.weight.lora_a", (16, 4), 0)])


def split(folder: Path, stem: str, count: int) -> list[Path]:
    """A model in parts: the first has the metadata, each has tensors."""
    paths = []
    for number in range(count):
        shared = [("split.no", "u16", number), ("split.count", "u16", count), ("split.tensors.count", "i32", count)]
        file = model("llama", *shared) if number == 0 else Gguf(list(shared))
        file.tensors = [(f"blk.{number}.weight", (256, 2), 12)]
        paths.append(file.write(folder / f"{stem}-{number + 1:05d}-of-{count:05d}.gguf"))
    return paths

"""Writes graphs as files that onnxruntime reads: the few messages of onnx.proto3 that a small model needs, and nothing that reads them.

The `onnx` package would do it too, with 15 MB of what is not used here. Field numbers: onnx/onnx.proto, which never changes them.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["FLOAT", "INT64", "Graph"]

FLOAT, INT64 = 1, 7
"""TensorProto.DataType, of inputs and outputs."""

_TYPES = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7}
_IR_VERSION, _OPSET = 8, 17
_FLOAT_ATTRIBUTE, _INT_ATTRIBUTE, _INTS_ATTRIBUTE = 1, 2, 7

Value = float | int | Sequence[int]


@dataclass(slots=True)
class Graph:
    """A graph in the making. Names of tensors are free; each is made once and used after that."""

    nodes: list[bytes] = field(default_factory=list)
    constants: list[bytes] = field(default_factory=list)
    inputs: list[bytes] = field(default_factory=list)
    outputs: list[bytes] = field(default_factory=list)

    def input(self, name: str, kind: int, shape: Sequence[str | int]) -> None:
        """`shape`: names for what is known only when it runs."""
        self.inputs.append(_tensor_info(name, kind, shape))

    def output(self, name: str, kind: int, shape: Sequence[str | int]) -> None:
        self.outputs.append(_tensor_info(name, kind, shape))

    def constant(self, name: str, value: NDArray[np.generic]) -> str:
        body = b"".join(_number(1, size) for size in value.shape)
        body += (
            _number(2, _TYPES[value.dtype.name])
            + _text(8, name)
            + _bytes(9, np.ascontiguousarray(value).astype(value.dtype.newbyteorder("<")).tobytes())
        )
        self.constants.append(body)
        return name

    def node(self, kind: str, inputs: Sequence[str], outputs: str | Sequence[str], **attributes: Value) -> str:
        """An operator of ONNX, or of onnxruntime where it is called "com.microsoft.Name". "" leaves an optional input
        out. Returns the first output."""
        domain, _, name = kind.rpartition(".")
        outputs = [outputs] if isinstance(outputs, str) else list(outputs)
        body = b"".join(_text(1, one) for one in inputs) + b"".join(_text(2, one) for one in outputs)
        body += _text(3, f"node{len(self.nodes)}") + _text(4, name) + _attributes(attributes)
        self.nodes.append(body + (_text(7, domain) if domain else b""))
        return outputs[0]

    def file(self, producer: str) -> bytes:
        graph = b"".join(_bytes(1, one) for one in self.nodes) + _text(2, producer)
        graph += b"".join(_bytes(5, one) for one in self.constants)
        graph += b"".join(_bytes(11, one) for one in self.inputs) + b"".join(_bytes(12, one) for one in self.outputs)
        opsets = _bytes(8, _text(1, "") + _number(2, _OPSET)) + _bytes(8, _text(1, "com.microsoft") + _number(2, 1))
        return _number(1, _IR_VERSION) + _text(2, producer) + _bytes(7, graph) + opsets


def _attributes(attributes: Mapping[str, Value]) -> bytes:
    found = b""
    for name, value in attributes.items():
        body = _text(1, name)
        if isinstance(value, float):
            body += _key(2, 5) + struct.pack("<f", value) + _number(20, _FLOAT_ATTRIBUTE)
        elif isinstance(value, int):
            body += _number(3, value) + _number(20, _INT_ATTRIBUTE)
        else:
            body += b"".join(_number(8, one) for one in value) + _number(20, _INTS_ATTRIBUTE)
        found += _bytes(5, body)
    return found


def _tensor_info(name: str, kind: int, shape: Sequence[str | int]) -> bytes:
    sizes = b"".join(_bytes(1, _number(1, one) if isinstance(one, int) else _text(2, one)) for one in shape)
    return _text(1, name) + _bytes(2, _bytes(1, _number(1, kind) + _bytes(2, sizes)))


def _varint(value: int) -> bytes:
    value &= 2**64 - 1  # negative numbers are written as their two's complement
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def _key(field_number: int, wire: int) -> bytes:
    return _varint(field_number << 3 | wire)


def _number(field_number: int, value: int) -> bytes:
    return _key(field_number, 0) + _varint(value)


def _bytes(field_number: int, value: bytes) -> bytes:
    return _key(field_number, 2) + _varint(len(value)) + value


def _text(field_number: int, value: str) -> bytes:
    return _bytes(field_number, value.encode())

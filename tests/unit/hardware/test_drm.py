"""The calls to Intel's drivers, answered as the kernel answers them."""

from __future__ import annotations

import ctypes
import struct
import sys
from pathlib import Path
from typing import Any

import pytest

from hausgeist.hardware import drm

GIB = 1 << 30
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no such calls there")


def i915(*told: tuple[int, int, int]) -> bytes:
    parts = [struct.pack("=HHIQQ64x", kind, 0, 0, size, free) for kind, size, free in told]
    return struct.pack("=I12x", len(told)) + b"".join(parts)


def xe(*told: tuple[int, int, int]) -> bytes:
    parts = [struct.pack("=HHIQQ64x", kind, number, 65536, size, used) for number, (kind, size, used) in enumerate(told)]
    return struct.pack("=I4x", len(told)) + b"".join(parts)


class Kernel:
    """Writes its answer where it is told to, if there is room for it, and says how long it is."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer

    def __call__(self, descriptor: int, request: int, argument: Any) -> None:
        if request == 0xC0106479:
            count, flags, item = struct.unpack("=IIQ", argument)
            query, length, more, place = struct.unpack("=QiIQ", ctypes.string_at(item, 24))
            assert (count, flags, query, more) == (1, 0, 4, 0)
            self._give(length, place)
            ctypes.memmove(item + 8, struct.pack("=i", len(self.answer)), 4)
        else:
            assert request == 0xC0286440
            extensions, query, length, place, *reserved = struct.unpack("=QIIQQQ", argument)
            assert (extensions, query, reserved) == (0, 1, [0, 0])
            self._give(length, place)
            struct.pack_into("=I", argument, 12, len(self.answer))

    def _give(self, length: int, place: int) -> None:
        if length:
            assert length == len(self.answer), "the kernel refuses any other length"
            assert place
            ctypes.memmove(place, self.answer, length)


@pytest.fixture
def node(tmp_path: Path) -> Path:
    path = tmp_path / "renderD128"
    path.touch()
    return path


@pytest.mark.parametrize(
    ("driver", "answer", "expected"),
    [
        ("i915", i915((0, 64 * GIB, 60 * GIB), (1, 16 * GIB, 15 * GIB)), (16 * GIB, 15 * GIB)),
        ("i915", i915((0, 64 * GIB, 60 * GIB)), None),
        ("i915", i915((1, 2**64 - 1, 2**64 - 1)), None),
        ("xe", xe((0, 64 * GIB, 4 * GIB), (1, 12 * GIB, GIB)), (12 * GIB, 11 * GIB)),
        ("xe", xe((1, 64 * GIB, 0), (1, 64 * GIB, 0)), (128 * GIB, 128 * GIB)),
        ("xe", xe(), None),
        ("xe", b"", None),
        ("i915", b"\1" * 20, None),
    ],
)
def test_memory_of_the_card(monkeypatch: pytest.MonkeyPatch, node: Path, driver: str, answer: bytes, expected: tuple[int, int] | None) -> None:
    monkeypatch.setattr(drm, "_call", Kernel(answer))
    assert drm.regions(node, driver) == expected


def test_no_card_no_answer(node: Path) -> None:
    assert drm.regions(node, "xe") is None  # a plain file knows no such call
    assert drm.regions(node, "i915") is None
    assert drm.regions(node.with_name("nowhere"), "xe") is None

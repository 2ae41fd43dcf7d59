"""How much memory Intel's cards have, asked of their drivers by the call that graphics libraries use. It changes nothing.

Structures and numbers: include/uapi/drm/i915_drm.h (DRM_I915_QUERY_MEMORY_REGIONS) and xe_drm.h (DRM_XE_DEVICE_QUERY_MEM_REGIONS) of Linux.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Final

__all__ = ["regions"]

_I915: Final = 0xC0106479
"""_IOWR('d', 0x40 + 0x39, 16 bytes): how many items, flags, where they are."""
_I915_REGIONS: Final = 4
_XE: Final = 0xC0286440
"""_IOWR('d', 0x40 + 0, 40 bytes): extensions, what is asked, how long, where to, two reserved."""
_XE_REGIONS: Final = 1
_OF_CARD: Final = 1
"""Class of a region; 0 is main memory."""
_REGION: Final = 88
"""Bytes of one region in either answer."""
_LONGEST: Final = 1 << 16
_UNKNOWN: Final = 1 << 50
"""i915 writes -1 for a size that it does not know."""


def regions(node: Path, driver: str) -> tuple[int, int] | None:
    """Bytes in all and free. `None`: not told. Drivers that tell a user without rights nothing about what is taken say that all is free."""
    try:
        descriptor = os.open(node, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        found = _xe(descriptor) if driver == "xe" else _i915(descriptor)
    except (OSError, struct.error):
        return None
    finally:
        os.close(descriptor)
    total = sum(size for size, _ in found)
    return (total, sum(min(size, free) for size, free in found)) if total else None


def _call(descriptor: int, request: int, argument: ctypes.Array[ctypes.c_char]) -> None:
    import fcntl

    fcntl.ioctl(descriptor, request, argument, True)


def _i915(descriptor: int) -> list[tuple[int, int]]:
    def ask(place: int, length: int) -> int:
        item = ctypes.create_string_buffer(struct.pack("=QiIQ", _I915_REGIONS, length, 0, place), 24)
        _call(descriptor, _I915, ctypes.create_string_buffer(struct.pack("=IIQ", 1, 0, ctypes.addressof(item)), 16))
        return int(struct.unpack_from("=i", item, 8)[0])

    return _found(_answer(ask), 16)


def _xe(descriptor: int) -> list[tuple[int, int]]:
    def ask(place: int, length: int) -> int:
        query = ctypes.create_string_buffer(struct.pack("=QIIQQQ", 0, _XE_REGIONS, length, place, 0, 0), 40)
        _call(descriptor, _XE, query)
        return int(struct.unpack_from("=I", query, 12)[0])

    return [(size, max(0, size - used)) for size, used in _found(_answer(ask), 8)]


def _answer(ask: Callable[[int, int], int]) -> bytes:
    """Asked twice, as ever with these calls: how long the answer is, then the answer. Empty: there is none, or none that can be true."""
    length = ask(0, 0)
    if not 8 <= length <= _LONGEST:
        return b""
    answer = ctypes.create_string_buffer(length)
    return answer.raw if 8 <= ask(ctypes.addressof(answer), length) <= _LONGEST else b""


def _found(answer: bytes, start: int) -> list[tuple[int, int]]:
    """Of each region on the card its size and the number behind it."""
    if len(answer) < start:
        return []
    (count,) = struct.unpack_from("=I", answer, 0)
    each = (struct.unpack_from("=H6xQQ", answer, at) for at in range(start, min(start + count * _REGION, len(answer) - _REGION + 1), _REGION))
    return [(size, other) for kind, size, other in each if kind == _OF_CARD and size < _UNKNOWN]

"""How much memory Intel's cards have, asked of their drivers by the call that graphics libraries use. It changes nothing.

Structures and numbers: include/uapi/drm/i915_drm.h (DRM_I915_QUERY_MEMORY_REGIONS) and xe_drm.h (DRM_XE_DEVICE_QUERY_MEM_REGIONS) of Linux.
"""

from __future__ import annotations

import ctypes
import os
import struct
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
    """Asked twice, as ever with these calls: how long the answer is, then the answer."""
    answer = ctypes.create_string_buffer(0)
    for _ in range(2):
        place = ctypes.addressof(answer) if len(answer) else 0
        item = ctypes.create_string_buffer(struct.pack("=QiIQ", _I915_REGIONS, len(answer), 0, place), 24)
        _call(descriptor, _I915, ctypes.create_string_buffer(struct.pack("=IIQ", 1, 0, ctypes.addressof(item)), 16))
        (length,) = struct.unpack_from("=i", item, 8)
        if not 16 <= length <= _LONGEST:
            return []
        if len(answer):
            break
        answer = ctypes.create_string_buffer(length)
    (count,) = struct.unpack_from("=I", answer, 0)
    found = []
    for at in range(16, min(16 + count * 88, len(answer) - 87), 88):
        kind, size, free = struct.unpack_from("=H6xQQ", answer, at)
        if kind == _OF_CARD and size < _UNKNOWN:
            found.append((size, free))
    return found


def _xe(descriptor: int) -> list[tuple[int, int]]:
    answer = ctypes.create_string_buffer(0)
    for _ in range(2):
        place = ctypes.addressof(answer) if len(answer) else 0
        query = ctypes.create_string_buffer(struct.pack("=QIIQQQ", 0, _XE_REGIONS, len(answer), place, 0, 0), 40)
        _call(descriptor, _XE, query)
        (length,) = struct.unpack_from("=I", query, 12)
        if not 8 <= length <= _LONGEST:
            return []
        if len(answer):
            break
        answer = ctypes.create_string_buffer(length)
    (count,) = struct.unpack_from("=I", answer, 0)
    found = []
    for at in range(8, min(8 + count * 88, len(answer) - 87), 88):
        kind, size, used = struct.unpack_from("=H6xQQ", answer, at)
        if kind == _OF_CARD and size < _UNKNOWN:
            found.append((size, max(0, size - used)))
    return found

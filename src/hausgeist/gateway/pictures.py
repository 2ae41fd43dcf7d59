"""What a picture says about itself in its first bytes: its type, its width and height. Nothing is decoded."""

from __future__ import annotations

import base64
import binascii
import struct
from contextlib import suppress

__all__ = ["inspect", "pixels"]

_SEGMENTS = 4096
"""Of a JPEG, before its frame header: one from a camera has a few dozen."""
_BEGINNING = 2**16
"""Characters of base64 in which the size of most images stands."""


def inspect(body: bytes) -> tuple[str, tuple[int, int] | None]:
    """Media type by the first bytes, and width and height by the header; ("", None) for what is not an image."""
    try:
        if body.startswith(b"\x89PNG\r\n\x1a\n"):
            return "image/png", struct.unpack(">II", body[16:24]) if body[12:16] == b"IHDR" else None
        if body.startswith(b"\xff\xd8\xff"):
            return "image/jpeg", _jpeg_size(body)
        if body[:6] in (b"GIF87a", b"GIF89a"):
            return "image/gif", struct.unpack("<HH", body[6:10])
        if body.startswith(b"RIFF") and body[8:12] == b"WEBP":
            return "image/webp", _webp_size(body)
        if body.startswith(b"BM"):
            return "image/bmp", _bmp_size(body)
    except (struct.error, IndexError):
        return "image/broken", None
    return "", None


def pixels(url: str) -> int:
    """Of a checked `data:` URL, so what has no size is none. It stands near the beginning, except after a JPEG's many notes."""
    payload = url[url.index(",") + 1 :]
    with suppress(binascii.Error):
        for beginning in (payload[:_BEGINNING], payload):
            _, size = inspect(base64.b64decode(beginning))
            if size is not None:
                return size[0] * size[1]
    return 0


def _jpeg_size(body: bytes) -> tuple[int, int] | None:
    """Walk the segments to the frame header (SOF0 to SOF15, without DHT, JPG and DAC)."""
    position = 2
    for _ in range(_SEGMENTS):
        if position + 9 >= len(body):
            return None
        if body[position] != 0xFF:
            return None
        marker = body[position + 1]
        if marker == 0xFF:
            position += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", body[position + 5 : position + 9])
            return width, height
        elif marker == 0x01 or 0xD0 <= marker <= 0xD8:
            position += 2
        else:
            position += 2 + int(struct.unpack(">H", body[position + 2 : position + 4])[0])
    return None


def _webp_size(body: bytes) -> tuple[int, int] | None:
    chunk = body[12:16]
    if chunk == b"VP8X":
        return int.from_bytes(body[24:27], "little") + 1, int.from_bytes(body[27:30], "little") + 1
    if chunk == b"VP8 " and body[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack("<HH", body[26:30])
        return width & 0x3FFF, height & 0x3FFF
    if chunk == b"VP8L" and body[20] == 0x2F:
        bits = int(struct.unpack("<I", body[21:25])[0])
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return None


def _bmp_size(body: bytes) -> tuple[int, int]:
    if struct.unpack("<I", body[14:18])[0] == 12:
        width, height = struct.unpack("<HH", body[18:22])
    else:
        width, height = struct.unpack("<ii", body[18:26])
    return abs(width), abs(height)

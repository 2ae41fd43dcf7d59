"""Images in requests: checked before an engine sees them, and fetched by our own client or not at all.

Owns what counts as an image here (type by its first bytes, size in bytes and pixels) and the refusals. Does not decode pixels; engines do.
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import unquote_to_bytes

from hausgeist.errors import InvalidRequest, TooLarge, Unavailable
from hausgeist.gateway.abilities import sees
from hausgeist.gateway.services import Services
from hausgeist.identity import Origin, Principal
from hausgeist.model import InstalledModel

__all__ = [
    "IMAGES_LIMIT",
    "IMAGE_LIMIT",
    "PIXELS_LIMIT",
    "PIXEL_LIMIT",
    "data_url",
    "demand_room",
    "demand_vision",
    "resolve_image",
    "resolve_images",
]

IMAGE_LIMIT = 20 * 2**20
"""Largest image in bytes, as Anthropic's and OpenAI's limits have it."""

IMAGES_LIMIT = 20
"""Images fetched for one request: its body's size says nothing about theirs."""

PIXEL_LIMIT = 100_000_000
"""Engines hold an image unpacked (3 bytes per pixel): a small file that claims a huge picture must not exhaust the worker's memory."""

PIXELS_LIMIT = 200_000_000
"""The same for all images of one request together."""

_SIDE_LIMIT = 32_768
_SEGMENTS = 4096
"""Of a JPEG, before its frame header: one from a camera has a few dozen."""
_BEGINNING = 2**16
"""Characters of base64 in which the size of most images stands."""
_DATA_URL = re.compile(r"data:(?P<type>[^;,]*)(?P<parameters>(?:;[^;,]*)*),", re.IGNORECASE)
_SPACE = re.compile(rb"\s+")
_READABLE = "JPEG, PNG, GIF, WebP or BMP"


async def resolve_image(url: str, services: Services, who: Principal, origin: Origin, *, param: str | None = None) -> str:
    """The image behind a `data:` or `http(s):` URL as a checked `data:` URL. Raises InvalidRequest, TooLarge or EgressRefused, naming `param`."""
    scheme = url[:8].partition(":")[0].lower()
    if scheme == "data":
        return _from_data_url(url, param)
    if scheme not in {"http", "https"}:
        raise InvalidRequest("An image is sent as a data: URL ('data:image/png;base64,...') or as an http(s) address.", param=param)
    if not services.settings.remote_images:
        raise InvalidRequest(
            "This server does not fetch images from other hosts. Send the image itself as a data: URL, "
            "or have the owner set remote_images = true and add the host to 'allow'.",
            param=param,
        )
    return _encode(await _fetch(url, services, who, origin, param), param)


async def resolve_images(addresses: Iterable[tuple[str, str]], services: Services, who: Principal, origin: Origin) -> dict[str, str]:
    """The same for (address, place in the request) pairs, each address once."""
    found: dict[str, str] = {}
    for address, param in addresses:
        if address in found:
            continue
        if len(found) >= IMAGES_LIMIT:
            raise InvalidRequest(
                f"At most {IMAGES_LIMIT} images of other hosts are fetched for one request; send the images themselves.", param=param
            )
        found[address] = await resolve_image(address, services, who, origin, param=param)
    return found


def data_url(payload: str | bytes, *, param: str | None = None) -> str:
    """A checked `data:` URL of bare base64 (a `data:` URL is taken as well)."""
    if isinstance(payload, str) and payload[:5].lower() == "data:":
        return _from_data_url(payload, param)
    return _encode(_decode(payload, param), param)


def demand_room(messages: Iterable[Mapping[str, Any]], *, param: str = "messages") -> None:
    """Raise InvalidRequest when the images in these messages (checked `data:` URLs) are too much for one request: engines unpack all of them."""
    pixels = 0
    for message in messages:
        content = message.get("content")
        for part in content if isinstance(content, list) else ():
            if part.get("type") == "image_url":
                pixels += _pixels(part["image_url"]["url"])
                if pixels > PIXELS_LIMIT:
                    raise InvalidRequest(
                        f"The images of this request have more than {PIXELS_LIMIT // 10**6} megapixels together. Send smaller ones, or fewer.",
                        param=param,
                    )


def _pixels(url: str) -> int:
    """Of a checked `data:` URL, so what has no size is none. It stands near the beginning, except after a JPEG's many notes."""
    payload = url[url.index(",") + 1 :]
    with suppress(binascii.Error):
        for beginning in (payload[:_BEGINNING], payload):
            _, size = _inspect(base64.b64decode(beginning))
            if size is not None:
                return size[0] * size[1]
    return 0


def demand_vision(model: InstalledModel, *, param: str | None = None) -> None:
    """Raise InvalidRequest when `model` cannot see. Engines that keep their own models answer that themselves."""
    if sees(model) is False:
        raise InvalidRequest(
            f"The model '{model.id}' cannot see images: it has no vision projector. Leave the images out, or ask a vision model.", param=param
        )


async def _fetch(url: str, services: Services, who: Principal, origin: Origin, param: str | None) -> bytes:
    try:
        body, _ = await services.egress.fetch(url, limit=IMAGE_LIMIT, purpose="image", who=who, origin=origin)
    except TooLarge as error:
        raise TooLarge(f"The image is larger than {IMAGE_LIMIT // 2**20} MiB.") from error
    except Unavailable as error:
        raise InvalidRequest(f"The image could not be fetched: {error.message} Check its address, or send the image itself.", param=param) from error
    return body


def _from_data_url(url: str, param: str | None) -> str:
    head = _DATA_URL.match(url)
    if head is None:
        raise InvalidRequest("This data: URL is not valid; it should look like 'data:image/png;base64,...'.", param=param)
    kind = head["type"].lower()
    if kind and not kind.startswith("image/") and kind != "application/octet-stream":
        raise InvalidRequest(f"An image is expected here, this is '{kind[:80]}'.", param=param)
    payload = url[head.end() :]
    if ";base64" in head["parameters"].lower():
        return _encode(_decode(payload, param), param)
    return _encode(unquote_to_bytes(payload), param)


def _decode(payload: str | bytes, param: str | None) -> bytes:
    try:
        raw = _SPACE.sub(b"", payload.encode("ascii") if isinstance(payload, str) else payload)
        if len(raw) > IMAGE_LIMIT * 4 // 3 + 8:
            raise TooLarge(f"The image is larger than {IMAGE_LIMIT // 2**20} MiB.")
        return base64.b64decode(raw + b"=" * (-len(raw) % 4), validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise InvalidRequest("The image is not valid base64.", param=param) from error


def _encode(body: bytes, param: str | None) -> str:
    """Check the bytes and wrap them; the type is told by them, not by whoever sent them."""
    if len(body) > IMAGE_LIMIT:
        raise TooLarge(f"The image is larger than {IMAGE_LIMIT // 2**20} MiB.")
    kind, size = _inspect(body)
    if not kind:
        raise InvalidRequest(f"This is not an image that can be read: {_READABLE} is needed.", param=param)
    if size is None:
        raise InvalidRequest(f"The {kind.partition('/')[2].upper()} image is broken: its size cannot be read.", param=param)
    width, height = size
    if width < 1 or height < 1 or width > _SIDE_LIMIT or height > _SIDE_LIMIT or width * height > PIXEL_LIMIT:
        raise InvalidRequest(f"The image is {width} x {height} pixels; at most {PIXEL_LIMIT // 10**6} megapixels can be read.", param=param)
    return f"data:{kind};base64,{base64.b64encode(body).decode()}"


def _inspect(body: bytes) -> tuple[str, tuple[int, int] | None]:
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

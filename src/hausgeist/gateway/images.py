"""Images in requests: checked before an engine sees them, and fetched by our own client or not at all.

Owns what counts as an image here (its size in bytes and pixels) and the refusals. Does not decode pixels; engines do, and `webp` for them.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

from hausgeist.errors import InvalidRequest, TooLarge, Unavailable
from hausgeist.gateway.abilities import sees
from hausgeist.gateway.pictures import inspect, pixels
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
    "demand_sent",
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
    total = 0
    for message in messages:
        content = message.get("content")
        for part in content if isinstance(content, list) else ():
            if part.get("type") == "image_url":
                total += pixels(part["image_url"]["url"])
                if total > PIXELS_LIMIT:
                    raise InvalidRequest(
                        f"The images of this request have more than {PIXELS_LIMIT // 10**6} megapixels together. Send smaller ones, or fewer.",
                        param=param,
                    )


def demand_sent(messages: Iterable[Mapping[str, Any]], *, param: str = "messages") -> None:
    """Raise InvalidRequest unless every image in these messages is there itself and can be read: an engine would fetch what an address names."""
    for message in messages:
        content = message.get("content")
        for part in content if isinstance(content, list) else ():
            if part.get("type") == "image_url":
                url = str(part["image_url"]["url"])
                if url[:5].lower() != "data:":
                    raise InvalidRequest("An image of what was said before is only named, and not there. Send it anew, as a data: URL.", param=param)
                _from_data_url(url, param)


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
    kind, size = inspect(body)
    if not kind:
        raise InvalidRequest(f"This is not an image that can be read: {_READABLE} is needed.", param=param)
    if size is None:
        raise InvalidRequest(f"The {kind.partition('/')[2].upper()} image is broken: its size cannot be read.", param=param)
    width, height = size
    if width < 1 or height < 1 or width > _SIDE_LIMIT or height > _SIDE_LIMIT or width * height > PIXEL_LIMIT:
        raise InvalidRequest(f"The image is {width} x {height} pixels; at most {PIXEL_LIMIT // 10**6} megapixels can be read.", param=param)
    return f"data:{kind};base64,{base64.b64encode(body).decode()}"

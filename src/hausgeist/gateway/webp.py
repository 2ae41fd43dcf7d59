"""WebP pictures, which browsers and phones make and llama.cpp cannot decode: put into PNG before an engine gets them.

Owns the conversion and its bounds. That a picture is one, and how large it says it is, was checked by `images` before anything is decoded.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterable, Mapping
from io import BytesIO
from typing import Any

from hausgeist.errors import InvalidRequest
from hausgeist.gateway.pictures import pixels

__all__ = ["WEBP_PIXELS", "Converter"]

WEBP_PIXELS = 2**24
"""Larger than what phones take by default. Decoding takes some 8 bytes a pixel, in this process and not in an engine's."""
_WEBP = "data:image/webp;base64,"


class Converter:
    """Converts one picture at a time, beside the event loop: many at once could exhaust memory and hold up all others."""

    def __init__(self) -> None:
        self._turn = asyncio.Semaphore(1)

    async def convert(self, messages: Iterable[Mapping[str, Any]], *, param: str = "messages") -> None:
        """Replace each WebP in these messages (checked `data:` URLs) by the same picture as PNG. Raises `InvalidRequest`, naming `param`."""
        for message in messages:
            content = message.get("content")
            for part in content if isinstance(content, list) else ():
                if part.get("type") == "image_url" and part["image_url"]["url"].startswith(_WEBP):
                    part["image_url"] = {**part["image_url"], "url": await self._png(part["image_url"]["url"], param)}

    async def _png(self, url: str, param: str) -> str:
        if pixels(url) > WEBP_PIXELS:
            raise InvalidRequest(f"A WebP image may have {WEBP_PIXELS / 1e6:.0f} megapixels; send larger ones as PNG or JPEG.", param=param)
        async with self._turn:
            try:
                return await asyncio.to_thread(_convert, url)
            except (OSError, ValueError, SyntaxError, EOFError, MemoryError, RuntimeError) as error:
                raise InvalidRequest("The WEBP image is broken: it cannot be decoded.", param=param) from error


def _convert(url: str) -> str:
    """The first frame, on white where it is transparent, as engines see no transparency."""
    from PIL import Image

    with Image.open(BytesIO(base64.b64decode(url[len(_WEBP) :])), formats=("WEBP",)) as found:
        if found.width * found.height > WEBP_PIXELS:
            raise ValueError("the picture is larger than its header said")
        shown = found.convert("RGBA" if found.has_transparency_data else "RGB")
    if shown.mode == "RGBA":
        ground = Image.new("RGB", shown.size, (255, 255, 255))
        ground.paste(shown, mask=shown.getchannel("A"))
        shown = ground
    out = BytesIO()
    shown.save(out, "PNG", compress_level=1)
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"

"""WebP becomes PNG: the same picture, within bounds, and whatever is broken is refused."""

from __future__ import annotations

import base64
import contextlib
import io
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hausgeist.errors import InvalidRequest
from hausgeist.gateway.images import data_url
from hausgeist.gateway.webp import WEBP_PIXELS, Converter


def webp(image: Image.Image, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, "WEBP", **{"lossless": True, "exact": True, **options})
    return out.getvalue()


def message(body: bytes) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "text", "text": "?"}, {"type": "image_url", "image_url": {"url": data_url(base64.b64encode(body))}}]}


async def converted(body: bytes) -> Image.Image:
    said = message(body)
    await Converter().convert([{"role": "system", "content": "text"}, said], param="images")
    head, _, payload = said["content"][1]["image_url"]["url"].partition(",")
    assert head == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(payload)))


def drawn(mode: str) -> Image.Image:
    image = Image.new(mode, (31, 17))
    for x in range(31):
        for y in range(17):
            image.putpixel((x, y), (x * 8, y * 15, 90, 255 * (x > 9))[: len(mode)])
    return image


async def test_the_picture_stays_the_same() -> None:
    assert (await converted(webp(drawn("RGB")))).tobytes() == drawn("RGB").tobytes()


async def test_what_is_transparent_becomes_white() -> None:
    found = await converted(webp(drawn("RGBA")))
    assert (found.mode, found.getpixel((0, 0)), found.getpixel((20, 3))) == ("RGB", (255, 255, 255), (160, 45, 90))


async def test_the_first_of_several_frames_is_taken() -> None:
    moving = webp(Image.new("RGB", (9, 9), "red"), save_all=True, append_images=[Image.new("RGB", (9, 9), "blue")])
    assert (await converted(moving)).getpixel((4, 4)) == (255, 0, 0)


async def test_other_forms_are_left_alone() -> None:
    out = io.BytesIO()
    drawn("RGB").save(out, "PNG")
    said = message(out.getvalue())
    before = said["content"][1]["image_url"]
    await Converter().convert([said])
    assert said["content"][1]["image_url"] is before


async def test_a_picture_that_is_too_large_is_refused_before_it_is_decoded() -> None:
    body = bytearray(webp(drawn("RGBA"), lossless=False))
    assert body[12:16] == b"VP8X"
    side = 4097
    body[24:27] = body[27:30] = struct.pack("<I", side - 1)[:3]
    assert side * side > WEBP_PIXELS
    with pytest.raises(InvalidRequest, match="17 megapixels") as caught:
        await converted(bytes(body))
    assert caught.value.param == "images"


@settings(max_examples=60, deadline=None)
@given(st.integers(30, 400), st.binary(min_size=1, max_size=8), st.booleans())
async def test_what_is_broken_is_refused_or_decoded_and_never_a_crash(place: int, junk: bytes, lossless: bool) -> None:
    body = bytearray(webp(drawn("RGBA"), lossless=lossless))
    body[place : place + len(junk)] = junk
    with contextlib.suppress(InvalidRequest):  # nothing else may be raised
        found = await converted(bytes(body))
        assert found.size[0] * found.size[1] <= WEBP_PIXELS

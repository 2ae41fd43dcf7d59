"""Images: what counts as one, what is refused, and that only our own client ever fetches."""

from __future__ import annotations

import base64
import io
import struct
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from hausgeist.errors import EgressRefused, InvalidRequest, TooLarge, Unavailable
from hausgeist.gateway.images import IMAGE_LIMIT, IMAGES_LIMIT, data_url, demand_vision, resolve_image, resolve_images
from hausgeist.identity import LOCAL_OWNER, Origin
from hausgeist.model import InstalledModel, Shape

ORIGIN = Origin("127.0.0.1")


def picture(kind: str, size: tuple[int, int] = (7, 5)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, (200, 30, 30)).save(out, kind)
    return out.getvalue()


class Outside:
    """An outbound client with one answer."""

    def __init__(self, answer: bytes | Exception) -> None:
        self.answer = answer
        self.asked: list[tuple[str, Any]] = []

    async def fetch(self, url: str, *, limit: int, purpose: str, who: Any, origin: Any) -> tuple[bytes, str]:
        self.asked.append((url, who))
        assert limit == IMAGE_LIMIT
        assert purpose == "image"
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer, "text/plain"


def services(answer: bytes | Exception = b"", *, remote_images: bool = True) -> Any:
    return SimpleNamespace(settings=SimpleNamespace(remote_images=remote_images), egress=Outside(answer))


@pytest.mark.parametrize(("kind", "media"), [("PNG", "png"), ("JPEG", "jpeg"), ("GIF", "gif"), ("WEBP", "webp"), ("BMP", "bmp")])
def test_the_type_is_told_by_the_bytes(kind: str, media: str) -> None:
    body = picture(kind)
    url = f"data:image/x-something;base64,{base64.b64encode(body).decode()}"
    checked = data_url(url)
    assert checked.startswith(f"data:image/{media};base64,")
    assert base64.b64decode(checked.partition(",")[2]) == body
    assert data_url(base64.b64encode(body)) == checked


def test_lossless_and_progressive_forms_are_measured_too() -> None:
    image = Image.new("RGB", (300, 20))
    for options in ({"format": "WEBP", "lossless": True}, {"format": "JPEG", "progressive": True, "comment": b"x" * 3000}):
        out = io.BytesIO()
        image.save(out, **options)
        assert data_url(base64.b64encode(out.getvalue()))


def test_white_space_and_missing_padding_are_forgiven() -> None:
    text = base64.b64encode(picture("PNG")).decode().rstrip("=")
    assert data_url("\n".join(text[start : start + 76] for start in range(0, len(text), 76))).startswith("data:image/png")


@pytest.mark.parametrize(
    "bad",
    [
        "data:image/png;base64,%%%",
        "data:image/png;base64,",
        "data:image/png",
        "data:text/html;base64,PGh0bWw+",
        "data:image/svg+xml,<svg/>",
        "bm90IGFuIGltYWdl",
        "ünïcode",
        "",
    ],
)
def test_what_is_no_image_is_refused(bad: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        data_url(bad, param="images")
    assert caught.value.param == "images"


@pytest.mark.parametrize(("kind", "needed"), [("PNG", 24), ("JPEG", 20), ("GIF", 10), ("WEBP", 26), ("BMP", 26)])
def test_a_header_cut_short_is_refused_and_never_a_crash(kind: str, needed: int) -> None:
    body = picture(kind)
    for length in range(needed):
        with pytest.raises(InvalidRequest):
            data_url(base64.b64encode(body[:length]))


def test_a_small_file_that_claims_a_huge_picture_is_refused() -> None:
    body = bytearray(picture("PNG"))
    body[16:24] = struct.pack(">II", 30_000, 30_000)
    with pytest.raises(InvalidRequest, match="30000 x 30000"):
        data_url(base64.b64encode(bytes(body)))


def test_too_many_bytes_are_refused_before_they_are_decoded() -> None:
    with pytest.raises(TooLarge):
        data_url("A" * (IMAGE_LIMIT * 2))


async def test_remote_images_are_off_unless_switched_on() -> None:
    house = services(picture("PNG"), remote_images=False)
    with pytest.raises(InvalidRequest, match="remote_images"):
        await resolve_image("https://example.org/a.png", house, LOCAL_OWNER, ORIGIN)
    assert house.egress.asked == []


async def test_remote_images_come_through_our_client() -> None:
    house = services(picture("PNG"))
    assert (await resolve_image("https://example.org/a", house, LOCAL_OWNER, ORIGIN)).startswith("data:image/png")
    assert house.egress.asked == [("https://example.org/a", LOCAL_OWNER)]


@pytest.mark.parametrize("scheme", ["file:///etc/passwd", "ftp://h/x", "javascript:alert(1)", "HTTPX://x", "//host/x", "\nhttp://h"])
async def test_other_schemes_never_reach_the_client(scheme: str) -> None:
    house = services()
    with pytest.raises(InvalidRequest):
        await resolve_image(scheme, house, LOCAL_OWNER, ORIGIN)
    assert house.egress.asked == []


@pytest.mark.parametrize(
    ("raised", "said"), [(Unavailable("h answered 404."), InvalidRequest), (EgressRefused(), EgressRefused), (TooLarge(), TooLarge)]
)
async def test_failures_of_the_client(raised: Exception, said: type[Exception]) -> None:
    with pytest.raises(said):
        await resolve_image("http://h/x.png", services(raised), LOCAL_OWNER, ORIGIN)


async def test_each_address_is_fetched_once_and_not_too_many() -> None:
    house = services(picture("PNG"))
    found = await resolve_images([("http://h/1", "a"), ("http://h/1", "b")], house, LOCAL_OWNER, ORIGIN)
    assert list(found) == ["http://h/1"]
    assert len(house.egress.asked) == 1
    with pytest.raises(InvalidRequest, match=str(IMAGES_LIMIT)):
        await resolve_images(((f"http://h/{number}", "a") for number in range(IMAGES_LIMIT + 1)), house, LOCAL_OWNER, ORIGIN)


def test_a_blind_model_is_named() -> None:
    model = InstalledModel(id="tiny", engine="llamacpp", path=None, digest="0" * 64, modified=0.0)
    with pytest.raises(InvalidRequest, match="tiny"):
        demand_vision(model)
    demand_vision(InstalledModel(id="eye", engine="llamacpp", path=None, digest="0" * 64, modified=0.0, shape=Shape(vision=True)))
    demand_vision(InstalledModel(id="far", engine="remote", path=None, digest="0" * 64, modified=0.0))

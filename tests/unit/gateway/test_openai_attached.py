"""Files and images of a project, named by their ids within a request."""

from __future__ import annotations

import base64
import io
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from hausgeist.errors import InvalidRequest, NotSupported
from hausgeist.gateway.openai.attached import attach
from hausgeist.gateway.webp import Converter
from hausgeist.identity import LOCAL_OWNER, Origin, Principal


def png() -> bytes:
    body = io.BytesIO()
    Image.new("RGB", (8, 6), "red").save(body, "PNG")
    return body.getvalue()


FILES = {"file-text": ("note.txt", b"hello"), "file-image": ("a.png", png()), "file-binary": ("b.bin", b"\0\1")}


async def read(who: Principal, file: str, limit: int) -> tuple[str, bytes]:
    assert limit > 0
    return FILES[file]


async def text(who: Principal, file: str) -> str:
    raise InvalidRequest("It is no document.")


async def attached(*parts: dict[str, Any]) -> list[dict[str, Any]]:
    items = [{"type": "message", "role": "user", "content": [dict(part) for part in parts]}]
    services: Any = SimpleNamespace(files=SimpleNamespace(read=read), documents=SimpleNamespace(text=text), converter=Converter())
    await attach(items, services, LOCAL_OWNER, Origin("127.0.0.1"), model=None, param="input")
    return items[0]["content"]  # type: ignore[return-value]


async def test_what_files_hold_is_put_into_the_item() -> None:
    text, image = await attached({"type": "input_file", "file_id": "file-text"}, {"type": "input_image", "file_id": "file-image", "detail": "auto"})
    assert text["filename"] == "note.txt"
    assert base64.b64decode(text["file_data"].partition(",")[2]) == b"hello"
    assert image["image_url"] == "data:image/png;base64," + base64.b64encode(png()).decode()


async def test_what_cannot_be_read_is_refused_by_its_place() -> None:
    with pytest.raises(InvalidRequest, match="no document") as refused:
        await attached({"type": "input_file", "file_id": "file-binary"})
    assert refused.value.param == "input.0.content.0"
    with pytest.raises(InvalidRequest, match="not an image"):
        await attached({"type": "input_image", "file_id": "file-text"})
    with pytest.raises(NotSupported, match=r"input\.0\.content\.0\.file_url"):
        await attached({"type": "input_file", "file_url": "https://example.org/a.pdf"})
    with pytest.raises(InvalidRequest, match="at most 16"):
        await attached(*[{"type": "input_file", "file_id": "file-text"}] * 17)

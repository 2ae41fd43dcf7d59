"""Images and files within the items of a request: looked up, fetched, checked, and put into the item, so that what was said stays whole later."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from hausgeist.errors import InvalidRequest, NotSupported, TooLarge
from hausgeist.gateway.images import IMAGE_LIMIT, data_url, demand_vision, resolve_image
from hausgeist.gateway.openai.items import parts_of
from hausgeist.gateway.services import Services
from hausgeist.identity import Origin, Principal
from hausgeist.model import InstalledModel

__all__ = ["attach"]

_MOST: Final = {"input_image": 64, "input_file": 16}
_DOCUMENT_LIMIT: Final = 64 * 2**20
"""Bytes of a document, of which a prompt gets the text."""
_TEXT_LIMIT: Final = 4 * 2**20
"""Bytes of a text that is put into a prompt: more than any context holds."""


async def attach(
    items: Sequence[dict[str, Any]], services: Services, who: Principal, origin: Origin, *, model: InstalledModel | None, param: str
) -> None:
    """Put into the parts what they name: images as checked `data:` addresses, files as `data:` addresses of their text.

    Raises `InvalidRequest`, also for a document that cannot be read; `TooLarge`, `EgressRefused`; `NotFound` for a file that is not the project's;
    `NotSupported` for one that lies on another host.
    """
    for kind, most in _MOST.items():
        found = parts_of(items, kind, param=param)
        if len(found) > most:
            raise InvalidRequest(f"The request has {len(found)} parts of type '{kind}'; at most {most} are accepted.", param=param)
        for place, part in found:
            if kind == "input_file":
                await _file(part, services, who, place)
            else:
                if model is not None:
                    demand_vision(model, param=f"{place}.image_url")
                await _image(part, services, who, origin, place)


async def _image(part: dict[str, Any], services: Services, who: Principal, origin: Origin, place: str) -> None:
    if part.get("file_id") is not None:
        _, body = await services.files.read(who, part["file_id"], IMAGE_LIMIT)
        url = data_url(base64.b64encode(body).decode(), param=f"{place}.file_id")
    else:
        url = await resolve_image(part["image_url"], services, who, origin, param=f"{place}.image_url")
    picture = {"type": "image_url", "image_url": {"url": url}}
    await services.converter.convert([{"content": [picture]}], param=place)
    part["image_url"] = picture["image_url"]["url"]  # type: ignore[index]


async def _file(part: dict[str, Any], services: Services, who: Principal, place: str) -> None:
    if part.get("file_url") is not None:
        raise NotSupported(f"'{place}.file_url': files are not fetched from other hosts; send the file itself as 'file_data'.", param=place)
    if part.get("file_id") is not None:
        name, body = await services.files.read(who, part["file_id"], _DOCUMENT_LIMIT)
        part.setdefault("filename", name)
    else:
        body = _decoded(str(part["file_data"]), f"{place}.file_data")
    if not _is_text(body):
        body = (await _text(part, body, services, who, place)).encode("utf-8", "replace")
    if len(body) > _TEXT_LIMIT:
        raise TooLarge(f"'{place}': the text of the file has {len(body)} bytes, and {_TEXT_LIMIT} is what a prompt takes. Search it instead.")
    part["file_data"] = f"data:text/plain;base64,{base64.b64encode(body).decode()}"


def _is_text(body: bytes) -> bool:
    """A document that happens to hold no other bytes than a text does is none: its model would read drawing commands."""
    if b"\0" in body or body.lstrip()[:5] in (b"%PDF-", b"{\\rtf"):
        return False
    try:
        body.decode()
    except UnicodeError:
        return False
    return True


async def _text(part: dict[str, Any], body: bytes, services: Services, who: Principal, place: str) -> str:
    """What a document says, all of it."""
    try:
        if part.get("file_id") is not None:
            return await services.documents.text(who, str(part["file_id"]))
        return await services.attached.text(body, str(part.get("filename") or "file"))
    except InvalidRequest as error:
        error.param = error.param or place
        raise


def _decoded(text: str, param: str) -> bytes:
    """The bytes of a `data:` address, or of bare base64, as OpenAI takes both."""
    head, comma, data = text.partition(",") if text[:5].lower() == "data:" else ("data:;base64", ",", text)
    if not comma:
        raise InvalidRequest(f"'{param}' is not a data: address.", param=param)
    try:
        return base64.b64decode("".join(data.split()), validate=True) if head.lower().endswith(";base64") else unquote_to_bytes(data)
    except (ValueError, binascii.Error) as error:
        raise InvalidRequest(f"'{param}' is not valid base64.", param=param) from error

"""Bytes of a server of tools into JSON-RPC messages: one JSON document, or a stream of events. Everything is bounded, and nothing is believed.

What such a server sends is kept, shown to people and read by models: characters that command a terminal or cannot be seen are taken out here.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from hausgeist.errors import shown

if TYPE_CHECKING:
    from aiohttp import ClientResponse

__all__ = ["EventReader", "Fault", "ServerEvent", "clean", "clean_text", "document", "invalid", "parse", "pieces"]

_MESSAGE: Final = 4 * 2**20
"""Bytes of one message."""
_DEPTH: Final = 64
_VALUES: Final = 50_000
_ESCAPES: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?)")
"""What terminals obey: colours, cursor movements, window titles, links."""
_UNSEEN: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff\U000e0000-\U000e007f]")
"""Control characters, halves of surrogate pairs, and the tags in which text can be hidden from people and not from models."""
_LINE: Final = re.compile(rb"\r\n|\n|\r")
_INVALID: Final = -32600


class Fault(Exception):
    """A server of tools failed, or answered with an error: what an item says about it. Never leaves this package."""

    def __init__(self, message: str, *, code: int = 502, protocol: bool = False, data: Any = None) -> None:
        """`code`: the status of HTTP (502 for none, 504 for no answer in time), or of JSON-RPC where it is an error of the `protocol`."""
        self.message = shown(message, 1000)
        self.code = code
        self.status = 0
        self.protocol = protocol
        self.data = data
        super().__init__(self.message)

    @property
    def error(self) -> dict[str, Any]:
        """As `mcp_call` has it."""
        return {"type": "mcp_protocol_error" if self.protocol else "http_error", "code": self.code, "message": self.message}


def invalid(message: str) -> Fault:
    """For what is no answer by the protocol."""
    return Fault(message, code=_INVALID, protocol=True)


def clean_text(text: str) -> str:
    """Without what cannot be seen; line breaks and tabs stay."""
    return _UNSEEN.sub("", _ESCAPES.sub("", text.replace("\r\n", "\n").replace("\r", "\n")))


def clean(value: Any) -> Any:
    """A JSON value whose texts are clean. Raises `Fault` for what is too deep, too much, or no finite number."""
    left = _VALUES

    def walk(item: Any, depth: int) -> Any:
        nonlocal left
        left -= 1
        if depth > _DEPTH or left < 0:
            raise invalid("The server of tools sent a value that is nested too deeply or holds too many parts.")
        match item:
            case str():
                return clean_text(item)
            case dict():
                return {clean_text(name): walk(inner, depth + 1) for name, inner in item.items()}
            case list():
                return [walk(inner, depth + 1) for inner in item]
            case float() if not math.isfinite(item):
                raise invalid("The server of tools sent a number that is not finite.")
        return item

    return walk(value, 0)


def parse(body: bytes) -> list[dict[str, Any]]:
    """The messages in a document, as they came: one, or a batch as the protocol of March 2025 has them. Raises `Fault`."""
    try:
        found = json.loads(body.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        raise invalid("The server of tools sent something that is not valid JSON.") from None
    messages = found if isinstance(found, list) else [found]
    if not all(isinstance(message, dict) for message in messages):
        raise invalid("The server of tools sent something that is no JSON-RPC message.")
    return messages


async def pieces(response: ClientResponse, limit: int) -> AsyncGenerator[bytes, None]:
    """The body as it comes. Raises `Fault` over `limit` bytes (after decompression), and where it breaks off."""
    from aiohttp import ClientError

    size = 0
    try:
        async for piece in response.content.iter_chunked(1 << 16):
            size += len(piece)
            if size > limit:
                raise invalid("The server of tools sent more than is taken as one answer.")
            yield piece
    except (ClientError, OSError) as error:
        if isinstance(error, TimeoutError):
            raise
        raise Fault(f"The connection to the server of tools broke before the answer was there ({type(error).__name__}).") from error


async def document(response: ClientResponse, limit: int = _MESSAGE) -> bytes:
    """The whole body. Raises `Fault`."""
    body = bytearray()
    async with aclosing(pieces(response, limit)) as coming:
        async for piece in coming:
            body += piece
    return bytes(body)


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event of a stream. `data` is empty where it only says from where to go on."""

    data: bytes
    id: str = ""
    retry: float | None = None
    """Seconds to wait before the stream is asked for again."""


class EventReader:
    """Cuts a stream into its events, whichever way the bytes come."""

    def __init__(self) -> None:
        self._line: list[bytes] = []
        self._half = b""
        self._data: list[bytes] = []
        self._size = 0
        self._id = ""
        self._retry: float | None = None

    def feed(self, piece: bytes) -> list[ServerEvent]:
        """The events that are whole now. Raises `Fault` for one that grows without end."""
        events = []
        text = self._half + piece
        self._half = b"\r" if text.endswith(b"\r") else b""  # of a line end that may go on
        for number, part in enumerate(_LINE.split(text.removesuffix(b"\r"))):
            if number:  # a line end stands before it
                line, self._line = b"".join(self._line), []
                if line:
                    self._take(line)
                else:
                    if self._data or self._id or self._retry is not None:
                        events.append(ServerEvent(b"\n".join(self._data), self._id, self._retry))
                    self._data, self._size, self._id, self._retry = [], 0, "", None
            self._line.append(part)
            self._size += len(part) + 1
            if self._size > _MESSAGE:
                raise invalid(f"The server of tools sent an event of more than {_MESSAGE // 2**20} MiB.")
        return events

    def _take(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"id" and len(value) <= 1024:
            text = value.decode("latin-1")
            self._id = text if text.isascii() and text.isprintable() else ""
        elif name == b"retry" and value.isdigit() and len(value) < 10:
            self._retry = int(value) / 1000

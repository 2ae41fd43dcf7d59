"""Forms with a file (multipart/form-data): the fields into a checked pydantic model, the file handed on as a stream, never whole in memory.

The file may stand before the fields or after them. Fields are few and short; what is larger, or more, is refused.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from pydantic import BaseModel
from starlette.requests import Request

from hausgeist.errors import InvalidRequest, TooLarge
from hausgeist.http.bodies import parse

__all__ = ["Part", "read_form"]

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")

_MOST_PARTS: Final = 32
_FIELDS_BYTES: Final = 64 << 10
_WITHIN: Final = re.compile(r"(\w{1,64})\[(\w{1,64})\]", re.ASCII)


@dataclass(slots=True)
class Part:
    """What stands before the content of one part."""

    name: str = ""
    filename: str | None = None
    """`None`: it is a field."""
    media_type: str = ""


async def read_form(request: Request, model: type[M], *, file: str, keep: Callable[[Part, AsyncIterator[bytes]], Awaitable[T]]) -> tuple[M, T]:
    """The fields, and what `keep` made of the one file, which stands in the field `file`. `keep` reads the stream that it is given to its end.

    Fields may be one level deep, as the SDK sends them (`expires_after[seconds]`). Raises `InvalidRequest`, and what `keep` raises.
    """
    fields: dict[str, Any] = {}
    kept: list[T] = []
    parts = read = 0
    async with aclosing(_events(request)) as events:
        async for part in events:
            if not isinstance(part, Part):
                continue
            parts += 1
            if parts > _MOST_PARTS:
                raise InvalidRequest(f"The form has more than {_MOST_PARTS} parts.")
            if part.name == file:
                if kept:
                    raise InvalidRequest("The form holds more than one file; send them one by one.", param=file)
                kept.append(await keep(part, _content(events)))
                continue
            value = bytearray()
            async for data in _content(events):
                value += data
                read += len(data)
                if read > _FIELDS_BYTES:
                    raise TooLarge("The fields of the form are too large.")
            _put(fields, part.name, value)
    if not kept:
        raise InvalidRequest(f"{file}: this field is required, with a file in it", param=file)
    return parse(json.dumps(fields).encode(), model), kept[0]


def _put(fields: dict[str, Any], name: str, value: bytearray) -> None:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise InvalidRequest("A field of the form is not valid UTF-8.") from None
    within = _WITHIN.fullmatch(name)
    place, last = (fields.setdefault(within[1], {}), within[2]) if within else (fields, name)
    if not isinstance(place, dict) or last in place:
        raise InvalidRequest("A field of the form is there twice.")
    place[last] = text


async def _content(events: AsyncGenerator[Part | bytes | None, None]) -> AsyncGenerator[bytes, None]:
    """The bytes of the part that has just begun."""
    async for event in events:
        if event is None:
            return
        if isinstance(event, bytes):
            yield event


async def _events(request: Request) -> AsyncGenerator[Part | bytes | None, None]:
    """Of each part its head, its bytes as they come, and `None` for its end."""
    from python_multipart.exceptions import FormParserError
    from python_multipart.multipart import MultipartParser, parse_options_header

    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise InvalidRequest("Send this as multipart/form-data: the file as one part, each other parameter as one more.")
    reading = _Reading(parse_options_header)
    try:
        parser = MultipartParser(
            options[b"boundary"],
            {
                "on_part_begin": reading.begin,
                "on_header_field": reading.header_field,
                "on_header_value": reading.header_value,
                "on_header_end": reading.header_end,
                "on_headers_finished": reading.headers_finished,
                "on_part_data": reading.data,
                "on_part_end": reading.part_end,
                "on_end": reading.end,
            },
            max_header_count=16,
            max_header_size=8192,
        )
        async for chunk in request.stream():
            # What follows the end means nothing, and is read, since clients write all before they look for the answer.
            if chunk and not reading.ended:
                parser.write(chunk)
            while reading.events:
                yield reading.events.popleft()
    except FormParserError as error:
        raise InvalidRequest("The form is not valid multipart/form-data.") from error
    if not reading.ended:
        raise InvalidRequest("The form breaks off; send it again.")


def _unescaped(filename: str) -> str:
    """Browsers, and the SDK's client, write what would end the name or the line so (HTML, multipart/form-data encoding)."""
    return filename.replace("%22", '"').replace("%0D", "\r").replace("%0A", "\n")


class _Reading:
    """What the parser said and nobody has taken yet."""

    def __init__(self, options: Callable[[bytes], tuple[bytes, dict[bytes, bytes]]]) -> None:
        self.events: deque[Part | bytes | None] = deque()
        self.ended = False
        self._options = options
        self._part = Part()
        self._name, self._value = b"", b""

    def begin(self) -> None:
        self._part = Part()

    def header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def header_end(self) -> None:
        match self._name.lower():
            case b"content-disposition":
                _, options = self._options(self._value)
                self._part.name = options.get(b"name", b"").decode("utf-8", "replace")
                if (filename := options.get(b"filename")) is not None:
                    self._part.filename = _unescaped(filename.decode("utf-8", "replace"))
            case b"content-type":
                self._part.media_type = self._value.decode("latin-1").strip()
        self._name, self._value = b"", b""

    def headers_finished(self) -> None:
        if not self._part.name:
            raise InvalidRequest("A part of the form has no name.")
        self.events.append(self._part)

    def data(self, data: bytes, start: int, end: int) -> None:
        self.events.append(data[start:end])

    def part_end(self) -> None:
        self.events.append(None)

    def end(self) -> None:
        self.ended = True

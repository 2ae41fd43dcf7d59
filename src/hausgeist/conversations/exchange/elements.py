"""The elements of a JSON array one by one, as bytes, however long the array is: a file of gigabytes takes the memory of its largest chat.

Owns the cutting, not the parsing: what an element says, and whether it is JSON at all, is found out by whoever parses it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, Protocol

from hausgeist.errors import InvalidRequest, TooLarge

__all__ = ["LARGEST", "Readable", "elements"]

LARGEST: Final = 64 * 2**20
"""Bytes of one element."""
_MOST_VALUES: Final = 1_000_000
"""In one element: each becomes an object in memory."""
_CHUNK: Final = 2**20
_DEEPEST: Final = 200
# A string (perhaps one that has not ended yet), or what opens, closes and parts.
_MARK: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[\[\]{},]', re.DOTALL)
_SPACE: Final = b" \t\r\n"
_MARKED_BOM: Final = b"\xef\xbb\xbf"


class Readable(Protocol):
    """What bytes are read from."""

    def read(self, size: int, /) -> bytes: ...


def elements(file: Readable) -> Iterator[bytes | None]:
    """Each element of an array; of a single object, that. `None`: there was one, too large to be read. Raises `InvalidRequest` for what is
    neither, or ends too soon, and `TooLarge` for nesting without end."""
    first = _first(file)
    if first[:1] == b"{":
        yield _whole(file, first)
    elif first[:1] == b"[":
        yield from _Cutter(file, first[1:])
    else:
        raise InvalidRequest("The file is no JSON of chats: it begins neither with '[' nor with '{'.")


def _first(file: Readable) -> bytes:
    """The beginning of the file from its first character that is no space."""
    chunk = file.read(_CHUNK).removeprefix(_MARKED_BOM).lstrip(_SPACE)
    while not chunk and (more := file.read(_CHUNK)):
        chunk = more.lstrip(_SPACE)
    return chunk


def _whole(file: Readable, first: bytes) -> bytes | None:
    parts, size = [first], len(first)
    while size <= LARGEST and (chunk := file.read(_CHUNK)):
        parts.append(chunk)
        size += len(chunk)
    data = b"".join(parts)
    marks = data.count(b",") + data.count(b"[") + data.count(b"{")
    return data if size <= LARGEST and marks <= _MOST_VALUES else None


class _Cutter:
    """Looks at every character once, and keeps no more than one element of them."""

    def __init__(self, file: Readable, first: bytes) -> None:
        self._file = file
        self._buffer = first
        self._kept: list[bytes] = []
        """Of the element that has begun, what has left the buffer."""
        self._size = 0
        self._values = 0
        self._depth = 0

    def __iter__(self) -> Iterator[bytes | None]:
        ended = False
        while True:
            start, position = 0, len(self._buffer)
            for mark in _MARK.finditer(self._buffer):
                text = mark[0][:1]
                if text == b'"':
                    if not _closed(mark[0]):
                        position = mark.start()  # looked at again with what follows
                elif text in b"[{":
                    self._deeper()
                elif self._depth == 0:  # the end of an element, or with "]" of the array, too
                    element = self._take(start, mark.start())
                    if element is None or element:
                        yield element
                    start = mark.end()
                    if text != b",":
                        return
                elif text == b",":
                    self._values += 1
                else:
                    self._depth -= 1
            if ended:
                raise InvalidRequest("The file ends in the middle of a chat. Was it fetched completely?")
            ended = not self._more(start, position)

    def _deeper(self) -> None:
        self._depth += 1
        self._values += 1
        if self._depth > _DEEPEST:
            raise TooLarge("The file nests lists within lists without end; that is no export of chats.")

    def _more(self, start: int, position: int) -> bool:
        """Put aside what was looked at, and read on."""
        self._keep(self._buffer[start:position])
        rest = self._buffer[position:]
        if self._size > LARGEST or len(rest) > LARGEST:
            # Of a string that is too long, all that counts is that it has begun, and whether its next character stands for itself.
            escaped = (len(rest) - len(rest.rstrip(b"\\"))) % 2
            rest, self._size = rest[:1] + b"\\" * escaped, LARGEST + 1
        chunk = self._file.read(_CHUNK)
        self._buffer = rest + chunk
        return bool(chunk)

    def _keep(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > LARGEST or self._values > _MOST_VALUES:
            self._kept.clear()
        elif piece:
            self._kept.append(piece)

    def _take(self, start: int, stop: int) -> bytes | None:
        self._keep(self._buffer[start:stop])
        large = self._size > LARGEST or self._values > _MOST_VALUES
        element = None if large else b"".join(self._kept).strip(_SPACE)
        self._kept, self._size, self._values = [], 0, 0
        return element


def _closed(string: bytes) -> bool:
    """Whether a string that was matched has its end: a quotation mark that no backslash takes away."""
    if len(string) < 2 or not string.endswith(b'"'):
        return False
    before = len(string) - 1 - len(string[:-1].rstrip(b"\\"))
    return before % 2 == 0

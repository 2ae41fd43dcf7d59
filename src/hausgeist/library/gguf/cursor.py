"""Reads a file that nobody trusts: in chunks, forwards only, and never more than was checked to be there.

Knows nothing of GGUF but its numbers (little-endian) and how its strings are counted.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from struct import Struct
from typing import Final

from hausgeist.errors import InvalidRequest

__all__ = ["Cursor", "Ranges", "opened"]

Ranges = Callable[[int, int], bytes]
"""(offset, length) -> that many bytes, fewer only at the end: a file, or a range request to a server."""

_U32: Final = Struct("<I")
_U64: Final = Struct("<Q")
_MAX_HEADER: Final = 512 * 2**20
_CHUNK: Final = 2**18


@contextmanager
def opened(path: Path) -> Iterator[tuple[Ranges, int]]:
    """A regular file to be read in ranges, and its size. Raises `InvalidRequest`; never waits for a pipe."""
    try:
        # O_NONBLOCK: a named pipe must not hang us before we can see that it is one.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be opened: {error.strerror or error}.") from error
    except ValueError as error:
        raise InvalidRequest(f"{str(path)!r} is not a usable path: {error}.") from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise InvalidRequest(f"{path} is not a file but {'a folder' if stat.S_ISDIR(status.st_mode) else 'a device or pipe'}.")
    with os.fdopen(descriptor, "rb", buffering=0) as file:

        def ranges(offset: int, length: int) -> bytes:
            pieces: list[bytes] = []
            try:
                file.seek(offset)
                while length > 0 and (piece := file.read(length)):
                    pieces.append(piece)
                    length -= len(piece)
            except OSError as error:
                raise InvalidRequest(f"{path} cannot be read at byte {offset}: {error.strerror or error}.") from error
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)

        yield ranges, status.st_size


class Cursor:
    """A place in the file that only moves forward, and the chunk of the file behind it. Each step raises `InvalidRequest` past the end."""

    __slots__ = ("_base", "_chunk", "_ranges", "name", "position", "size")

    def __init__(self, ranges: Ranges, size: int, name: str) -> None:
        self._ranges = ranges
        self._base = 0
        self._chunk = b""
        self.size = size
        self.name = name
        self.position = 0

    def fault(self, what: str, at: int | None = None) -> InvalidRequest:
        return InvalidRequest(f"{self.name} is not a usable GGUF file: at byte {self.position if at is None else at}: {what}.")

    def need(self, length: int, what: str) -> None:
        if length > self.size - self.position:
            raise self.fault(f"{what} needs {length} bytes, but the file ends at byte {self.size}; it is damaged or was not downloaded completely")
        if self.position + length > _MAX_HEADER:
            raise self.fault(f"the header is larger than {_MAX_HEADER // 2**20} MiB")

    def take(self, length: int, what: str) -> bytes:
        self.need(length, what)
        start = self.position - self._base
        if start < 0 or start + length > len(self._chunk):
            self._fill(max(length, _CHUNK), least=length, what=what)
            start = 0
        self.position += length
        return self._chunk[start : start + length]

    def skip(self, length: int, what: str) -> None:
        self.need(length, what)
        self.position += length

    def u32(self, what: str) -> int:
        return int(_U32.unpack(self.take(4, what))[0])

    def u64(self, what: str) -> int:
        return int(_U64.unpack(self.take(8, what))[0])

    def skip_strings(self, count: int, what: str) -> None:
        """Step over `count` strings: the one loop whose speed matters, so it works on the chunk itself."""
        self.need(8 * count, what)
        length_at = _U64.unpack_from
        while count:
            self._fill(_CHUNK, least=8, what=what)
            chunk, place = self._chunk, 0
            last = len(chunk) - 8
            while count and place <= last:
                place += 8 + length_at(chunk, place)[0]
                count -= 1
            if place > self.size - self.position:
                raise self.fault(f"a string in {what} reaches beyond the end of the file (byte {self.size})")
            self.position += place
            self.need(8 * count, what)

    def _fill(self, length: int, *, least: int, what: str) -> None:
        self.need(least, what)
        chunk = self._ranges(self.position, min(length, self.size - self.position))
        if len(chunk) < least:
            raise self.fault(f"the file ended while {what} was read; it shrank meanwhile, or the connection broke")
        self._base, self._chunk = self.position, chunk

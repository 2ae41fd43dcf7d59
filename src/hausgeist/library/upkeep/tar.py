"""Tar archives as streams, for files that may come from anybody: what is read is bounded, what is not a plain file is refused.

Python's own reader believes what headers say (it would take gigabytes of "extended header" into memory), so the frame is read here; single
headers are parsed and made by the standard library. Nothing is ever unpacked under a name of the archive.
"""

from __future__ import annotations

import tarfile
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Final

from hausgeist.errors import InvalidRequest

__all__ = ["END", "Entry", "TarReader", "framed", "head", "padding"]

_BLOCK: Final = tarfile.BLOCKSIZE
END: Final = b"\0" * (2 * _BLOCK)
"""What an archive ends with."""
_MOST_ENTRIES: Final = 100_000
_LARGEST_EXTENSION: Final = 64 * 1024
_LARGEST_END: Final = 2**20
_FILES: Final = {tarfile.REGTYPE, tarfile.AREGTYPE}


def head(name: str, size: int) -> bytes:
    """The header of a file, the same for the same file whenever it is made."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    return info.tobuf(tarfile.PAX_FORMAT)


def padding(size: int) -> bytes:
    """What follows a file of this size."""
    return b"\0" * (-size % _BLOCK)


def framed(name: str, size: int) -> int:
    """Bytes of a file in an archive, with header and padding."""
    return len(head(name, size)) + size + len(padding(size))


@dataclass(frozen=True, slots=True)
class Entry:
    """A plain file. Its body must be read, or it is skipped, before the next one is asked for."""

    name: str
    size: int


class TarReader:
    """Entries one after the other, each with its body."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._buffer = b""
        self._left = 0
        self._pad = 0

    async def entries(self) -> AsyncGenerator[Entry, None]:
        """Raises `InvalidRequest` for what is no such archive, or ends too soon."""
        count = 0
        extension: dict[str, str] = {}
        while True:
            await self._skip()
            block = await self._exactly(_BLOCK)
            if not block.strip(b"\0"):
                await self._finish()
                return
            count += 1
            if count > _MOST_ENTRIES:
                raise InvalidRequest(f"The archive has more than {_MOST_ENTRIES} entries.")
            info = _parsed(block)
            if info.type in {tarfile.XHDTYPE, tarfile.XGLTYPE}:
                if not 0 <= info.size <= _LARGEST_EXTENSION:
                    raise InvalidRequest("The archive has an extended header that is too large.")
                records = _records(await self._exactly(info.size))
                await self._exactly(-info.size % _BLOCK)
                extension = records if info.type == tarfile.XHDTYPE else extension
                continue
            name, size = extension.get("path", info.name), _size(extension.get("size"), info.size)
            extension = {}
            if info.type == tarfile.DIRTYPE:
                if size:
                    raise InvalidRequest("The archive has a folder with contents of its own.")
                continue
            if info.type not in _FILES:
                raise InvalidRequest("The archive has an entry that is not a plain file (a link, a device, a sparse file).")
            self._left, self._pad = size, -size % _BLOCK
            yield Entry(name, size)

    async def body(self) -> AsyncGenerator[bytes, None]:
        """The contents of the entry that came last."""
        while self._left:
            if not self._buffer:
                self._buffer = await self._more()
            piece, self._buffer = self._buffer[: self._left], self._buffer[self._left :]
            self._left -= len(piece)
            yield piece

    async def read(self, limit: int) -> bytes:
        """The same at once. Raises `InvalidRequest` above `limit` bytes."""
        if self._left > limit:
            raise InvalidRequest(f"A file of the archive is larger than the {limit} bytes that it may have.")
        return await self._exactly(self._left, body=True)

    async def _skip(self) -> None:
        async for _ in self.body():
            pass
        await self._exactly(self._pad)
        self._pad = 0

    async def _exactly(self, count: int, *, body: bool = False) -> bytes:
        parts, missing = [], count
        while missing:
            if not self._buffer:
                self._buffer = await self._more()
            piece, self._buffer = self._buffer[:missing], self._buffer[missing:]
            missing -= len(piece)
            parts.append(piece)
        if body:
            self._left -= count
        return b"".join(parts)

    async def _more(self) -> bytes:
        async for chunk in self._chunks:
            if chunk:
                return chunk
        raise InvalidRequest("The archive ends in the middle; it was not copied whole.")

    async def _finish(self) -> None:
        """Archives end with zeros, some with many."""
        rest = len(self._buffer)
        if self._buffer.strip(b"\0"):
            raise InvalidRequest("Something follows the end of the archive.")
        async for chunk in self._chunks:
            rest += len(chunk)
            if rest > _LARGEST_END or chunk.strip(b"\0"):
                raise InvalidRequest("Something follows the end of the archive.")


def _parsed(block: bytes) -> tarfile.TarInfo:
    try:
        info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        raise InvalidRequest("This is not an archive of models, or it is damaged.") from error
    if info.size < 0:
        raise InvalidRequest("The archive has an entry of negative size.")
    return info


def _records(data: bytes) -> dict[str, str]:
    """`LENGTH KEY=VALUE\\n`, as in POSIX pax."""
    found: dict[str, str] = {}
    while data:
        length, space, _ = data.partition(b" ")
        if not space or not length.isdigit() or len(length) > 6 or not len(length) + 1 < int(length) <= len(data):
            raise InvalidRequest("The archive has an extended header that is damaged.")
        record, data = data[len(length) + 1 : int(length)], data[int(length) :]
        key, equals, value = record.removesuffix(b"\n").partition(b"=")
        if not equals or key.startswith(b"GNU.sparse"):
            raise InvalidRequest("The archive has an extended header that is not understood here.")
        found[key.decode("utf-8", "replace")] = value.decode("utf-8", "replace")
    return found


def _size(extended: str | None, plain: int) -> int:
    if extended is None:
        return plain
    if not extended.isascii() or not extended.isdigit() or len(extended) > 18:
        raise InvalidRequest("The archive has an extended header that is damaged.")
    return int(extended)

"""Reads the header of a GGUF file that lies on a server: a few range requests, a few megabytes, whatever the size of the file.

The parser is the one for files on disk. It runs over the ranges that are here already; where it needs one that is not, that range is asked for
and the parser begins anew, which costs less than to have it wait within. What a hostile server can make of it is bounded by the limits below.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Final, Protocol

from hausgeist.errors import InvalidRequest, NotAllowed, NotFound, Unavailable, shown
from hausgeist.library.gguf.header import Header, read_header_from
from hausgeist.library.sources.base import Part, Source

if TYPE_CHECKING:
    from aiohttp import ClientResponse

__all__ = ["Outbound", "read_remote_header"]

_FIRST: Final = 2**20
_LONGEST: Final = 16 * 2**20
_REQUESTS: Final = 16
"""The header of a model with a vocabulary of 260,000 tokens takes five."""
_MOST: Final = 128 * 2**20
"""Bytes of all ranges together."""
_SECONDS: Final = 60.0
_RANGE: Final = re.compile(r"bytes (\d{1,20})-(\d{1,20})/(\d{1,20})")


class Outbound(Protocol):
    """`governance.Egress`, as far as it is used here."""

    def request(
        self, method: str, url: str, *, purpose: str, headers: Mapping[str, str] | None = None, timeout: float | None = None
    ) -> AbstractAsyncContextManager[ClientResponse]:
        """A response whose body is still to be read. Raises `EgressRefused`, `Unavailable`."""


async def read_remote_header(part: Part, source: Source, outbound: Outbound) -> Header:
    """The header of a part of a release, with the size of the whole file.

    Raises `InvalidRequest` for what is no usable GGUF file, `NotFound`, `NotAllowed`, `Unavailable` for a server that does not answer ranges
    or answers nonsense, `EgressRefused`.
    """
    fetched = _Fetched(part, source, outbound)
    await fetched.extend(0, _FIRST)
    while True:
        try:
            # In a thread: a vocabulary takes tens of milliseconds, which other requests need not wait for.
            return await asyncio.to_thread(read_header_from, fetched.ranges, fetched.size, name=part.filename)
        except _Missing as missing:
            await fetched.extend(missing.offset, missing.length)


class _Missing(Exception):
    """The parser needs bytes that are not here yet."""

    def __init__(self, offset: int, length: int) -> None:
        super().__init__(offset, length)
        self.offset = offset
        self.length = length


class _Fetched:
    """The ranges that are here, and how more come."""

    def __init__(self, part: Part, source: Source, outbound: Outbound) -> None:
        self._part = part
        self._source = source
        self._outbound = outbound
        self._pieces: list[tuple[int, bytes]] = []
        self._window = _FIRST
        self._requests = 0
        self.size = part.size

    def ranges(self, offset: int, length: int) -> bytes:
        length = min(length, self.size - offset)
        for start, piece in self._pieces:
            if start <= offset and offset + length <= start + len(piece):
                return piece[offset - start : offset - start + length]
        raise _Missing(offset, length)

    async def extend(self, offset: int, length: int) -> None:
        """Fetch from there, more each time."""
        wanted = max(length, self._window)
        if self.size:
            wanted = min(wanted, self.size - offset)
        self._requests += 1
        if self._requests > _REQUESTS or sum(len(piece) for _, piece in self._pieces) + wanted > _MOST:
            raise InvalidRequest(f"{self._part.filename} has a header that is longer than is accepted; {offset} bytes of it were read.")
        self._pieces.append((offset, await self._range(offset, wanted)))
        self._window = min(self._window * 2, _LONGEST)

    async def _range(self, offset: int, length: int) -> bytes:
        from aiohttp import ClientError

        for renew in (False, True):
            headers = {
                **await self._source.headers(self._part, renew=renew),
                "Range": f"bytes={offset}-{offset + length - 1}",
                "Accept-Encoding": "identity",
            }
            try:
                async with self._outbound.request("GET", self._part.url, purpose="model header", headers=headers, timeout=_SECONDS) as response:
                    if response.status in (401, 403) and not renew:
                        continue
                    length = self._checked(response, offset, length)
                    return await self._body(response, length)
            except (ClientError, OSError, TimeoutError) as error:
                raise self._unavailable(f"broke off ({type(error).__name__})") from error
        raise NotAllowed(f"{shown(self._part.filename)} may not be read without a token, or with the one that is set.")

    def _checked(self, response: ClientResponse, offset: int, length: int) -> int:
        """How many bytes the answer brings. The size of the whole is learnt from the first one and may not change."""
        if response.status in (401, 403):
            raise NotAllowed(f"{shown(self._part.filename)} may not be read without a token, or with the one that is set.")
        if response.status in (404, 410):
            raise NotFound(f"{shown(self._part.filename)} is not there any more.")
        if response.status == 200 and offset == 0:
            # A server that knows no ranges sends the whole; the beginning of it is taken. A short file is a whole as well.
            size = response.content_length or 0
        elif response.status == 206:
            match = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if match is None or int(match[1]) != offset or int(match[2]) < offset:
                raise self._unavailable("answered with another range than was asked for")
            size = int(match[3])
            length = min(length, int(match[2]) - offset + 1)
        elif response.status == 200:
            raise self._unavailable("does not answer requests for a part of a file")
        else:
            raise self._unavailable(f"answered with status {response.status}")
        if self.size and size != self.size:
            raise self._unavailable(f"says that the file has {size} bytes instead of {self.size}; it changed meanwhile")
        if size <= 0:
            raise self._unavailable("does not tell how large the file is")
        self.size = size
        return min(length, size - offset)

    async def _body(self, response: ClientResponse, length: int) -> bytes:
        body = bytearray()
        while len(body) < length:
            chunk = await response.content.read(min(length - len(body), 2**20))
            if not chunk:
                raise self._unavailable(f"ended after {len(body)} of {length} bytes")
            body += chunk
        return bytes(body)

    def _unavailable(self, what: str) -> Unavailable:
        return Unavailable(f"The server of {shown(self._part.filename)} {what}; try again later.")

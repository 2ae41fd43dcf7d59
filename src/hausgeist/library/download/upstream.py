"""One file as its upstream offers it: requests for ranges of it, with credentials that are renewed and redirects that expire.

Knows what an answer means: bytes, "try again", or the end. What is fetched when, and where it goes, is decided in `crew`.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from hausgeist.errors import NotAllowed, NotFound, Unavailable, shown
from hausgeist.identity import Origin as Asker
from hausgeist.identity import Principal
from hausgeist.library.download.answers import Answer, Wrong, retry_after, understand
from hausgeist.library.download.journal import Origin
from hausgeist.library.download.outbound import Outbound, Patience
from hausgeist.library.sources.base import Part, Source

if TYPE_CHECKING:
    from aiohttp import ClientResponse

__all__ = ["Again", "Changed", "Upstream"]

_READ_BUFFER = 256 << 10
_CONNECT_SECONDS = 10.0
_EXPIRED = {400, 401, 403, 404, 410}
_BUSY = {429, 503}
_PASSING = {408, 425, 429}


class Again(Exception):
    """It did not work, and may work next time. The message is what upstream did."""

    def __init__(self, message: str, *, wait: float | None = None, at_once: bool = False, busy: bool = False) -> None:
        super().__init__(message)
        self.wait = wait
        """Seconds that upstream asks for."""
        self.at_once = at_once
        self.busy = busy
        """Upstream has too much to do: fewer connections help."""


class Changed(Exception):
    """Upstream has another file under this address than when the download began."""


class Upstream:
    """`origin` is what the first good answer said; all others have to agree with it."""

    def __init__(
        self,
        part: Part,
        source: Source,
        outbound: Outbound,
        patience: Patience,
        *,
        who: Principal | None = None,
        asker: Asker | None = None,
        recorded: set[str] | None = None,
    ) -> None:
        """`recorded`: hosts that have their row in the audit table; those that get one are added."""
        self.part = part
        self.patience = patience
        self.origin: Origin | None = None
        self._source = source
        self._outbound = outbound
        self._who, self._asker = who, asker
        self._recorded = recorded if recorded is not None else set[str]()
        self._direct = ""
        """Where the address redirected to, on another host: asked directly until that is refused."""
        self._credentials: Mapping[str, str] | None = None
        self._renewing = asyncio.Lock()
        self._renewed = False

    @property
    def name(self) -> str:
        """The host, for messages."""
        from yarl import URL

        try:
            return shown(URL(self.part.url).host or "upstream")
        except ValueError:
            return "upstream"

    @property
    def size(self) -> int:
        """Of the whole file, as it was announced or as the first answer says; 0: not known."""
        return self.origin.size if self.origin is not None else self.part.size

    def endless(self, fetched: int) -> str:
        """What to say of a file that comes without a length and without an end."""
        return (
            f"{self.name} does not say how large {shown(self.part.filename)} is, and has sent {fetched / 1e9:.1f} GB of it without an end. "
            "Take it from a source that tells its size."
        )

    @asynccontextmanager
    async def ask(self, start: int, end: int) -> AsyncIterator[tuple[ClientResponse, Answer]]:
        """The answer to a request for [start, end), understood and checked. Raises `Again`, `Changed`, `NotFound`, `NotAllowed`, `Unavailable`."""
        from aiohttp import ClientTimeout

        direct, credentials = self._direct, {}
        if not direct:
            credentials = dict(await self._current())
        sent = {**credentials, "Accept-Encoding": "identity", "Range": f"bytes={start}-{end - 1}"}
        async with self._outbound.request(
            "GET",
            direct or self.part.url,
            purpose="model download",
            headers=sent,
            timeout=ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=self.patience.stall),
            who=self._who,
            origin=self._asker,
            recorded=self._recorded,
            read_buffer=_READ_BUFFER,
        ) as response:
            if response.status not in {200, 206, 416}:
                await self._refused(response, direct, credentials)
            try:
                answer = understand(response.status, response.headers, start, end)
                if response.status == 200 and not answer.size and not self.part.sha256 and not _framed(response):
                    raise Wrong("does not say how large the file is")
                self._agree(response, answer)
            except Wrong as error:
                raise Again(str(error)) from None
            if str(response.url) != self.part.url and response.url.origin() != type(response.url)(self.part.url).origin():
                self._direct = str(response.url)
            self._renewed = False
            yield response, answer

    def _agree(self, response: ClientResponse, answer: Answer) -> None:
        """Take the first answer for what the file is, and hold the others against it."""
        announced = self.part.size
        size = answer.size or (self.origin.size if self.origin is not None else announced)
        if response.status == 206 and not size:
            raise Wrong("does not say how large the file is")
        if announced and size != announced:
            raise Wrong(f"has {size} bytes where {announced} were announced")
        now = Origin(hashlib.sha256(self.part.url.encode()).hexdigest()[:16], size, answer.etag, answer.modified)
        if self.origin is None:
            self.origin = now
        self.hold(self.origin, now)
        if response.status == 416:
            raise Wrong("refuses a range that lies within the file")

    def hold(self, before: Origin, now: Origin) -> None:
        """Raises `Changed` when bytes of `before` cannot be bytes of what is there now. Where the digest is known it decides in the end: mirrors of
        one file differ in their validators."""
        if before.size != now.size or (not self.part.sha256 and before.changed(now)):
            raise Changed(f"{self.name} has another version of {shown(self.part.filename)} than before")

    async def _current(self) -> Mapping[str, str]:
        if self._credentials is None:
            async with self._renewing:
                if self._credentials is None:
                    self._credentials = await self._source.headers(self.part)
        return self._credentials

    async def _refused(self, response: ClientResponse, direct: str, credentials: Mapping[str, str]) -> None:
        """Raise what a status other than success means."""
        status, said = response.status, f"answers with status {response.status}"
        if direct and status in _EXPIRED:
            if self._direct == direct:
                self._direct = ""
            raise Again(said, at_once=True)
        if status in _PASSING or status >= 500:
            raise Again(said, wait=retry_after(response.headers), busy=status in _BUSY)
        elsewhere = response.url.origin() != type(response.url)(self.part.url).origin()
        if elsewhere and status in _EXPIRED:
            raise Again(f"redirects to a place that {said}")
        if status in {401, 403}:
            async with self._renewing:
                if self._credentials != credentials:
                    raise Again(said, at_once=True)
                if self._renewed:
                    raise NotAllowed(
                        f"{self.name} does not give out {shown(self.part.filename)} (status {status}). A token may be missing or refused."
                    )
                self._renewed = True
                self._credentials = await self._source.headers(self.part, renew=True)
            raise Again(said, at_once=True)
        if status in {404, 410}:
            raise NotFound(f"{self.name} has no {shown(self.part.filename)} (any more).")
        raise Unavailable(f"{self.name} {said} to the request for {shown(self.part.filename)}.")


def _framed(response: ClientResponse) -> bool:
    """Whether the end of the body can be told from a broken connection."""
    return "Content-Length" in response.headers or response.headers.get("Transfer-Encoding", "").lower() == "chunked"

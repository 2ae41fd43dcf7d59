"""A registry that is written to, in the words of OCI distribution: is a blob there, begin an upload, take a piece, finish it, take the manifest.

Everything goes to the registry's own host. It may say where on that host an upload goes on; one that names another host is not followed: the
weights were meant for this one. What is sent in which order, and again, is `upload`'s.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urljoin, urlsplit, urlunsplit

from hausgeist.errors import InvalidRequest, NotAllowed, Unavailable, shown
from hausgeist.identity import Origin, Principal
from hausgeist.library.push.layout import MANIFEST
from hausgeist.library.reference import Reference
from hausgeist.library.sources.credentials import Account, Credentials
from hausgeist.library.sources.outbound import Document, Errand, Outbound, ask, origin_of
from hausgeist.library.sources.places import Places

if TYPE_CHECKING:
    pass

__all__ = ["Begun", "Outbound", "Registries", "Registry"]

_PURPOSE: Final = "model push"
_LIMIT: Final = 2**16
_LONGEST: Final = 8192
_CONNECT_SECONDS: Final = 10.0
_SLOWEST: Final = 20e6
"""Bytes per second at which a registry may look through a whole upload before it answers."""
_OCTETS: Final = {"Content-Type": "application/octet-stream"}
_HAS: Final = re.compile(r"(?:bytes=)?0-(\d{1,18})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Begun:
    """An upload: where it goes on ("" when the blob is there already), and the least bytes that a piece may have."""

    location: str
    least: int = 0


class Registries:
    """Those that models can be pushed to: any, as far as the outbound client is allowed to reach them."""

    def __init__(
        self, outbound: Outbound, base: str, *, accounts: Mapping[str, Account] | None = None, plain_http: frozenset[str] = frozenset()
    ) -> None:
        """As `sources.Ollama`: the configured registry, and by host what is known of others."""
        self._outbound = outbound
        self._places = Places(base, plain_http)
        named = {origin_of(self._places.of_host(host)): account for host, account in (accounts or {}).items()}
        self._credentials = Credentials(outbound, named, actions="pull,push")

    def host(self, reference: Reference) -> str:
        """For people, and the audit table."""
        return urlsplit(self._places.of(reference)[0]).netloc

    def of(self, reference: Reference, *, who: Principal | None = None, origin: Origin | None = None) -> Registry:
        base, repository = self._places.of(reference)
        return Registry(self._outbound, base, repository, self._credentials, Errand(who, origin, _PURPOSE))

    def mountable(self, reference: Reference, base: str) -> str:
        """Of another name at the same registry; empty where it is elsewhere."""
        if reference.kind != "registry":
            return ""
        other, repository = self._places.of(reference)
        return repository if origin_of(other) == origin_of(base) else ""


class Registry:
    """One repository of one registry, as one push sees it."""

    def __init__(self, outbound: Outbound, base: str, repository: str, credentials: Credentials, errand: Errand) -> None:
        self.base = base
        self.repository = repository
        self.host = urlsplit(base).netloc
        self._outbound = outbound
        self._credentials = credentials
        self._errand = errand

    async def greet(self) -> None:
        """See that the registry can be reached and lets this server in, before gigabytes are read. Raises `EgressRefused`, `Unavailable`,
        `NotAllowed`."""
        await self._ask("GET", f"{self.base}/v2/")

    async def has(self, sha256: str) -> bool:
        found = await self._ask("HEAD", f"{self.base}/v2/{self.repository}/blobs/sha256:{sha256}")
        if found.status not in {200, 404}:
            raise InvalidRequest(f"{self.host} answered with status {found.status} when it was asked for a blob.")
        return found.status == 200

    async def begin(self, sha256: str = "", *, mount: str = "") -> Begun:
        """A new upload; none is needed where the registry can take the blob from its repository `mount`."""
        query = f"?mount={quote(f'sha256:{sha256}')}&from={mount}" if mount else ""
        found = await self._ask("POST", f"{self.base}/v2/{self.repository}/blobs/uploads/{query}", data=b"")
        if found.status == 201 and mount:
            return Begun("")
        if found.status != 202:
            raise self.refusal(found.status, "take a new blob")
        least = found.headers.get("OCI-Chunk-Min-Length", "")
        return Begun(self.place(found.headers.get("Location", "")), int(least) if least.isascii() and least.isdigit() and len(least) < 12 else 0)

    async def send(
        self, location: str, start: int, end: int, pieces: Callable[[asyncio.Timeout], AsyncGenerator[bytes, None]], *, stall: float
    ) -> Document:
        """Bytes [start, end) of an upload, as `pieces` yields them, which moves the time-out on. An answer of whatever status. Raises
        `Unavailable` when nothing has moved for `stall` seconds."""
        from aiohttp import ClientError, ClientTimeout

        headers = {
            **_OCTETS,
            "Content-Length": str(end - start),
            "Content-Range": f"{start}-{end - 1}",
            **self._credentials.headers(self.base, self.repository),
        }
        patience = ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS)
        try:
            async with (
                asyncio.timeout(stall) as limit,
                self._outbound.request(
                    "PATCH",
                    location,
                    purpose=self._errand.purpose,
                    headers=headers,
                    data=pieces(limit),
                    timeout=patience,
                    who=self._errand.who,
                    origin=self._errand.origin,
                    recorded=self._errand.recorded,
                ) as response,
            ):
                await response.content.read(_LIMIT)
                found = Document(response.status, response.headers, b"", self.host, origin_of(str(response.url)))
        except (ClientError, OSError, TimeoutError) as error:
            raise Unavailable(f"{self.host} took no more of the model ({type(error).__name__}); try again later.") from error
        if found.status == 401:
            await self._meet(found)
        return found

    async def reached(self, location: str) -> tuple[str, int] | None:
        """Where an upload goes on, and how many bytes of it are there; None where the registry knows nothing of it any more."""
        found = await self._ask("GET", location)
        if found.status not in {200, 202, 204}:
            return None
        has = _HAS.fullmatch(found.headers.get("Range", "").strip())
        if has is None:
            return None
        # "0-0" is how registries say nothing as well as one byte; sending all of it again is right for both.
        got = int(has[1]) + 1 if int(has[1]) else 0
        return (self.place(found.headers["Location"]) if found.headers.get("Location") else location), got

    async def finish(self, location: str, sha256: str, *, size: int, content: bytes | None = None) -> int:
        """Close an upload under its digest, with all its bytes where they are few. Returns the status."""
        url = f"{location}{'&' if '?' in location else '?'}digest={quote(f'sha256:{sha256}')}"
        found = await self._ask("PUT", url, data=content or b"", headers=_OCTETS, seconds=60 + size / _SLOWEST)
        return found.status

    async def publish(self, tag: str, manifest: bytes) -> None:
        """From now on the tag means this model."""
        url = f"{self.base}/v2/{self.repository}/manifests/{tag}"
        found = await self._ask("PUT", url, data=manifest, headers={"Content-Type": MANIFEST})
        if found.status not in {200, 201, 202}:
            raise self.refusal(found.status, "take the manifest")

    def place(self, location: str) -> str:
        """The address that a registry gives for an upload, on the host that it is reached by. Proxies in front of registries confuse scheme and
        port, so these are kept. Raises `InvalidRequest` for another host."""
        try:
            found = urlsplit(urljoin(f"{self.base}/v2/", location))
            host = (found.hostname or "").rstrip(".")
        except ValueError:
            host = ""
        if not location or len(location) > _LONGEST or not location.isascii() or not location.isprintable() or not host:
            raise InvalidRequest(f"{self.host} does not say where an upload goes; it may be no registry.")
        own = urlsplit(self.base)
        if host != (own.hostname or "").rstrip(".") or found.scheme not in {"http", "https"}:
            raise InvalidRequest(f"{self.host} wants the model to be sent to {shown(host)}. That is another host, so nothing was sent there.")
        return urlunsplit((own.scheme, own.netloc, found.path, found.query, ""))

    def refusal(self, status: int, what: str) -> InvalidRequest | NotAllowed:
        """What a status that is no success means."""
        if status in {404, 405}:
            return InvalidRequest(f"{self.host} has no place for '{self.repository}', or only lets models be read (status {status}).")
        return InvalidRequest(f"{self.host} did not {what} (status {status}).")

    async def _ask(
        self, method: str, url: str, *, data: bytes | None = None, headers: Mapping[str, str] | None = None, seconds: float = 60.0
    ) -> Document:
        """Asked once more where the registry wants to know who asks."""
        for last in (False, True):
            sent = {**(headers or {}), **self._credentials.headers(self.base, self.repository)}
            found = await ask(self._outbound, url, method=method, limit=_LIMIT, headers=sent, data=data, seconds=seconds, errand=self._errand)
            if found.status != 401 or last:
                break
            await self._meet(found)
        if found.status in {401, 403}:
            raise NotAllowed(
                f"{self.host} does not let this server write '{self.repository}'; name an account in hausgeist.toml: [registries.\"{self.host}\"]."
            )
        return found

    async def _meet(self, found: Document) -> None:
        # A host that the registry redirected to is not answered: it could name a place of its own to send the account to.
        if found.origin == origin_of(self.base):
            challenge = found.headers.get("WWW-Authenticate", "")
            await self._credentials.meet(self.base, self.repository, challenge, self._errand)

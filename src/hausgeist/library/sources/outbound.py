"""How sources and pushes ask: small documents over the one outbound client, with bounds, a few retries, and each failure in words.

Weights are neither fetched nor sent here.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlsplit

from hausgeist.errors import InvalidRequest, Unavailable
from hausgeist.identity import Origin, Principal

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientTimeout

__all__ = ["READING", "Document", "Errand", "Outbound", "ask", "is_loopback", "origin_of", "parse_json", "sha256_of"]

READING: Final = "model source"
"""What these requests are for, where nothing else is said: what the allow-list and the audit table know."""
_SECONDS: Final = 60.0
_TRIES: Final = 3
_LONGEST_WAIT: Final = 10.0
_MOST_VALUES: Final = 400_000
"""Of a JSON document. Each takes far more memory than its bytes: 8 MiB of empty objects would take .2 GB."""


class Outbound(Protocol):
    """What a source or a push needs of the outbound client. Raises `EgressRefused`, `Unavailable`; what breaks in the body is aiohttp's own error."""

    def request(
        self,
        method: str,
        url: str,
        *,
        purpose: str,
        headers: Mapping[str, str] | None = None,
        data: Any = None,
        timeout: float | ClientTimeout | None = None,
        who: Principal | None = None,
        origin: Origin | None = None,
        recorded: set[str] | None = None,
    ) -> AbstractAsyncContextManager[ClientResponse]: ...


@dataclass(frozen=True, slots=True)
class Errand:
    """On whose behalf is asked, and what for. However many requests it takes, each host gets one row in the audit table."""

    who: Principal | None = None
    origin: Origin | None = None
    purpose: str = READING
    recorded: set[str] = field(default_factory=set)
    """Hosts that have theirs."""


@dataclass(frozen=True, slots=True)
class Document:
    """An answer, whatever its status."""

    status: int
    headers: Mapping[str, str]
    """Its keys are found in whatever case."""
    body: bytes
    host: str
    """For messages."""
    origin: str = ""
    """Of whom it is in the end, after redirects (`origin_of`)."""

    def json(self, what: str) -> Any:
        """Raises `InvalidRequest` when the body is no JSON, or nested to break whoever reads it."""
        return parse_json(self.body, f"{what} from {self.host}")


async def ask(
    outbound: Outbound,
    url: str,
    *,
    limit: int,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    data: bytes | None = None,
    seconds: float = _SECONDS,
    errand: Errand | None = None,
) -> Document:
    """The answer to a request, with at most `limit` bytes, in so many seconds.

    What is busy or broken is asked again, as it says, and then is `Unavailable`.
    """
    wait, errand = 0.5, errand or Errand()
    more = {"data": data} if data is not None else {}
    for attempt in range(1, _TRIES + 1):
        try:
            found = await _once(outbound, method, url, limit, errand, headers=headers, timeout=seconds, **more)
        except Unavailable:
            if attempt == _TRIES:
                raise
        else:
            if found.status != 429 and found.status < 500:
                return found
            patience = _retry_after(found.headers.get("Retry-After", ""))
            if attempt == _TRIES or patience > _LONGEST_WAIT:
                raise _busy(found, patience)
            wait = max(wait, patience)
        await asyncio.sleep(wait)
        wait *= 2
    raise AssertionError("the last try returns or raises")


async def _once(outbound: Outbound, method: str, url: str, limit: int, errand: Errand, **more: Any) -> Document:
    from aiohttp import ClientError

    host = urlsplit(url).netloc
    body = bytearray()
    try:
        async with outbound.request(
            method, url, purpose=errand.purpose, who=errand.who, origin=errand.origin, recorded=errand.recorded, **more
        ) as response:
            if method != "HEAD":
                async for chunk in response.content.iter_chunked(1 << 16):
                    body += chunk
                    if len(body) > limit:
                        raise InvalidRequest(
                            f"{host} answered with more than {limit} bytes where a small document was expected; nothing was installed."
                        )
            return Document(response.status, response.headers, bytes(body), host, origin_of(str(response.url)))
    except (ClientError, OSError, TimeoutError) as error:
        raise Unavailable(f"The answer of {host} could not be read to its end ({type(error).__name__}); try again later.") from error


def parse_json(body: bytes, what: str) -> Any:
    """Raises `InvalidRequest` for what is no JSON, nested too deeply for the parser, or of so many values that it would take the memory."""
    # What is cheap to count bounds their number from above.
    if sum(body.count(mark) for mark in (b",", b"[", b"{")) > _MOST_VALUES:
        raise InvalidRequest(f"The {what} holds more than {_MOST_VALUES} values; nothing was installed.")
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"The {what} is not the JSON that was expected; nothing was installed.") from error


def sha256_of(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def origin_of(url: str) -> str:
    """Scheme, host and port, for comparing."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return f"{parts.scheme}://{(parts.hostname or '').rstrip('.')}:{port}"


def is_loopback(host: str) -> bool:
    """Whether a host, with a port or without, is this machine by name or address."""
    name = urlsplit(f"//{host}").hostname or ""
    return name == "localhost" or name.endswith(".localhost") or name == "::1" or (name.startswith("127.") and name.replace(".", "").isdigit())


def _retry_after(text: str) -> float:
    """Seconds; dates are not worth parsing, and mean: not now."""
    return min(float(text), 86400.0) if text.isascii() and text.isdigit() and len(text) < 6 else (60.0 if text else 0.0)


def _busy(found: Document, patience: float) -> Unavailable:
    if found.status == 429:
        when = f"in {patience:.0f} seconds" if patience else "later"
        return Unavailable(f"{found.host} has had too many requests from here; try again {when}.")
    return Unavailable(f"{found.host} is out of order at the moment (status {found.status}); try again later.")

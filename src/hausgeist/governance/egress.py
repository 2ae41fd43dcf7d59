"""The one way out: every outbound connection of this process is made here, if the settings allow it, and leaves a row in the audit table.

Owns the client session, proxies and redirects. What may be contacted is decided in `allow`. What a proxy of the environment
(HTTPS_PROXY) resolves a permitted name to is the proxy's business; without one, the address that is connected to is checked as well.
Rows and errors name scheme, host and port: never a path, a query or a credential.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import getproxies, proxy_bypass

from hausgeist.errors import EgressRefused, HausgeistError, StoreError, TooLarge, Unavailable, Unresolved
from hausgeist.governance.allow import AllowList
from hausgeist.governance.service import Governor
from hausgeist.identity import Origin, Principal, is_loopback_name, is_this_machine
from hausgeist.settings import Settings

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession, ClientTimeout
    from yarl import URL

__all__ = ["Egress"]

_ACTION = "egress.connect"
_HOPS = 5
_CONNECT_SECONDS = 10.0
_FETCH_SECONDS = 60.0
_REDIRECTS = {301, 302, 303, 307, 308}
_SECRET_HEADERS = {"authorization", "cookie", "proxy-authorization", "x-api-key"}


@dataclass(frozen=True, slots=True)
class _Wish:
    """Who wants to connect, and what for: what the audit row says."""

    purpose: str
    who: Principal | None
    origin: Origin | None
    recorded: set[str] | None = None
    """Hosts that have their row already."""


class Egress:
    """One instance per server. The session is made with the first request, on the loop that makes it."""

    def __init__(self, settings: Settings, governor: Governor) -> None:
        self._list = AllowList(settings)
        self._certificates = settings.ca_certificates
        self._offline = settings.offline
        self._governor = governor
        self._session: ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._proxies: set[str] = set()

    def permit(self, url: str | URL, *, purpose: str, who: Principal | None = None, origin: Origin | None = None) -> URL:
        """The address as it will be connected to. Raises `EgressRefused`, and leaves a row, when the settings do not allow it."""
        return self._permit(url, _Wish(purpose, who, origin))

    def _permit(self, url: str | URL, wish: _Wish) -> URL:
        from yarl import URL

        try:
            target = URL(url)
            host, port = _host(target), target.port
        except ValueError:
            raise self._refused("This is not an address that can be contacted.", None, wish) from None
        if target.scheme not in {"http", "https"} or not host or port is None:
            raise self._refused("Only http:// and https:// addresses can be contacted.", None, wish)
        if target.raw_user is not None or target.raw_password is not None:
            raise self._refused("An address must not contain a user name or password.", target, wish)
        if reason := self._list.refusal(host, port, purpose=wish.purpose):
            raise self._refused(reason, target, wish)
        return target

    @asynccontextmanager
    async def request(
        self,
        method: str,
        url: str | URL,
        *,
        purpose: str,
        headers: Mapping[str, str] | None = None,
        data: Any = None,
        timeout: float | ClientTimeout | None = None,
        who: Principal | None = None,
        origin: Origin | None = None,
        recorded: set[str] | None = None,
        read_buffer: int | None = None,
        redirects: bool = True,
    ) -> AsyncIterator[ClientResponse]:
        """A response whose body is still to be read; leaving early closes the connection. GET and HEAD follow redirects, each permitted anew;
        without `redirects` they are answers like others, for requests whose headers are meant for one host only.

        `timeout` is in seconds for all of it; `None` limits only the connecting. `recorded` is shared by the requests of one task that makes
        many: each host then gets one row, not one per request (refusals always get theirs). `read_buffer`: bytes that may wait to be read.

        Raises `EgressRefused`; `Unavailable` when the host cannot be reached (`Unresolved`: its name is not known). What breaks while the body is
        read is aiohttp's own error.
        """
        wish = _Wish(purpose, who, origin, recorded)
        target = self._permit(url, wish)
        sent = dict(headers or {})
        for hop in range(_HOPS + 1):
            response = await self._send(wish, method, target, headers=sent, data=data, timeout=timeout, read_buffer=read_buffer)
            location = response.headers.get("Location") if response.status in _REDIRECTS else None
            if location is None or not redirects:
                break
            response.close()
            if method not in {"GET", "HEAD"}:
                raise Unavailable(f"{_shown(target)} redirects {method} requests; configure the address that it redirects to.")
            if hop == _HOPS:
                raise Unavailable(f"{_shown(target)} redirected more than {_HOPS} times.")
            following = self._follow(target, location, wish)
            if following.origin() != target.origin():
                sent = {name: value for name, value in sent.items() if name.lower() not in _SECRET_HEADERS}
            target = following
        async with response:
            yield response

    async def fetch(
        self,
        url: str,
        *,
        limit: int,
        purpose: str,
        headers: Mapping[str, str] | None = None,
        timeout: float = _FETCH_SECONDS,
        who: Principal | None = None,
        origin: Origin | None = None,
    ) -> tuple[bytes, str]:
        """Body and content type of a GET. Raises `EgressRefused`; `TooLarge` over `limit` bytes (after decompression); `Unavailable` for
        anything but a success."""
        from aiohttp import ClientError

        body = bytearray()
        try:
            async with self.request("GET", url, purpose=purpose, headers=headers, timeout=timeout, who=who, origin=origin) as response:
                if not 200 <= response.status < 300:
                    raise Unavailable(f"{_shown(response.url)} answered with status {response.status}.")
                if (response.content_length or 0) > limit:
                    raise _over(limit)
                async for chunk in response.content.iter_chunked(1 << 16):
                    body += chunk
                    if len(body) > limit:
                        raise _over(limit)
                return bytes(body), response.content_type
        except (ClientError, OSError, TimeoutError) as error:
            raise Unavailable(f"The answer could not be read to its end ({type(error).__name__}); try again later.") from error

    async def close(self) -> None:
        """Close all connections. Idempotent; a later request opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _send(
        self,
        wish: _Wish,
        method: str,
        target: URL,
        *,
        headers: Mapping[str, str],
        data: Any,
        timeout: float | ClientTimeout | None,
        read_buffer: int | None,
    ) -> ClientResponse:
        from aiohttp import ClientConnectorDNSError, ClientError, ClientTimeout

        shown = _shown(target)
        if not is_this_machine(_host(target)) and (wish.recorded is None or shown not in wish.recorded):
            self._governor.record(wish.who, _ACTION, target=shown, origin=wish.origin, outcome="allowed", detail=wish.purpose)
            if wish.recorded is not None:
                wish.recorded.add(shown)
        if not isinstance(timeout, ClientTimeout):
            timeout = ClientTimeout(total=timeout, sock_connect=_CONNECT_SECONDS)
        proxy, proxy_headers = self._proxy(target)
        if target.scheme == "http" and proxy_headers:
            # aiohttp sends these with CONNECT only, which plain requests do without.
            headers = {**headers, **proxy_headers}
        try:
            return await self._open().request(
                method,
                target,
                headers=headers,
                data=data,
                timeout=timeout,
                allow_redirects=False,
                proxy=proxy,
                proxy_headers=proxy_headers,
                read_bufsize=read_buffer,
            )
        except EgressRefused as error:
            raise self._refused(error.message, target, wish) from None
        except ClientConnectorDNSError as error:
            raise Unresolved(
                f"{shown} cannot be reached ({_cause(error)}): no name server knows this name. Check that this machine is connected to the "
                "network, and how the name is written."
            ) from error
        except (ClientError, OSError, TimeoutError) as error:
            cause = "no answer in time" if isinstance(error, TimeoutError) else _cause(error)
            raise Unavailable(f"{shown} cannot be reached ({cause}).") from error

    def _follow(self, target: URL, location: str, wish: _Wish) -> URL:
        from yarl import URL

        try:
            following = target.join(URL(location)).with_fragment(None)
        except ValueError:
            raise Unavailable(f"{_shown(target)} redirects to something that is not an address.") from None
        if target.scheme == "https" and following.scheme != "https":
            raise self._refused("A redirect from https:// to an unprotected address is not followed.", following, wish)
        return self._permit(following, wish)

    def _refused(self, reason: str, target: URL | None, wish: _Wish) -> EgressRefused:
        # The refusal stands, whether or not the disk takes the row; the failure is in the log.
        with suppress(StoreError):
            shown = _shown(target) if target is not None else ""
            self._governor.record(wish.who, _ACTION, target=shown, origin=wish.origin, outcome="refused", detail=f"{wish.purpose}: {reason}")
        return EgressRefused(reason)

    def _proxy(self, target: URL) -> tuple[URL | None, dict[str, str] | None]:
        """The proxy of the environment for this target. aiohttp's own way (`trust_env`) would send passwords of ~/.netrc to targets as well."""
        from aiohttp import encode_basic_auth
        from yarl import URL

        host = _host(target)
        if self._offline or is_this_machine(host):
            return None, None
        proxies = getproxies()
        address = proxies.get(target.scheme) or proxies.get("all")
        if not address or proxy_bypass(f"{host}:{target.port}"):
            return None, None
        try:
            proxy = URL(address if "://" in address else f"http://{address}")
            self._proxies.add(_host(proxy))
            if proxy.user is None:
                return proxy, None
            return proxy.with_user(None), {"Proxy-Authorization": encode_basic_auth(proxy.user, proxy.password or "")}
        except ValueError:
            raise Unavailable("The proxy named in the environment (HTTP_PROXY, HTTPS_PROXY) is not an address.") from None

    def _open(self) -> ClientSession:
        from aiohttp import ClientSession, DummyCookieJar, TCPConnector

        if self._session is None or self._session.closed or self._loop is not asyncio.get_running_loop():
            self._loop = asyncio.get_running_loop()
            self._session = ClientSession(
                connector=TCPConnector(limit=0, resolver=_resolver(self._list, self._proxies), ssl=_tls(self._certificates) or True),
                cookie_jar=DummyCookieJar(),
                headers={"User-Agent": "hausgeist"},
                trust_env=False,
                requote_redirect_url=False,
            )
        return self._session


def _tls(certificates: Path | None) -> ssl.SSLContext | None:
    """The authorities that the system trusts, and those of the settings; None for the former only, which aiohttp has read when it was imported.

    Raises `Unavailable`.
    """
    if certificates is None:
        return None
    context = ssl.create_default_context()
    try:
        context.load_verify_locations(cafile=certificates.expanduser())
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it holds no certificates in PEM form"
        raise Unavailable(f"The file of certificates {certificates} (ca_certificates) cannot be used: {reason}.") from error
    return context


def _resolver(allowed: AllowList, proxies: set[str]) -> Any:
    """Resolves names, and leaves out the addresses that must not be connected to. `aiohttp` asks it right before it connects."""
    from aiohttp.abc import AbstractResolver, ResolveResult
    from aiohttp.resolver import ThreadedResolver

    class Resolver(AbstractResolver):
        async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
            name = host.lower().rstrip(".")
            if is_loopback_name(name):
                return [
                    ResolveResult(hostname=host, host=address, port=port, family=kind, proto=socket.IPPROTO_TCP, flags=socket.AI_NUMERICHOST)
                    for address, kind in (("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6))
                    if family in {socket.AF_UNSPEC, kind}
                ]
            found = await ThreadedResolver().resolve(host, port, family)
            if name in proxies:
                return found
            refusals = [allowed.address_refusal(name, one["host"], port) for one in found]
            good = [one for one, refusal in zip(found, refusals, strict=True) if not refusal]
            if not good and refusals:
                raise EgressRefused(refusals[0])
            return good

        async def close(self) -> None:
            return None

    return Resolver()


def _host(url: URL) -> str:
    return (url.raw_host or "").lower().rstrip(".")


def _shown(url: URL) -> str:
    host = _host(url)
    return f"{url.scheme}://{f'[{host}]' if ':' in host else host}:{url.port}"


def _cause(error: Exception) -> str:
    """Why, without addresses and paths that aiohttp's messages may contain."""
    inner = getattr(error, "os_error", None) or error
    return str(getattr(inner, "strerror", None) or type(error).__name__)


def _over(limit: int) -> HausgeistError:
    return TooLarge(f"The answer is larger than {limit} bytes.")

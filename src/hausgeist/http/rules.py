"""The binding rules of this start as data: under which names the server is reached, whether keys are demanded, which proxies are believed."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network

from hausgeist.errors import InvalidRequest
from hausgeist.http.facts import UNIX, WebOrigin, parse_address, parse_authority, parse_origin
from hausgeist.identity import is_this_machine
from hausgeist.settings import Settings

__all__ = ["BindingRules", "host_name", "is_loopback_peer", "own_names"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BindingRules:
    """Made once per start."""

    public: bool = False
    """Bound to more than loopback: whoever asks, asks with a key or a session."""
    keys_demanded: bool = False
    behind_proxy: bool = False
    """Requests come through a reverse proxy. One that a proxy passed on without saying so looks as if it came from this machine, so that
    nobody is the local owner here."""
    proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    names: frozenset[str] = frozenset()
    """Host names that are this server's, besides the loopback ones."""
    origins: frozenset[WebOrigin] = frozenset()
    """Foreign web pages that may call."""
    schemes: frozenset[str] = frozenset()
    """Schemes any page of which may call ("vscode-webview://*")."""
    any_origin: bool = False
    """Every web page may call ("*"); with a key, that is."""
    null_origin: bool = False
    """Pages without an origin ("null": files, sandboxes) may call."""
    tls: bool = False
    owner_token: str = field(default="", repr=False)
    """A secret of this start, which the server keeps in a file that only its own user can read: with it, the terminal is the local owner."""

    @classmethod
    def of(cls, settings: Settings, *, owner_token: str = "") -> BindingRules:
        """Raises `InvalidRequest` for a proxy, name or origin that cannot be understood."""
        public = not settings.loopback
        names = {host_name(entry) for entry in settings.names}
        if public:
            names |= own_names()
            bound = parse_authority(settings.host)
            if bound is not None and parse_address(settings.host) is None:
                names.add(bound.host)
        origins, schemes = set[WebOrigin](), set[str]()
        for entry in settings.origins:
            if entry.endswith("://*"):
                schemes.add(entry[:-4].lower())
            elif entry not in {"*", "null"}:
                origins.add(_origin(entry))
        return cls(
            public=public,
            keys_demanded=public or settings.keys_demanded or settings.behind_proxy,
            behind_proxy=settings.behind_proxy,
            proxies=tuple(_network(entry) for entry in settings.trusted_proxies),
            names=frozenset(names),
            origins=frozenset(origins),
            schemes=frozenset(schemes),
            any_origin="*" in settings.origins,
            null_origin="null" in settings.origins,
            tls=settings.tls_on,
            owner_token=owner_token,
        )

    def knows_host(self, host: str) -> bool:
        """Whether a request for `host` is for this server. A name must be known: any other could be an attacker's, pointed at this address
        (DNS rebinding). Addresses cannot be pointed elsewhere; but on a loopback bind only loopback ones make sense."""
        if is_this_machine(host) or host in self.names:
            return True
        return (self.public or self.behind_proxy) and parse_address(host) is not None

    def knows_origin(self, origin: WebOrigin) -> bool:
        """Whether the owner named this web origin."""
        return origin in self.origins or origin.scheme in self.schemes

    def trusts(self, peer: str) -> bool:
        """Whether `peer` is one of the reverse proxies."""
        if not self.behind_proxy:
            return False
        address = parse_address(peer)
        return peer == UNIX or (address is not None and any(address in network for network in self.proxies))


def is_loopback_peer(peer: str) -> bool:
    """Whether a connection comes from this machine."""
    address = parse_address(peer)
    return peer == UNIX or (address is not None and address.is_loopback)


def own_names() -> set[str]:
    """What this machine is called, in its own network as well. Asks no name server."""
    try:
        name = socket.gethostname().lower().rstrip(".")
    except OSError:
        return set()
    if not name or parse_authority(name) is None:
        return set()
    short = name.partition(".")[0]
    return {name, short, f"{short}.local"}


def host_name(entry: str) -> str:
    """One of `names`, as it is compared: no scheme, no port. Raises `InvalidRequest`."""
    authority = parse_authority(entry.removeprefix("https://").removeprefix("http://").rstrip("/"))
    if authority is None:
        raise InvalidRequest(f"names: '{entry}' is not a host name.", param="names")
    return authority.host


def _origin(entry: str) -> WebOrigin:
    origin = parse_origin(entry.rstrip("/"))
    if origin is None:
        raise InvalidRequest(f"origins: '{entry}' is not a web origin; write https://name, https://name:port, SCHEME://* or null.", param="origins")
    return origin


def _network(entry: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(entry, strict=False)
    except ValueError:
        raise InvalidRequest(f"trusted_proxies: '{entry}' is neither an address nor a network.", param="trusted_proxies") from None

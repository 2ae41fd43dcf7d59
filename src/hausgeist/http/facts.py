"""What is known about a request before anybody looks at its body: peer, headers, host, web origin. Parsing only; `access` judges."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, NamedTuple

from hausgeist.errors import InvalidRequest

__all__ = ["UNIX", "Address", "Authority", "RequestFacts", "WebOrigin", "parse_address", "parse_authority", "parse_origin"]

Address = IPv4Address | IPv6Address

UNIX = "unix"
"""The peer of a connection over a unix socket."""

_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_AUTHORITY = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]{2,45})\]|(?P<name>[A-Za-z0-9_.-]{1,255}))(?::(?P<port>[0-9]{0,5}))?")
_ORIGIN = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]{0,30})://(?P<authority>[^/?#@\\\s]{0,300})")


class Authority(NamedTuple):
    """Host and port as a Host header gives them: name in lower case without its final dot, port `None` where it is the scheme's."""

    host: str
    port: int | None


class WebOrigin(NamedTuple):
    """Where a web page came from. `port` is never `None` for http and https."""

    scheme: str
    host: str
    port: int | None


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """One request. Header names are in lower case, each with all the values it came with."""

    peer: str
    """Address of the other end of the connection; `UNIX`; empty where it is not known (any more)."""
    method: str = "GET"
    path: str = "/"
    tls: bool = False
    headers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    request_id: str = ""

    @classmethod
    def of(cls, scope: Mapping[str, Any], request_id: str = "") -> RequestFacts:
        """From an ASGI scope."""
        headers: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1").strip(" \t"))
        client, server = scope.get("client"), scope.get("server")
        peer = client[0] if client else UNIX if server and server[1] is None else ""
        return cls(peer or "", scope["method"], scope["path"], scope.get("scheme") == "https", headers, request_id)

    def one(self, name: str) -> str | None:
        """The value of a header that must not come twice. Raises `InvalidRequest` when it does, with different values."""
        values = self.headers.get(name)
        if not values:
            return None
        if any(value != values[0] for value in values):
            raise InvalidRequest(f"The header {name} came more than once, with different values.")
        return values[0]

    def items(self, name: str) -> list[str]:
        """The elements of a header that is a list, over all its lines."""
        return [part.strip() for value in self.headers.get(name, ()) for part in value.split(",") if part.strip()]


def parse_address(text: str) -> Address | None:
    """An IP address; an IPv4-mapped IPv6 address comes back as IPv4."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def parse_authority(text: str) -> Authority | None:
    """A Host header's value; `None` if it is none."""
    match = _AUTHORITY.fullmatch(text)
    if match is None:
        return None
    port = int(match["port"]) if match["port"] else None
    if port is not None and port > 65535:
        return None
    if match["six"] is not None:
        address = parse_address(match["six"])
        return Authority(str(address), port) if address is not None else None
    host = match["name"].lower()
    return Authority(host[:-1] if len(host) > 1 and host.endswith(".") else host, port)


def parse_origin(text: str) -> WebOrigin | None:
    """An Origin header's value; `None` if it is "null" or no origin."""
    match = _ORIGIN.fullmatch(text)
    if match is None:
        return None
    scheme = match["scheme"].lower()
    authority = parse_authority(match["authority"])
    if scheme in _PORTS:
        return WebOrigin(scheme, authority.host, authority.port or _PORTS[scheme]) if authority is not None else None
    # chrome-extension://ID, vscode-webview://ID, tauri://localhost
    return WebOrigin(scheme, match["authority"].lower(), None)

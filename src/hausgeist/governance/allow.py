"""Which hosts may be contacted, and at which addresses: pure decisions over the settings.

A name on the list must not lead into the house: an address that it resolves to has to be a public one (server-side request forgery, DNS
rebinding), unless the owner said otherwise by configuring an upstream or a registry there, by a name that only a local network can know
("nas", "nas.local"), or by putting the address or its network on the list as well.

Servers of tools (MCP) are asked that the settings name as such, for nothing else and whatever the list says.

To install models, the configured registries and the hub may be asked without being on the list, and so may where they keep their files. Models are
sent to registries only that the owner named himself: `registry` where that is not the usual one, `registries`, or the list.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from hausgeist.errors import InvalidRequest
from hausgeist.identity import is_this_machine
from hausgeist.settings import Settings

__all__ = ["AllowList", "is_near", "is_public"]

Address = IPv4Address | IPv6Address

_LOCAL_SUFFIXES = (".local", ".lan", ".internal", ".home.arpa", ".localhost")
"""Names that no public name server answers for (RFC 6761, 6762, 8375, ICANN's .internal; .lan by custom)."""

_PULLS = frozenset({"model source", "model header", "model download"})
"""Purposes for which the places that models come from may be contacted."""

_BY_HAND = (
    " Either set offline = false in hausgeist.toml and start it anew, or bring the model as a file: 'hausgeist export' on a machine that has it, "
    "'hausgeist import' here."
)

_PUSHES = frozenset({"model push"})
"""Purposes for which only registries may be contacted that the owner named."""

_TOLD = frozenset({"webhook"})
"""Purposes for which a host has to be on the list, whatever else it is there for: who is asked for answers is not told what happens here."""

_TOOLS = "mcp"
"""The purpose for which the servers of tools in the settings may be contacted, and no other host."""

_STORES = {
    "registry.ollama.ai": {
        # Cloudflare R2, to which the registry redirects for layers; the name is that of Ollama's own account there.
        "dd20bb891979d25aebc8bec07b2b3bbc.r2.cloudflarestorage.com",
    },
    "huggingface.co": {
        # cdn-lfs-us-1.hf.co, cas-bridge.xethub.hf.co and others like them: the hub redirects to them for large files.
        "*.hf.co",
        # cdn-lfs.huggingface.co, of before that.
        "*.huggingface.co",
    },
}
"""Where hosts that models come from keep the files: they redirect there, by addresses that they sign. Not followed from a mirror."""

_NAT64 = ip_network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class _Entry:
    """`host` for a name (from "*.": and all below it), `network` for an address; `port` 0: any."""

    host: str
    network: IPv4Network | IPv6Network | None
    port: int
    below: bool = False

    def covers(self, host: str, address: Address | None, port: int) -> bool:
        if self.port not in {0, port}:
            return False
        if self.network is not None:
            return address is not None and address in self.network
        return host == self.host or (self.below and host.endswith("." + self.host))


class AllowList:
    """Made once from the settings. Raises `InvalidRequest` for an entry that cannot be understood."""

    def __init__(self, settings: Settings) -> None:
        self._offline = settings.offline
        self._entries = [_parse(entry) for entry in settings.allow]
        self._upstreams = [_configured(f"upstreams.{name}.url", section.url) for name, section in settings.upstreams.items()]
        self._tools = [_configured(f"mcp.{name}.url", section.url) for name, section in settings.mcp.items()]
        usual = Settings.model_fields
        named = [(name, str(getattr(settings, name))) for name in ("registry", "hf_endpoint")]
        more = [(f"registries.{host}", f"{'http' if section.plain_http else 'https'}://{host}") for host, section in settings.registries.items()]
        self._sources = [_configured(name, url) for name, url in named + more]
        # Only what the owner named may be in the house: the usual hosts are on the internet.
        self._mirrors = [_configured(name, url) for name, url in named if url != usual[name].default] + [_configured(*one) for one in more]
        self._registries = [_configured(*one) for one in more]
        if settings.registry != usual["registry"].default:
            self._registries.append(_configured("registry", settings.registry))
        self._stores = [_parse(store) for source in self._sources for store in sorted(_STORES.get(source.host, ()))]

    def refusal(self, host: str, port: int, *, purpose: str = "") -> str:
        """Why this server does not contact `host` (in lower case, without brackets) at `port` for `purpose`; empty if it does."""
        address = _address(host)
        where = f"{f'[{host}]' if ':' in host else host}:{port}"
        tools = purpose == _TOOLS
        upstreams = () if purpose in _TOLD else self._tools if tools else self._upstreams
        upstream = any(entry.covers(host, address, port) for entry in upstreams)
        if self._offline:
            if upstream and is_this_machine(host):
                return ""
            refusal = f"This server is offline (offline = true) and does not connect to {where}."
            return refusal + (_BY_HAND if purpose in _PULLS else "")
        if tools and not upstream:
            return f"{where} is not an MCP server that this server may ask. Its owner can name it in hausgeist.toml: [mcp.NAME] with its url."
        entries = self._entries
        if purpose in _PULLS:
            entries = [*entries, *self._sources, *self._stores]
        elif purpose in _PUSHES:
            entries = [*entries, *self._registries]
        if upstream or any(entry.covers(host, address, port) for entry in entries):
            return ""
        return f'{where} is not among the hosts that this server may contact. Its owner can add it: allow = ["{host}"].'

    def address_refusal(self, host: str, text: str, port: int) -> str:
        """Why the address `text`, to which the permitted `host` resolved, is not connected to; empty if it is."""
        address = _address(text)
        if address is None:
            return f"{host} resolved to something that is not an address."
        if self._offline:
            return "" if address.is_loopback else f"This server is offline (offline = true) and does not connect to {host}."
        if is_public(address) or self._may_be_near(host, port) or any(entry.covers("", address, port) for entry in self._entries):
            return ""
        return (
            f"{host} resolves to {address}, which is not a public address. If this host is meant, its owner can add the address: "
            f'allow = ["{host}", "{address}"].'
        )

    def _may_be_near(self, host: str, port: int) -> bool:
        if _is_local_name(host):
            return True
        return any(entry.covers(host, None, port) for entry in (*self._upstreams, *self._mirrors, *self._tools))


def is_near(host: str) -> bool:
    """Whether a host (in lower case, without brackets) can only be this machine or one of the house's own network."""
    address = _address(host)
    return _is_local_name(host) if address is None else not is_public(address)


def _is_local_name(host: str) -> bool:
    return (":" not in host and "." not in host) or host.endswith(_LOCAL_SUFFIXES)


def is_public(address: Address) -> bool:
    """Whether `address` is on the internet; what an IPv6 address wraps counts, not its wrapping."""
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _NAT64:
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
    return address.is_global and not address.is_multicast


def _parse(entry: str) -> _Entry:
    text = entry.strip().lower()
    try:
        return _Entry("", ip_network(text, strict=False), 0)
    except ValueError:
        pass
    try:
        parts = urlsplit(f"//{text}")
        host, port = (parts.hostname or "").rstrip("."), parts.port or 0
    except ValueError:
        host, port, parts = "", 0, urlsplit("")
    below = host.startswith("*.")
    name = host.removeprefix("*.")
    if not name or "*" in name or parts.path or parts.query or parts.username is not None or any(character.isspace() for character in name):
        raise InvalidRequest(
            f"allow: '{entry}' is not understood. Write a host, host:port, an address, a network (10.0.0.0/8) or *.domain.", param="allow"
        )
    address = _address(name)
    return _Entry("" if address else _ascii(name), ip_network(address) if address else None, port, below)


def _configured(setting: str, url: str) -> _Entry:
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        host, port, parts = "", 0, urlsplit("")
    if not host or parts.scheme not in {"http", "https"}:
        raise InvalidRequest(f"{setting}: '{url}' is not an address like http://host:port.", param=setting)
    address = _address(host)
    return _Entry("" if address else _ascii(host), ip_network(address) if address else None, port)


def _ascii(name: str) -> str:
    """A name as it goes over the wire: "bücher.example" is "xn--bcher-kva.example"."""
    try:
        return name if name.isascii() else name.encode("idna").decode("ascii")
    except UnicodeError:
        return name


def _address(text: str) -> Address | None:
    try:
        return ip_address(text.partition("%")[0])
    except ValueError:
        return None

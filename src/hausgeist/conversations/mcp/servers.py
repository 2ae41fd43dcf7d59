"""Which servers of tools may be asked, and with what: those that the owner has named in the settings, by their address to the letter.

A request names one by its label, by its address, or by both; what the owner has set for it (headers, which tools) is not replaced by a request.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from hausgeist.errors import InvalidRequest, NotAllowed, NotFound, shown
from hausgeist.identity import Principal
from hausgeist.settings import McpSection

__all__ = ["Server", "Servers"]

_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")
_OURS: Final = re.compile(
    r"(accept|accept-encoding|connection|content-.*|cookie|expect|forwarded|host|keep-alive|last-event-id|mcp-.*|origin|proxy-.*|te|trailer|"
    r"transfer-encoding|upgrade|user-agent|via|x-forwarded-.*)",
    re.IGNORECASE,
)
"""Headers that belong to the protocol, or to those who carry it."""
_LONGEST: Final = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server of tools as one request may use it."""

    name: str
    """As the settings have it."""
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    timeout: float
    """Seconds that one call may take."""
    result_limit: int
    """Characters of a result that are kept."""
    tools: frozenset[str]
    """Names of those that are offered; empty: all."""


class Servers:
    """The sections of the settings. Raises `InvalidRequest` for headers that cannot be sent."""

    def __init__(self, sections: Mapping[str, McpSection]) -> None:
        for name, section in sections.items():
            check_headers(section.headers, f"mcp.{name}.headers")
            if section.key and "authorization" in map(str.lower, section.headers):
                raise InvalidRequest(f"mcp.{name}: 'key' is sent as the header Authorization; set one of them.", param=f"mcp.{name}.key")
        self._sections = dict(sections)
        self._by_url = {_same(section.url): name for name, section in sections.items()}

    def find(self, label: str, url: str | None, param: str) -> str:
        """The name of the section that is meant. Raises `NotFound` where the owner has named no such server."""
        name = label if url is None else self._by_url.get(_same(url))
        if name is not None and name in self._sections:
            return name
        if url is None:
            told = f"no MCP server '{shown(label, 64)}' is known here"
            how = f'[mcp.{shown(label, 64)}] with its url (and use its name as "server_label")'
        else:
            told = "this server may not ask the MCP server at that address"
            how = f'[mcp.{shown(label, 64)}] with url = "{shown(url, 200)}"'
        raise NotFound(f"'{param}': {told}. Its owner can allow it in hausgeist.toml: {how}.")

    def server(self, name: str, who: Principal, *, headers: Mapping[str, str], authorization: str | None, param: str) -> Server:
        """As this caller may use it. Raises `NotAllowed` for those whose project may not, `InvalidRequest` for headers that the owner has set."""
        section = self._sections[name]
        if section.projects and who.project not in section.projects:
            raise NotAllowed(f"The MCP server '{name}' is not for this project. The owner of this server can add it: mcp.{name}.projects.")
        set_here = {**section.headers, **({"Authorization": f"Bearer {section.key}"} if section.key else {})}
        given = {**headers, **({"Authorization": _bearer(authorization)} if authorization else {})}
        fixed = {header.lower() for header in set_here}
        if taken := next((header for header in given if header.lower() in fixed), None):
            place = f"{param}.authorization" if authorization and taken == "Authorization" else f"{param}.headers"
            raise InvalidRequest(f"'{place}': the owner of this server has set '{taken}' for the MCP server '{name}'. Leave it out.", param=place)
        return Server(
            name=name, url=section.url, headers={**set_here, **given}, timeout=section.timeout, result_limit=section.result_limit,
            tools=frozenset(section.tools),
        )  # fmt: skip


def check_headers(headers: Mapping[str, str], param: str) -> None:
    """Raise `InvalidRequest` for headers that cannot be sent, or must not be set from outside. No message repeats a value."""
    seen = set()
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name) or _OURS.fullmatch(name):
            raise InvalidRequest(f"'{param}': the header '{shown(name, 60)}' cannot be set.", param=param)
        if len(value) > _LONGEST or not all(" " <= letter <= "~" or letter == "\t" for letter in value):
            raise InvalidRequest(f"'{param}.{name}' should be printable ASCII of at most {_LONGEST} characters.", param=param)
        if name.lower() in seen:
            raise InvalidRequest(f"'{param}': the header '{name}' is there twice.", param=param)
        seen.add(name.lower())


def _bearer(token: str) -> str:
    return token if token[:7].lower() == "bearer " else f"Bearer {token}"


def _same(url: str) -> str:
    """Addresses that mean the same are the same: case of the host, a port that goes without saying, a slash at the end."""
    from yarl import URL

    try:
        found = URL(url)
        return str(found.with_host(found.host.lower()) if found.host else found).rstrip("/")
    except ValueError:
        return url

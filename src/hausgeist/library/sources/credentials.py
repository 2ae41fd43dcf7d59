"""Letting a registry know who asks: Basic where it is configured, and tokens from where the registry says (RFC 6750, as registries use it)."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode, urlsplit

from hausgeist.errors import InvalidRequest, NotAllowed
from hausgeist.library.sources.outbound import Errand, Outbound, ask, origin_of

__all__ = ["Account", "Credentials"]

_LIMIT: Final = 2**18
_MOST: Final = 1000
_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,65536}")
_FIELD: Final = re.compile(r'(?P<name>[A-Za-z]+)="(?P<value>[^"\\\x00-\x1f]*)"(?:\s*,\s*|\s*$)')


@dataclass(frozen=True, slots=True)
class Account:
    """A user of a registry."""

    user: str
    password: str

    def __repr__(self) -> str:
        return "Account(...)"

    @property
    def basic(self) -> str:
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


class Credentials:
    """What was found out about the registries that were asked, kept in memory: which header each repository wants."""

    def __init__(self, outbound: Outbound, accounts: Mapping[str, Account], *, actions: str = "pull") -> None:
        """`accounts` by origin (https://host:port). `actions`: what shall be done with repositories, in the words of registries."""
        self._outbound = outbound
        self._accounts = accounts
        self._actions = actions
        self._known: dict[tuple[str, str], str] = {}

    def headers(self, base: str, repository: str) -> dict[str, str]:
        """What was accepted the last time, if anything was wanted."""
        known = self._known.get((origin_of(base), repository))
        return {"Authorization": known} if known else {}

    async def meet(self, base: str, repository: str, challenge: str, errand: Errand | None = None) -> dict[str, str]:
        """Answer a 401 of the registry at `base`. Raises `NotAllowed` when there is nothing to answer with, or it was not accepted."""
        account = self._accounts.get(origin_of(base))
        kind, _, rest = challenge.partition(" ")
        host = urlsplit(base).netloc
        match kind.lower():
            case "basic" if account is not None:
                header = account.basic
            case "bearer":
                header = await self._token(host, base, repository, _fields(rest, host), account, errand)
            case _:
                raise _closed(host)
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[origin_of(base), repository] = header
        return {"Authorization": header}

    async def _token(
        self,
        host: str,
        base: str,
        repository: str,
        fields: Mapping[str, str],
        account: Account | None,
        errand: Errand | None,
    ) -> str:
        realm = fields.get("realm", "")
        try:
            origin_of(realm)
        except ValueError:
            raise InvalidRequest(f"{host} wants a token from something that is not an address.") from None
        if not realm.startswith("https://") and origin_of(base).startswith("https://"):
            raise InvalidRequest(f"{host} wants a token from an address that is not protected (https); nothing was sent there.")
        query = {"service": fields["service"]} if fields.get("service") else {}
        query["scope"] = fields.get("scope") or f"repository:{repository}:{self._actions}"
        url = f"{realm}{'&' if '?' in realm else '?'}{urlencode(query)}"
        sent = {"Authorization": account.basic} if account is not None else {}
        found = await ask(self._outbound, url, limit=_LIMIT, headers=sent, errand=errand)
        if found.status in {400, 401, 403, 404}:
            raise _closed(host)
        answer = found.json("token")
        token = (answer.get("token") or answer.get("access_token")) if isinstance(answer, dict) else None
        if found.status != 200 or not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise InvalidRequest(f"{found.host} answered a request for a token with something else (status {found.status}).")
        return f"Bearer {token}"


def _fields(text: str, host: str) -> dict[str, str]:
    """realm="...", service="...": each with its value in quotes. Raises `InvalidRequest`."""
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        field = _FIELD.match(text, at)
        if field is None:
            raise InvalidRequest(f"{host} asks for credentials in a way that is not understood.")
        found.setdefault(field["name"].lower(), field["value"])
        at = field.end()
    return found


def _closed(host: str) -> NotAllowed:
    return NotAllowed(
        f"{host} lets only its users do this, or there is no such model. If you have an account there, its owner's settings can name it: "
        f'[registries."{host}"] with user and password in hausgeist.toml.'
    )

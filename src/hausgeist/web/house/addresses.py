"""Under which address others reach this server, as far as it can tell: for what the owner hands on."""

from __future__ import annotations

import asyncio

from starlette.requests import Request

from hausgeist.http.access import secure
from hausgeist.http.facts import RequestFacts, parse_authority
from hausgeist.http.reach import reach
from hausgeist.identity import is_this_machine
from hausgeist.settings import Settings

__all__ = ["address_of"]


async def address_of(request: Request, settings: Settings) -> str:
    """The one that was asked for, which the gate has found to be this server's. Who asks on the machine itself is told one that others can use,
    if there is one."""
    facts, rules = RequestFacts.of(request.scope), request.state.rules
    scheme = "https" if secure(facts, rules) else "http"
    asked = (facts.items("x-forwarded-host")[-1:] if rules.trusts(facts.peer) else []) or [facts.one("host") or "localhost"]
    authority = parse_authority(asked[0])
    if authority is None or not is_this_machine(authority.host):
        return f"{scheme}://{asked[0]}"
    others, _ = await asyncio.to_thread(reach, settings)
    if not others:
        return f"{scheme}://{asked[0]}"
    host = f"[{others[0]}]" if ":" in others[0] else others[0]
    return f"{scheme}://{host}" if authority.port is None else f"{scheme}://{host}:{authority.port}"

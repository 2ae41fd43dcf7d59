"""Who asks, and whether they may reach the server at all: the binding rules as one pure function.

In this order:

1. *Host.* The Host header (and what a trusted proxy says was asked for) must name this server. Another name was pointed here by somebody
   else (DNS rebinding): refused. A missing one is an error.
2. *Origin.* A web page may call only if it is this server's own, the owner named it (`origins`), or both it and the request are on loopback
   (a page that this machine serves). A page from elsewhere is refused, whatever key it brings. Without an Origin header the browser's
   `Sec-Fetch-Site` says the same; following a link to a page here is not a call.
3. *Key.* `Authorization: Bearer` and `x-api-key` are one thing; both, and different, is an error. A key of ours (`hg-`) is that key or an
   error, on every bind. Keys in the query are not looked at.
4. *Session.* The cookie counts only for this server's own pages; and for anything that changes something the browser must say so (Origin or
   `Sec-Fetch-Site: same-origin`), so that no other page, not even one on another port of the same machine, can use it.
5. *Nobody.* Who brings neither is the local owner, if the connection comes from this machine, no proxy has handled it, and keys are not
   demanded. A key that is not ours counts as none: the SDKs insist on sending some. Where keys are demanded, the terminal of the server's own
   user brings the secret of this start (`owner_token`) and is the local owner, too.

Proxies. Forwarding headers mean that the client is somewhere else: such a request always needs a key or session. The client's address is the
peer's, unless the peer is a trusted proxy (`behind_proxy`, `trusted_proxies`); then it is the last one on the way here that is not trusted
itself (X-Forwarded-For, else Forwarded). With `behind_proxy` nobody is the local owner, since a proxy that does not say that it is one cannot
be told from a program on this machine.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from hausgeist.errors import InvalidRequest, NotAllowed, NotAuthenticated, shown
from hausgeist.http.facts import RequestFacts, WebOrigin, parse_address, parse_authority, parse_origin
from hausgeist.http.rules import BindingRules, is_loopback_peer
from hausgeist.identity import LOCAL_OWNER, Origin, Principal, is_this_machine
from hausgeist.workspace.secret import looks_like_key

__all__ = ["Identities", "Site", "client_of", "cookie_name", "counting_session", "identify", "secure", "session_token", "site_of"]

_FORWARDING = {
    "forwarded",
    "via",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-original-forwarded-for",
    "true-client-ip",
    "cf-connecting-ip",
}
_SAFE = {"GET", "HEAD", "OPTIONS"}
_API = ("/v1/", "/api/", "/house/")
_LONGEST_KEY = 512


class _Identified(Protocol):
    @property
    def id(self) -> str: ...


class Identities(Protocol):
    """What is needed of `workspace.Workspace`."""

    def authenticate_key(self, text: str, *, project: str | None = None) -> Principal: ...

    def authenticate_session(self, token: str, *, project: str | None = None) -> Principal: ...

    def project(self, id_or_name: str) -> _Identified: ...


@dataclass(frozen=True, slots=True)
class Site:
    """From where a request was caused, as far as a browser tells.

    own: a page of this server. named: a page that the owner allows. any: one that is allowed only because every one is. near: a page served by
    this machine. none: no page, or a link that was followed.
    """

    relation: Literal["own", "named", "any", "near", "none"]
    origin: str = ""
    """To be repeated to the browser (CORS) where the page is not our own."""


def identify(facts: RequestFacts, rules: BindingRules, workspace: Identities, *, site: Site | None = None) -> tuple[Principal, Origin]:
    """Who asks, and from where. Raises `NotAuthenticated`, `NotAllowed`, `InvalidRequest`, `NotFound` (a project that is not there).

    `site`: what `site_of` said, where it was asked already.
    """
    site = site or site_of(facts, rules)
    origin = client_of(facts, rules)
    project = facts.one("openai-project") or None
    key = _key(facts)
    if key is not None and looks_like_key(key):
        if len(key) > _LONGEST_KEY:
            raise NotAuthenticated
        return workspace.authenticate_key(key, project=project), origin
    if key is not None and _is_owner_token(key, facts, rules):
        return _local_owner(workspace, project), origin
    if key is None and (token := session_token(facts, rules)) is not None and _session_counts(facts, site):
        try:
            return workspace.authenticate_session(token, project=project), origin
        except NotAuthenticated:
            # A session that has ended is as good as none; on loopback the caller is then who they are without one.
            if not _is_local(facts, rules, site):
                raise
    if not _is_local(facts, rules, site):
        raise NotAuthenticated(_missing(facts, rules, site, key))
    return _local_owner(workspace, project), origin


def site_of(facts: RequestFacts, rules: BindingRules) -> Site:
    """Rules 1 and 2. Raises `NotAllowed`, `InvalidRequest`."""
    trusted = rules.trusts(facts.peer)
    host, port = _host(facts, rules, trusted)
    fetched = (facts.one("sec-fetch-site") or "").lower()
    said = facts.one("origin")
    if said is None:
        if fetched in {"", "none", "same-origin", "same-site"}:
            return Site("own" if fetched == "same-origin" else "none")
        if _is_navigation(facts):
            return Site("none")
        raise NotAllowed('A page of another site may not call this server. Its owner can allow the site: origins = ["https://..."].')
    if said == "null":
        # Browsers say "null" for forms of pages with a strict referrer policy, as ours are; only Sec-Fetch-Site cannot be forged by a page.
        if fetched == "same-origin":
            return Site("own")
        if rules.null_origin:
            return Site("named", said)
    elif (origin := parse_origin(said)) is not None:
        # A proxy may have rewritten Host; the browser knows better, provided that the page's name is one of ours.
        if _is_own(origin, facts, host, port, trusted) or (fetched == "same-origin" and rules.knows_host(origin.host)):
            return Site("own")
        if rules.knows_origin(origin):
            return Site("named", said)
        if origin.scheme in {"http", "https"} and not rules.keys_demanded and is_this_machine(origin.host) and is_this_machine(host):
            return Site("near", said)
    if rules.any_origin:
        return Site("any", said)
    raise NotAllowed(f"Pages from '{shown(said)}' may not call this server. Its owner can allow it: origins = [\"{shown(said)}\"].")


def client_of(facts: RequestFacts, rules: BindingRules) -> Origin:
    """The client's address and what it calls itself."""
    address = facts.peer
    if rules.trusts(facts.peer):
        hops = facts.items("x-forwarded-for") or [_forwarded_for(element) for element in facts.items("forwarded")]
        for hop in reversed(hops[-32:]):
            known = parse_address(_bare(hop))
            if known is None:
                break
            address = str(known)
            if not rules.trusts(address):
                break
    agent = (facts.headers.get("user-agent") or ("",))[0]
    return Origin(address=address or "unknown", agent=agent[:200], request_id=facts.request_id)


def cookie_name(rules: BindingRules, *, tls: bool) -> str:
    """Under TLS the prefix makes browsers refuse the cookie from anybody but this very host."""
    return "__Host-hausgeist_session" if tls or rules.tls else "hausgeist_session"


def session_token(facts: RequestFacts, rules: BindingRules) -> str | None:
    """What the session cookie holds, counting or not."""
    wanted = cookie_name(rules, tls=secure(facts, rules))
    for line in facts.headers.get("cookie", ()):
        for part in line.split(";"):
            name, _, value = part.partition("=")
            if name.strip() == wanted and value.strip():
                return value.strip()[:_LONGEST_KEY]
    return None


def counting_session(facts: RequestFacts, rules: BindingRules) -> str | None:
    """The session's token, if this request may use it."""
    token = session_token(facts, rules)
    return token if token is not None and _session_counts(facts, site_of(facts, rules)) else None


def secure(facts: RequestFacts, rules: BindingRules) -> bool:
    """Whether the client's own connection is encrypted: here, or at a trusted proxy."""
    if rules.trusts(facts.peer) and (said := facts.items("x-forwarded-proto")):
        return said[-1].lower() == "https"
    return facts.tls


def _host(facts: RequestFacts, rules: BindingRules, trusted: bool) -> tuple[str, int | None]:
    """Host and port that the client asked for."""
    said = facts.one("host")
    if not said:
        raise InvalidRequest("The Host header is missing.")
    asked = [said]
    if trusted:
        asked += facts.items("x-forwarded-host")[-1:]
    authority = None
    for value in asked:
        authority = parse_authority(value)
        if authority is None:
            raise InvalidRequest("The Host header is not a host name or address.")
        if not rules.knows_host(authority.host):
            raise NotAllowed(
                f"This server does not go by the name '{authority.host}'. If it should, its owner can add it: names = [\"{authority.host}\"]."
            )
    assert authority is not None
    return authority


def _is_own(origin: WebOrigin, facts: RequestFacts, host: str, port: int | None, trusted: bool) -> bool:
    schemes = {"https" if facts.tls else "http"}
    if trusted:
        said = facts.items("x-forwarded-proto")
        schemes = {said[-1].lower()} if said else {"http", "https"}
    return origin.scheme in schemes and origin.host == host and origin.port == (port or (443 if origin.scheme == "https" else 80))


def _is_navigation(facts: RequestFacts) -> bool:
    """Somebody followed a link to one of the pages: nothing that the page with the link could read or use."""
    return (
        facts.method in {"GET", "HEAD"}
        and facts.one("sec-fetch-mode") == "navigate"
        and facts.one("sec-fetch-dest") == "document"
        and not facts.path.startswith(_API)
    )


def _key(facts: RequestFacts) -> str | None:
    """The key that was sent, ours or not. Raises `NotAuthenticated` for two different ones."""
    found = {value for value in facts.headers.get("x-api-key", ()) if value}
    for value in facts.headers.get("authorization", ()):
        scheme, _, rest = value.partition(" ")
        # A bare key, as some clients send it, is a key; what another scheme carries is somebody else's.
        key = rest.strip() if scheme.lower() == "bearer" else value
        if key:
            found.add(key)
    if len(found) > 1:
        raise NotAuthenticated("Two different keys came with this request (Authorization and x-api-key). Send one.")
    return found.pop() if found else None


def _local_owner(workspace: Identities, project: str | None) -> Principal:
    return replace(LOCAL_OWNER, project=workspace.project(project).id) if project else LOCAL_OWNER


def _is_owner_token(key: str, facts: RequestFacts, rules: BindingRules) -> bool:
    return bool(rules.owner_token) and hmac.compare_digest(key.encode(), rules.owner_token.encode()) and not _was_forwarded(facts)


def _session_counts(facts: RequestFacts, site: Site) -> bool:
    if facts.method in _SAFE:
        return site.relation == "own" or (site.relation == "none" and facts.one("sec-fetch-site") in {None, "none"})
    return site.relation == "own"


def _is_local(facts: RequestFacts, rules: BindingRules, site: Site) -> bool:
    return not rules.keys_demanded and site.relation != "any" and is_loopback_peer(facts.peer) and not _was_forwarded(facts)


def _was_forwarded(facts: RequestFacts) -> bool:
    return any(name in _FORWARDING or name.startswith("x-forwarded") for name in facts.headers)


def _missing(facts: RequestFacts, rules: BindingRules, site: Site, key: str | None) -> str | None:
    """Why there is nobody, where the usual sentence would not help."""
    if key is not None:
        return "This is not a key of this server: its keys begin with 'hg-'. An owner makes one with 'hausgeist key create'."
    if session_token(facts, rules) is not None and not _session_counts(facts, site):
        return "The session cookie counts only for requests of this server's own pages. Programs send a key: 'Authorization: Bearer hg-...'."
    if _was_forwarded(facts) and not rules.keys_demanded:
        return "This request came through a proxy, so it needs a key: 'Authorization: Bearer hg-...'."
    return None


def _forwarded_for(element: str) -> str:
    """RFC 7239: `for="[2001:db8::1]:4711";proto=https`."""
    for pair in element.split(";"):
        name, _, value = pair.partition("=")
        if name.strip().lower() == "for":
            return value.strip().strip('"')
    return ""


def _bare(hop: str) -> str:
    """An address without port and brackets."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop

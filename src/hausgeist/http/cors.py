"""What browsers are told about pages of other origins. Whether such a page may call at all is decided in `access`; here is only how to say so."""

from __future__ import annotations

import re

from starlette.responses import Response

from hausgeist.http.access import Site
from hausgeist.http.facts import RequestFacts

__all__ = ["allowing", "is_preflight", "preflight"]

_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
_HEADER_NAMES = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~, \t-]{1,2000}")
_READABLE = "x-request-id, request-id, retry-after, content-disposition"
_SECONDS = "600"


def is_preflight(facts: RequestFacts) -> bool:
    """Whether a browser asks if it may ask."""
    return facts.method == "OPTIONS" and "origin" in facts.headers and "access-control-request-method" in facts.headers


def preflight(facts: RequestFacts) -> Response:
    """Yes, beside `allowing`: the page was let in. Cookies never travel to other origins, so credentials are not allowed."""
    headers = {
        "access-control-allow-methods": _METHODS,
        "access-control-max-age": _SECONDS,
        "vary": "Origin, Access-Control-Request-Headers",
    }
    wanted = facts.one("access-control-request-headers") or ""
    if _HEADER_NAMES.fullmatch(wanted):
        headers["access-control-allow-headers"] = wanted
    if facts.one("access-control-request-private-network") == "true":
        headers["access-control-allow-private-network"] = "true"
    return Response(status_code=204, headers=headers)


def allowing(site: Site) -> list[tuple[bytes, bytes]]:
    """Headers that let the page read the answer."""
    if not site.origin:
        return []
    return [
        (b"access-control-allow-origin", site.origin.encode("latin-1", "replace")),
        (b"access-control-expose-headers", _READABLE.encode()),
        (b"vary", b"Origin"),
    ]

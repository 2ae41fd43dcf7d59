"""A page as HTML: a template, the texts of its areas, the addresses of what it loads, and the headers that keep it to itself."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Final

from starlette.requests import Request
from starlette.responses import Response

from hausgeist import __version__
from hausgeist.http.packing import unpacks
from hausgeist.identity import Principal
from hausgeist.web.pages.assets import Assets
from hausgeist.web.pages.strings import LANGUAGES, area, negotiate, say

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["LANGUAGE_COOKIE", "PROJECT_COOKIE", "THEME_COOKIE", "Page", "Rendering"]

LANGUAGE_COOKIE, THEME_COOKIE, PROJECT_COOKIE = "hausgeist_language", "hausgeist_theme", "hausgeist_project"
_THEMES = ("light", "dark")

_POLICY: Final = "; ".join((
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data: blob:",
    "font-src 'self'",
    "connect-src 'self'",
    "manifest-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    # No string becomes a document or a script, whoever wrote it: scripts here make elements one by one.
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
))  # fmt: skip

_HEADERS: Final = {
    "content-security-policy": _POLICY,
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "cache-control": "private, no-cache",
    "vary": "Accept, Accept-Encoding, Accept-Language, Cookie",
}


@dataclass(frozen=True, slots=True)
class Page:
    """One page. `name` is that of its template, script and style; `areas` those of its texts besides the common ones."""

    name: str
    areas: Sequence[str] = ()
    bare: bool = False
    """Without the frame: before somebody has signed in."""


class Rendering:
    """Makes pages. The template language is loaded with the first."""

    def __init__(self, assets: Assets) -> None:
        self._assets = assets

    @cached_property
    def _environment(self) -> Environment:
        from jinja2 import Environment, PackageLoader, StrictUndefined

        loader = PackageLoader("hausgeist.web", "templates")
        return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)

    def page(self, request: Request, page: Page, *, who: Principal | None = None, project: str = "", status: int = 200, **values: Any) -> Response:
        """The page for this browser: in its language, in the light it was left in. `project`: the one that was chosen; empty: the person's own."""
        language = negotiate(request.headers.get("accept-language", ""), request.cookies.get(LANGUAGE_COOKIE, ""))
        theme = request.cookies.get(THEME_COOKIE, "")
        areas = ("common", *page.areas)
        told = {
            "language": language,
            "languages": LANGUAGES,
            "version": __version__,
            "base": self._assets.base,
            "me": _person(who),
            "project": project,
            "texts": {key: text for name in areas for key, text in area(language, name).items()},
        }
        html = self._environment.get_template(f"{page.name}.html").render(
            page=page,
            who=who,
            path=request.url.path,
            language=language,
            theme=theme if theme in _THEMES else "",
            version=__version__,
            asset=lambda name: self._assets.base + name,
            scripts=self._assets.graph(f"js/pages/{page.name}.js"),
            told=_harmless(told),
            t=partial(say, language),
            **values,
        )
        content, headers = html.encode(), dict(_HEADERS)
        if who is not None and who.kind != "local":
            # After signing out, "back" shows nobody the page of somebody else.
            headers["cache-control"] = "private, no-store"
        if unpacks(request):
            content, headers["content-encoding"] = gzip.compress(content, 6, mtime=0), "gzip"
        return Response(content, status, media_type="text/html; charset=utf-8", headers=headers)


def _person(who: Principal | None) -> Mapping[str, Any] | None:
    """As GET /house/v1/session tells it."""
    if who is None:
        return None
    return {"kind": who.kind, "name": who.name, "user": who.user, "role": who.role, "house_role": who.house_role, "project": who.project}


def _harmless(value: Mapping[str, Any]) -> str:
    """JSON that cannot end the element that it stands in."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")

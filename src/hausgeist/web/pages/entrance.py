"""Which pages there are, and who gets which: the table of routes, signing in, the way of a first visit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from hausgeist.errors import HausgeistError
from hausgeist.http.endpoint import Endpoint, Handler
from hausgeist.http.house import HOUSE
from hausgeist.identity import Principal
from hausgeist.library import guide
from hausgeist.web.pages.assets import Assets
from hausgeist.web.pages.rendering import PROJECT_COOKIE, Page, Rendering
from hausgeist.web.parts import Parts, acting_in

__all__ = ["endpoints"]

CHAT = Page("chat", ("chat", "citations"))
SIGN_IN = Page("sign-in", ("entrance",), bare=True)
SERVER = Page("server", ("server", "actions"))
WELCOME = Page("welcome", ("entrance", "models"), bare=True)
_PAGES: Final = (
    ("/chat/{chat}", CHAT, "A chat"),
    ("/documents", Page("documents", ("documents", "citations")), "Projects' documents, and what they answer"),
    ("/documents/{store}", Page("documents", ("documents", "citations")), "The documents of one store"),
    ("/models", Page("models", ("models",)), "Models: installed, known, on their way"),
    ("/plan", Page("plan", ("plan",)), "The planner"),
    ("/personas", Page("personas", ("personas",)), "Personas and prompts"),
    ("/server", SERVER, "The state of the server"),
    ("/server/{part}", SERVER, "People, keys, usage, audit, settings"),
    ("/welcome", WELCOME, "The first run"),
)
_WELCOMED: Final = "hausgeist_welcomed"


def endpoints(parts: Parts) -> list[Endpoint]:
    """The routes."""
    assets = Assets()
    rendering = Rendering(assets)

    def route(path: str, handle: Handler, summary: str) -> Endpoint:
        return Endpoint(method="GET", path=path, handle=handle, dialect=HOUSE, summary=summary, open=True)

    async def root(request: Request) -> Response:
        if "text/html" not in request.headers.get("accept", ""):
            # What clients of Ollama look for to tell whether it is there.
            return PlainTextResponse("Ollama is running", headers={"vary": "Accept"})
        return _for_people(request, parts, lambda who, project: _first_page(request, parts, rendering, who, project))

    async def sign_in(request: Request) -> Response:
        return rendering.page(request, SIGN_IN, who=request.state.principal)

    async def static(request: Request) -> Response:
        return assets.answer(request)

    def shown(page: Page) -> Handler:
        async def show(request: Request) -> Response:
            return _for_people(request, parts, lambda who, project: rendering.page(request, page, who=who, project=project))

        return show

    return [
        route("/", root, "The chat; for programs: that the server runs"),
        route("/sign-in", sign_in, "The page for signing in"),
        *(route(path, shown(page), summary) for path, page, summary in _PAGES),
        route("/static/{digest}/{path:path}", static, "What the pages load"),
    ]


def _for_people(request: Request, parts: Parts, show: Callable[[Principal, str], Response]) -> Response:
    """The page, or first the one for signing in, which leads back here."""
    who: Principal | None = request.state.principal
    if who is not None:
        return show(*_in_project(request, parts, who))
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(f"/sign-in?next={quote(here, safe='')}", 303, headers={"cache-control": "no-store"})


def _in_project(request: Request, parts: Parts, who: Principal) -> tuple[Principal, str]:
    """The person as they are in the project that they chose, and its id; as they are, where it is gone or theirs no longer."""
    chosen = request.cookies.get(PROJECT_COOKIE, "")
    try:
        return (acting_in(request, parts, parts.workspace.visible_project(chosen, who).id), chosen) if chosen else (who, "")
    except HausgeistError:
        return who, ""


def _first_page(request: Request, parts: Parts, rendering: Rendering, who: Principal, project: str) -> Response:
    """An owner who has no model but the guide, and was not greeted yet, is greeted."""
    alone = who.house_role == "owner" and all(guide.is_guide(one.model.id) for one in parts.upkeep.versions.all())
    if alone and _WELCOMED not in request.cookies:
        return RedirectResponse("/welcome", 303, headers={"cache-control": "no-store", "vary": "Accept"})
    return rendering.page(request, CHAT, who=who, project=project)

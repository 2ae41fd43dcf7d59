"""/house/v1/files: what a file says and how its pages look, so that a passage can be shown where it stands.

Characters are those of the file's text as a parser made it, `end` exclusive; pages count from 1; boxes are points (1/72 inch) from the top left of
the page. What comes out is never a page of this server, whatever is in the file.
"""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hausgeist.errors import InvalidRequest, NotFound
from hausgeist.http.endpoint import Endpoint, Handler
from hausgeist.http.house import HOUSE
from hausgeist.knowledge.hits import Mark
from hausgeist.knowledge.stores.texts import PageRow, Paper
from hausgeist.web.house.queries import number_in, only
from hausgeist.web.parts import Parts, who_asks

__all__ = ["endpoints"]

_PATH: Final = "/house/v1/files/{file}"
_WIDTH: Final = 1000
_LEAST_WIDTH: Final = 40
_MOST_WIDTH: Final = 4000
"""Pixels of a picture: a page on a screen with twice the usual points an inch has some 1,700."""
_KEPT: Final = "private, max-age=3600"
"""By the browser of who may see it, and by nobody in between."""
_PICTURED: Final = ("application/pdf", "image/")
_FAR: Final = 2**53
_HARMLESS: Final = {"content-security-policy": "sandbox; default-src 'none'"}


def endpoints(parts: Parts) -> list[Endpoint]:
    """The routes of this resource."""

    def route(path: str, handle: Handler, summary: str, *query: str) -> Endpoint:
        return Endpoint(method="GET", path=f"{_PATH}{path}", handle=handle, dialect=HOUSE, summary=summary, action="file.read", query=query)

    return [
        route("/text", _text(parts), "What a file says, as plain text", "start", "end"),
        route("/pages", _pages(parts), "The pages of a file, their sizes and what they are called"),
        route("/pages/{page}.png", _picture(parts), "A page as a picture", "width"),
        route("/boxes", _boxes(parts), "Where characters of the text stand on the pages", "start", "end"),
    ]


def _text(parts: Parts) -> Handler:
    async def read(request: Request) -> Response:
        only(request, "start", "end")
        text = await parts.documents.text(who_asks(request), request.path_params["file"])
        start, end = _range(request, len(text))
        headers = {**_HARMLESS, "x-characters": str(len(text)), "cache-control": "private, no-cache"}
        return Response(text[start:end].encode("utf-8", "replace"), media_type="text/plain; charset=utf-8", headers=headers)

    return read


def _pages(parts: Parts) -> Handler:
    async def read(request: Request) -> Response:
        only(request)
        who, file = who_asks(request), request.path_params["file"]
        paper = await parts.documents.paper(who, file)
        pages = await parts.documents.pages(who, file)
        return JSONResponse({
            "file": file, "media_type": paper.media_type, "title": paper.title, "characters": paper.characters, "warnings": [*paper.warnings],
            "pictures": _has_pictures(paper), "pages": [_page(page) for page in pages],
        })  # fmt: skip

    return read


def _picture(parts: Parts) -> Handler:
    async def draw(request: Request) -> Response:
        only(request, "width")
        who, file = who_asks(request), request.path_params["file"]
        width = number_in(request, "width", _WIDTH, least=_LEAST_WIDTH, most=_MOST_WIDTH)
        named = request.path_params["page"]
        if not (named.isascii() and named.isdigit() and len(named) < 8 and int(named)):
            raise NotFound("Pages are called by their numbers, from 1: .../pages/1.png")
        page, paper = int(named), await parts.documents.paper(who, file)
        if not _has_pictures(paper):
            raise InvalidRequest(
                f"A file of the type {paper.media_type} has no pages of its own: how they look depends on the program that shows it. "
                f"What it says is at /house/v1/files/{file}/text."
            )
        if page > max(1, paper.pages):
            raise NotFound(f"The file has {paper.pages} pages; there is no page {page}.")
        tag = f'"{paper.digest[:32]}-{page}-{width}"'
        headers = {**_HARMLESS, "cache-control": _KEPT, "etag": tag}
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(await parts.parsers().picture(parts.files.open(who, file), page, width), media_type="image/png", headers=headers)

    return draw


def _boxes(parts: Parts) -> Handler:
    async def find(request: Request) -> Response:
        only(request, "start", "end")
        for name in ("start", "end"):
            if name not in request.query_params:
                raise InvalidRequest(f"'{name}' is needed: characters of the text, as in a citation or in .../text.", param=name)
        who, file = who_asks(request), request.path_params["file"]
        start, end = _range(request, (await parts.documents.paper(who, file)).characters)
        marks = await parts.documents.marks(who, file, start, end)
        return JSONResponse({"file": file, "start": start, "end": end, "boxes": [_box(mark) for mark in marks]})

    return find


def _range(request: Request, characters: int) -> tuple[int, int]:
    """`start` and `end` of the query within a text of so many characters. Raises `InvalidRequest`."""
    start = number_in(request, "start", 0, least=0, most=_FAR)
    end = number_in(request, "end", characters, least=0, most=_FAR)
    if start > characters:
        raise InvalidRequest(f"'start' is behind the end of the text, which has {characters} characters.", param="start")
    if end < start:
        raise InvalidRequest("'end' should not be before 'start'.", param="end")
    return start, min(end, characters)


def _has_pictures(paper: Paper) -> bool:
    return paper.media_type.startswith(_PICTURED)


def _page(page: PageRow) -> dict[str, Any]:
    return {
        "number": page.number, "start": page.start, "end": page.end, "width": page.width, "height": page.height, "label": page.label or None,
        "recognised": page.recognised,
    }  # fmt: skip


def _box(mark: Mark) -> dict[str, Any]:
    box = mark.box
    return {"page": mark.page, "left": box.left, "top": box.top, "right": box.right, "bottom": box.bottom}

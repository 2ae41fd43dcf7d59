"""/house/v1/stores and /house/v1/search: what OpenAI's vector stores do not tell. How far the reading is, what each file is called and has become,
and passages with their page, their headings and their place in the text."""

from __future__ import annotations

from typing import Annotated, Any, Final, get_args

from pydantic import Field, JsonValue
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hausgeist.errors import InvalidRequest
from hausgeist.http.bodies import Body, json_body
from hausgeist.http.endpoint import Endpoint
from hausgeist.http.house import HOUSE
from hausgeist.knowledge.hits import Hit
from hausgeist.knowledge.stores.rows import Order
from hausgeist.knowledge.stores.values import FileStatus, Progress, Store, StoreFile
from hausgeist.web.house import papers
from hausgeist.web.house.queries import number_in, only
from hausgeist.web.parts import Parts, who_asks

__all__ = ["SearchBody", "endpoints"]

_PATH: Final = "/house/v1/stores/{store}"
_MOST_LISTED: Final = 1000
Text = Annotated[str, Field(min_length=1, max_length=10_000)]


class SearchBody(Body):
    """What is looked for, in which stores. `threshold`: no passage with a lower score; `rerank`: by the rerank model, unset: as the settings say."""

    query: Text | Annotated[list[Text], Field(min_length=1, max_length=20)]
    stores: list[Annotated[str, Field(min_length=1, max_length=128)]] = Field(min_length=1, max_length=100)
    limit: int = Field(10, ge=1, le=50)
    filters: dict[str, JsonValue] | None = None
    threshold: float = Field(0.0, ge=0, le=1)
    rerank: bool | None = None


def endpoints(parts: Parts) -> list[Endpoint]:
    """The routes."""

    async def files(request: Request) -> Response:
        only(request, "status", "after", "limit", "order")
        limit = number_in(request, "limit", 100, least=1, most=_MOST_LISTED)
        page = parts.stores.files(
            who_asks(request),
            request.path_params["store"],
            status=_status(request),
            after=request.query_params.get("after"),
            limit=limit,
            order=_order(request),
        )
        data = [_file(one) for one in page]
        return JSONResponse({"data": data, "has_more": page.more, "last_id": data[-1]["id"] if data else None})

    async def progress(request: Request) -> Response:
        only(request)
        return JSONResponse(_progress(parts.stores.progress(who_asks(request), request.path_params["store"])))

    async def search(request: Request) -> Response:
        body = await json_body(request, SearchBody)
        queries = [body.query] if isinstance(body.query, str) else body.query
        found = await parts.search.search(
            who_asks(request), body.stores, queries, limit=body.limit, filters=body.filters, threshold=body.threshold, rerank=body.rerank
        )
        return JSONResponse({"data": [_hit(hit) for hit in found]})

    async def describe(request: Request) -> Response:
        only(request)
        who = who_asks(request)
        return JSONResponse(_store(parts.stores.get(who, request.path_params["store"]), parts.workspace.project(who.project).name))

    async def demo(request: Request) -> Response:
        only(request)
        who = who_asks(request)
        made = await papers.bring(who, parts.files, parts.stores)
        return JSONResponse(_store(made, parts.workspace.project(who.project).name), status_code=201)

    listed = ("status", "after", "limit", "order")
    return [
        Endpoint(method="GET", path=_PATH, handle=describe, dialect=HOUSE, summary="A store: its project, its embedding model",
                 action="vector_store.read"),
        Endpoint(method="POST", path="/house/v1/stores/demo", handle=demo, dialect=HOUSE, action="vector_store.create",
                 summary="A store with the papers of a company that does not exist"),
        Endpoint(method="GET", path=f"{_PATH}/files", handle=files, dialect=HOUSE, summary="The files of a store, with names and pages",
                 action="vector_store.read", query=listed),
        Endpoint(method="GET", path=f"{_PATH}/progress", handle=progress, dialect=HOUSE, summary="How far the reading of a store's files is",
                 action="vector_store.read"),
        Endpoint(method="POST", path="/house/v1/search", handle=search, dialect=HOUSE, summary="Passages of documents, with their places",
                 action="vector_store.search", body=SearchBody),
    ]  # fmt: skip


def _store(store: Store, project: str) -> dict[str, Any]:
    return {
        "id": store.id, "name": store.name, "description": store.description, "project": project, "created_at": int(store.created),
        "embedding_model": store.embedder or None,
    }  # fmt: skip


def _order(request: Request) -> Order:
    match request.query_params.get("order", "desc"):
        case "asc":
            return "asc"
        case "desc":
            return "desc"
        case _:
            raise InvalidRequest("'order' should be asc or desc.", param="order")


def _status(request: Request) -> FileStatus | None:
    text = request.query_params.get("status")
    for status in get_args(FileStatus):
        if text == status:
            return status  # type: ignore[no-any-return]
    if text is not None:
        raise InvalidRequest("'status' should be in_progress, completed, failed or cancelled.", param="status")
    return None


def _file(one: StoreFile) -> dict[str, Any]:
    return {
        "id": one.file, "filename": one.filename, "status": one.status, "created_at": int(one.created), "text_bytes": one.bytes,
        "pages_done": one.done, "pages_total": one.total, "attributes": dict(one.attributes),
        "last_error": {"code": one.error.code, "message": one.error.message} if one.error is not None else None,
    }  # fmt: skip


def _progress(told: Progress) -> dict[str, Any]:
    counts = told.counts
    return {
        "counts": {name: getattr(counts, name) for name in ("in_progress", "completed", "failed", "cancelled", "total")},
        "pages_done": told.pages_done, "pages_total": told.pages_total, "files_per_second": told.files_per_second, "seconds_left": told.seconds_left,
        "reading": [_file(one) for one in told.reading], "trouble": told.trouble or None,
    }  # fmt: skip


def _hit(hit: Hit) -> dict[str, Any]:
    return {
        "file_id": hit.file, "filename": hit.filename, "store": hit.store, "start": hit.start, "end": hit.end, "text": hit.text, "score": hit.score,
        "page": hit.page, "heading": hit.heading, "language": hit.language, "kind": hit.kind, "attributes": dict(hit.attributes),
    }  # fmt: skip

"""`vector_stores`: create, retrieve, update, list, delete, search."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Final, Literal

from pydantic import Field, StringConstraints
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hausgeist.errors import InvalidRequest
from hausgeist.gateway.bodies import json_body
from hausgeist.gateway.openai.errors import OPENAI
from hausgeist.gateway.openai.metadata import Metadata
from hausgeist.gateway.openai.paging import PAGING, page_body, read_paging
from hausgeist.gateway.openai.sampling import StrictBody
from hausgeist.gateway.services import Services
from hausgeist.http.endpoint import Endpoint
from hausgeist.knowledge.hits import Hit
from hausgeist.knowledge.stores.rewriting import rewritten
from hausgeist.knowledge.stores.search import MOST_QUERIES, MOST_RESULTS
from hausgeist.knowledge.stores.values import AUTO, Attachment, Chunking, Counts, Store

__all__ = [
    "Attributes",
    "FileChunking",
    "FileId",
    "RankingOptions",
    "VectorStoreCreate",
    "VectorStoreSearch",
    "VectorStoreUpdate",
    "chunking_of",
    "encode_counts",
    "encode_store",
    "endpoints",
]

_PATH: Final = "/v1/vector_stores"
_USUAL: Final = 10
"""Results of a search that says nothing about it."""
_EXACT: Final = 2**53
_RANKERS: Final = ("auto", "none", "default-2024-11-15", "default_2024_08_21")
"""OpenAI's: all but "none" leave it to the settings here. Any other name is that of a rerank model."""

_Word = Annotated[str, StringConstraints(max_length=512, pattern=r"^[^\x00]*$")]
_Whole = Annotated[int, Field(ge=-_EXACT, le=_EXACT)]
_Key = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[^\x00]*$")]
_Value = _Word | bool | _Whole | float
Attributes = Annotated[dict[_Key, _Value], Field(max_length=16)]
FileId = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Name = Annotated[str, StringConstraints(max_length=256, pattern=r"^[^\x00]*$")]
Question = Annotated[str, StringConstraints(min_length=1, max_length=8192)]


class StoreExpiry(StrictBody):
    """A store goes when it was not used for so many days."""

    anchor: Literal["last_active_at"]
    days: int = Field(ge=1, le=365)


class AutoChunking(StrictBody):
    """Passages of up to 400 tokens, cut where the text is divided."""

    type: Literal["auto"]


class StaticChunk(StrictBody):
    max_chunk_size_tokens: int = Field(ge=100, le=4096)
    chunk_overlap_tokens: int = Field(ge=0, le=2048)


class StaticChunking(StrictBody):
    type: Literal["static"]
    static: StaticChunk


FileChunking = AutoChunking | StaticChunking


class VectorStoreCreate(StrictBody):
    """The body of `POST /v1/vector_stores`, as the SDK's VectorStoreCreateParams has it."""

    chunking_strategy: FileChunking | None = None
    description: Name | None = None
    expires_after: StoreExpiry | None = None
    file_ids: list[FileId] | None = Field(None, max_length=2000)
    metadata: Metadata | None = None
    name: Name | None = None


class VectorStoreUpdate(StrictBody):
    """What is left out stays as it is."""

    expires_after: StoreExpiry | None = None
    metadata: Metadata | None = None
    name: Name | None = None


class RankingOptions(StrictBody):
    """`ranker`: OpenAI's names, or that of an installed rerank model."""

    ranker: Annotated[str, StringConstraints(min_length=1, max_length=512)] | None = None
    score_threshold: float | None = Field(None, ge=0, le=1)


class VectorStoreSearch(StrictBody):
    """The body of `POST /v1/vector_stores/{vector_store_id}/search`."""

    query: Question | Annotated[list[Question], Field(min_length=1, max_length=MOST_QUERIES)]
    filters: dict[str, Any] | None = None
    """A ComparisonFilter or CompoundFilter; what is wrong with it, `knowledge.stores.filters` says by its place."""
    max_num_results: int | None = Field(None, ge=1, le=MOST_RESULTS)
    ranking_options: RankingOptions | None = None
    rewrite_query: bool | None = None


def endpoints(services: Services) -> list[Endpoint]:
    """The routes of this resource."""

    def route(method: Any, path: str, handle: Any, summary: str, action: str, *operations: str, **more: Any) -> Endpoint:
        return Endpoint(
            method=method, path=f"{_PATH}{path}", handle=partial(handle, services=services), dialect=OPENAI, summary=summary,
            action=f"vector_store.{action}", operations=tuple(f"vector_stores.{one}" for one in operations), **more,
        )  # fmt: skip

    one = "/{vector_store_id}"
    return [
        route("GET", "", list_stores, "List the vector stores of the project.", "read", "list", query=(*PAGING, "before")),
        route("POST", "", create, "Make a vector store.", "create", "create", body=VectorStoreCreate),
        route("GET", one, retrieve, "Describe a vector store.", "read", "retrieve"),
        route("POST", one, update, "Change a vector store.", "update", "update", body=VectorStoreUpdate),
        route("DELETE", one, delete, "Remove a vector store.", "delete", "delete"),
        route("POST", f"{one}/search", search, "Find passages in a vector store.", "search", "search", body=VectorStoreSearch),
    ]


def chunking_of(asked: FileChunking | None, place: str = "chunking_strategy") -> Chunking:
    """Raises `InvalidRequest`."""
    if not isinstance(asked, StaticChunking):
        return AUTO
    most, overlap = asked.static.max_chunk_size_tokens, asked.static.chunk_overlap_tokens
    if overlap > most // 2:
        where = f"{place}.static.chunk_overlap_tokens"
        raise InvalidRequest(f"{where}: should be half of max_chunk_size_tokens at most", param=where)
    return Chunking(most, overlap)


def encode_counts(counts: Counts) -> dict[str, int]:
    return {
        "cancelled": counts.cancelled,
        "completed": counts.completed,
        "failed": counts.failed,
        "in_progress": counts.in_progress,
        "total": counts.total,
    }


def encode_store(store: Store) -> dict[str, Any]:
    return {
        "id": store.id,
        "object": "vector_store",
        "created_at": int(store.created),
        "name": store.name,
        "usage_bytes": store.bytes,
        "file_counts": encode_counts(store.counts),
        "status": store.status,
        "expires_after": {"anchor": "last_active_at", "days": store.expires_days} if store.expires_days is not None else None,
        "expires_at": int(store.expires) if store.expires is not None else None,
        "last_active_at": int(store.active),
        "metadata": dict(store.metadata),
    }


async def create(request: Request, services: Services) -> Response:
    asked = await json_body(request, VectorStoreCreate)
    chunking = chunking_of(asked.chunking_strategy)
    made = await services.stores.create(
        request.state.principal, name=asked.name or "", description=asked.description or "", metadata=asked.metadata,
        expires_days=asked.expires_after.days if asked.expires_after is not None else None,
        files=[Attachment(file=file, chunking=chunking) for file in dict.fromkeys(asked.file_ids or ())],
    )  # fmt: skip
    return JSONResponse(encode_store(made))


async def retrieve(request: Request, services: Services) -> Response:
    return JSONResponse(encode_store(services.stores.get(request.state.principal, request.path_params["vector_store_id"])))


async def list_stores(request: Request, services: Services) -> Response:
    asked = read_paging(request, order="desc", filters=("before",))
    page = services.stores.list(request.state.principal, after=asked.after, before=asked.filters.get("before"), limit=asked.limit, order=asked.order)
    return JSONResponse(page_body([encode_store(store) for store in page], more=page.more))


async def update(request: Request, services: Services) -> Response:
    asked = await json_body(request, VectorStoreUpdate)
    changes: dict[str, Any] = {}
    if asked.name is not None:
        changes["name"] = asked.name
    if "metadata" in asked.model_fields_set:
        changes["metadata"] = asked.metadata
    if "expires_after" in asked.model_fields_set:
        changes["expires_days"] = asked.expires_after.days if asked.expires_after is not None else None
    changed = await services.stores.update(request.state.principal, request.path_params["vector_store_id"], **changes)
    return JSONResponse(encode_store(changed))


async def delete(request: Request, services: Services) -> Response:
    store = request.path_params["vector_store_id"]
    await services.stores.delete(request.state.principal, store)
    return JSONResponse({"id": store, "object": "vector_store.deleted", "deleted": True})


async def search(request: Request, services: Services) -> Response:
    asked = await json_body(request, VectorStoreSearch)
    queries = [asked.query] if isinstance(asked.query, str) else list(asked.query)
    if asked.rewrite_query:
        queries = [rewritten(query) for query in queries]
    options = asked.ranking_options or RankingOptions(score_threshold=None)
    known = options.ranker is None or options.ranker in _RANKERS
    hits = await services.search.search(
        request.state.principal, [request.path_params["vector_store_id"]], queries, limit=asked.max_num_results or _USUAL,
        filters=asked.filters, threshold=options.score_threshold or 0.0,
        rerank=False if options.ranker == "none" else None, ranker="" if known else options.ranker or "",
    )  # fmt: skip
    found = {"object": "vector_store.search_results.page", "search_query": queries, "data": _encode_hits(hits), "has_more": False, "next_page": None}
    return JSONResponse(found)


def _encode_hits(hits: Sequence[Hit]) -> list[dict[str, Any]]:
    return [
        {
            "file_id": hit.file,
            "filename": hit.filename,
            "score": hit.score,
            "attributes": dict(hit.attributes),
            "content": [{"type": "text", "text": hit.text}],
        }
        for hit in hits
    ]

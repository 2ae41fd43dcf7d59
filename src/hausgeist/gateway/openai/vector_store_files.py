"""`vector_stores.files` and `vector_stores.file_batches`: files put into a store, alone or together, and how far they are.

The header `X-Hausgeist-Replaces` names a file of the store that the new one takes the place of: it leaves the store when the new one is ready, and
of what both say alike nothing is computed anew.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hausgeist.errors import InvalidRequest
from hausgeist.gateway.bodies import json_body
from hausgeist.gateway.openai.errors import OPENAI
from hausgeist.gateway.openai.paging import PAGING, Paging, page_body, read_paging
from hausgeist.gateway.openai.sampling import StrictBody
from hausgeist.gateway.openai.vector_stores import Attributes, FileChunking, FileId, chunking_of, encode_counts
from hausgeist.gateway.services import Services
from hausgeist.http.endpoint import Endpoint
from hausgeist.knowledge.stores.service import MOST_IN_BATCH
from hausgeist.knowledge.stores.values import Attachment, Batch, FileStatus, StoreFile

__all__ = ["BatchFile", "FileAttach", "FileBatchCreate", "FileUpdate", "encode_batch", "encode_file", "endpoints"]

_PATH: Final = "/v1/vector_stores/{vector_store_id}"
_REPLACES: Final = "x-hausgeist-replaces"
_STATUSES: Final[tuple[FileStatus, ...]] = ("in_progress", "completed", "failed", "cancelled")
_POLL: Final = {"openai-poll-after-ms": "250"}
"""When the SDK shall ask again, where something is not finished."""


class FileAttach(StrictBody):
    """The body of `POST .../files`, as the SDK's FileCreateParams has it."""

    file_id: FileId
    attributes: Attributes | None = None
    chunking_strategy: FileChunking | None = None


class FileUpdate(StrictBody):
    """The body of `POST .../files/{file_id}`: all attributes anew; `null`: none."""

    attributes: Attributes | None


class BatchFile(StrictBody):
    """A file of a batch with attributes of its own."""

    file_id: FileId
    attributes: Attributes | None = None
    chunking_strategy: FileChunking | None = None


class FileBatchCreate(StrictBody):
    """The body of `POST .../file_batches`: `file_ids`, which share all else, or `files`, each with its own."""

    attributes: Attributes | None = None
    chunking_strategy: FileChunking | None = None
    file_ids: list[FileId] | None = Field(None, min_length=1, max_length=MOST_IN_BATCH)
    files: list[BatchFile] | None = Field(None, min_length=1, max_length=MOST_IN_BATCH)


def endpoints(services: Services) -> list[Endpoint]:
    """The routes of both resources."""

    def route(method: Any, path: str, handle: Any, summary: str, action: str, *operations: str, **more: Any) -> Endpoint:
        return Endpoint(
            method=method, path=f"{_PATH}{path}", handle=partial(handle, services=services), dialect=OPENAI, summary=summary,
            action=f"vector_store.{action}", operations=tuple(f"vector_stores.{one}" for one in operations), **more,
        )  # fmt: skip

    listed = {"query": (*PAGING, "before", "filter")}
    file, batch = "/files/{file_id}", "/file_batches/{batch_id}"
    uploads = ("files.create_and_poll", "files.upload", "files.upload_and_poll")
    batches = ("file_batches.create_and_poll", "file_batches.upload_and_poll")
    return [
        route("GET", "/files", list_files, "List the files of a vector store.", "read", "files.list", **listed),
        route("POST", "/files", attach, "Put a file into a vector store.", "update", "files.create", *uploads, body=FileAttach),
        route("GET", file, retrieve, "Say how far a file of a vector store is.", "read", "files.retrieve", "files.poll"),
        route("POST", file, update, "Change the attributes of a file.", "update", "files.update", body=FileUpdate),
        route("DELETE", file, detach, "Take a file out of a vector store.", "update", "files.delete"),
        route("GET", f"{file}/content", content, "The text of a file, as it was read.", "read", "files.content"),
        route(
            "POST", "/file_batches", create_batch, "Put files into a vector store together.", "update", "file_batches.create", *batches,
            body=FileBatchCreate,
        ),
        route("GET", batch, retrieve_batch, "Say how far a batch of files is.", "read", "file_batches.retrieve", "file_batches.poll"),
        route("POST", f"{batch}/cancel", cancel_batch, "Stop a batch of files.", "update", "file_batches.cancel"),
        route("GET", f"{batch}/files", list_batch, "List the files of a batch.", "read", "file_batches.list_files", **listed),
    ]  # fmt: skip


def encode_file(file: StoreFile) -> dict[str, Any]:
    chunks = {"max_chunk_size_tokens": file.chunking.most, "chunk_overlap_tokens": file.chunking.overlap}
    return {
        "id": file.file,
        "object": "vector_store.file",
        "created_at": int(file.created),
        "vector_store_id": file.store,
        "status": file.status,
        "last_error": {"code": file.error.code, "message": file.error.message} if file.error is not None else None,
        "usage_bytes": file.bytes,
        "attributes": dict(file.attributes),
        "chunking_strategy": {"type": "static", "static": chunks},
    }


def encode_batch(batch: Batch) -> dict[str, Any]:
    return {
        "id": batch.id,
        "object": "vector_store.files_batch",
        "created_at": int(batch.created),
        "vector_store_id": batch.store,
        "status": batch.status,
        "file_counts": encode_counts(batch.counts),
    }


async def attach(request: Request, services: Services) -> Response:
    asked = await json_body(request, FileAttach)
    wanted = Attachment(
        file=asked.file_id, attributes=asked.attributes or {}, chunking=chunking_of(asked.chunking_strategy),
        replaces=request.headers.get(_REPLACES) or None,
    )  # fmt: skip
    return _told(encode_file(await services.stores.attach(request.state.principal, request.path_params["vector_store_id"], wanted)))


async def retrieve(request: Request, services: Services) -> Response:
    return _told(encode_file(services.stores.file(request.state.principal, *_named(request))))


async def update(request: Request, services: Services) -> Response:
    asked = await json_body(request, FileUpdate)
    return JSONResponse(encode_file(await services.stores.set_attributes(request.state.principal, *_named(request), asked.attributes or {})))


async def detach(request: Request, services: Services) -> Response:
    store, file = _named(request)
    await services.stores.detach(request.state.principal, store, file)
    return JSONResponse({"id": file, "object": "vector_store.file.deleted", "deleted": True})


async def content(request: Request, services: Services) -> Response:
    who, (store, file) = request.state.principal, _named(request)
    services.stores.file(who, store, file)
    text = await services.documents.text(who, file)
    data = [{"type": "text", "text": text}]
    return JSONResponse({"object": "vector_store.file_content.page", "data": data, "has_more": False, "next_page": None})


async def list_files(request: Request, services: Services) -> Response:
    asked, status = _listed(request)
    page = services.stores.files(
        request.state.principal, request.path_params["vector_store_id"], status=status, after=asked.after, before=asked.filters.get("before"),
        limit=asked.limit, order=asked.order,
    )  # fmt: skip
    return JSONResponse(page_body([encode_file(file) for file in page], more=page.more))


async def create_batch(request: Request, services: Services) -> Response:
    asked = await json_body(request, FileBatchCreate)
    if (asked.file_ids is None) == (asked.files is None):
        raise InvalidRequest("file_ids: say either 'file_ids' or 'files'", param="file_ids")
    if asked.files is not None:
        wanted = [
            Attachment(file=one.file_id, attributes=one.attributes or {}, chunking=chunking_of(one.chunking_strategy, f"files.{number}"))
            for number, one in enumerate(asked.files)
        ]
    else:
        chunking = chunking_of(asked.chunking_strategy)
        wanted = [Attachment(file=file, attributes=asked.attributes or {}, chunking=chunking) for file in asked.file_ids or ()]
    made = await services.stores.create_batch(request.state.principal, request.path_params["vector_store_id"], wanted)
    return _told(encode_batch(made))


async def retrieve_batch(request: Request, services: Services) -> Response:
    return _told(encode_batch(services.stores.batch(request.state.principal, *_named(request, "batch_id"))))


async def cancel_batch(request: Request, services: Services) -> Response:
    return JSONResponse(encode_batch(await services.stores.cancel_batch(request.state.principal, *_named(request, "batch_id"))))


async def list_batch(request: Request, services: Services) -> Response:
    asked, status = _listed(request)
    store, batch = _named(request, "batch_id")
    page = services.stores.files(
        request.state.principal, store, batch=batch, status=status, after=asked.after, before=asked.filters.get("before"), limit=asked.limit,
        order=asked.order,
    )  # fmt: skip
    return JSONResponse(page_body([encode_file(file) for file in page], more=page.more))


def _named(request: Request, name: str = "file_id") -> tuple[str, str]:
    return request.path_params["vector_store_id"], request.path_params[name]


def _told(body: dict[str, Any]) -> Response:
    return JSONResponse(body, headers=_POLL if body["status"] == "in_progress" else None)


def _listed(request: Request) -> tuple[Paging, FileStatus | None]:
    """Raises `InvalidRequest`."""
    asked = read_paging(request, order="desc", filters=("before", "filter"))
    wanted = asked.filters.get("filter")
    status = next((one for one in _STATUSES if one == wanted), None)
    if wanted is not None and status is None:
        raise InvalidRequest(f"filter: should be one of {', '.join(_STATUSES)}", param="filter")
    return asked, status

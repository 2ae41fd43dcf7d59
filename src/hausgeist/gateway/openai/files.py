"""`files` and `uploads`: bytes that a project keeps, whole or in parts.

What comes out is always offered as a file to save, of no type: nothing that somebody uploaded becomes a page of this server.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

from hausgeist.errors import NotFound
from hausgeist.files import File, Upload, UploadPart
from hausgeist.files.uploads import LARGEST, PART
from hausgeist.gateway.bodies import Body, announced, json_body
from hausgeist.gateway.openai.errors import OPENAI
from hausgeist.gateway.openai.paging import PAGING, page_body, read_paging
from hausgeist.gateway.openai.sampling import StrictBody
from hausgeist.gateway.services import Services
from hausgeist.http.endpoint import Endpoint
from hausgeist.http.forms import Part, read_form
from hausgeist.store.drafts import Draft

__all__ = [
    "ExpiresAfter",
    "FileForm",
    "FormExpiry",
    "PartForm",
    "Purpose",
    "UploadComplete",
    "UploadCreate",
    "encode_file",
    "encode_upload",
    "endpoints",
]

Purpose = Literal["assistants", "batch", "fine-tune", "vision", "user_data", "evals"]
_FORM = 64 << 10
"""Bytes of a form besides its file."""
Seconds = Annotated[int, Field(ge=3600, le=30 * 86400)]


class ExpiresAfter(StrictBody):
    """How long a file is to be kept: an hour to 30 days from when it is there."""

    anchor: Literal["created_at"]
    seconds: Seconds


class FormExpiry(Body):
    """The same in a form, where everything is text."""

    anchor: Literal["created_at"]
    seconds: Seconds


class FileForm(Body):
    """The fields of `POST /v1/files` besides `file`."""

    purpose: Purpose
    expires_after: FormExpiry | None = None


class PartForm(Body):
    """`POST /v1/uploads/{upload_id}/parts` has none besides `data`."""


class UploadCreate(StrictBody):
    """The body of `POST /v1/uploads`, as the SDK's UploadCreateParams has it."""

    bytes: int = Field(ge=1, le=LARGEST)
    filename: Annotated[str, StringConstraints(min_length=1, max_length=1024)]
    mime_type: Annotated[str, StringConstraints(max_length=256)]
    purpose: Purpose
    expires_after: ExpiresAfter | None = None


class UploadComplete(StrictBody):
    """The body of `POST /v1/uploads/{upload_id}/complete`."""

    part_ids: list[Annotated[str, StringConstraints(max_length=64)]] = Field(min_length=1, max_length=10_000)
    md5: Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{32}$")] | None = None


class _Saved(FileResponse):
    chunk_size = 1 << 20


def endpoints(services: Services) -> list[Endpoint]:
    """The routes of both resources."""

    def route(method: Any, path: str, handle: Any, summary: str, action: str, *operations: str, **more: Any) -> Endpoint:
        bound = partial(handle, services=services)
        return Endpoint(method=method, path=f"/v1{path}", handle=bound, dialect=OPENAI, summary=summary, action=action, operations=operations, **more)

    return [
        route("GET", "/files", list_files, "List the files of the project.", "file.read", "files.list", query=("purpose", *PAGING)),
        route("POST", "/files", create_file, "Upload a file.", "file.create", "files.create", upload=True),
        route("GET", "/files/{file_id}", retrieve_file, "Describe a file.", "file.read", "files.retrieve", "files.wait_for_processing"),
        route("DELETE", "/files/{file_id}", delete_file, "Remove a file.", "file.delete", "files.delete"),
        route("GET", "/files/{file_id}/content", content, "Read a file.", "file.read", "files.content", "files.retrieve_content"),
        route("POST", "/uploads", create_upload, "Begin a file that comes in parts.", "file.create", "uploads.create", body=UploadCreate),
        route("POST", "/uploads/{upload_id}/parts", add_part, "Upload a part of it.", "file.create", "uploads.parts.create", upload=True),
        route(
            "POST", "/uploads/{upload_id}/complete", complete_upload, "Make the file of its parts.", "file.create", "uploads.complete",
            "uploads.upload_file_chunked", body=UploadComplete,
        ),
        route("POST", "/uploads/{upload_id}/cancel", cancel_upload, "Forget such a file.", "file.create", "uploads.cancel"),
    ]  # fmt: skip


def encode_file(file: File) -> dict[str, Any]:
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.bytes,
        "created_at": int(file.created),
        "expires_at": int(file.expires) if file.expires is not None else None,
        "filename": file.filename,
        "purpose": file.purpose,
        "status": "processed",
        "status_details": None,
    }


def encode_upload(upload: Upload, file: File | None = None) -> dict[str, Any]:
    return {
        "id": upload.id,
        "object": "upload",
        "bytes": upload.bytes,
        "created_at": int(upload.created),
        "expires_at": int(upload.expires),
        "filename": upload.filename,
        "purpose": upload.purpose,
        "status": upload.status,
        "file": encode_file(file) if file is not None else None,
    }


def _encode_part(part: UploadPart) -> dict[str, Any]:
    return {"id": part.id, "object": "upload.part", "created_at": int(part.created), "upload_id": part.upload}


async def create_file(request: Request, services: Services) -> Response:
    files, who = services.files, request.state.principal
    async with AsyncExitStack() as stack:

        async def keep(part: Part, chunks: AsyncIterator[bytes]) -> tuple[Part, Draft]:
            # The announced length has the rest of the form in it.
            size = max(0, min(announced(request) - _FORM, files.limit))
            return part, await stack.enter_async_context(files.receive(who, chunks, size=size))

        fields, (part, draft) = await read_form(request, FileForm, file="file", keep=keep)
        made = await files.keep(
            who, draft, filename=part.filename or "", purpose=fields.purpose, media_type=part.media_type,
            seconds=fields.expires_after.seconds if fields.expires_after is not None else None,
        )  # fmt: skip
    return JSONResponse(encode_file(made))


async def list_files(request: Request, services: Services) -> Response:
    asked = read_paging(request, order="desc", filters=("purpose",), usual=10_000, most=10_000)
    purpose = asked.filters.get("purpose")
    page = services.files.list(request.state.principal, purpose=purpose, after=asked.after, limit=asked.limit, order=asked.order)
    return JSONResponse(page_body([encode_file(file) for file in page], more=page.more))


async def retrieve_file(request: Request, services: Services) -> Response:
    return JSONResponse(encode_file(services.files.get(request.state.principal, request.path_params["file_id"])))


async def delete_file(request: Request, services: Services) -> Response:
    file = request.path_params["file_id"]
    await services.files.delete(request.state.principal, file)
    return JSONResponse({"id": file, "object": "file", "deleted": True})


async def content(request: Request, services: Services) -> Response:
    file = services.files.get(request.state.principal, request.path_params["file_id"])
    path = services.files.folder.path(file.id)
    try:
        status = path.stat()
    except FileNotFoundError:
        raise NotFound(f"The file '{file.id}' was removed.") from None
    headers = {"content-security-policy": "sandbox; default-src 'none'", "etag": f'"{file.digest}"'}
    return _Saved(path, headers=headers, media_type="application/octet-stream", filename=file.filename, stat_result=status)


async def create_upload(request: Request, services: Services) -> Response:
    asked = await json_body(request, UploadCreate)
    made = await services.uploads.create(
        request.state.principal, bytes=asked.bytes, filename=asked.filename, media_type=asked.mime_type, purpose=asked.purpose,
        seconds=asked.expires_after.seconds if asked.expires_after is not None else None,
    )  # fmt: skip
    return JSONResponse(encode_upload(made))


async def add_part(request: Request, services: Services) -> Response:
    async def keep(_: Part, chunks: AsyncIterator[bytes]) -> UploadPart:
        size = max(0, min(announced(request) - _FORM, PART))
        return await services.uploads.add(request.state.principal, request.path_params["upload_id"], chunks, size=size)

    _, part = await read_form(request, PartForm, file="data", keep=keep)
    return JSONResponse(_encode_part(part))


async def complete_upload(request: Request, services: Services) -> Response:
    asked = await json_body(request, UploadComplete)
    upload, file = await services.uploads.complete(request.state.principal, request.path_params["upload_id"], asked.part_ids, md5=asked.md5)
    return JSONResponse(encode_upload(upload, file))


async def cancel_upload(request: Request, services: Services) -> Response:
    return JSONResponse(encode_upload(await services.uploads.cancel(request.state.principal, request.path_params["upload_id"])))

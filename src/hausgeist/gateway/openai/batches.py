"""`batches`: create, retrieve, list, cancel."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Literal

from pydantic import StringConstraints
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hausgeist.conversations.batches import Batch
from hausgeist.gateway.bodies import json_body
from hausgeist.gateway.openai.errors import OPENAI
from hausgeist.gateway.openai.files import ExpiresAfter
from hausgeist.gateway.openai.metadata import Metadata
from hausgeist.gateway.openai.paging import page_body, read_paging
from hausgeist.gateway.openai.sampling import StrictBody
from hausgeist.gateway.services import Services
from hausgeist.http.endpoint import Endpoint

__all__ = ["BatchCreate", "encode_batch", "endpoints"]

_TIMES = ("in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled")


class BatchCreate(StrictBody):
    """The body of `POST /v1/batches`, as the SDK's BatchCreateParams has it."""

    completion_window: Literal["24h"]
    endpoint: Annotated[str, StringConstraints(max_length=100)]
    input_file_id: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    metadata: Metadata | None = None
    output_expires_after: ExpiresAfter | None = None


def endpoints(services: Services) -> list[Endpoint]:
    """The routes of this resource."""

    def route(method: Any, path: str, handle: Any, summary: str, action: str, operation: str, **more: Any) -> Endpoint:
        bound = partial(handle, services=services)
        return Endpoint(
            method=method, path=f"/v1/batches{path}", handle=bound, dialect=OPENAI, summary=summary, action=action, operations=(operation,), **more
        )

    return [
        route("GET", "", list_batches, "List your batches.", "batch.read", "batches.list", query=("after", "limit")),
        route("POST", "", create, "Have a file of requests answered.", "batch.create", "batches.create", body=BatchCreate),
        route("GET", "/{batch_id}", retrieve, "Say how far a batch is.", "batch.read", "batches.retrieve"),
        route("POST", "/{batch_id}/cancel", cancel, "Stop a batch.", "batch.cancel", "batches.cancel"),
    ]


def encode_batch(batch: Batch) -> dict[str, Any]:
    return {
        "id": batch.id,
        "object": "batch",
        "endpoint": batch.endpoint,
        "model": batch.model,
        "errors": {"object": "list", "data": list(batch.errors)} if batch.errors else None,
        "input_file_id": batch.input_file,
        "completion_window": "24h",
        "status": batch.status,
        "output_file_id": batch.output_file,
        "error_file_id": batch.error_file,
        "created_at": int(batch.created),
        "expires_at": int(batch.expires),
        **{f"{name}_at": int(batch.times[name]) if name in batch.times else None for name in _TIMES},
        "request_counts": {"total": batch.total, "completed": batch.completed, "failed": batch.failed},
        "usage": _usage(batch),
        "metadata": dict(batch.metadata) if batch.metadata is not None else None,
    }


def _usage(batch: Batch) -> dict[str, Any]:
    used = batch.usage
    incoming, outgoing = used.get("input", 0), used.get("output", 0)
    return {
        "input_tokens": incoming,
        "input_tokens_details": {"cached_tokens": used.get("cached", 0)},
        "output_tokens": outgoing,
        "output_tokens_details": {"reasoning_tokens": used.get("reasoning", 0)},
        "total_tokens": incoming + outgoing,
    }


async def create(request: Request, services: Services) -> Response:
    asked = await json_body(request, BatchCreate)
    made = await services.batches.create(
        request.state.principal, request.state.origin, input_file=asked.input_file_id, endpoint=asked.endpoint, metadata=asked.metadata,
        output_seconds=asked.output_expires_after.seconds if asked.output_expires_after is not None else None,
    )  # fmt: skip
    return JSONResponse(encode_batch(made))


async def retrieve(request: Request, services: Services) -> Response:
    return JSONResponse(encode_batch(services.batches.get(request.state.principal, request.path_params["batch_id"])))


async def list_batches(request: Request, services: Services) -> Response:
    asked = read_paging(request, order="desc")
    page = services.batches.list(request.state.principal, after=asked.after, limit=asked.limit)
    return JSONResponse(page_body([encode_batch(batch) for batch in page], more=page.more))


async def cancel(request: Request, services: Services) -> Response:
    return JSONResponse(encode_batch(await services.batches.cancel(request.state.principal, request.path_params["batch_id"])))

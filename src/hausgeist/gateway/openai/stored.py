"""`chat.completions`: retrieve, update, list, delete, and `messages.list`, of those that were asked for with `store`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hausgeist.conversations.completions import Completion
from hausgeist.errors import InvalidRequest, NotFound, shown
from hausgeist.gateway.bodies import json_body
from hausgeist.gateway.openai.errors import OPENAI
from hausgeist.gateway.openai.metadata import Metadata
from hausgeist.gateway.openai.paging import PAGING, page_body, read_paging
from hausgeist.gateway.openai.sampling import StrictBody
from hausgeist.gateway.services import Services
from hausgeist.http.endpoint import Endpoint

__all__ = ["CompletionUpdate", "encode_message", "endpoints"]

_PATH = "/v1/chat/completions"
_MOST_PAIRS = 16


class CompletionUpdate(StrictBody):
    """The body of `POST /v1/chat/completions/{id}`, as the SDK's CompletionUpdateParams has it."""

    metadata: Metadata | None


def endpoints(services: Services) -> list[Endpoint]:
    """The routes of stored completions."""
    one = f"{_PATH}/{{completion}}"
    return [
        Endpoint(
            method="GET", path=_PATH, handle=partial(list_completions, services=services), dialect=OPENAI, action="completion.read",
            summary="List stored chat completions.", operations=("chat.completions.list",), query=(*PAGING, "model", "metadata"),
        ),
        Endpoint(
            method="GET", path=one, handle=partial(retrieve, services=services), dialect=OPENAI, action="completion.read",
            summary="A stored chat completion.", operations=("chat.completions.retrieve",),
        ),
        Endpoint(
            method="POST", path=one, handle=partial(update, services=services), dialect=OPENAI, action="completion.update",
            summary="Change the metadata of a stored chat completion.", body=CompletionUpdate, operations=("chat.completions.update",),
        ),
        Endpoint(
            method="DELETE", path=one, handle=partial(delete, services=services), dialect=OPENAI, action="completion.delete",
            summary="Remove a stored chat completion.", operations=("chat.completions.delete",),
        ),
        Endpoint(
            method="GET", path=f"{one}/messages", handle=partial(list_messages, services=services), dialect=OPENAI, action="completion.read",
            summary="List the messages that a stored chat completion answers.", operations=("chat.completions.messages.list",), query=PAGING,
        ),
    ]  # fmt: skip


async def list_completions(request: Request, services: Services) -> Response:
    asked = read_paging(request, order="asc", filters=("model", "metadata[]"))
    metadata = {name.removeprefix("metadata[")[:-1]: value for name, value in asked.filters.items() if name != "model"}
    if len(metadata) > _MOST_PAIRS:
        raise InvalidRequest(f"metadata: a completion has at most {_MOST_PAIRS} pairs, so more cannot be looked for", param="metadata")
    found, more = await services.completions.page(
        request.state.principal, after=asked.after, limit=asked.limit, order=asked.order, model=asked.filters.get("model"), metadata=metadata
    )
    return JSONResponse(page_body([_encoded(completion) for completion in found], more=more))


async def retrieve(request: Request, services: Services) -> Response:
    return JSONResponse(_encoded(services.completions.get(request.state.principal, request.path_params["completion"])))


async def update(request: Request, services: Services) -> Response:
    asked = await json_body(request, CompletionUpdate)
    changed = await services.completions.update(request.state.principal, request.path_params["completion"], asked.metadata or {})
    return JSONResponse(_encoded(changed))


async def delete(request: Request, services: Services) -> Response:
    completion = request.path_params["completion"]
    await services.completions.delete(request.state.principal, completion)
    return JSONResponse({"id": completion, "object": "chat.completion.deleted", "deleted": True})


async def list_messages(request: Request, services: Services) -> Response:
    completion = request.path_params["completion"]
    asked = read_paging(request, order="asc")
    whole = services.completions.messages(request.state.principal, completion)
    encoded = [encode_message(message, f"{completion}-{number}") for number, message in enumerate(whole)]
    if asked.order == "desc":
        encoded.reverse()
    start = 0
    if asked.after is not None:
        start = next((number for number, message in enumerate(encoded, 1) if message["id"] == asked.after), 0)
        if not start:
            raise NotFound(f"The completion has no message '{shown(asked.after)}'; begin again without 'after'.")
    end = start + asked.limit
    return JSONResponse(page_body(encoded[start:end], more=len(encoded) > end))


def encode_message(message: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A message as it was sent, in the shape of ChatCompletionStoreMessage: parts stand in a field of their own."""
    content = message.get("content")
    parts = content if isinstance(content, list) else None
    refused = [part["refusal"] for part in parts or () if part["type"] == "refusal"]
    return {
        **message,
        "id": name,
        "content": None if parts is not None else content,
        "content_parts": [part for part in parts if part["type"] != "refusal"] if parts is not None else None,
        "refusal": message.get("refusal") or ("\n".join(refused) or None),
    }


def _encoded(completion: Completion) -> dict[str, Any]:
    return {**completion.body, "metadata": dict(completion.metadata)}

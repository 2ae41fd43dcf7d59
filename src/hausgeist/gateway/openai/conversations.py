"""`conversations`: create, retrieve, update and delete, and their items."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Final

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hausgeist.conversations.records import Conversation
from hausgeist.gateway.bodies import json_body
from hausgeist.gateway.openai.errors import OPENAI
from hausgeist.gateway.openai.items import InputItem
from hausgeist.gateway.openai.responses import included, input_items, listed, page_of, query_list
from hausgeist.gateway.openai.sampling import StrictBody
from hausgeist.gateway.openai.wishes import Metadata, check_include
from hausgeist.gateway.services import Services
from hausgeist.http.endpoint import Endpoint

__all__ = ["ConversationRequest", "ItemsRequest", "UpdateRequest", "endpoints"]

_AT_ONCE: Final = 20
"""Items that one request may add, as on OpenAI's platform."""


class ConversationRequest(StrictBody):
    """The body of `POST /v1/conversations`."""

    items: Annotated[list[InputItem], Field(max_length=_AT_ONCE)] | None = None
    metadata: Metadata | None = None


class UpdateRequest(StrictBody):
    """The body of `POST /v1/conversations/{id}`: the metadata that replace the old ones."""

    metadata: Metadata | None


class ItemsRequest(StrictBody):
    """The body of `POST /v1/conversations/{id}/items`."""

    items: Annotated[list[InputItem], Field(min_length=1, max_length=_AT_ONCE)]


def endpoints(services: Services) -> list[Endpoint]:
    """The routes of this resource."""

    def at(method: Any, path: str, handle: Any, action: str, summary: str, operation: str, **more: Any) -> Endpoint:
        return Endpoint(
            method=method, path=f"/v1/conversations{path}", handle=partial(handle, services=services), dialect=OPENAI, summary=summary,
            action=f"conversation.{action}", operations=(f"conversations.{operation}",), **more,
        )  # fmt: skip

    page = ("after", "limit", "order", "include")
    return [
        at("POST", "", create, "write", "Begin a conversation.", "create", body=ConversationRequest),
        at("GET", "/{conversation}", retrieve, "read", "Look at a conversation.", "retrieve"),
        at("POST", "/{conversation}", update, "write", "Replace a conversation's metadata.", "update", body=UpdateRequest),
        at("DELETE", "/{conversation}", delete, "delete", "Delete a conversation with all its items.", "delete"),
        at("POST", "/{conversation}/items", add, "write", "Add items to a conversation.", "items.create", body=ItemsRequest, query=("include",)),
        at("GET", "/{conversation}/items", list_items, "read", "List the items of a conversation.", "items.list", query=page),
        at("GET", "/{conversation}/items/{item}", item, "read", "Look at an item.", "items.retrieve", query=("include",)),
        at("DELETE", "/{conversation}/items/{item}", remove, "delete", "Delete an item.", "items.delete"),
    ]


async def create(request: Request, services: Services) -> Response:
    asked = await json_body(request, ConversationRequest)
    who = request.state.principal
    items = await input_items(asked.items, services, who, request.state.origin, param="items")
    return JSONResponse(_encode(await services.conversations.create(who, items, metadata=asked.metadata)))


async def retrieve(request: Request, services: Services) -> Response:
    return JSONResponse(_encode(services.conversations.get(request.state.principal, _name(request))))


async def update(request: Request, services: Services) -> Response:
    asked = await json_body(request, UpdateRequest)
    return JSONResponse(_encode(await services.conversations.update(request.state.principal, _name(request), metadata=asked.metadata or {})))


async def delete(request: Request, services: Services) -> Response:
    services.responses.demand_free(request.state.principal, _name(request))
    await services.conversations.delete(request.state.principal, _name(request))
    return JSONResponse({"id": _name(request), "object": "conversation.deleted", "deleted": True})


async def add(request: Request, services: Services) -> Response:
    asked = await json_body(request, ItemsRequest)
    who, include = request.state.principal, check_include(query_list(request, "include"))
    services.conversations.get(who, _name(request))
    items = await input_items(asked.items, services, who, request.state.origin, param="items")
    added = await services.conversations.add(who, _name(request), items)
    return JSONResponse(listed(included([one.body for one in added], include, partial(services.responses.sealed, who)), more=False))


async def list_items(request: Request, services: Services) -> Response:
    who, include = request.state.principal, check_include(query_list(request, "include"))
    after, limit, order = page_of(request)
    page = services.conversations.page(who, _name(request), after=after, limit=limit, order=order)
    return JSONResponse(listed(included([one.body for one in page], include, partial(services.responses.sealed, who)), more=page.more))


async def item(request: Request, services: Services) -> Response:
    who, include = request.state.principal, check_include(query_list(request, "include"))
    found = services.conversations.item(who, _name(request), str(request.path_params["item"]))
    return JSONResponse(included([found.body], include, partial(services.responses.sealed, who))[0])


async def remove(request: Request, services: Services) -> Response:
    return JSONResponse(_encode(await services.conversations.remove(request.state.principal, _name(request), str(request.path_params["item"]))))


def _name(request: Request) -> str:
    return str(request.path_params["conversation"])


def _encode(conversation: Conversation) -> Mapping[str, Any]:
    metadata = dict(conversation.metadata)
    return {"id": conversation.id, "object": "conversation", "created_at": int(conversation.created), "metadata": metadata}

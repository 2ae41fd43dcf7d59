"""`responses`: create, stream and parse, retrieve, cancel, delete, the items of their input, counting tokens, compacting."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hausgeist.conversations.records import new_id
from hausgeist.conversations.responses.ask import Ask
from hausgeist.conversations.responses.run import Run, encode
from hausgeist.errors import InvalidRequest, NotFound, shown
from hausgeist.gateway.bodies import json_body
from hausgeist.gateway.defaults import with_defaults
from hausgeist.gateway.images import demand_room, demand_sent, demand_vision
from hausgeist.gateway.openai.attached import attach
from hausgeist.gateway.openai.errors import OPENAI, error_body
from hausgeist.gateway.openai.items import decode_items, references_in
from hausgeist.gateway.openai.sampling import identified
from hausgeist.gateway.openai.wishes import CompactRequest, CountRequest, ResponseRequest, Wish, check_include, decode, refuse
from hausgeist.gateway.services import Services
from hausgeist.http.endpoint import Endpoint
from hausgeist.http.streaming import EventStream, attend
from hausgeist.identity import Origin, Principal
from hausgeist.model import InstalledModel

__all__ = ["complete", "endpoints", "flag", "included", "input_items", "paged", "query_list"]


def endpoints(services: Services) -> list[Endpoint]:
    """The routes of this resource. Literal paths come before those with an id."""

    def at(method: Any, path: str, handle: Any, summary: str, *operations: str, **more: Any) -> Endpoint:
        return Endpoint(
            method=method, path=f"/v1/responses{path}", handle=handle, dialect=OPENAI, summary=summary,
            operations=[f"responses.{name}" for name in operations], **more,
        )  # fmt: skip

    def bound(handle: Any) -> Any:
        return partial(handle, services=services)

    return [
        at("POST", "", attend(bound(create)), "Make a response, now or in the background.", "create", "parse", "stream", body=ResponseRequest),
        at("POST", "/input_tokens", attend(bound(count)), "Count the tokens that a model would read.", "input_tokens.count", body=CountRequest),
        at("POST", "/compact", attend(bound(compact)), "Say a long conversation in short.", "compact", body=CompactRequest),
        at(
            "GET", "/{response}", bound(retrieve), "Look at a response, or follow it.", "retrieve", action="conversation.read",
            query=("include", "stream", "starting_after", "include_obfuscation"),
        ),
        at("DELETE", "/{response}", bound(delete), "Delete a response.", "delete", action="conversation.delete"),
        at("POST", "/{response}/cancel", bound(cancel), "Cancel a response that is made in the background.", "cancel", action="conversation.write"),
        at(
            "GET", "/{response}/input_items", bound(list_input), "List the items of a response's input.", "input_items.list",
            action="conversation.read", query=("after", "limit", "order", "include"),
        ),
    ]  # fmt: skip


async def create(request: Request, services: Services) -> Response:
    asked = await json_body(request, ResponseRequest)
    who, origin = request.state.principal, request.state.origin
    ask = await _ask(asked, services, who, origin)
    if asked.store is not False:
        await services.governor.demand(who, "conversation.write", target=asked.model, origin=origin)
    run = await services.responses.create(who, ask, identified(origin, asked.safety_identifier or asked.user))
    if asked.stream:
        return await EventStream.begin(run.follow(), failure=partial(_failure, run))
    if ask.background:
        return JSONResponse(json.loads(json.dumps(run.response)))
    return JSONResponse(await run.result())


async def count(request: Request, services: Services) -> Response:
    asked = await json_body(request, CountRequest)
    who, origin = request.state.principal, request.state.origin
    ask = await _ask(asked, services, who, origin)
    return JSONResponse({"object": "response.input_tokens", "input_tokens": await services.responses.count(who, ask, origin)})


async def compact(request: Request, services: Services) -> Response:
    asked = await json_body(request, CompactRequest)
    refuse(asked)
    who, origin = request.state.principal, request.state.origin
    model = services.door.model(who, asked.model)
    items = await input_items(asked.input, services, who, origin, model=model)
    ask = Ask(model=asked.model, input=items, instructions=asked.instructions, previous=asked.previous_response_id)
    output, usage = await services.responses.compact(who, ask, origin)
    return JSONResponse(
        {
            "id": new_id("resp"), "object": "response.compaction", "created_at": int(time.time()), "output": output,
            "usage": {
                "input_tokens": usage["given"], "input_tokens_details": {"cached_tokens": usage["cached"], "cache_write_tokens": 0},
                "output_tokens": usage["said"], "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": usage["given"] + usage["said"],
            },
        }
    )  # fmt: skip


async def retrieve(request: Request, services: Services) -> Response:
    who, response = request.state.principal, str(request.path_params["response"])
    include = check_include(query_list(request, "include"))
    if flag(request, "include_obfuscation"):
        raise InvalidRequest("'include_obfuscation' is not supported here: events are never padded.", param="include_obfuscation")
    after = request.query_params.get("starting_after")
    if flag(request, "stream"):
        if after is not None and not (after.isascii() and after.isdigit() and len(after) < 16):
            raise InvalidRequest("'starting_after' is the sequence number of an event.", param="starting_after")
        events = services.responses.events(who, response, int(after) if after is not None else -1)
        return await EventStream.begin(events, failure=partial(_failure, None))
    if after is not None:
        raise InvalidRequest("'starting_after' is only allowed when 'stream' is true.", param="starting_after")
    kept = services.responses.get(who, response)
    found = kept.response
    found["output"] = included(found["output"], include, lambda text: services.responses.sealed(who, text), kept.facts.get("results"))
    return JSONResponse(found)


async def delete(request: Request, services: Services) -> Response:
    response = str(request.path_params["response"])
    await services.responses.delete(request.state.principal, response)
    return JSONResponse({"id": response, "object": "response", "deleted": True})


async def cancel(request: Request, services: Services) -> Response:
    found = await services.responses.cancel(request.state.principal, str(request.path_params["response"]))
    return JSONResponse(found.response)


async def list_input(request: Request, services: Services) -> Response:
    who = request.state.principal
    include = check_include(query_list(request, "include"))
    items = list(services.responses.get(who, str(request.path_params["response"])).input)
    found = paged(request, items)
    found["data"] = included(found["data"], include, lambda text: services.responses.sealed(who, text))
    return JSONResponse(found)


# What requests have in common


async def input_items(
    given: Any, services: Services, who: Principal, origin: Origin, *, model: InstalledModel | None = None, param: str = "input"
) -> list[dict[str, Any]]:
    """Items as they are kept: references resolved, images checked and, where they lie elsewhere, fetched. `model`: that shall see them."""
    references = references_in(given) if isinstance(given, Sequence) and not isinstance(given, str) else []
    items = decode_items(given, await services.responses.referred(who, references) if references else {}, param=param)
    await attach(items, services, who, origin, model=model, param=param)
    return items


def complete(model: InstalledModel, body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The engine's body with what the model brings along. Raises `InvalidRequest` for images that this model cannot see, or too many.

    What came into a conversation from a file, or otherwise than by a request, is checked here: no engine shall fetch an address.
    """
    if any(isinstance(message["content"], list) for message in body["messages"]):
        demand_sent(body["messages"], param="input")
        if any(part["type"] == "image_url" for message in body["messages"] if isinstance(message["content"], list) for part in message["content"]):
            demand_vision(model, param="input")
        demand_room(body["messages"], param="input")
    return with_defaults(model, body)


async def _ask(asked: Wish, services: Services, who: Principal, origin: Origin) -> Ask:
    model = services.door.model(who, asked.model)
    ask = decode(asked, model, [], services.responses.tools)
    items = await input_items(asked.input, services, who, origin, model=model)
    if not items and asked.place is None and asked.previous_response_id is None:
        raise InvalidRequest("'input' is required, unless 'previous_response_id' or 'conversation' says what to go on with.", param="input")
    return ask.with_input(items)


def _failure(run: Run | None, error: Exception) -> bytes:
    """What goes wrong in the middle of a stream, and is not the response's own failure."""
    said = error_body(error)["error"]
    number = run.next_number if run is not None else 0
    return encode(number, "error", {"code": said["code"], "message": said["message"], "param": said["param"]})


def included(
    items: Sequence[Mapping[str, Any]], include: Sequence[str], seal: Callable[[str], str], results: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Items as they are listed: images, which may be large, and sealed reasoning only where that is asked for; of files that are kept, the id.
    `results`: of searches, by the id of the item."""
    found = []
    for item in items:
        shown_item = dict(item)
        if item["type"] == "message":
            shown_item["content"] = [_shown_part(part, include) for part in item["content"]]
        if item["type"] == "reasoning" and "reasoning.encrypted_content" in include and item.get("content") and not item.get("encrypted_content"):
            shown_item["encrypted_content"] = seal("".join(part["text"] for part in item["content"]))
        if item["type"] == "file_search_call" and "file_search_call.results" not in include:
            shown_item.pop("results", None)
        elif item["type"] == "file_search_call" and results:
            shown_item["results"] = results.get(str(item["id"]), shown_item.get("results"))
        found.append(shown_item)
    return found


def _shown_part(part: Mapping[str, Any], include: Sequence[str]) -> dict[str, Any]:
    hidden = ""
    if part["type"] == "input_image" and "message.input_image.image_url" not in include:
        hidden = "image_url"
    elif part["type"] == "input_file" and part.get("file_id") is not None:
        hidden = "file_data"
    return {name: value for name, value in part.items() if name != hidden}


def paged(request: Request, items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A page of a list, oldest first as it is given: `after`, `limit` and `order` of the query."""
    after, limit, order = page_of(request)
    ordered = list(items) if order == "asc" else list(reversed(items))
    start = 0
    if after is not None:
        start = next((number for number, item in enumerate(ordered, 1) if item["id"] == after), -1)
        if start < 0:
            raise NotFound(f"There is no item '{shown(after)}' in this list.")
    return listed(ordered[start : start + limit], more=len(ordered) > start + limit)


def listed(items: Sequence[Mapping[str, Any]], *, more: bool) -> dict[str, Any]:
    """A page as OpenAI has it."""
    ids = [str(item["id"]) for item in items]
    return {"object": "list", "data": list(items), "first_id": ids[0] if ids else "", "last_id": ids[-1] if ids else "", "has_more": more}


def page_of(request: Request) -> tuple[str | None, int, Any]:
    """`after`, `limit` (20; at most 100) and `order` ("desc") of the query. Raises `InvalidRequest`."""
    limit, order = request.query_params.get("limit", "20"), request.query_params.get("order", "desc")
    if not (limit.isascii() and limit.isdigit() and len(limit) <= 5 and 1 <= int(limit) <= 100):
        raise InvalidRequest("'limit' is a number from 1 to 100.", param="limit")
    if order not in ("asc", "desc"):
        raise InvalidRequest("'order' is 'asc' or 'desc'.", param="order")
    return request.query_params.get("after"), int(limit), order


def query_list(request: Request, name: str) -> list[str]:
    """A list in the query, written as the SDK does (`include[]=a`), or plainly."""
    return [*request.query_params.getlist(name), *request.query_params.getlist(f"{name}[]")]


def flag(request: Request, name: str) -> bool:
    value = request.query_params.get(name, "false").lower()
    if value not in ("true", "false", "1", "0"):
        raise InvalidRequest(f"'{name}' is true or false.", param=name)
    return value in ("true", "1")

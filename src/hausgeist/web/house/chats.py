"""/house/v1/chats: conversations as the pages show them. Their answers are made by /v1/responses with `conversation`; ids are the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from json.encoder import encode_basestring_ascii
from typing import Annotated, Any, Final, Literal

from pydantic import Field, JsonValue, model_validator
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hausgeist.conversations.chats import Chats, Said, Shown, Way
from hausgeist.conversations.content import message
from hausgeist.conversations.records import Conversation, Item
from hausgeist.conversations.search import Found, Search
from hausgeist.conversations.service import SETTINGS_BYTES
from hausgeist.errors import InvalidRequest
from hausgeist.http.bodies import Body, json_body
from hausgeist.http.endpoint import Endpoint, Handler
from hausgeist.http.house import HOUSE
from hausgeist.web.parts import Parts, who_asks

__all__ = ["endpoints"]

_PATH: Final = "/house/v1/chats"
_MOST_LISTED: Final = 200
_YES: Final[Mapping[str, bool]] = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


class Text(Body):
    """What is said."""

    type: Literal["input_text", "output_text", "text"] = "input_text"
    text: str = Field(min_length=1)


class Image(Body):
    """The image itself, as base64 in a `data:` address. Nothing is fetched from elsewhere for a chat."""

    type: Literal["input_image"]
    image_url: str = Field(pattern="^data:image/")


class Message(Body):
    """A message. The model is told of it with the next answer."""

    role: Literal["user", "assistant", "system", "developer"] = "user"
    content: Annotated[str, Field(min_length=1)] | Annotated[list[Text | Image], Field(min_length=1, max_length=100)]

    def item(self) -> dict[str, Any]:
        """As the API keeps it."""
        if isinstance(self.content, str):
            return message(self.role, self.content)
        parts = [
            part.text if isinstance(part, Text) else {"type": "input_image", "image_url": part.image_url, "detail": "auto"} for part in self.content
        ]
        return message(self.role, *parts)


class NewChat(Body):
    """A chat, which may begin with messages. `settings`: instructions, temperature and the like, as a request of /v1/responses has them."""

    title: str = Field("", max_length=500)
    model: str = Field("", max_length=350)
    settings: dict[str, JsonValue] = Field(default_factory=dict)
    metadata: dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]] = Field(default_factory=dict, max_length=16)
    messages: list[Message] = Field(default_factory=list, max_length=1000)


class ChatChange(Body):
    """What is to be different from now on."""

    title: str | None = Field(None, min_length=1, max_length=500)
    model: str | None = Field(None, max_length=350)
    settings: dict[str, JsonValue] | None = None
    pinned: bool | None = None
    archived: bool | None = None


class NewMessages(Body):
    """Messages at the end of what is shown; or after an item, or instead of one, as a branch of their own."""

    messages: list[Message] = Field(min_length=1, max_length=1000)
    after: str | None = Field(None, max_length=100)
    instead_of: str | None = Field(None, max_length=100)

    @model_validator(mode="after")
    def _one_place(self) -> NewMessages:
        if self.after is not None and self.instead_of is not None:
            raise ValueError("say 'after' or 'instead_of', not both")
        return self


class Turn(Body):
    """One of: `show` the branch of an item; go on `after` an item (null: from before everything); say something `instead_of` one."""

    show: str | None = Field(None, max_length=100)
    after: str | None = Field(None, max_length=100)
    instead_of: str | None = Field(None, max_length=100)

    @model_validator(mode="after")
    def _one_way(self) -> Turn:
        if len(self.model_fields_set) != 1 or (self.after is None and self.model_fields_set != {"after"} and self.way()[1] is None):
            raise ValueError("say one of 'show', 'after' and 'instead_of'")
        return self

    def way(self) -> tuple[Way, str | None]:
        """Which, and the item that it names."""
        if self.show is not None:
            return "show", self.show
        return ("instead_of", self.instead_of) if self.instead_of is not None else ("after", self.after)


class NewBranch(Body):
    """A chat of its own with all up to `item`; without it, all that is shown."""

    item: str | None = Field(None, max_length=100)
    title: str | None = Field(None, min_length=1, max_length=500)


def endpoints(parts: Parts) -> list[Endpoint]:
    """The routes of this resource."""
    chats, search = Chats(parts.database), Search(parts.database)

    def route(method: Any, path: str, handle: Handler, summary: str, action: str, **more: Any) -> Endpoint:
        return Endpoint(method=method, path=f"{_PATH}{path}", handle=handle, dialect=HOUSE, summary=summary, action=f"conversation.{action}", **more)

    return [
        route("GET", "", _index(chats), "List chats", "read", query=("archived", "pinned", "model", "after", "limit")),
        route("POST", "", _create(chats), "Begin a chat", "write", body=NewChat),
        route("GET", "/search", _search(search), "Find what was said", "read", query=("q", "after", "limit")),
        route("GET", "/{chat}", _read(chats), "A chat with all that is shown of it", "read"),
        route("PATCH", "/{chat}", _update(chats), "Rename a chat, pin it, put it away, change how it goes on", "write", body=ChatChange),
        route("DELETE", "/{chat}", _delete(chats), "Remove a chat", "delete"),
        route("POST", "/{chat}/messages", _add(chats), "Add messages, also instead of others", "write", body=NewMessages),
        route("POST", "/{chat}/turn", _turn(chats), "Show another branch, or go on from elsewhere", "write", body=Turn),
        route("POST", "/{chat}/branch", _branch(chats), "Make a chat of its own from here on", "write", body=NewBranch),
    ]


def _index(chats: Chats) -> Handler:
    async def index(request: Request) -> Response:
        query = request.query_params
        found = chats.listed(
            who_asks(request),
            archived=_flag(request, "archived") or False,
            pinned=_flag(request, "pinned"),
            model=query.get("model"),
            after=query.get("after"),
            limit=limit_of(request),
        )
        return JSONResponse({"data": [{**_chat(one), "running": found.running.get(one.id)} for one in found.chats], "next": found.next})

    return index


def _create(chats: Chats) -> Handler:
    async def create(request: Request) -> Response:
        body = await json_body(request, NewChat)
        made = await chats.create(
            who_asks(request),
            [one.item() for one in body.messages],
            title=body.title.strip(),
            model=body.model,
            settings=_bounded(body.settings),
            metadata=body.metadata,
        )
        return JSONResponse(_chat(made), 201)

    return create


def _search(search: Search) -> Handler:
    async def find(request: Request) -> Response:
        query = request.query_params
        found = await search.find(who_asks(request), query.get("q", ""), after=query.get("after"), limit=limit_of(request, 20))
        return JSONResponse(_found(found))

    return find


def _read(chats: Chats) -> Handler:
    async def read(request: Request) -> Response:
        return Response(_whole(chats.shown(who_asks(request), request.path_params["chat"])), media_type="application/json")

    return read


def _update(chats: Chats) -> Handler:
    async def update(request: Request) -> Response:
        body = await json_body(request, ChatChange)
        fields = {name: value for name in body.model_fields_set if (value := getattr(body, name)) is not None}
        if not fields:
            raise InvalidRequest("Say what is to be different: title, model, settings, pinned or archived.")
        if "settings" in fields:
            fields["settings"] = _bounded(fields["settings"])
        return JSONResponse(_chat(await chats.update(who_asks(request), request.path_params["chat"], **fields)))

    return update


def _delete(chats: Chats) -> Handler:
    async def delete(request: Request) -> Response:
        await chats.delete(who_asks(request), request.path_params["chat"])
        return Response(status_code=204)

    return delete


def _add(chats: Chats) -> Handler:
    async def add(request: Request) -> Response:
        body = await json_body(request, NewMessages)
        way: Way = "after" if body.instead_of is None else "instead_of"
        bodies = [one.item() for one in body.messages]
        made = await chats.add(who_asks(request), request.path_params["chat"], bodies, way=way, item=body.instead_of or body.after)
        return JSONResponse({"data": [_item(one) for one in made]}, 201)

    return add


def _turn(chats: Chats) -> Handler:
    async def turn(request: Request) -> Response:
        body = await json_body(request, Turn)
        way, item = body.way()
        await chats.turn(who_asks(request), request.path_params["chat"], way, item)
        return Response(_whole(chats.shown(who_asks(request), request.path_params["chat"])), media_type="application/json")

    return turn


def _branch(chats: Chats) -> Handler:
    async def branch(request: Request) -> Response:
        body = await json_body(request, NewBranch)
        return JSONResponse(_chat(await chats.branch(who_asks(request), request.path_params["chat"], body.item, title=body.title)), 201)

    return branch


def limit_of(request: Request, default: int = 50) -> int:
    """`limit` of the query. Raises `InvalidRequest`."""
    text = request.query_params.get("limit")
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= _MOST_LISTED):
        raise InvalidRequest(f"'limit' should be a number from 1 to {_MOST_LISTED}.", param="limit")
    return int(text)


def _flag(request: Request, name: str) -> bool | None:
    text = request.query_params.get(name)
    if text is None:
        return None
    if text.lower() not in _YES:
        raise InvalidRequest(f"'{name}' should be true or false.", param=name)
    return _YES[text.lower()]


def _bounded(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    if len(json.dumps(settings)) > SETTINGS_BYTES:
        raise InvalidRequest(f"The settings of a chat take at most {SETTINGS_BYTES} bytes.", param="settings")
    return settings


def _chat(chat: Conversation) -> dict[str, Any]:
    return {
        "id": chat.id,
        "title": chat.title,
        "model": chat.model,
        "settings": chat.settings,
        "metadata": chat.metadata,
        "origin": chat.origin or None,
        "created": chat.created,
        "changed": chat.changed,
        "pinned": chat.pinned,
        "archived": chat.archived,
    }


def _whole(shown: Shown) -> bytes:
    """The chat with its items, whose JSON goes out as it was kept."""
    head = json.dumps({**_chat(shown.chat), "running": shown.running}, ensure_ascii=False).encode("utf-8", "replace")
    return b'%b, "items": [%b]}' % (head[:-1], b",".join(map(_said, shown.said)))


def _said(one: Said) -> bytes:
    # There may be thousands, and json.dumps would take a quarter of the time of all this.
    response = "null" if one.response is None else encode_basestring_ascii(one.response)
    beside = f',"beside":{json.dumps(one.beside)}' if one.beside else ""
    made = b',"made":%b' % one.made if one.made is not None else b""
    return b'{"item":%b%b%b}' % (one.body, f',"created":{one.created!r},"response":{response}{beside}'.encode(), made)


def _item(item: Item) -> dict[str, Any]:
    return {"item": item.body, "created": item.created, "response": item.response}


def _found(found: Found) -> dict[str, Any]:
    return {"chats": [_chat(one) for one in found.chats], "data": [asdict(hit) for hit in found.hits], "next": found.next}

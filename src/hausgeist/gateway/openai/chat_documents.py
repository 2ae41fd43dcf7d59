"""Chats with the tool "file_search", which OpenAI has in responses only: made as a response that is not kept, and told as a chat.

The SDK's chat has no citations of files. So the numbers stay in the text ([1]), the files behind them are named at its end, and an answer that is not
streamed has each as a `url_citation`, the one annotation that the SDK's message knows; its `url` is the file's on this server.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from typing import Any, Final, Protocol

from starlette.responses import JSONResponse, Response

from hausgeist.conversations.records import new_id as new_item
from hausgeist.conversations.responses.ask import Ask
from hausgeist.conversations.responses.run import Run
from hausgeist.errors import InvalidRequest, NotSupported, Unavailable
from hausgeist.gateway.openai.attached import attach
from hausgeist.gateway.openai.errors import error_event
from hausgeist.gateway.openai.keeping import Keeper
from hausgeist.gateway.openai.messages import Message
from hausgeist.gateway.openai.replies import DONE, ChatFold, encode_chat, event, new_id
from hausgeist.gateway.openai.sampling import identified
from hausgeist.gateway.openai.tools import FileSearchTool, Tool
from hausgeist.gateway.services import Services
from hausgeist.http.streaming import EventStream
from hausgeist.identity import Origin, Principal

__all__ = ["Asked", "from_documents"]

_FINISH: Final = {"completed": "stop", "incomplete": "length", "cancelled": "stop"}


class Asked(Protocol):
    """What a request for a chat says, as far as it matters here."""

    @property
    def model(self) -> str: ...
    @property
    def messages(self) -> list[Message]: ...
    @property
    def tools(self) -> list[Tool | FileSearchTool] | None: ...
    @property
    def tool_choice(self) -> Any: ...
    @property
    def n(self) -> int | None: ...
    @property
    def logprobs(self) -> bool | None: ...
    @property
    def metadata(self) -> Mapping[str, str] | None: ...
    @property
    def num_ctx(self) -> int | None: ...
    @property
    def keep_alive(self) -> float | None: ...
    @property
    def service_tier(self) -> str | None: ...
    @property
    def safety_identifier(self) -> str | None: ...
    @property
    def user(self) -> str | None: ...
    @property
    def streamed(self) -> bool: ...
    @property
    def stream_usage(self) -> bool: ...


async def from_documents(
    asked: Asked, body: dict[str, Any], services: Services, who: Principal, origin: Origin, *, keeper: Keeper | None
) -> Response:
    """`body`: the engine's, as the chat alone would have it. Raises what the tool and the model raise before the answer begins."""
    ask = _ask(asked, body, services)
    items = list(_items(asked))
    await attach(items, services, who, origin, model=services.door.model(who, asked.model), param="messages")
    run = await services.responses.create(who, ask.with_input(items), identified(origin, asked.safety_identifier or asked.user))
    told = _Told(asked.model, tier="default" if asked.service_tier else None)
    if asked.streamed:
        events = _events(run, told, usage=asked.stream_usage)
        if keeper is not None:
            events = keeper.following(events, lambda fold: told.whole(fold.reply()))
        return await EventStream.begin(events, failure=error_event)
    fold = ChatFold(asked.model)
    await run.result()
    if run.cause is not None:
        raise run.cause
    async with aclosing(run.follow()) as chunks:
        async for chunk in chunks:
            for data in _parsed(chunk):
                for part in told.chunks(data):
                    fold.add(part)
    encoded = told.whole(fold.reply())
    if keeper is not None:
        await keeper.keep(encoded)
    return JSONResponse(encoded)


def _ask(asked: Asked, body: dict[str, Any], services: Services) -> Ask:
    """What is wanted, in the runner's words. Raises `NotSupported` for what an answer that is checked cannot have."""
    for name, wanted in (("n", (asked.n or 1) > 1), ("logprobs", asked.logprobs), ("response_format", "response_format" in body)):
        if wanted:
            raise NotSupported(
                f"'{name}' together with a tool of type 'file_search' is not supported: the answer is checked as it is said.", param=name
            )
    tool = services.responses.tools.get("file_search")
    if tool is None:
        raise NotSupported("'tools': documents are not searched here.", param="tools")
    here = [dict(tool.check(one.model_dump(), f"tools.{number}")) for number, one in enumerate(asked.tools or ()) if isinstance(one, FileSearchTool)]
    chat = {name: value for name, value in body.items() if name not in ("messages", "max_tokens")}
    return Ask(
        model=asked.model, input=(), body=chat, tools=here, choice="none" if asked.tool_choice == "none" else "auto", store=False,
        max_output_tokens=body.get("max_tokens"), context=asked.num_ctx, keep_alive=asked.keep_alive, shown={"metadata": dict(asked.metadata or {})},
    )  # fmt: skip


def _items(asked: Asked) -> Iterator[dict[str, Any]]:
    """The messages as the items of a response."""
    for number, message in enumerate(asked.messages):
        text = "output_text" if message.role == "assistant" else "input_text"
        content: list[dict[str, Any]] = []
        for part in [message.content] if isinstance(message.content, str) else message.content or ():
            if isinstance(part, str):
                content.append({"type": text, "text": part})
            elif part.type == "text":
                content.append({"type": text, "text": part.text or ""})
            elif part.type == "image_url" and part.image_url is not None:
                content.append({"type": "input_image", "image_url": part.image_url.url, "detail": "auto"})
            else:
                place = f"messages.{number}.content"
                raise NotSupported(f"'{place}': parts of type '{part.type}' are not supported together with 'file_search'.", param=place)
        if message.role == "tool":
            said = "".join(str(part.get("text", "")) for part in content)
            yield {"type": "function_call_output", "id": new_item("fco"), "call_id": str(message.tool_call_id), "output": said, "status": "completed"}
            continue
        if content:
            yield {"type": "message", "id": new_item("msg"), "role": message.role, "status": "completed", "content": content}
        for call in message.tool_calls or ():
            if call.function is None:
                raise InvalidRequest(f"'messages.{number}.tool_calls': only functions can be called.", param=f"messages.{number}.tool_calls")
            yield {
                "type": "function_call", "id": new_item("fc"), "call_id": call.id, "name": call.function.name, "arguments": call.function.arguments,
                "status": "completed",
            }  # fmt: skip


async def _events(run: Run, told: _Told, *, usage: bool) -> AsyncGenerator[bytes, None]:
    async with aclosing(run.follow()) as chunks:
        async for chunk in chunks:
            for data in _parsed(chunk):
                if data["type"] == "response.failed":
                    raise run.cause or Unavailable()
                for part in told.chunks(data):
                    if usage or part["choices"]:
                        yield event({name: value for name, value in part.items() if value is not None})
    yield DONE


def _parsed(chunk: bytes) -> Iterator[dict[str, Any]]:
    for one in chunk.split(b"\n\n"):
        if one:
            yield json.loads(one.split(b"\ndata: ", 1)[1])


class _Told:
    """A response's events as a chat's."""

    def __init__(self, model: str, *, tier: str | None) -> None:
        self._model = model
        self._tier = tier
        self._id = new_id("chatcmpl")
        self._created = int(time.time())
        self._files: dict[str, tuple[int, str]] = {}
        """Number and name by id."""
        self._length = 0
        self._calls: dict[int, int] = {}
        self._notes: list[dict[str, Any]] = []
        self._begun = False

    def chunks(self, data: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """What an event becomes."""
        match data["type"]:
            case "response.output_text.delta":
                yield self._text(data["delta"])
            case "response.reasoning_text.delta":
                yield self._chunk({"reasoning_content": data["delta"]})
            case "response.output_text.annotation.added":
                yield from self._cite(data["annotation"])
            case "response.output_item.added" if data["item"]["type"] == "function_call":
                item, number = data["item"], len(self._calls)
                self._calls[data["output_index"]] = number
                function = {"name": item["name"], "arguments": ""}
                yield self._chunk({"tool_calls": [{"index": number, "id": item["call_id"], "type": "function", "function": function}]})
            case "response.function_call_arguments.delta":
                call = {"index": self._calls[data["output_index"]], "function": {"arguments": data["delta"]}}
                yield self._chunk({"tool_calls": [call]})
            case "response.completed" | "response.incomplete":
                if self._files:
                    yield self._text("\n\n" + "\n".join(f"[{number}] {name}" for number, name in self._files.values()))
                finish = "tool_calls" if self._calls else _FINISH[data["response"]["status"]]
                yield self._chunk({}, finish=finish)
                if usage := data["response"].get("usage"):
                    yield {**self._head(), "choices": [], "usage": _usage(usage)}
            case _:
                pass

    def whole(self, reply: Mapping[str, Any]) -> dict[str, Any]:
        """The chat completion, with what is cited."""
        encoded = encode_chat(reply, model=self._model, logprobs=None, tier=self._tier)
        if self._notes:
            encoded["choices"][0]["message"]["annotations"] = self._notes
        return encoded

    def _cite(self, annotation: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        file, name = str(annotation["file_id"]), str(annotation["filename"])
        number, _ = self._files.setdefault(file, (len(self._files) + 1, name))
        start = self._length + 1
        yield self._text(f" [{number}]")
        place = {"start_index": start, "end_index": self._length, "title": name, "url": f"/v1/files/{file}/content"}
        self._notes.append({"type": "url_citation", "url_citation": place})

    def _text(self, text: str) -> dict[str, Any]:
        self._length += len(text)
        return self._chunk({"content": text})

    def _chunk(self, delta: dict[str, Any], *, finish: str | None = None) -> dict[str, Any]:
        if not self._begun:
            self._begun = True
            delta = {"role": "assistant", **delta}
        return {**self._head(), "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]}

    def _head(self) -> dict[str, Any]:
        return {"id": self._id, "object": "chat.completion.chunk", "created": self._created, "model": self._model, "service_tier": self._tier}


def _usage(usage: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "prompt_tokens": usage["input_tokens"], "completion_tokens": usage["output_tokens"], "total_tokens": usage["total_tokens"],
        "prompt_tokens_details": {"cached_tokens": usage["input_tokens_details"]["cached_tokens"]},
    }  # fmt: skip

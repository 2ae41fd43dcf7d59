"""The messages of a chat: what the SDK may send, and how the engine gets it.

Put right here, because the engine ignores it or fails on it: names of participants, refusals, text in parts where a template wants a string,
tool calls without arguments, images that are none. What is not served is refused by name.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from hausgeist.errors import InvalidRequest, NotSupported
from hausgeist.gateway.openai.sampling import StrictBody

__all__ = ["PARTS", "ROLES", "CalledFunction", "ImageUrl", "Message", "Part", "ToolCall", "decode_messages", "images_in", "resolve_images"]

ROLES: dict[str, set[str]] = {
    "developer": {"content", "name"},
    "system": {"content", "name"},
    "user": {"content", "name"},
    "assistant": {"content", "name", "refusal", "tool_calls", "audio", "function_call", "reasoning_content", "annotations", "parsed"},
    "tool": {"content", "tool_call_id", "name"},
    "function": {"content", "name"},
}
"""The fields of a message by its role. Beyond the SDK's: `reasoning_content`, `annotations`, `parsed` of an answer sent back, `name` of a tool."""

PARTS: dict[str, set[str]] = {
    "developer": {"text"},
    "system": {"text"},
    "user": {"text", "image_url", "input_audio", "file"},
    "assistant": {"text", "refusal"},
    "tool": {"text"},
    "function": set(),
}
_IMAGES = 64
"""Images per request."""
Resolve = Callable[[str, str], Awaitable[str]]


class ImageUrl(StrictBody):
    url: str
    detail: Literal["auto", "low", "high", "original"] | None = None


class Part(StrictBody):
    """A piece of a message: which fields it has depends on its type."""

    type: Literal["text", "image_url", "input_audio", "file", "refusal"]
    text: str | None = None
    image_url: ImageUrl | None = None
    input_audio: dict[str, Any] | None = None
    file: dict[str, Any] | None = None
    refusal: str | None = None
    prompt_cache_breakpoint: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _whole(self) -> Part:
        if getattr(self, self.type) is None:
            raise ValueError(f"a part of type '{self.type}' needs the field '{self.type}'")
        for name in ("text", "image_url", "input_audio", "file", "refusal"):
            if name != self.type and getattr(self, name) is not None:
                raise ValueError(f"a part of type '{self.type}' has no field '{name}'")
        return self


class CalledFunction(StrictBody):
    name: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    arguments: str
    parsed_arguments: Any = None
    """Put there by the SDK's `parse` when an answer is sent back; says the same as `arguments`."""


class ToolCall(StrictBody):
    id: str
    type: Literal["function", "custom"]
    function: CalledFunction | None = None
    custom: dict[str, Any] | None = None
    index: int | None = None
    """Left over when an answer was put together from a stream."""


class Message(StrictBody):
    """One message; `ROLES` and `PARTS` say what each role may have."""

    role: Literal["developer", "system", "user", "assistant", "tool", "function"]
    content: str | Annotated[list[Part], Field(min_length=1)] | None = None
    name: Annotated[str, StringConstraints(min_length=1, max_length=256)] | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    audio: dict[str, Any] | None = None
    function_call: dict[str, Any] | None = None
    reasoning_content: str | None = None
    annotations: list[Any] | None = None
    parsed: Any = None

    @model_validator(mode="after")
    def _fits_role(self) -> Message:
        for name in self.model_fields_set - {"role"} - ROLES[self.role]:
            if getattr(self, name) is not None:
                raise ValueError(f"a message of role '{self.role}' has no field '{name}'")
        if isinstance(self.content, list):
            for part in self.content:
                if part.type not in PARTS[self.role]:
                    raise ValueError(f"the content of a message of role '{self.role}' has no parts of type '{part.type}'")
        if self.role == "assistant":
            if self.content is None and not (self.tool_calls or self.refusal or self.function_call or self.audio or self.reasoning_content):
                raise ValueError("an assistant's message needs 'content' or 'tool_calls'")
        elif self.content is None and self.role != "function":
            raise ValueError("'content' is required")
        if self.role == "tool" and self.tool_call_id is None:
            raise ValueError("a message of role 'tool' needs 'tool_call_id'")
        return self


def decode_messages(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """The messages as the engine takes them; image addresses are left as they are. Raises what is not served, naming the place."""
    tools: dict[str, str] = {}
    speakers = {message.name for message in messages if message.role == "assistant"}
    decoded = []
    for number, message in enumerate(messages):
        place = f"messages.{number}"
        _refuse(message, place)
        entry: dict[str, Any] = {"role": message.role, "content": _content(message)}
        if message.role == "tool":
            entry["tool_call_id"] = message.tool_call_id
            # Templates that name the tool beside its result find the name here; OpenAI's messages carry only the id.
            if name := message.name or tools.get(message.tool_call_id or ""):
                entry["name"] = name
        elif message.name and (message.role != "assistant" or len(speakers) > 1):
            entry["content"] = _spoken(message.name, entry["content"])
        if message.reasoning_content:
            entry["reasoning_content"] = message.reasoning_content
        if message.tool_calls:
            entry["tool_calls"] = [_call(call, f"{place}.tool_calls.{index}") for index, call in enumerate(message.tool_calls)]
            tools.update((call["id"], call["function"]["name"]) for call in entry["tool_calls"])
        decoded.append(entry)
    return decoded


def images_in(messages: Sequence[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """Place and `image_url` object of every image in decoded messages. Raises `InvalidRequest` for too many."""
    found = [
        (f"messages.{number}.content.{index}.image_url", part["image_url"])
        for number, message in enumerate(messages)
        if isinstance(message["content"], list)
        for index, part in enumerate(message["content"])
        if part["type"] == "image_url"
    ]
    if len(found) > _IMAGES:
        raise InvalidRequest(f"The request has {len(found)} images; at most {_IMAGES} are accepted.", param="messages")
    return found


async def resolve_images(messages: Sequence[dict[str, Any]], resolve: Resolve) -> None:
    """Put into decoded messages what `resolve(url, place)` makes of each image's address."""
    for place, image in images_in(messages):
        image["url"] = await resolve(image["url"], place)


def _refuse(message: Message, place: str) -> None:
    if message.role == "function" or message.function_call is not None:
        raise NotSupported(
            f"'{place}': 'function_call' and the role 'function' are not supported; use 'tool_calls' and the role 'tool'.", param=place
        )
    if message.audio is not None:
        raise NotSupported(f"'{place}.audio': audio is not supported here.", param=f"{place}.audio")
    for number, part in enumerate(message.content if isinstance(message.content, list) else ()):
        where = f"{place}.content.{number}"
        if part.type == "input_audio":
            raise NotSupported(f"'{where}': audio input is not supported here; send text or images.", param=where)
        if part.type == "file":
            raise NotSupported(f"'{where}': files are not supported here yet; send their text, or their pages as images.", param=where)
        if part.prompt_cache_breakpoint is not None:
            raise NotSupported(f"'{where}.prompt_cache_breakpoint' is not supported: common beginnings are found without it.", param=where)
        if part.image_url is not None and part.image_url.detail in ("low", "original"):
            raise NotSupported(
                f"'{where}.image_url.detail': '{part.image_url.detail}' is not supported, the model chooses the resolution; use 'auto' or 'high'.",
                param=where,
            )


def _content(message: Message) -> str | list[dict[str, Any]]:
    """A string wherever it is text alone and not the user's: templates join strings, and few of them look into parts."""
    content = message.content
    if content is None:
        return message.refusal or ""
    if isinstance(content, str):
        return content or message.refusal or ""
    if message.role != "user":
        return "\n".join(part.text if part.text is not None else part.refusal or "" for part in content)
    return [
        {"type": "text", "text": part.text} if part.image_url is None else {"type": "image_url", "image_url": {"url": part.image_url.url}}
        for part in content
    ]


def _spoken(name: str, content: str | list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    """Who speaks, said in the text: templates have no place for the name of a participant."""
    if isinstance(content, str):
        return f"{name}: {content}"
    return [{"type": "text", "text": f"{name}:"}, *content]


def _call(call: ToolCall, place: str) -> dict[str, Any]:
    if call.type == "custom" or call.function is None:
        raise NotSupported(f"'{place}': only tool calls of type 'function' are supported.", param=place)
    arguments = call.function.arguments.strip() or "{}"
    try:
        valid = isinstance(json.loads(arguments), dict)
    except (ValueError, RecursionError):
        valid = False
    if not valid:
        raise InvalidRequest(f"'{place}.function.arguments' is not a JSON object.", param=f"{place}.function.arguments")
    return {"id": call.id, "type": "function", "function": {"name": call.function.name, "arguments": arguments}}

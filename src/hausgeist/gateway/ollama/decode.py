"""From Ollama's requests to the bodies that engines get. Pure.

Everything of a request is either in the body afterwards, or in the call around it (context, keep_alive), or was refused by name.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal

from hausgeist.errors import InvalidRequest, NotSupported
from hausgeist.gateway.abilities import demand_thinking, demand_tools, effort_levels
from hausgeist.gateway.bodies import refuse
from hausgeist.gateway.defaults import with_defaults
from hausgeist.gateway.grammars import check_grammar
from hausgeist.gateway.images import data_url, demand_room, demand_vision
from hausgeist.gateway.ollama.options import checked
from hausgeist.gateway.ollama.schema import ChatRequest, GenerateRequest, Message, ToolCall
from hausgeist.gateway.prefill import PREFILL
from hausgeist.model import InstalledModel

__all__ = ["chat", "generate", "only_loads"]

Kind = Literal["chat", "completion", "infill"]

_UNSERVED = {
    "context": "it is a list of tokens of an earlier answer; send the conversation to /api/chat instead",
    "width": "no model here makes images",
    "height": "no model here makes images",
    "steps": "no model here makes images",
}
_NEVER_CUT = {
    "truncate": "a prompt is never cut; one that is too long is an error that says by how much",
    "shift": "nothing is dropped from the start when the context is full; the answer ends there",
}


def only_loads(request: GenerateRequest | ChatRequest) -> bool:
    """Whether the request asks nothing, which is how Ollama's clients load a model, or unload it with `keep_alive` 0."""
    if isinstance(request, ChatRequest):
        return not request.messages
    return not (request.prompt or request.suffix or request.images)


def chat(request: ChatRequest, model: InstalledModel) -> dict[str, Any]:
    """The chat body. Raises InvalidRequest or NotSupported, naming the parameter."""
    refuse(request, _NEVER_CUT)
    body: dict[str, Any] = {"messages": _messages(request.messages or (), model)}
    demand_room(body["messages"])
    last = body["messages"][-1] if body["messages"] else {}
    if last.get("role") == "assistant":
        if last.get("tool_calls"):
            raise InvalidRequest("The last message calls tools; their results must follow.", param="messages")
        body |= PREFILL
    if request.tools:
        demand_tools(model)
        for index, tool in enumerate(request.tools):
            check_grammar(tool.function.parameters or {}, f"tools.{index}.function.parameters")
        body["tools"] = [
            {
                "type": "function",
                "function": {
                    "name": tool.function.name,
                    "description": tool.function.description or "",
                    "parameters": tool.function.parameters or {"type": "object", "properties": {}},
                },
            }
            for tool in request.tools
        ]
    return with_defaults(model, body | _shape(request, model))


def generate(request: GenerateRequest, model: InstalledModel) -> tuple[Kind, dict[str, Any]]:
    """The operation that serves it, and its body."""
    refuse(request, _UNSERVED | _NEVER_CUT)
    if request.template and request.template != model.template:
        raise NotSupported("'template' cannot be given with a request; create a model with it (/api/create), or use 'raw'.", param="template")
    if request.suffix:
        return "infill", with_defaults(model, _infill(request) | checked(request.options, model))
    if request.raw:
        return "completion", with_defaults(model, _raw(request) | checked(request.options, model))
    messages: list[dict[str, Any]] = []
    if request.system:
        messages.append({"role": "system", "content": request.system})
    messages.append({"role": "user", "content": _content(request.prompt or "", request.images, model, "images")})
    demand_room(messages, param="images")
    return "chat", with_defaults(model, {"messages": messages} | _shape(request, model))


def _shape(request: GenerateRequest | ChatRequest, model: InstalledModel) -> dict[str, Any]:
    """The fields of a chat body that say how to answer."""
    return _format(request) | _think(request, model) | _logprobs(request) | checked(request.options, model)


def _infill(request: GenerateRequest) -> dict[str, Any]:
    for name in ("system", "raw", "images", "think", "logprobs"):
        if getattr(request, name):
            raise InvalidRequest(f"'{name}' does not go together with 'suffix': what is filled in stands between two texts.", param=name)
    return {"input_prefix": request.prompt or "", "input_suffix": request.suffix, "prompt": ""} | _grammar(request)


def _raw(request: GenerateRequest) -> dict[str, Any]:
    """The prompt as it is. Ollama gives neither system prompt nor template to it, and refuses those of the request."""
    for name in ("system", "template", "images", "think"):
        if getattr(request, name):
            raise InvalidRequest(f"'{name}' does not go together with 'raw', which is the whole prompt as it is.", param=name)
    body = {"prompt": request.prompt or ""} | _format(request) | _grammar(request)
    if _logprobs(request):
        # Completions take the number of alternatives where chats take yes or no.
        body["logprobs"] = max(1, request.top_logprobs or 0)
    return body


def _messages(messages: Sequence[Message], model: InstalledModel) -> list[dict[str, Any]]:
    """OpenAI's messages: tool calls have ids there, which a result is matched to by its id, or its tool's name, or its turn."""
    found: list[dict[str, Any]] = []
    waiting: list[tuple[str, str]] = []
    for index, message in enumerate(messages):
        place = f"messages.{index}"
        if message.tool_calls and message.role != "assistant":
            raise InvalidRequest(f"{place}: only the assistant calls tools.", param=place)
        turn: dict[str, Any] = {"role": message.role, "content": _content(message.content or "", message.images, model, f"{place}.images")}
        if message.role == "tool":
            turn["tool_call_id"], turn["name"] = _answered(message, waiting)
        elif message.role == "assistant":
            if message.thinking:
                turn["reasoning_content"] = message.thinking
            if message.tool_calls:
                turn["tool_calls"] = [_call(call, f"call_{index}_{number}") for number, call in enumerate(message.tool_calls)]
                waiting += [(call["id"], call["function"]["name"]) for call in turn["tool_calls"]]
        elif message.thinking or message.tool_name or message.tool_call_id:
            raise InvalidRequest(f"{place}: 'thinking', 'tool_name' and 'tool_call_id' do not go with the role '{message.role}'.", param=place)
        found.append(turn)
    return found


def _call(call: ToolCall, identifier: str) -> dict[str, Any]:
    arguments = json.dumps(call.function.arguments, ensure_ascii=False)
    return {"id": call.id or identifier, "type": "function", "function": {"name": call.function.name, "arguments": arguments}}


def _answered(message: Message, waiting: list[tuple[str, str]]) -> tuple[str, str]:
    """Id and tool of the call that this message answers; the oldest unanswered one that fits."""
    for number, (identifier, name) in enumerate(waiting):
        if message.tool_call_id in (None, "", identifier) and message.tool_name in (None, "", name):
            del waiting[number]
            return identifier, name
    return message.tool_call_id or "call", message.tool_name or "tool"


def _content(text: str, images: Sequence[str] | None, model: InstalledModel, place: str) -> str | list[dict[str, Any]]:
    if not images:
        return text
    demand_vision(model, param=place)
    parts: list[dict[str, Any]] = [{"type": "text", "text": text}] if text else []
    return parts + [{"type": "image_url", "image_url": {"url": data_url(image, param=place)}} for image in images]


def _format(request: GenerateRequest | ChatRequest) -> dict[str, Any]:
    if request.format == "json":
        return {"response_format": {"type": "json_object"}}
    if isinstance(request.format, dict):
        check_grammar(request.format, "format")
        return {"response_format": {"type": "json_schema", "json_schema": {"name": "format", "schema": request.format, "strict": True}}}
    return {}


def _grammar(request: GenerateRequest) -> dict[str, Any]:
    """llama-server's own field: it knows `response_format` in chats only."""
    if request.format == "json":
        return {"json_schema": {"type": "object"}}
    if isinstance(request.format, dict):
        check_grammar(request.format, "format")
        return {"json_schema": request.format}
    return {}


def _think(request: GenerateRequest | ChatRequest, model: InstalledModel) -> dict[str, Any]:
    if request.think is None:
        return {}
    if request.think is False:
        return {"chat_template_kwargs": {"enable_thinking": False}}
    level = request.think if isinstance(request.think, str) else None
    demand_thinking(model, param="think")
    if level is not None and effort_levels(model) is False:
        raise InvalidRequest(f'think value "{level}" is not supported for this model; use true or false.', param="think")
    body: dict[str, Any] = {"chat_template_kwargs": {"enable_thinking": True}}
    return body | ({"reasoning_effort": "high" if level == "max" else level} if level is not None else {})


def _logprobs(request: GenerateRequest | ChatRequest) -> dict[str, Any]:
    if request.logprobs:
        # Asked for no alternatives, llama-server tells nothing at all; the one too many is taken off again.
        return {"logprobs": True, "top_logprobs": max(1, request.top_logprobs or 0)}
    if request.top_logprobs:
        raise InvalidRequest("'top_logprobs' goes together with 'logprobs': true.", param="top_logprobs")
    return {}

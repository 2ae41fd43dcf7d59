"""Request bodies as llama-server takes them, read into what the fake needs. Pure; raises `InvalidRequest`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hausgeist.engines.fake.manners import Question, Turn
from hausgeist.engines.fake.text import clean, detokenize
from hausgeist.errors import InvalidRequest

__all__ = ["Sampling", "chat_prompt", "integer", "prompts", "question", "sampling", "texts", "turns"]


@dataclass(frozen=True, slots=True)
class Sampling:
    """The part of a request that says how to answer rather than what."""

    stream: bool
    n: int
    stop: Sequence[str]
    limit: int | None
    logprobs: int | None
    """How many alternatives per token; `None`: no log probabilities."""
    usage: bool
    verbose: bool
    thinking: bool
    slot: int
    cached: bool


def sampling(body: dict[str, Any]) -> Sampling:
    limits = [integer(body, name, -1) for name in ("n_predict", "max_completion_tokens", "max_tokens") if body.get(name) is not None]
    stop = body.get("stop")
    stop = [] if stop is None else [stop] if isinstance(stop, str) else stop
    if not isinstance(stop, list) or not all(isinstance(word, str) for word in stop):
        raise InvalidRequest("'stop' must be a string or a list of strings", param="stop")
    n = integer(body, "n", 1)
    if not 1 <= n <= 128:
        raise InvalidRequest("'n' must be between 1 and 128", param="n")
    options = body.get("stream_options")
    template = body.get("chat_template_kwargs")
    return Sampling(
        stream=body.get("stream") is True,
        n=n,
        stop=stop,
        limit=limits[0] if limits and limits[0] >= 0 else None,
        logprobs=_logprobs(body),
        usage=isinstance(options, dict) and options.get("include_usage") is True,
        verbose=body.get("verbose") is True,
        thinking=body.get("reasoning_effort") != "none"
        and not (isinstance(template, dict) and template.get("enable_thinking") is False)
        and body.get("reasoning_budget_tokens", body.get("thinking_budget_tokens")) != 0,
        slot=integer(body, "id_slot", -1),
        cached=body.get("cache_prompt") is not False,
    )


def _logprobs(body: dict[str, Any]) -> int | None:
    asked = body.get("logprobs")
    if asked is True:
        return min(max(integer(body, "top_logprobs", 0), 0), 20)
    if isinstance(asked, int) and not isinstance(asked, bool):
        return min(max(asked, 0), 20)
    return None


def integer(body: dict[str, Any], name: str, default: int) -> int:
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not -(2**31) <= value <= 2**31:
        raise InvalidRequest(f"'{name}' must be an integer", param=name)
    return int(value)


def turns(body: dict[str, Any]) -> list[Turn]:
    messages = body.get("messages")
    if not isinstance(messages, list):
        raise InvalidRequest("'messages' is required, and must be an array", param="messages")
    found = []
    for message in messages:
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise InvalidRequest("every message must be an object with a 'role'", param="messages")
        calls = message.get("tool_calls")
        if "content" not in message and not calls:
            raise InvalidRequest("a message must have 'content' or 'tool_calls'", param="messages")
        found.append(Turn(message["role"], clean(_plain(message.get("content"))), len(calls) if isinstance(calls, list) else 0))
    return found


def _plain(content: Any) -> str:
    """Content as text. An image becomes a word about it, so that a test can see that it arrived."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise InvalidRequest("Expected 'content' to be a string or an array", param="messages")
    return "\n".join(_part(part) for part in content)


def _part(part: Any) -> str:
    if isinstance(part, dict):
        if isinstance(part.get("text"), str):
            return str(part["text"])
        image = part.get("image_url")
        url = image.get("url") if isinstance(image, dict) else image
        if isinstance(url, str):
            if not url.startswith("data:"):
                raise InvalidRequest("the fake engine fetches no images; send them as data: URLs", param="messages")
            kind, _, data = url[5:].partition(",")
            return f"[image {kind.partition(';')[0]}, {len(data) * 3 // 4 - data[-2:].count('=')} bytes]"
    raise InvalidRequest("unsupported content[].type", param="messages")


def question(body: dict[str, Any]) -> Question:
    tools: dict[str, Any] = {}
    for tool in body.get("tools") or []:
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise InvalidRequest("every tool must be {'type': 'function', 'function': {'name': ..., 'parameters': ...}}", param="tools")
        tools[function["name"]] = function.get("parameters") or {"type": "object"}
    return Question(
        turns=turns(body), tools=tools, tool_choice=_choice(body, tools), parallel=body.get("parallel_tool_calls") is not False, schema=_schema(body)
    )


def _choice(body: dict[str, Any], tools: dict[str, Any]) -> str:
    choice = body.get("tool_choice") or "auto"
    if isinstance(choice, dict):
        function = choice.get("function")
        name = function.get("name") if isinstance(function, dict) else None
        if name not in tools:
            raise InvalidRequest(f"'tool_choice' names the tool {name!r}, which is not among 'tools'", param="tool_choice")
        return f"={name}"
    if choice not in {"auto", "none", "required"}:
        raise InvalidRequest("'tool_choice' must be auto, none, required, or name a function", param="tool_choice")
    return str(choice)


def _schema(body: dict[str, Any]) -> Any:
    if body.get("json_schema") is not None:
        return body["json_schema"]
    shape = body.get("response_format")
    if not isinstance(shape, dict):
        return None
    match shape.get("type"):
        case "json_object":
            return shape.get("schema") or {"type": "object"}
        case "json_schema":
            wrapper = shape.get("json_schema")
            return (wrapper.get("schema") if isinstance(wrapper, dict) else None) or {"type": "object"}
        case None | "text":
            return None
    raise InvalidRequest("'response_format' type must be text, json_object or json_schema", param="response_format")


def chat_prompt(body: dict[str, Any]) -> str:
    """What a chat template would make of it."""
    tools = f"<tools>{json.dumps(body['tools'], ensure_ascii=False)}</tools>\n" if body.get("tools") else ""
    said = []
    for turn, message in zip(turns(body), body["messages"], strict=True):
        calls = json.dumps(message["tool_calls"], ensure_ascii=False) if turn.calls else ""
        said.append(f"<|{turn.role}|>\n{turn.text}{calls}\n")
    return clean(f"{tools}{''.join(said)}<|assistant|>\n")


def prompts(body: dict[str, Any]) -> list[str]:
    """The prompts of a completion: text, token numbers, or a list of either."""
    if "prompt" not in body:
        raise InvalidRequest("'prompt' is required", param="prompt")
    return texts(body["prompt"], "prompt")


def texts(value: Any, param: str) -> list[str]:
    if isinstance(value, str):
        return [clean(value)]
    if isinstance(value, list) and value:
        if _are_tokens(value):
            return [_from_tokens(value, param)]
        if all(isinstance(item, str) or _are_tokens(item) for item in value):
            return [clean(item) if isinstance(item, str) else _from_tokens(item, param) for item in value]
    raise InvalidRequest(f"'{param}' must be a string, a list of tokens, or a list of either, and not empty", param=param)


def _are_tokens(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, int) and not isinstance(item, bool) for item in value)


def _from_tokens(tokens: list[int], param: str) -> str:
    try:
        return detokenize(tokens)
    except (ValueError, OverflowError) as error:
        raise InvalidRequest(str(error), param=param) from error

"""Items of the API: what they say in plain text, and how a model is told of them: a list of items becomes the messages of a chat.

Reasoning is left out of what the model is told once the question is answered: what was said after it says what came of it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hausgeist.conversations.mcp.naming import function_name
from hausgeist.errors import NotSupported, shown

__all__ = ["message", "messages_of", "plain_text"]

_TEXTS = ("text", "refusal")


def message(role: str, *parts: str | Mapping[str, Any]) -> dict[str, Any]:
    """A message as the API keeps it. `parts`: texts, and what is none, as a part of the API."""
    return {"type": "message", "role": role, "status": "completed", "content": [_part(role, part) for part in parts]}


def _part(role: str, part: str | Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(part, str):
        return dict(part)
    if role == "assistant":
        return {"type": "output_text", "text": part, "annotations": [], "logprobs": []}
    return {"type": "input_text", "text": part}


def plain_text(item: Mapping[str, Any]) -> str:
    """What people read or wrote in an item; empty for what is between programs."""
    match item.get("type", "message"):
        case "message":
            return said(item.get("content"))
        case "reasoning":
            return "\n".join(str(part.get("text", "")) for part in item.get("summary") or ())
        case _:
            return ""


def said(content: Any) -> str:
    """The text of a message's content, whichever form it has."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, Sequence) else ()
    return "\n".join(str(part[name]) for part in parts if isinstance(part, Mapping) for name in _TEXTS if part.get(name))


def messages_of(items: Sequence[Mapping[str, Any]], *, opened: Callable[[str], str] = str) -> list[dict[str, Any]]:
    """Messages as the engine's chat takes them. Calls that follow one another, and the answer they stand beside, are one message of the assistant.

    So are an answer that was cut off and what went on with it: engines take one at the end, which they go on with.

    Images are as they came: an address or data. `opened`: the text of an item's encrypted content. Calls that were cut off are left out.
    Raises `NotSupported` for items that no model here understands.
    """
    messages: list[dict[str, Any]] = []
    names: dict[str, str] = {}
    requests: dict[str, Mapping[str, Any]] = {}
    thoughts: list[str] = []
    cut: dict[str, Any] | None = None
    asked = max((number for number, item in enumerate(items) if item.get("type", "message") == "message" and item.get("role") == "user"), default=-1)
    for number, item in enumerate(items):
        match item.get("type", "message"):
            case "message":
                cut = _say(messages, item, cut)
            case "function_call":
                if item.get("status") == "incomplete":
                    continue
                names[str(item["call_id"])] = str(item["name"])
                _assistant(messages).setdefault("tool_calls", []).append(_call(str(item["call_id"]), str(item["name"]), str(item["arguments"])))
            case "function_call_output":
                messages.append(_result(str(item["call_id"]), names.get(str(item["call_id"]), ""), _output(item.get("output"))))
            case "mcp_call":
                _mcp(messages, item, _outcome(item))
            case "mcp_approval_request":
                requests[str(item["id"])] = item
                continue
            case "mcp_approval_response":
                request = requests.get(str(item["approval_request_id"]))
                if request is None or item["approve"]:
                    continue
                reason = f" The reason: {item['reason']}" if item.get("reason") else ""
                _mcp(messages, request, f"The user did not allow this call, so it was not made.{reason}")
            case "compaction":
                told = opened(str(item.get("encrypted_content", "")))
                messages.append({"role": "system", "content": f"What was said before, in short:\n\n{told}"})
            case "reasoning":
                # Models that call tools are told what they were thinking until the answer is there; after that, it is left out.
                if number > asked:
                    thoughts += [str(part.get("text", "")) for part in item.get("content") or ()]
                continue
            case "item_reference" | "mcp_list_tools" | "file_search_call":
                continue
            case other:
                raise NotSupported(f"Items of type '{shown(str(other), 60)}' are not supported here.", param="input")
        if thoughts:
            spoken = messages[-1] if messages[-1]["role"] == "assistant" else messages[-2] if len(messages) > 1 else {}
            if spoken.get("role") == "assistant":
                spoken["reasoning_content"] = "\n".join(thoughts)
            thoughts = []
    return messages


def _say(messages: list[dict[str, Any]], item: Mapping[str, Any], cut: dict[str, Any] | None) -> dict[str, Any] | None:
    """Add a message, to the one that was `cut` off where it goes on with that. Returns the message if it is cut off itself."""
    said_now = _message(item)
    if said_now["role"] != "assistant":
        messages.append(said_now)
        return None
    if cut is not None and messages[-1] is cut and "tool_calls" not in cut:
        cut["content"] += said_now["content"]
    else:
        messages.append(said_now)
    return messages[-1] if item.get("status") == "incomplete" else None


def _message(item: Mapping[str, Any]) -> dict[str, Any]:
    role, content = str(item.get("role", "user")), item.get("content")
    if isinstance(content, str) or role != "user":
        return {"role": role, "content": said(content)}
    parts: list[dict[str, Any]] = []
    for part in content or ():
        if part.get("type") == "input_image":
            parts.append({"type": "image_url", "image_url": {"url": part.get("image_url") or ""}})
        elif part.get("type") == "input_file":
            parts.append({"type": "text", "text": f"{part.get('filename') or 'File'}:\n\n{_file_text(str(part.get('file_data') or ''))}"})
        elif text := part.get("text"):
            parts.append({"type": "text", "text": str(text)})
    if all(part["type"] == "text" for part in parts):
        return {"role": role, "content": "\n".join(part["text"] for part in parts)}
    return {"role": role, "content": parts}


def _file_text(data: str) -> str:
    """What a `data:` address of a text says."""
    return base64.b64decode(data.partition(",")[2]).decode("utf-8", "replace")


def _assistant(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """The message that calls belong to: the last one, if that is the assistant's, else a new one."""
    if not messages or messages[-1]["role"] != "assistant":
        messages.append({"role": "assistant", "content": ""})
    return messages[-1]


def _call(call: str, name: str, arguments: str) -> dict[str, Any]:
    return {"id": call, "type": "function", "function": {"name": name, "arguments": _object(arguments)}}


def _object(arguments: str) -> str:
    """Engines fail on arguments that are no JSON object; what a model wrote instead is passed on within one."""
    try:
        fits = isinstance(json.loads(arguments or "{}"), dict)
    except (ValueError, RecursionError):
        fits = False
    return (arguments or "{}") if fits else json.dumps({"arguments": arguments}, ensure_ascii=False)


def _result(call: str, name: str, content: str) -> dict[str, Any]:
    """Templates that name the tool beside its result find the name here."""
    return {"role": "tool", "tool_call_id": call, "content": content, **({"name": name} if name else {})}


def _mcp(messages: list[dict[str, Any]], call: Mapping[str, Any], result: str) -> None:
    """A call of an MCP server's tool, by the name under which the model knows it, and what came of it."""
    name = function_name(str(call["server_label"]), str(call["name"]))
    _assistant(messages).setdefault("tool_calls", []).append(_call(str(call["id"]), name, str(call["arguments"])))
    messages.append(_result(str(call["id"]), name, result))


def _outcome(call: Mapping[str, Any]) -> str:
    """What a model is told of a call that was made."""
    error = call.get("error")
    if isinstance(error, Mapping):
        return f"The call failed: {error.get('message') or said(error.get('content')) or 'no reason was given'}"
    if error:
        return f"The call failed: {error}"
    if call.get("status") in ("in_progress", "calling", "incomplete"):
        return "The call was interrupted; nobody knows whether it was done."
    return str(call.get("output") or "")


def _output(output: Any) -> str:
    if isinstance(output, str):
        return output
    if isinstance(output, Sequence):
        return said(output)
    return json.dumps(output, ensure_ascii=False)

"""Items of the responses API: what the SDK may send as input, and how it is kept. Which fields an item has depends on its type.

Kept, every item has `id`, `type` and `status`, and the content of a message is a list of parts, so that it can be listed in the SDK's own types.
What is not served is refused by name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, Field, StringConstraints, Tag, model_validator

from hausgeist.conversations.records import new_id
from hausgeist.conversations.service import PREFIXES
from hausgeist.errors import InvalidRequest, NotSupported, shown
from hausgeist.gateway.bodies import MOST_MESSAGES, Body
from hausgeist.gateway.openai.sampling import StrictBody

__all__ = [
    "ITEMS",
    "PARTS",
    "UNSERVED",
    "CompactionItem",
    "Content",
    "FunctionCallItem",
    "FunctionOutputItem",
    "InputItem",
    "ItemReference",
    "MessageItem",
    "ReasoningItem",
    "decode_items",
    "parts_of",
    "references_in",
]

Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:-]{1,128}$")]
CallId = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Status = Literal["in_progress", "completed", "incomplete"]

PARTS: Mapping[str, set[str]] = {
    "input_text": {"text", "prompt_cache_breakpoint"},
    "input_image": {"detail", "file_id", "image_url", "prompt_cache_breakpoint"},
    "input_file": {"detail", "file_data", "file_id", "file_url", "filename", "prompt_cache_breakpoint"},
    "output_text": {"text", "annotations", "logprobs", "parsed"},
    "refusal": {"refusal"},
}
"""The fields of a part by its type; `parsed` is put there by the SDK's `parse` when an answer is sent back."""

UNSERVED: Mapping[str, str] = {
    **dict.fromkeys(("computer_call", "computer_call_output"), "there is no computer use."),
    **dict.fromkeys(("local_shell_call", "local_shell_call_output", "shell_call", "shell_call_output"), "there is no shell."),
    **dict.fromkeys(("apply_patch_call", "apply_patch_call_output"), "there is no patch tool; offer one as a function."),
    **dict.fromkeys(("custom_tool_call", "custom_tool_call_output"), "there are no custom tools; use functions."),
    **dict.fromkeys(("tool_search_call", "tool_search_output", "additional_tools"), "tools are not searched for; name them in 'tools'."),
    **dict.fromkeys(("program", "program_output"), "there is no programmatic tool calling."),
    "code_interpreter_call": "there is no code interpreter.",
    "image_generation_call": "there is no image generation.",
    "web_search_call": "this server does not search the web.",
    "configuration_update": "name the settings in the request.",
    "compaction_trigger": "call responses.compact.",
}
"""Types of items that need what is not here."""


class Content(StrictBody):
    """A part of a message, or of what a function gave."""

    type: Literal["input_text", "input_image", "input_file", "output_text", "refusal"]
    text: str | None = None
    refusal: str | None = None
    annotations: list[dict[str, Any]] | None = None
    logprobs: list[dict[str, Any]] | None = None
    detail: Literal["auto", "low", "high", "original"] | None = None
    file_id: str | None = None
    image_url: str | None = None
    file_data: str | None = None
    file_url: str | None = None
    filename: str | None = None
    prompt_cache_breakpoint: dict[str, Any] | None = None
    parsed: Any = None

    @model_validator(mode="after")
    def _whole(self) -> Content:
        for name in self.model_fields_set - {"type"} - PARTS[self.type]:
            if getattr(self, name) is not None:
                raise ValueError(f"a part of type '{self.type}' has no field '{name}'")
        needed = "refusal" if self.type == "refusal" else "text" if self.type in ("input_text", "output_text") else None
        if needed is not None and getattr(self, needed) is None:
            raise ValueError(f"a part of type '{self.type}' needs the field '{needed}'")
        if self.type == "input_image" and self.image_url is None and self.file_id is None:
            raise ValueError("a part of type 'input_image' needs 'image_url' or 'file_id'")
        if self.type == "input_file" and (self.file_data, self.file_id, self.file_url) == (None, None, None):
            raise ValueError("a part of type 'input_file' needs 'file_data' or 'file_id'")
        return self


class MessageItem(StrictBody):
    """What somebody said."""

    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[Content]
    type: Literal["message"] | None = None
    id: Id | None = None
    status: Status | None = None
    phase: Literal["commentary", "final_answer"] | None = None

    @model_validator(mode="after")
    def _fits_role(self) -> MessageItem:
        for part in self.content if isinstance(self.content, list) else ():
            if (part.type in ("output_text", "refusal") and self.role != "assistant") or (
                part.type in ("input_image", "input_file") and self.role != "user"
            ):
                raise ValueError(f"the content of a message of role '{self.role}' has no parts of type '{part.type}'")
        return self


class FunctionCallItem(StrictBody):
    type: Literal["function_call"]
    call_id: CallId
    name: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    arguments: str
    id: Id | None = None
    status: Status | None = None
    namespace: str | None = None
    caller: dict[str, Any] | None = None
    asynchronous: bool | None = Field(None, alias="async")
    parsed_arguments: Any = None
    """Put there by the SDK's `parse`; says the same as `arguments`."""


class FunctionOutputItem(StrictBody):
    type: Literal["function_call_output"]
    output: str | list[Content]
    call_id: CallId | None = None
    id: Id | None = None
    status: Status | None = None
    name: str | None = None
    namespace: str | None = None
    caller: dict[str, Any] | None = None


class Text(StrictBody):
    type: Literal["summary_text", "reasoning_text"]
    text: str


class ReasoningItem(StrictBody):
    type: Literal["reasoning"]
    summary: list[Text]
    id: Id | None = None
    content: list[Text] | None = None
    encrypted_content: str | None = None
    status: Status | None = None


class CompactionItem(StrictBody):
    type: Literal["compaction"]
    encrypted_content: str
    id: Id | None = None


class ItemReference(StrictBody):
    id: Id
    type: Literal["item_reference"] | None = None


class FileSearchItem(StrictBody):
    type: Literal["file_search_call"]
    id: Id
    queries: list[str]
    status: Literal["in_progress", "searching", "completed", "incomplete", "failed"]
    results: list[dict[str, Any]] | None = None


class ListedTool(StrictBody):
    name: str
    input_schema: Any
    annotations: Any = None
    description: str | None = None


class McpListItem(StrictBody):
    type: Literal["mcp_list_tools"]
    id: Id
    server_label: str
    tools: list[ListedTool]
    error: str | None = None


class McpCallItem(StrictBody):
    type: Literal["mcp_call"]
    id: Id
    arguments: str
    name: str
    server_label: str
    approval_request_id: str | None = None
    error: Any = None
    output: str | None = None
    status: Literal["in_progress", "completed", "incomplete", "calling", "failed"] | None = None


class McpApprovalRequestItem(StrictBody):
    type: Literal["mcp_approval_request"]
    id: Id
    arguments: str
    name: str
    server_label: str


class McpApprovalResponseItem(StrictBody):
    type: Literal["mcp_approval_response"]
    approval_request_id: str
    approve: bool
    id: Id | None = None
    reason: str | None = None


class UnservedItem(Body):
    """An item whose type is known and not served, or not known at all."""

    model_config = ConfigDict(extra="allow")
    type: Any = None


ITEMS: Mapping[str, type[Body]] = {
    "message": MessageItem,
    "function_call": FunctionCallItem,
    "function_call_output": FunctionOutputItem,
    "reasoning": ReasoningItem,
    "compaction": CompactionItem,
    "item_reference": ItemReference,
    "file_search_call": FileSearchItem,
    "mcp_list_tools": McpListItem,
    "mcp_call": McpCallItem,
    "mcp_approval_request": McpApprovalRequestItem,
    "mcp_approval_response": McpApprovalResponseItem,
}
"""The items that are served, by their type."""


def _kind(value: Any) -> str:
    """By which model an item is read; the colon keeps the tag out of the place that a complaint names."""
    if isinstance(value, Mapping):
        kind = value.get("type")
        kind = ("message" if "role" in value else "item_reference") if kind is None else kind
    else:
        kind = getattr(value, "type", None) or ("message" if hasattr(value, "role") else "item_reference")
    return f"item:{kind}" if isinstance(kind, str) and kind in ITEMS else "item:"


InputItem = Annotated[
    Annotated[MessageItem, Tag("item:message")]
    | Annotated[FunctionCallItem, Tag("item:function_call")]
    | Annotated[FunctionOutputItem, Tag("item:function_call_output")]
    | Annotated[ReasoningItem, Tag("item:reasoning")]
    | Annotated[CompactionItem, Tag("item:compaction")]
    | Annotated[ItemReference, Tag("item:item_reference")]
    | Annotated[FileSearchItem, Tag("item:file_search_call")]
    | Annotated[McpListItem, Tag("item:mcp_list_tools")]
    | Annotated[McpCallItem, Tag("item:mcp_call")]
    | Annotated[McpApprovalRequestItem, Tag("item:mcp_approval_request")]
    | Annotated[McpApprovalResponseItem, Tag("item:mcp_approval_response")]
    | Annotated[UnservedItem, Tag("item:")],
    Discriminator(_kind),
]
InputItems = Annotated[list[InputItem], Field(max_length=MOST_MESSAGES)]


def references_in(given: Sequence[Body]) -> list[str]:
    """The ids of items that are named and not sent."""
    return [item.id for item in given if isinstance(item, ItemReference)]


def decode_items(given: str | Sequence[Body] | None, found: Mapping[str, Mapping[str, Any]], *, param: str = "input") -> list[dict[str, Any]]:
    """The items as they are kept. `found`: those that references name. Raises what is not served, naming the place."""
    if isinstance(given, str):
        return [_message(MessageItem(role="user", content=given))]
    decoded: list[dict[str, Any]] = []
    seen: set[str] = set()
    for number, item in enumerate(given or ()):
        place = f"{param}.{number}"
        body = dict(found[item.id]) if isinstance(item, ItemReference) else _decode(item, place)
        if body["id"] in seen:
            raise InvalidRequest(f"'{place}': there are two items with the id '{shown(str(body['id']))}'.", param=place)
        seen.add(str(body["id"]))
        decoded.append(body)
    return decoded


def _decode(item: Body, place: str) -> dict[str, Any]:
    match item:
        case MessageItem():
            _refuse_parts(item.content, f"{place}.content")
            return _message(item)
        case FunctionCallItem():
            return _call(item, place)
        case FunctionOutputItem():
            if item.call_id is None:
                raise InvalidRequest(f"'{place}.call_id' is required.", param=f"{place}.call_id")
            _refuse_caller(item, place)
            _refuse_parts(item.output, f"{place}.output")
            if isinstance(item.output, list) and (other := next((part for part in item.output if part.type != "input_text"), None)):
                raise NotSupported(f"'{place}.output': parts of type '{other.type}' are not supported here; give text.", param=f"{place}.output")
            return _kept(item, status=item.status or "completed")
        case UnservedItem():
            kind = item.type if isinstance(item.type, str) else ""
            if kind in UNSERVED:
                raise NotSupported(f"'{place}': items of type '{kind}' are not supported here: {UNSERVED[kind]}", param=place)
            raise InvalidRequest(f"'{place}.type': there are no items of type '{shown(kind, 60)}'.", param=f"{place}.type")
        case ReasoningItem():
            return _kept(item, status=item.status or "completed")
        case _:
            return _kept(item)


def _message(item: MessageItem) -> dict[str, Any]:
    text = "output_text" if item.role == "assistant" else "input_text"
    if isinstance(item.content, str):
        parts = [{"type": text, "text": item.content, **({"annotations": []} if item.role == "assistant" else {})}]
    else:
        parts = [_part(part, text) for part in item.content]
    return {
        "id": item.id or new_id("msg"), "type": "message", "status": item.status or "completed", "role": item.role, "content": parts,
        **({"phase": item.phase} if item.phase else {}),
    }  # fmt: skip


def _part(part: Content, text: str) -> dict[str, Any]:
    kept = part.model_dump(exclude_none=True, exclude={"parsed"})
    if part.type in ("input_text", "output_text"):
        kept["type"] = text
        if text == "output_text":
            kept.setdefault("annotations", [])
    if part.type == "input_image":
        kept.setdefault("detail", "auto")
    return kept


def _call(item: FunctionCallItem, place: str) -> dict[str, Any]:
    _refuse_caller(item, place)
    if item.asynchronous:
        raise NotSupported(f"'{place}.async' is not supported here; leave it out.", param=place)
    try:
        valid = isinstance(json.loads(item.arguments.strip() or "{}"), dict)
    except (ValueError, RecursionError):
        valid = False
    if not valid and item.status != "incomplete":
        raise InvalidRequest(f"'{place}.arguments' is not a JSON object.", param=f"{place}.arguments")
    return _kept(item, status=item.status or "completed")


def _refuse_caller(item: FunctionCallItem | FunctionOutputItem, place: str) -> None:
    if item.caller is not None and item.caller.get("type") != "direct":
        raise NotSupported(f"'{place}.caller': programmatic tool calling is not supported here.", param=place)
    if item.namespace is not None:
        raise NotSupported(f"'{place}.namespace' is not supported here: tools have no namespaces.", param=place)


def _kept(item: Body, **more: Any) -> dict[str, Any]:
    body = item.model_dump(exclude_none=True, exclude={"parsed_arguments", "caller", "asynchronous"})
    kind = str(body["type"])
    return {**body, "id": body.get("id") or new_id(PREFIXES.get(kind, "item")), **more}


def _refuse_parts(content: str | Sequence[Content], place: str) -> None:
    for number, part in enumerate(content if not isinstance(content, str) else ()):
        where = f"{place}.{number}"
        if part.prompt_cache_breakpoint is not None:
            raise NotSupported(f"'{where}.prompt_cache_breakpoint' is not supported: common beginnings are found without it.", param=where)
        if part.type == "input_image" and part.detail in ("low", "original"):
            raise NotSupported(
                f"'{where}.detail': '{part.detail}' is not supported, the model chooses the resolution; use 'auto' or 'high'.", param=where
            )


def parts_of(items: Sequence[Mapping[str, Any]], kind: str, *, param: str = "input") -> list[tuple[str, dict[str, Any]]]:
    """Place and part of everything of a kind in the messages of items as they are kept."""
    return [
        (f"{param}.{number}.content.{index}", part)
        for number, item in enumerate(items)
        if item["type"] == "message"
        for index, part in enumerate(item["content"])
        if part["type"] == kind
    ]

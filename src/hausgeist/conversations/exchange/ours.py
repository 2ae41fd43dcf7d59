"""Our own JSON of a chat: everything of it, with all branches, to be read by programs and to come back."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from hausgeist.conversations.content import message
from hausgeist.conversations.drafts import Draft
from hausgeist.conversations.exchange.foreign import Leaf, Unknown, grow, moment, text_of
from hausgeist.conversations.exchange.tooling import KINDS, checked, cited
from hausgeist.conversations.records import Conversation, Item
from hausgeist.conversations.service import PREFIXES, SETTINGS_BYTES

__all__ = ["decode", "encode", "is_chat"]

_OBJECT: Final = "hausgeist.chat"
_VERSION: Final = 1
_TRUSTED: Final = ("mcp_list_tools", "mcp_approval_request", "mcp_approval_response")
"""What is believed of a chat that is gone on with: which tools there are, and what its person has agreed to. A file cannot say that."""


def encode(chat: Conversation, tree: Sequence[Item]) -> bytes:
    """The chat with the items of all its branches."""
    names = {item.seq: item.id for item in tree}
    value = {
        "object": _OBJECT,
        "version": _VERSION,
        "id": chat.id,
        "title": chat.title,
        "created": chat.created,
        "changed": chat.changed,
        "model": chat.model,
        "settings": chat.settings,
        "metadata": chat.metadata,
        "origin": chat.origin,
        "pinned": chat.pinned,
        "archived": chat.archived,
        "head": names.get(chat.head) if chat.head is not None else None,
        "items": [
            {"item": item.body, "created": item.created, "parent": names.get(item.parent) if item.parent is not None else None} for item in tree
        ],
    }
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")


def is_chat(value: Mapping[str, Any]) -> bool:
    return value.get("object") == _OBJECT


def decode(value: Mapping[str, Any], left_out: Counter[str]) -> Draft:
    """One chat, whole or not at all. `left_out`: counts what did not come along. Raises `Unknown`, which says where it is broken."""
    if value.get("version") != _VERSION:
        raise Unknown("It was written by a newer version of Hausgeist.")
    created = moment(value.get("created"), 0.0)
    leaves: dict[str, Leaf] = {}
    found = value.get("items")
    for place, one in enumerate(found if isinstance(found, list) else (), 1):
        body = one.get("item") if isinstance(one, dict) else None
        if isinstance(body, dict) and isinstance(said := body.get("content"), str) and body.get("type") == "message":
            body = {**body, "content": message(text_of(body.get("role")), said)["content"]}
        if isinstance(body, dict) and isinstance(body.get("type"), str) and body["type"] in KINDS:
            body = checked(body, place, left_out)
        if not isinstance(body, dict) or not text_of(body.get("id")) or not _sound(body):
            left_out["items of an unknown kind"] += 1
            continue
        if body["type"] == "message":
            body = cited(body, place, left_out)
        _demand_finite(body, place)
        trusted = body["type"] in _TRUSTED
        left_out.update({"tools and approvals of MCP servers": 1} if trusted else {})
        leaves[body["id"]] = Leaf(text_of(one.get("parent")) or None, moment(one.get("created"), created), [] if trusted else [body])
    nodes, head = grow(leaves, text_of(value.get("head")) or None)
    if not nodes:
        raise Unknown("It holds no message.")
    name, settings = text_of(value.get("id")), value.get("settings")
    if not isinstance(settings, dict) or len(json.dumps(settings)) > SETTINGS_BYTES:
        settings = {}
    return Draft(
        nodes=nodes, head=head, created=created or nodes[0].created, changed=moment(value.get("changed"), nodes[-1].created),
        title=text_of(value.get("title"))[:500], model=text_of(value.get("model"))[:350], settings=settings,
        metadata=_pairs(value.get("metadata")), origin=f"hausgeist:{name[:200]}" if name else "", pinned=value.get("pinned") is True,
        archived=value.get("archived") is True,
    )  # fmt: skip


def _sound(body: Mapping[str, Any]) -> bool:
    """Whether the rest of the house can do with it what it does with items that it has made itself."""
    match body.get("type"):
        case "message":
            return body.get("role") in ("user", "assistant", "system", "developer") and _parts(body.get("content"), files=True)
        case "reasoning":
            return _parts(body.get("summary")) and (body.get("content") is None or _parts(body["content"]))
        case "function_call_output" | "custom_tool_call_output":
            return isinstance(body.get("call_id"), str)
        case "compaction":
            return isinstance(body.get("encrypted_content"), str)
        case other:
            return other in PREFIXES if isinstance(other, str) else False


def _demand_finite(body: Mapping[str, Any], place: int) -> None:
    """Python reads 1e999 and NaN, which JSON does not have: no answer could hold them."""
    try:
        json.dumps(body, allow_nan=False)
    except ValueError:
        raise Unknown(f"Its item {place} ({body['type']}) is broken: a number in it is too large, or none.") from None


def _parts(value: Any, *, files: bool = False) -> bool:
    """`files`: images and files may be among them, which are there themselves."""
    return isinstance(value, list) and all(isinstance(part, dict) and _is_part(part, files=files) for part in value)


def _is_part(part: Mapping[str, Any], *, files: bool) -> bool:
    match part.get("type"):
        case "input_image" if files:
            return text_of(part.get("image_url")).startswith("data:image/")
        case "input_file" if files:
            return text_of(part.get("file_data")).startswith("data:text/plain;base64,") and _decodes(part["file_data"].partition(",")[2])
        case "refusal":
            return isinstance(part.get("refusal"), str)
        case other:
            return isinstance(other, str) and isinstance(part.get("text"), str)


def _decodes(data: str) -> bool:
    try:
        base64.b64decode(data)
    except ValueError:
        return False
    return True


def _pairs(metadata: Any) -> dict[str, str]:
    """At most what the API takes."""
    pairs = metadata.items() if isinstance(metadata, dict) else ()
    return {name[:64]: value[:512] for name, value in list(pairs)[:16] if isinstance(value, str)}

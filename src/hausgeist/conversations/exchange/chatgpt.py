"""ChatGPT's export: conversations.json, of whose chats each is a tree of messages in `mapping`. The format is nobody's promise, so everything is
taken as it comes, and what is not understood is counted.

Texts, thoughts and transcripts come along; what went between the model and its tools, files and pictures does not.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from hausgeist.conversations.content import message
from hausgeist.conversations.drafts import Draft
from hausgeist.conversations.exchange.foreign import Leaf, Unknown, grow, moment, text_of

__all__ = ["decode", "is_chat"]

_CITATION: Final = re.compile("\ue200[^\ue200\ue201]{0,2000}\ue201")
"""Where a source stood, in characters of private use."""
_SILENT: Final = {"reasoning_recap", "user_editable_context", "model_editable_context"}
"""What says nothing of the chat itself: how long was thought, and what ChatGPT is told about the person."""


def is_chat(value: Mapping[str, Any]) -> bool:
    return isinstance(value.get("mapping"), dict)


def decode(value: Mapping[str, Any], left_out: Counter[str]) -> Draft:
    """One chat. `left_out`: counts what did not come along. Raises `Unknown`."""
    mapping = value["mapping"]
    created = moment(value.get("create_time"), 0.0)
    models: Counter[str] = Counter()
    leaves: dict[str, Leaf] = {}
    for name, node in mapping.items():
        if not isinstance(node, dict):
            continue
        said = node.get("message")
        at = moment(said.get("create_time"), created) if isinstance(said, dict) else created
        leaf = leaves[name] = Leaf(text_of(node.get("parent")) or None, at)
        if isinstance(said, dict):
            leaf.bodies = list(_items(said, left_out))
            if leaf.bodies and (model := text_of(_dict(said.get("metadata")).get("model_slug"))):
                models[model] += 1
    nodes, head = grow(leaves, text_of(value.get("current_node")) or None)
    if not nodes:
        raise Unknown("It holds no message.")
    newest = max(node.created for node in nodes)
    model = text_of(value.get("default_model_slug")) or (models.most_common(1)[0][0] if models else "")
    return Draft(
        nodes=nodes, head=head, created=created or min(node.created for node in nodes), changed=moment(value.get("update_time"), newest),
        title=text_of(value.get("title")).strip()[:500], origin=_origin(value), archived=value.get("is_archived") is True,
        pinned=value.get("is_starred") is True, metadata={"imported_from": "ChatGPT", **({"imported_model": model[:512]} if model else {})},
    )  # fmt: skip


def _origin(value: Mapping[str, Any]) -> str:
    name = text_of(value.get("conversation_id")) or text_of(value.get("id"))
    return f"chatgpt:{name[:200]}" if name else ""


def _items(said: Mapping[str, Any], left_out: Counter[str]) -> Iterator[dict[str, Any]]:
    """The items that become of a message."""
    role = text_of(_dict(said.get("author")).get("role"))
    content, metadata = _dict(said.get("content")), _dict(said.get("metadata"))
    kind = text_of(content.get("content_type"))
    if metadata.get("is_visually_hidden_from_conversation") is True or metadata.get("is_user_system_message") is True or kind in _SILENT:
        return
    if kind == "thoughts":
        if thought := "\n\n".join(_thoughts(content)):
            yield {"type": "reasoning", "summary": [{"type": "summary_text", "text": thought}]}
        return
    if role == "tool" or text_of(said.get("recipient")) not in ("", "all"):
        left_out["messages between a model and its tools"] += 1
        return
    parts = list(_parts(content, left_out))
    if role not in ("user", "assistant", "system") or not parts:
        return
    yield message(role, *parts)


def _parts(content: Mapping[str, Any], left_out: Counter[str]) -> Iterator[str]:
    if text := text_of(content.get("text")):  # code, quotes, errors
        yield _clean(text)
    parts = content.get("parts")
    for part in parts if isinstance(parts, list) else ():
        text = text_of(part) or text_of(_dict(part).get("text"))
        if text.strip():
            yield _clean(text)
        elif isinstance(part, dict) and part:
            kind = text_of(part.get("content_type"))
            what = "picture" if "image" in kind else "recording" if "audio" in kind or "video" in kind else "attachment"
            left_out[f"{what}s"] += 1
            yield f"[{what}]"


def _thoughts(content: Mapping[str, Any]) -> Iterator[str]:
    thoughts = content.get("thoughts")
    for thought in thoughts if isinstance(thoughts, list) else ():
        if said := text_of(_dict(thought).get("content")) or text_of(_dict(thought).get("summary")):
            yield said


def _clean(text: str) -> str:
    return _CITATION.sub("", text)


def _dict(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}

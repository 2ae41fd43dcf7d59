"""A chat as people read it: Markdown, with what is shown of it and nothing that only programs care for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from hausgeist.conversations.content import plain_text
from hausgeist.conversations.records import Conversation, Item

__all__ = ["encode"]

_NAMES: Final = {"user": "You", "assistant": "Assistant", "system": "System", "developer": "System"}


def encode(chat: Conversation, path: Sequence[Item]) -> bytes:
    """The branch that is shown."""
    about = [f"begun {_when(chat.created)}", *([f"model {chat.model}"] if chat.model else [])]
    lines = [f"# {' '.join(chat.title.split()) or 'Chat'}", "", f"_{', '.join(about)}_", ""]
    for item in path:
        said = plain_text(item.body).strip()
        kind, role = item.body.get("type", "message"), str(item.body.get("role", ""))
        if kind == "reasoning" and said:
            lines += ["<details><summary>Thoughts</summary>", "", said, "", "</details>", ""]
        elif kind == "message":
            pictures = sum(part.get("type") == "input_image" for part in item.body.get("content") or () if isinstance(part, dict))
            lines += [f"## {_NAMES.get(role, role)}", "", *([said, ""] if said else []), *(["[picture]", ""] * pictures)]
        elif kind in ("function_call", "mcp_call"):
            lines += [f"_used {' '.join(str(item.body.get('name', 'a tool')).split())}_", ""]
    return "\n".join(lines).encode("utf-8", "replace")


def _when(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M} UTC"

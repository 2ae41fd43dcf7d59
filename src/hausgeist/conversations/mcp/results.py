"""What came of a call: a server's result as text that a model reads, of bounded length, or as the error that the item says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from hausgeist.conversations.mcp.wire import Fault, clean_text

__all__ = ["outcome"]

_BLOCKS: Final = 1000


def outcome(result: Mapping[str, Any], limit: int) -> tuple[str | None, dict[str, Any] | None]:
    """Output and error of `mcp_call`, of which one is `None`. At most `limit` characters are kept, with a note where something was cut.

    Raises `Fault` for a result that wants something else than to be read."""
    if result.get("resultType", "complete") != "complete":
        raise Fault("The tool wants to ask its user something before it goes on, which is not possible here.", code=-32600, protocol=True)
    content = result.get("content")
    texts = [_text(block) for block in content[:_BLOCKS]] if isinstance(content, list) else []
    if not any(texts) and result.get("structuredContent") is not None:
        texts = [json.dumps(result["structuredContent"], ensure_ascii=False)]
    text = _cut("\n".join(part for part in texts if part), limit)
    if result.get("isError") is True:
        return None, {"type": "mcp_tool_execution_error", "content": [{"type": "text", "text": text or "The tool failed and did not say why."}]}
    return text, None


def _text(block: Any) -> str:
    """What a model can read of a part of a result; of the rest, that it was there."""
    if not isinstance(block, Mapping):
        return ""
    match block.get("type"):
        case "text":
            return str(block.get("text") or "")
        case "resource_link":
            return f"[{_brief(block.get('title') or block.get('name'))}: {_brief(block.get('uri'))}]"
        case "resource":
            resource = block.get("resource")
            resource = resource if isinstance(resource, Mapping) else {}
            if isinstance(resource.get("text"), str):
                return str(resource["text"])
            return f"[{_brief(resource.get('uri'))}: a file of type {_brief(resource.get('mimeType'))}, left out]"
        case "image" | "audio" as kind:
            return f"[{kind} of type {_brief(block.get('mimeType'))}, left out]"
    return ""


def _brief(value: Any) -> str:
    return clean_text(str(value or "unknown")).replace("\n", " ")[:300]


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    return f"{text[:limit]}\n\n[Cut here: the result has {len(text):,} characters, of which {limit:,} are kept.]"

"""Prefill: conversations that end with a message of the assistant's. The answer continues it and holds only what was added."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hausgeist.model import InstalledModel

__all__ = ["PREFILL", "without_prefill"]

PREFILL: Mapping[str, Any] = {"continue_final_message": True, "add_generation_prompt": False}
"""Fields of a chat body that say so; llama-server and vLLM have them in common."""


def without_prefill(reply: dict[str, Any], body: Mapping[str, Any], model: InstalledModel) -> dict[str, Any]:
    """The reply to `body`, with what the request had begun taken off: llama-server repeats it in whole replies, though not in streams."""
    if model.engine != "llamacpp" or not body.get("continue_final_message"):
        return reply
    begun = body["messages"][-1].get("content")
    for choice in reply.get("choices") or ():
        said = choice["message"].get("content")
        if isinstance(begun, str) and isinstance(said, str):
            choice["message"]["content"] = said.removeprefix(begun) if said.startswith(begun) else said.removeprefix(begun.rstrip())
    return reply

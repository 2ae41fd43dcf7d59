"""What an engine's error reply means, in our own errors. Engines answer in OpenAI's, llama-server's or Anthropic's shape."""

from __future__ import annotations

import json
import re
from typing import Any

from hausgeist.errors import Busy, ContextExceeded, EngineFailed, HausgeistError, InvalidRequest, NotSupported, TooLarge, Unavailable

__all__ = ["failure", "stream_failure"]

_TOO_LONG = re.compile(r"input \((\d{1,9}) tokens\) is too large.*batch size: (\d{1,9})")
"""How llama-server says, with status 500, that a text is longer than the context of an embedding or ranking model."""
_CALLERS_FAULT = re.compile(r"Jinja Exception: |image input is not supported|Failed to parse messages")
"""What llama-server answers with status 500 although the request is to blame; of a template's complaint only the last line is for people."""


def failure(status: int, body: bytes) -> HausgeistError:
    """The error for a reply with a status of 400 or more."""
    try:
        parsed = json.loads(body)
    except ValueError:
        parsed = {}
    return _translate(status, parsed, fallback=body[:300].decode("utf-8", "replace"))


def stream_failure(event: dict[str, Any]) -> HausgeistError:
    """The error for an event that carries one in the middle of a stream."""
    error = event.get("error", event)
    code = error.get("code") if isinstance(error, dict) else None
    return _translate(code if isinstance(code, int) and code >= 400 else 500, event, fallback="")


def _translate(status: int, parsed: Any, *, fallback: str) -> HausgeistError:
    error = parsed.get("error", parsed) if isinstance(parsed, dict) else {}
    if isinstance(error, str):
        error = {"message": error}
    message = str(error.get("message") or parsed.get("detail", "") if isinstance(parsed, dict) else "") or fallback or f"status {status}"
    kind = str(error.get("type", ""))
    if kind == "exceed_context_size_error" or "n_prompt_tokens" in error:
        return ContextExceeded(int(error.get("n_prompt_tokens") or 0), int(error.get("n_ctx") or 0))
    if too_long := _TOO_LONG.search(message):
        return ContextExceeded(int(too_long[1]), int(too_long[2]))
    if "Failed to load image" in message:
        return InvalidRequest("The engine cannot decode an image of this request. Every engine reads PNG and JPEG.")
    if "does not match the expected" in message:
        return EngineFailed("The answer did not come out in the form that tools or schema demand; a larger limit of tokens may help.")
    if "empty grammar stack" in message:
        return InvalidRequest("No answer fits the schema of this request: its parts contradict each other.")
    if _CALLERS_FAULT.search(message):
        return InvalidRequest(message.rpartition("Jinja Exception: ")[2].strip())
    if status == 501 or kind == "not_supported_error":
        return NotSupported(message)
    if status == 413:
        return TooLarge(message)
    if status == 429:
        return Busy(message)
    if status in (400, 404, 409, 415, 422):
        param = error.get("param")
        return InvalidRequest(message, param=param if isinstance(param, str) else None)
    if status == 503:
        return Unavailable(f"The engine is not ready: {message}")
    return EngineFailed(f"The engine answered with an error: {message}")

"""The default options of a model, in Ollama's names: which there are, what they may be; and the examples that begin its conversations.

What is not served is refused, never dropped.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, TypeGuard

from hausgeist.errors import InvalidRequest, NotSupported

__all__ = ["PARAMETERS", "ROLES", "checked_messages", "checked_parameters", "is_text"]

Kind = Literal["number", "whole", "texts"]

PARAMETERS: Final[dict[str, Kind]] = {
    "frequency_penalty": "number",
    "min_p": "number",
    "mirostat": "whole",
    "mirostat_eta": "number",
    "mirostat_tau": "number",
    "num_ctx": "whole",
    "num_gpu": "whole",
    "num_keep": "whole",
    "num_predict": "whole",
    "num_thread": "whole",
    "presence_penalty": "number",
    "repeat_last_n": "whole",
    "repeat_penalty": "number",
    "seed": "whole",
    "stop": "texts",
    "temperature": "number",
    "top_k": "whole",
    "top_p": "number",
    "typical_p": "number",
}

_ELSEWHERE: Final = frozenset(
    {
        "f16_kv",
        "low_vram",
        "main_gpu",
        "num_batch",
        "numa",
        "penalize_newline",
        "tfs_z",
        "use_mlock",
        "use_mmap",
        "vocab_only",
    }
)
"""Ollama knows or knew these; here they would change nothing."""

ROLES: Final = ("system", "user", "assistant")
"""Who may speak in an example."""

_MAX_MESSAGES: Final = 1000
_MAX_MESSAGE: Final = 2**20
_MAX_STOPS: Final = 64
_MAX_STOP: Final = 1024


def is_text(value: object) -> TypeGuard[str]:
    """Whether it is a text that can be sent: JSON may hold halves of surrogate pairs, and one of them would break every answer it is in."""
    try:
        return isinstance(value, str) and value.encode() is not None
    except UnicodeEncodeError:
        return False


def checked_parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters in one form (`stop` as a list, whole numbers as int). Raises `InvalidRequest` naming the one that is wrong."""
    return {name: _checked(name, value) for name, value in sorted(parameters.items()) if value is not None}


def checked_messages(messages: Sequence[Mapping[str, str]]) -> tuple[Mapping[str, str], ...]:
    """The examples that begin every conversation, role and content each. Raises `InvalidRequest`."""
    if len(messages) > _MAX_MESSAGES:
        raise InvalidRequest(f"{len(messages)} example messages are more than the {_MAX_MESSAGES} that are accepted.", param="messages")
    found = []
    for index, message in enumerate(messages):
        role, content = message.get("role"), message.get("content")
        if role not in ROLES:
            raise InvalidRequest(f"The role of an example message is one of {', '.join(ROLES)}.", param=f"messages.{index}.role")
        if not is_text(content) or not content or len(content) > _MAX_MESSAGE:
            raise InvalidRequest(f"An example message has a text of at most {_MAX_MESSAGE} characters.", param=f"messages.{index}.content")
        found.append({"role": str(role), "content": content})
    return tuple(found)


def _checked(name: str, value: Any) -> Any:
    kind = PARAMETERS.get(name)
    if kind is None:
        if name in _ELSEWHERE:
            raise NotSupported(f"The parameter '{name}' is not supported; leave it out. Known are {', '.join(PARAMETERS)}.", param="parameters")
        raise InvalidRequest(f"'{str(name)[:60]}' is not a parameter of a model. Known are {', '.join(PARAMETERS)}.", param="parameters")
    if kind == "texts":
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, (list, tuple)) or not all(is_text(text) and 0 < len(text) <= _MAX_STOP for text in texts):
            raise _wrong(name, "a text or a list of texts")
        if len(texts) > _MAX_STOPS:
            raise _wrong(name, f"at most {_MAX_STOPS} texts")
        return list(texts)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= sys.float_info.max:
        raise _wrong(name, "a number")
    if kind == "number":
        return float(value)
    if value != int(value) or abs(value) >= 2**63:
        raise _wrong(name, "a whole number")
    if name == "num_ctx" and value < 1:
        raise _wrong(name, "a whole number above 0")
    return int(value)


def _wrong(name: str, wanted: str) -> InvalidRequest:
    return InvalidRequest(f"The parameter '{name}' must be {wanted}.", param="parameters")

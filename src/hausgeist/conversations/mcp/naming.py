"""The name by which a model knows a tool of a server: the same one in every response, so that what was called before is still understood."""

from __future__ import annotations

import hashlib
import re
from typing import Final

__all__ = ["function_name"]

_LONGEST: Final = 64
_NOT_PLAIN: Final = re.compile(r"[^A-Za-z0-9_-]")


def function_name(server_label: str, tool: str) -> str:
    """`LABEL__TOOL`: letters, digits, "_" and "-", at most 64. What does not fit is cut and told apart by a digest."""
    plain = _NOT_PLAIN.sub("_", f"{server_label}__{tool}")
    if plain == f"{server_label}__{tool}" and plain.count("__") == 1 and "___" not in plain and len(plain) <= _LONGEST:
        return plain
    digest = hashlib.sha256(f"{server_label}\0{tool}".encode("utf-8", "replace")).hexdigest()[:10]
    return f"{plain[: _LONGEST - 11]}_{digest}"

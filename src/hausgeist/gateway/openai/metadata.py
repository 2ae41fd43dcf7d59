"""`metadata`: pairs of texts that callers attach to what is kept for them, within OpenAI's bounds."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

__all__ = ["Metadata"]

# Without the character NUL, at which SQLite takes a text to end when it looks for a pair.
_Key = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[^\x00]*$")]
_Value = Annotated[str, StringConstraints(max_length=512, pattern=r"^[^\x00]*$")]

Metadata = Annotated[dict[_Key, _Value], Field(max_length=16)]

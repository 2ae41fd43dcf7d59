"""Many texts in one request go to the engine in parts: others get their turn between them, and a client that has left is noticed there.

The engine cannot be stopped within a part, so a part is bounded by the length of its texts as well as by their number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

__all__ = ["batches"]

T = TypeVar("T", bound="str | list[int]")

_TEXTS = 32
_CHARACTERS = 16_000
_TOKEN = 4
"""Characters of a token, in the mean."""


def batches(texts: Sequence[T]) -> Iterator[tuple[int, Sequence[T]]]:
    """The parts in their order, each with the position of its first text. A text that is too long by itself is a part of its own."""
    start, length = 0, 0
    for position, text in enumerate(texts):
        size = len(text) if isinstance(text, str) else len(text) * _TOKEN
        if position > start and (position - start == _TEXTS or length + size > _CHARACTERS):
            yield start, texts[start:position]
            start, length = position, 0
        length += size
    if start < len(texts):
        yield start, texts[start:]

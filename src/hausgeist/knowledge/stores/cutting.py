"""Passages as they are cut from a document, and the rows that are written of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Protocol

from hausgeist.errors import InvalidRequest
from hausgeist.knowledge.parsed import Parsed
from hausgeist.knowledge.stores.passages import Passage

__all__ = ["Piece", "Splitter", "demand_text", "passages_of"]


class Piece(Protocol):
    """A passage as it was cut."""

    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def page(self) -> int: ...
    @property
    def kind(self) -> str: ...
    @property
    def heading(self) -> str: ...
    @property
    def tokens(self) -> int: ...
    @property
    def language(self) -> str: ...


class Splitter(Protocol):
    def __call__(self, parsed: Parsed, /, *, most: int = 400, overlap: int = 0) -> Sequence[Piece]: ...


def passages_of(parsed: Parsed, pieces: Sequence[Piece]) -> tuple[list[Passage], int]:
    """Passages to be written, and the bytes of their text."""
    made, size, words = [], 0, parsed.text
    for piece in pieces:
        text = words[piece.start : piece.end].encode("utf-8", "replace")
        size += len(text)
        heading = piece.heading.encode("utf-8", "replace")
        digest = hashlib.blake2b(heading + b"\0" + text, digest_size=16).digest()
        made.append((piece.start, piece.end, piece.page, piece.kind, piece.language or "und", heading.decode(), piece.tokens, digest))
    return made, size


def demand_text(parsed: Parsed, made: Sequence[Passage]) -> None:
    """Raises `InvalidRequest` where nothing was cut."""
    if not made:
        raise InvalidRequest(" ".join(parsed.warnings) or "There is no text in this file.")

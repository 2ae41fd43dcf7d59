"""Terms of passages between the process that has parsed them and the index that takes them: some, for a moment, in memory only."""

from __future__ import annotations

from typing import Final

__all__ = ["KeptTerms"]

_MOST: Final = 32 << 20
"""Characters that are kept. What nobody has fetched then, oldest first, is forgotten, and made again by whoever wants it."""


class KeptTerms:
    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._kept: dict[int, tuple[str, str]] = {}
        self._size = 0

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, passage: int, terms: tuple[str, str]) -> None:
        self.pop(passage)
        self._kept[passage] = terms
        self._size += _size(terms)
        while self._size > self._most:
            self.pop(next(iter(self._kept)))

    def pop(self, passage: int) -> tuple[str, str] | None:
        if (found := self._kept.pop(passage, None)) is not None:
            self._size -= _size(found)
        return found


def _size(terms: tuple[str, str]) -> int:
    return len(terms[0]) + len(terms[1])

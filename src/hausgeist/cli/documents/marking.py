"""Which words of a text are those of a question, in whatever form."""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["places"]

_WORD = re.compile(r"[^\W_]+(?:[.,:/’'-][^\W_]+)*")


def places(text: str, question: str, language: str) -> Iterator[tuple[int, int]]:
    """Start and end of each such word."""
    from hausgeist.knowledge.language import words

    wanted = set(words(question, language))
    known: dict[str, bool] = {}
    for found in _WORD.finditer(text):
        word = found.group()
        if word not in known:
            known[word] = not wanted.isdisjoint(words(word, language))
        if known[word]:
            yield found.span()

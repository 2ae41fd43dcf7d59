"""Text of an answer made inert: what a page would show as a link, an image or HTML stays on it as the characters that it is written with.

A space is put where the syntax allows none (`] (`, `] [`, `] :`, `< a`), so that no reader of Markdown or HTML sees more than text, in code or out of
it; addresses that are written out stay readable.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["Inert", "inert"]

_LINKS: Final = re.compile(r"\](?=[(\[:])|<(?=[A-Za-z/!?])")


def inert(text: str) -> str:
    """The whole text at once."""
    return _LINKS.sub(lambda match: f"{match[0]} ", text)


class Inert:
    """The same for text that comes in pieces; holds nothing back."""

    def __init__(self) -> None:
        self._last = ""

    def feed(self, text: str) -> str:
        if not text:
            return ""
        found = inert(self._last + text)[len(self._last) :]
        self._last = text[-1]
        return found

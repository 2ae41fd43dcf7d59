"""The lines of a page as they are found: text, where it stands, what it looks like. Points from the top left of the page as it is shown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Cell", "Row", "Sheet", "divided"]

_DASHES = ("-", "\u2010")
_DIVIDED = re.compile(r"[^\W\d_][-\u2010]$")


@dataclass(slots=True)
class Cell:
    """A stretch of a line without a wide gap."""

    text: str
    left: float
    right: float


@dataclass(slots=True)
class Row:
    """A line of text. More than one cell: there are wide gaps in it, as between columns."""

    text: str
    left: float
    top: float
    right: float
    bottom: float
    size: float
    """Of the font, about; as it is shown."""
    bold: bool = False
    fixed: bool = False
    """All letters are of one width."""
    cells: Sequence[Cell] = ()
    hyphen: bool = False
    """It ends within a word, with a hyphen that the text does not have any more."""
    upright: bool = True
    page: int = 0
    font: int = 0
    """Tells its font from others."""

    @property
    def height(self) -> float:
        return self.bottom - self.top


@dataclass(slots=True)
class Sheet:
    """What was found on a page."""

    number: int
    width: float
    height: float
    rows: list[Row]
    recognised: bool = False


def divided(text: str) -> bool:
    """Whether it ends within a word, with a hyphen: the next line goes on with the word, without the hyphen where that begins with a small letter."""
    return text[-1:] in _DASHES and _DIVIDED.search(text[-3:]) is not None

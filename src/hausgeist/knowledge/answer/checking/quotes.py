"""Where quotations begin and end in a text that is still being said. Pure."""

from __future__ import annotations

from typing import Final

__all__ = ["LONGEST", "closing", "opens"]

LONGEST: Final = 2000
"""Characters after which a quotation that does not end is taken to end."""
_PAIRS: Final = {
    "“": "”", "„": "“”", "‟": "”", "«": "»", "»": "«", "‹": "›", "›": "‹", "「": "」", "『": "』", '"': '"', "＂": "＂", "〝": "〞",
    "‘": "’", "‚": "‘’", "'": "'",
}  # fmt: skip
_SINGLE: Final = "'‘‚"
_APOSTROPHES: Final = "'’"


def opens(mark: str, before: str, after: str) -> bool:
    """Whether a quotation begins with this character. `before`, `after`: the characters beside it, empty at the ends."""
    if mark not in _PAIRS:
        return False
    if mark in "»›":
        # Germans open with these, the French close.
        return not before or before.isspace() or before in "([—–-"
    if mark in "\"＂'":
        # 5" and the '90s, and what closes what was never opened.
        return not (before.isalnum() and before.isascii()) and bool(after) and not after.isspace() and not (mark == "'" and after.isdigit())
    return True


def closing(text: str, start: int) -> int | None:
    """Where the quotation that begins at `start` ends: behind its last mark. None: not yet, as far as the text goes."""
    mark = text[start]
    ends = _PAIRS[mark]
    place = start + 1
    while place < len(text):
        if text[place] in ends and not _inside(text, place, mark):
            if mark in _SINGLE and text[place] in _APOSTROPHES and place + 1 == len(text):
                return None  # whether a letter follows says whether it is an apostrophe
            return place + 1
        if text.startswith("\n\n", place) or (mark in _SINGLE and text[place] == "\n"):
            return place
        place += 1
    return None


def _inside(text: str, place: int, mark: str) -> bool:
    """An apostrophe within a word, or inches."""
    before, after = text[place - 1 : place], text[place + 1 : place + 2]
    return mark in _SINGLE and text[place] in _APOSTROPHES and before.isalnum() and after.isalnum()

"""Parts of German compounds: "Vertragslaufzeit" is found by "Vertrag" and by "Laufzeit".

A word is divided where a known part ends and another begins (`data/compounds.txt`), or where one known part of some length leaves the rest over.
Divided wrongly it costs little: the word itself remains a term.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Final

__all__ = ["parts"]

_SHORTEST: Final = 8
"""Characters of a word that is divided."""
_LEAST: Final = 4
"""Characters of what is left over beside a known part."""
_SPEAKS: Final = 5
"""Characters of a known part that is enough alone."""
_JOINTS: Final = ("", "s", "es", "n", "en", "er", "e", "ens", "ns")
_ENDINGS: Final = ("", "e", "en", "n", "er", "ern", "s", "es", "nen", "innen", "in")
_AFTER: Final = frozenset(
    ("keit", "heit", "ung", "schaft", "lich", "isch", "ungen", "heiten", "keiten", "schaften", "liche", "lichen", "ische", "ischen"),
)  # fmt: skip
"""Endings that are no part of their own: what they leave over is no word that anybody looks for."""


def parts(word: str, language: str) -> tuple[str, ...]:
    """Two or more parts, as words; none for what is no compound. `word`: in lower case."""
    if language != "de" or len(word) < _SHORTEST or not word.isalpha():
        return ()
    return _divided(word)


def _divided(word: str) -> tuple[str, ...]:
    known = _known()
    whole = any(word.endswith(ending) and word[: len(word) - len(ending)] in known for ending in _ENDINGS)
    best: tuple[int, str, str] | None = None
    for place in range(3, len(word) - 2):
        left, right = word[:place], word[place:]
        head = next((left[: len(left) - len(joint)] for joint in _JOINTS if left.endswith(joint) and left[: len(left) - len(joint)] in known), None)
        tail = next((right for ending in _ENDINGS if right.endswith(ending) and right[: len(right) - len(ending)] in known), None)
        worth = 0
        if head and tail:
            worth = 100 + len(head) + len(tail)
        elif whole:
            continue
        elif tail and len(tail) >= _SPEAKS and len(left) >= _LEAST:
            worth = len(tail)
        elif head and len(head) >= _SPEAKS and len(right) >= _LEAST and right not in _AFTER:
            worth = len(head)
        if worth and (best is None or worth >= best[0]):
            best = worth, head or _without_joint(left), right
    if best is None:
        return ()
    return tuple(part for side in best[1:] for part in (_divided(side) if len(side) >= _SHORTEST else ()) or (side,))


def _without_joint(left: str) -> str:
    """Of a part that is not known: after these endings an s joins."""
    return left[:-1] if left.endswith(("ungs", "heits", "keits", "schafts", "tions", "täts")) else left


@cache
def _known() -> frozenset[str]:
    text = resources.files(__package__).joinpath("data/compounds.txt").read_text("utf-8")
    return frozenset(word for line in text.splitlines() if line.startswith("de: ") for word in line[4:].split())

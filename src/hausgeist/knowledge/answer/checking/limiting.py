"""Words that take back what a sentence says, or bind it to a condition, and words that deny. Data, for the languages that answers are checked in."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["denials", "limits"]


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_DENIALS: Final = _set(
    """
    not no never none nobody nothing neither nor cannot cant wont without isnt arent wasnt werent dont doesnt didnt shouldnt mustnt nicht kein
    keine keinen keinem keiner keines nie niemals niemand nichts weder noch ohne nunca jamás nadie nada ningún ninguno ninguna tampoco ni sin ne n
    pas jamais personne rien aucun aucune sans nulle non mai nessuno nessuna niente né senza niet geen nooit não nenhum nenhuma sem
    """
)
_SOFT: Final = _set(
    """
    ni ne noch sin ohne without sans senza sem nulle non mai né
    """
)
"""Deny what follows them, rarely the whole sentence; "ne" of French stands beside "pas"."""
_CONDITIONS: Final = _set(
    """
    unless except excluding only provided however if außer ausgenommen sofern falls wenn nur jedoch allerdings vorbehaltlich salvo excepto solo
    sólo solamente si siempre sauf excepté seulement uniquement hormis eccetto tranne soltanto behalve tenzij exceto apenas somente
    """
)
_PHRASES: Final = re.compile(
    r"\b(?:es sei denn|a menos que|à moins|con tal que|as long as|solange|mit ausnahme|con la excepción|à l'exception)\b", re.I
)
_CHINESE: Final = re.compile("不|没|無|无|未|非|勿|莫|否|禁")
_CHINESE_CONDITIONS: Final = re.compile("除非|除了|除外|仅|只有|但")
_WORD: Final = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")


def _words(text: str) -> list[str]:
    found: list[str] = []
    for word in _WORD.findall(text.lower()):
        plain = word.replace("'", "").replace("’", "")
        # "n'est", "l'année": what stands before the apostrophe is a word of its own.
        found += [plain] if plain in _DENIALS or "'" not in word.replace("’", "'") else [plain, *word.replace("’", "'").split("'")]
    return found


def limits(text: str, *, before: bool = False) -> bool:
    """Whether this part of a sentence denies or limits the rest. `before`: it stands before the rest, where conditions are said on the way."""
    words = set(_words(text))
    if words & (_DENIALS - _SOFT) or _CHINESE.search(text):
        return True
    return not before and (bool(words & _CONDITIONS) or bool(_PHRASES.search(text)) or bool(_CHINESE_CONDITIONS.search(text)))


def denials(text: str) -> int:
    """How often a text says no."""
    return sum(word in _DENIALS and word not in _SOFT for word in _words(text)) + len(_CHINESE.findall(text))

"""Whether a quotation stands in a text, word for word: what may differ is how it is set, never what it says.

White space, the shapes of quotation marks and dashes, hyphenation, ligatures and emphasis are made alike on both sides; letters that only look alike
are not, and invisible characters count where the quotation has them. A quotation may leave something out (`...`) that has no "not" in it, and must
not break off before the "unless". Pure.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from hausgeist.knowledge.answer.checking.limiting import limits

__all__ = ["Normal", "Place", "find", "normal"]

_LETTER: Final = r"[^\W\d_]"
_INVISIBLE: Final = "\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\u180e"
_SPECIAL: Final = re.compile(
    rf"(?P<hyphen>(?<={_LETTER})[-\u2010\u2011\u00ad][{_INVISIBLE}]*\s*(?={_LETTER}))|(?P<soft>\u00ad)|(?P<space>\s+)"
    r"|(?P<quote>['\"`\u00b4\u2018-\u201f\u2039\u203a\u00ab\u00bb\u300c-\u300f\u301d-\u301f\uff02\uff07]+)|(?P<dash>[\u2010-\u2015\u2212])"
    rf"|(?P<dots>\u2026)|(?P<ligature>[\ufb00-\ufb06])|(?P<invisible>[{_INVISIBLE}]+)|(?P<composed>\w[\u0300-\u036f]+)|(?P<stars>\*+)"
)
_CJK: Final = re.compile(r"[\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uffef]")
_HIDDEN: Final = re.compile(f"[{_INVISIBLE}]")
_GAP: Final = re.compile(r"\s*(?:\[\.\.\.\]|\(\.\.\.\)|\.\.\.|\[[^\]]{1,60}\])\s*")
_EDGE: Final = " .,;:!?'\u3002\uff0c\uff1b\uff1a\uff01\uff1f\u3001-"
_STOP: Final = re.compile(r"[.!?](?=\s|$|')|[\u3002\uff01\uff1f]")
_LONGEST_GAP: Final = 600
"""Characters that "..." may stand for."""
_PIECES: Final = 16
"""Of a quotation that leaves out something."""
_TRIES: Final = 200
"""Places at which a quotation is compared: one that stands at more, and at none of them rightly, proves nothing."""
_LOOKS: Final = 100_000
"""Places that are looked at for whole words: a text made of one letter has no end of them."""
_SENTENCE: Final = 400
_WORDS: Final = 4
"""A piece of fewer words is a name or a term, whose sentence may go on as it likes."""


@dataclass(frozen=True, slots=True)
class Normal:
    """A text as it is compared, and where each piece of it comes from."""

    text: str
    starts: tuple[int, ...]
    """Where pieces begin in `text`."""
    origins: tuple[int, ...]
    """Where they begin in the text that it was made of."""
    ends: tuple[int, ...]
    """Where they end there."""
    straight: tuple[bool, ...]
    """Whether a piece is as it was, character for character."""

    def origin(self, place: int, *, end: bool = False) -> int:
        """Where a character stands in the original; `end`: where it ends."""
        if not self.starts:
            return 0
        piece = max(bisect_right(self.starts, place) - 1, 0)
        if self.straight[piece]:
            return self.origins[piece] + place - self.starts[piece] + (1 if end else 0)
        return self.ends[piece] if end else self.origins[piece]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a quotation stands: characters of the original text, end exclusive."""

    start: int
    end: int


def normal(text: str, *, invisible: bool = False) -> Normal:
    """The text as it is compared. `invisible`: keep characters that nobody sees."""
    parts: list[str] = []
    starts: list[int] = []
    origins: list[int] = []
    ends: list[int] = []
    straight: list[bool] = []
    length = place = 0

    def put(piece: str, start: int, end: int, same: bool) -> None:
        nonlocal length
        if piece:
            parts.append(piece)
            starts.append(length)
            origins.append(start)
            ends.append(end)
            straight.append(same)
            length += len(piece)

    for match in _SPECIAL.finditer(text):
        put(text[place : match.start()], place, match.start(), True)
        put(_alike(text, match, invisible), match.start(), match.end(), False)
        place = match.end()
    put(text[place:], place, len(text), True)
    return Normal("".join(parts), tuple(starts), tuple(origins), tuple(ends), tuple(straight))


def _alike(text: str, match: re.Match[str], invisible: bool) -> str:
    match match.lastgroup:
        case "space":
            before, after = text[max(0, match.start() - 1) : match.start()], text[match.end() : match.end() + 1]
            return "" if _CJK.match(before) or _CJK.match(after) else " "
        case "quote":
            return "'"
        case "dash":
            return "-"
        case "dots":
            return "..."
        case "ligature":
            return unicodedata.normalize("NFKC", match[0])
        case "composed":
            return unicodedata.normalize("NFC", match[0])
        case "invisible":
            return match[0] if invisible else ""
        case "hyphen":
            return "".join(_HIDDEN.findall(match[0])) if invisible else ""
        case _:
            return ""


def find(quote: str, text: str, made: Normal | None = None) -> Place | None:
    """Where the quotation stands in the text; None: nowhere, or not so that it means the same. `made`: the text's `normal`, where that is there."""
    hidden = bool(_HIDDEN.search(quote))
    whole = normal(text, invisible=True) if hidden else made or normal(text)
    wanted = normal(quote, invisible=hidden).text.strip(" '")
    if not wanted.strip(_EDGE):
        return None
    for form in dict.fromkeys((wanted, wanted.strip(_EDGE))):
        for start in islice(_all(form, whole.text), _TRIES):
            if not _is_cut(whole.text, start, start + len(form), wanted):
                return Place(whole.origin(start), whole.origin(start + len(form) - 1, end=True))
    return _with_gaps(wanted, whole)


def _all(wanted: str, text: str) -> Iterator[int]:
    """Places of whole words. The first letter may be large or small, as a sentence wants it."""
    for form in dict.fromkeys((wanted, wanted[:1].swapcase() + wanted[1:])):
        place = text.find(form)
        for _ in range(_LOOKS):
            if place < 0:
                break
            if _bounded(text, place, place + len(form)):
                yield place
            place = text.find(form, place + 1)


def _bounded(text: str, start: int, end: int) -> bool:
    return not _joined(text[start - 1 : start], text[start]) and not _joined(text[end - 1], text[end : end + 1])


def _joined(left: str, right: str) -> bool:
    """Whether two characters belong to one word or number."""
    if not left or not right or _CJK.match(left) or _CJK.match(right):
        return False
    return left.isalnum() and right.isalnum()


def _is_cut(text: str, start: int, end: int, quote: str) -> bool:
    """Whether the sentence says otherwise before or after what is quoted of it."""
    if len(quote.split()) < _WORDS and len(_CJK.findall(quote)) < 2 * _WORDS:
        return False
    if not _STOP.match(text[end - 1 : end + 1]):
        tail = text[end : end + _SENTENCE]
        stop = _STOP.search(tail)
        if limits(tail[: stop.start()] if stop else tail):
            return True
        # A number or amount that goes on ("1" of "1,500") is another one.
        if re.match(r"[.,]?\d", tail) and text[end - 1].isdigit():
            return True
    head = text[max(0, start - _SENTENCE) : start]
    stops = list(_STOP.finditer(head))
    return limits(head[stops[-1].end() :] if stops else head, before=True)


def _with_gaps(wanted: str, whole: Normal) -> Place | None:
    """A quotation that leaves out something: its pieces follow one another, and what is left out takes nothing back."""
    pieces = [piece.strip(_EDGE) for piece in _GAP.split(wanted)]
    pieces = [piece for piece in pieces if piece]
    if not 2 <= len(pieces) <= _PIECES:
        return None
    for first in islice(_all(pieces[0], whole.text), _TRIES):
        place = first + len(pieces[0])
        for piece in pieces[1:]:
            following = next((start for start in _all(piece, whole.text[place : place + _LONGEST_GAP + len(piece)])), None)
            if following is None or limits(whole.text[place : place + following]):
                break
            place += following + len(piece)
        else:
            if not _is_cut(whole.text, first, place, wanted):
                return Place(whole.origin(first), whole.origin(place - 1, end=True))
    return None

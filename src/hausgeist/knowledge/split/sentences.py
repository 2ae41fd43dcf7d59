"""Where sentences begin and end. Rules, no model: as quick as it must be for whole libraries, and the same on every machine.

A sentence ends at a stop, a question or exclamation mark, or their like in other scripts; where a stop may mean something else (abbreviations, dates,
initials, numbers) the words around it decide. Lines end one where a list item, a table row or a headline does. In doubt two sentences stay together:
a passage that is a little long is better than one that begins in the middle of a thought.
"""

from __future__ import annotations

import re
from functools import cache

from hausgeist.knowledge.split.abbreviations import Words, words_of

__all__ = ["sentences"]

_CLOSING = "\"'”’»«›‹“)\\]}」』】）〉》"
_OPENING = "\"'“”„‚‘’«»‹›([{¿¡「『（【–—-"
# One set of characters is searched quickest; what follows each is looked at afterwards.
_MARKS = r"[\n.!?…‽؟۔։።。！？｡．।॥៕%s]"
_THAI = r"|(?<=[\u0e00-\u0e7f])[ \u00a0]+(?=[\u0e00-\u0e7f])"
# Possessive: what follows decides at once, so that a page of dots is not gone through from each of them.
_STOP = re.compile(r"[.!?…‽؟۔։።;]++([" + _CLOSING + r"]*+)(?:\[\d{1,3}\])*+(?=\s|\Z)")
_RUN = re.compile(r"[.!?…‽؟۔։።;]+")
_FULL = re.compile(r"[。！？｡．।॥៕!?]+([" + _CLOSING + r"]*)")
_LINE = re.compile(r"\s*")
_THAI_LENGTH = 50
"""Characters: Thai puts spaces between sentences and between parts of them; a sentence has seldom fewer."""
_ITEM = re.compile(r"(?:[-–—•*·▪◦‣○●■□➢✓→+]|\(?\d{1,3}(?:\.\d{1,2})*[.)]|\(?[A-Za-z][.)]|§+\s?\d+)\s")
_NEXT = re.compile(r"\s*([" + re.escape(_OPENING) + r"]*)\s?(\w*)")
_DIVIDERS = re.compile(r"[\s\"“„‚«»()\[\]{}/–—]")
_LETTERS = re.compile(r"(?:[^\W\d_]\.\s?)*[^\W\d_]\Z")
_ROMAN = re.compile(r"[IVXLC]+\Z")
_THAI_LETTER = re.compile("[\u0e01-\u0e5b]")
_FULL_MARKS = frozenset("。！？｡．।॥៕")
_REACH = 32
"""Characters that are looked at before a stop."""


@cache
def _pattern(greek: bool, thai: bool) -> re.Pattern[str]:
    return re.compile(_MARKS % (";" if greek else "") + (_THAI if thai else ""))


def sentences(text: str, language: str = "und") -> list[tuple[int, int]]:
    """Start and end (exclusive) of each, without the white space around it. Every character that is not white space is in exactly one.
    `language`: ISO 639-1, "und" where it is not known."""
    words = words_of(language)
    thai = language == "th" or (language == "und" and not text.isascii() and _THAI_LETTER.search(text, 0, 200) is not None)
    found: list[tuple[int, int]] = []
    length = len(text.rstrip())
    start = len(text) - len(text.lstrip())
    looked = start
    widest = -1
    for match in _pattern(language == "el", thai).finditer(text, start, length):
        place = match.start()
        if place < looked:
            continue
        mark = text[place]
        if mark == "\n":
            after = _LINE.match(text, place)
            stop, looked = place, after.end() if after else place + 1
            if widest < 0:
                widest = max(map(len, text.split("\n")))
            ends = _line_ends(text, stop, looked, start, widest)
        elif mark in " \u00a0":
            ends, stop, looked = place - start >= _THAI_LENGTH, place, match.end()
        elif mark in _FULL_MARKS:
            after = _FULL.match(text, place)
            stop = looked = after.end() if after else place + 1
            # 「…。」と言った goes on.
            ends = not (after and after[1] and text[stop : stop + 1] in ("と", "っ", "、", "，"))
        else:
            after = _STOP.match(text, place)
            if after is None:
                run = _RUN.match(text, place)
                looked = run.end() if run else place + 1
                continue
            stop = looked = after.end()
            ends = _stop_ends(text, place, stop, text[place : after.start(1)], start, words)
        if ends:
            stop = len(text[start:stop].rstrip()) + start
            if stop > start:
                found.append((start, stop))
            after = _LINE.match(text, looked)
            start = looked = after.end() if after else looked
    if length > start:
        found.append((start, length))
    return found


def _stop_ends(text: str, place: int, end: int, stop: str, start: int, words: Words) -> bool:
    """Whether the stop at `place`, up to `end` with what closes after it, ends the sentence that began at `start`."""
    following = _NEXT.match(text, end)
    word = following[2] if following else ""
    first = word[:1]
    if first.islower():
        return False
    if stop != ".":
        return True
    parts = _DIVIDERS.split(text[max(start, place - _REACH) : place])
    token = parts[-1]
    if not token:
        return True
    low = token.lower()
    begins = word.lower() in words.starters
    if token[-1:].isdigit():
        if len(parts) > 1 and (parts[-2] == "§" or (parts[-2].endswith(".") and parts[-2][:-1].lower() in words.numbered)):
            return True  # "§ 22 Abs. 1." is no first of anything.
        return _number_ends(token, place - len(token) == start, word, begins, words)
    if low in words.never:
        return False
    if low in words.final:
        return begins or not word or (low in ("etc", "usw", "osv", "itd", "atd", "ecc", "enz") and not words.nouns)
    if first.isdigit() and (low in words.numbered or len(token) == 1):
        return False
    if _LETTERS.match(token) and token not in ("I",):
        # An initial, or letters with stops: "J. Smith", "z. B. Häuser"; it ends a sentence where the next word is one that begins them.
        return begins and not (len(token) == 1 and token.islower())
    if words.ordinals and _ROMAN.match(token):
        return begins
    return True


def _number_ends(token: str, at_start: bool, word: str, begins: bool, words: Words) -> bool:
    if at_start:
        return not word  # The number of a list item or of a chapter.
    if not token.isdigit():
        return True
    if word.lower() in words.months and len(token) <= 2:
        return False
    if words.ordinals and len(token) <= 2:
        return not word or begins  # "im 19. Jahrhundert", "am 3. März"
    return True


def _line_ends(text: str, stop: int, after: int, start: int, widest: int) -> bool:
    """Whether the sentence that began at `start` ends with its line, which ends at `stop`; the next begins at `after`."""
    if text.count("\n", stop, after) > 1 or _ITEM.match(text, after):
        return True
    began = text.rfind("\n", 0, stop) + 1
    line = text[began:stop]
    next_end = text.find("\n", after)
    if "\t" in line or text.find("\t", after, next_end if next_end >= 0 else len(text)) >= 0:
        return True
    if began > start or not line or line.rstrip()[-1:] in ",;:-–—(/&":
        return False
    # A headline: short beside the other lines, and what follows begins anew.
    first = text[after]
    return len(line) < 0.6 * widest and not first.islower() and len(line) <= 80

"""Bytes become text: which encoding they are in is said by the file (a byte order mark, a declaration), or guessed from what they look like."""

from __future__ import annotations

import codecs
import re
from functools import lru_cache

__all__ = ["decode", "guess", "is_binary"]

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SAMPLE = 1 << 16
_CONTROLS = bytes(set(range(32)) - {8, 9, 10, 12, 13, 26, 27})
_HIGH = re.compile(r"[^\x00-\x7f]")
# What Western texts have above ASCII: letters within words, and marks that never stand within one.
_WESTERN = re.compile(
    r"(?<=[A-Za-z])[\xe0-\xf6\xf8-\xff\xdf]|[\xc0-\xd6\xd8-\xf6\xf8-\xfe](?=[a-zA-Z])|(?<![a-z])[¿¡€‚„…‘“–—«§°©®\xa0]|[€…’”–—»°©®\xa0](?![a-z])|’(?=[a-z])"
)


def is_binary(data: bytes) -> bool:
    """Whether the bytes are no text in any encoding."""
    head = data[:_SAMPLE]
    if any(head.startswith(mark) for mark, _ in _MARKS) or _wide(head):
        return False
    return b"\x00" in head or _controls(head) > len(head) // 100


@lru_cache(maxsize=1)
def _controls(data: bytes) -> int:
    """How many characters of control there are. One file is asked about more than once, in a row."""
    return len(data) - len(data.translate(None, _CONTROLS))


def decode(data: bytes, declared: str | None = None) -> str:
    """The text of the bytes: by their mark, as UTF-8 where they are valid, as the file declares, else as guessed.

    Bytes that fit nowhere become U+FFFD.
    """
    encoding = guess(data, declared)
    try:
        return data.decode(encoding, "replace")
    except (LookupError, UnicodeError):
        return data.decode("utf-8", "replace")


def guess(data: bytes, declared: str | None = None) -> str:
    """The name of the encoding, as Python knows it."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return encoding
    sample = data[:_SAMPLE]
    if wide := _wide(sample):
        return wide
    if _is_utf8(data):
        # Stateful encodings are ASCII to look at; a declaration (or their escape) is needed to know them.
        if b"\x1b$" in sample or b"\x1b(" in sample:
            return "iso2022_jp" if declared is None else _known(declared) or "iso2022_jp"
        return "utf-8"
    if declared and (known := _known(declared)):
        if known in {"ascii", "iso8859-1"}:
            known = "cp1252"
        try:
            data.decode(known)
        except (UnicodeError, LookupError):
            pass
        else:
            return known
    return _by_looks(data, sample)


def _known(name: str) -> str | None:
    try:
        return codecs.lookup(name.strip().strip("\"'")).name
    except (LookupError, ValueError):
        return None


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        # A cut end is no reason to doubt; nor is a single broken byte among many good ones.
        if error.reason == "unexpected end of data" and not data[: error.start].isascii():
            return True
        sample = data[:_SAMPLE]
        broken = sample.decode("utf-8", "replace").count("\ufffd")
        good = len(_HIGH.findall(sample.decode("utf-8", "ignore")))
        return good >= 20 * broken
    return True


def _wide(sample: bytes) -> str | None:
    """UTF-16 or UTF-32 without a mark: every second byte of ASCII, and one of each space, is zero."""
    zeros = sample.count(0)
    if len(sample) < 4:
        return None
    if not zeros:
        return _wide_letters(sample)
    places = [sample[place::4].count(0) for place in range(4)]
    quarter = len(sample) / 4
    for encoding, empty, used in (("utf-32-le", (2, 3), 0), ("utf-32-be", (0, 1), 3)):
        if all(places[place] > 0.98 * quarter for place in empty) and places[used] < 0.02 * quarter:
            return encoding
    even, odd = places[0] + places[2], places[1] + places[3]
    for encoding, wanted, other in (("utf-16-le", odd, even), ("utf-16-be", even, odd)):
        if wanted > 20 * other and _reads_well(sample[: len(sample) & ~1], encoding, wanted):
            return encoding
    return None


def _wide_letters(sample: bytes) -> str | None:
    """UTF-16 of a script whose letters have no zero byte. Chance alone gives halves of characters and unassigned ones soon."""
    odd = len(sample) % 2
    if len(sample) < 16 or _controls(sample) - (odd and sample[-1] in _CONTROLS) < (len(sample) - odd) // 100 + 1:
        return None
    sample = sample[: len(sample) - odd]
    for encoding in ("utf-16-le", "utf-16-be"):
        try:
            text = sample.decode(encoding)
        except UnicodeDecodeError:
            continue
        if sum(character.isprintable() for character in text) >= 0.995 * len(text) and len({ord(character) >> 13 for character in text}) <= 4:
            return encoding
    return None


def _reads_well(sample: bytes, encoding: str, zeros: int) -> bool:
    text = sample.decode(encoding, "ignore")
    odd = sum(not (character.isprintable() or character in "\t\r\n\f") for character in text)
    return odd <= len(text) // 200 and zeros > max(1, len(text) // 50)


def _by_looks(data: bytes, sample: bytes) -> str:
    try:
        western = sample.decode("cp1252")
    except UnicodeDecodeError:
        western = ""
    high = len(_HIGH.findall(western))
    if high and high <= 0.45 * len(western) and len(_WESTERN.findall(western)) >= 0.9 * high:
        return "cp1252"
    from charset_normalizer import from_bytes

    best = from_bytes(sample[: 1 << 14], steps=5, chunk_size=512).best()
    if best is not None:
        try:
            data.decode(best.encoding)
        except UnicodeError:
            pass
        else:
            return str(best.encoding)
    return "cp1252"

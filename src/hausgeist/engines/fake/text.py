"""Words as numbers, without a model: a reversible tokenizer that needs no vocabulary, embeddings by hashing, ranking by shared words."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from hashlib import blake2b

__all__ = ["DIMENSIONS", "clean", "detokenize", "embed", "pieces", "relevance", "token_id", "tokenize"]

DIMENSIONS = 256
_TOKEN_BYTES = 6
"""Longest token. With a leading 1 as marker an id stays under 2**53, which JavaScript clients can still hold."""
_WORDS = re.compile(r" ?\w+| ?[^\w\s]+|\s+")


def clean(text: str) -> str:
    """The text without lone surrogates, which JSON can carry and UTF-8 cannot."""
    return text.encode("utf-8", "replace").decode()


def pieces(text: str) -> list[str]:
    """The text cut into tokens: words with the space before them, long ones in several parts, never within a character."""
    found: list[str] = []
    for word in _WORDS.findall(text):
        if len(word) <= _TOKEN_BYTES and word.isascii():
            found.append(word)
        else:
            found.extend(_parts(word))
    return found


def _parts(word: str) -> list[str]:
    parts, part, size = [], "", 0
    for letter in word:
        width = len(letter.encode())
        if size + width > _TOKEN_BYTES:
            parts.append(part)
            part, size = "", 0
        part += letter
        size += width
    return [*parts, part]


def token_id(piece: str) -> int:
    """The number of a token: its bytes, with a 1 in front so that leading zeros survive."""
    return int.from_bytes(b"\x01" + piece.encode(), "big")


def tokenize(text: str) -> list[int]:
    return [token_id(piece) for piece in pieces(text)]


def detokenize(tokens: Sequence[int]) -> str:
    """The text of such numbers. Raises `ValueError` for a number that is not a token."""
    raw = b""
    for token in tokens:
        length = (token.bit_length() + 7) // 8 if token > 0 else 0
        data = token.to_bytes(length, "big") if length else b""
        if not 2 <= length <= _TOKEN_BYTES + 1 or data[0] != 1:
            raise ValueError(f"{token} is not a token of this model")
        raw += data[1:]
    return raw.decode("utf-8", "replace")


def embed(text: str, dimensions: int = DIMENSIONS) -> list[float]:
    """A unit vector of hashed words and character trigrams: texts that share them are near."""
    vector = [0.0] * dimensions
    for word in words(text):
        _add(vector, word, 1.0)
        framed = f"^{word}$"
        for start in range(len(framed) - 2):
            _add(vector, framed[start : start + 3], 0.3)
    norm = math.sqrt(sum(value * value for value in vector))
    if norm == 0.0:
        _add(vector, "", 1.0)
        norm = 1.0
    return [round(value / norm, 7) for value in vector]


def _add(vector: list[float], feature: str, weight: float) -> None:
    """Spread over four places, so that two features that meet by chance in one do not cancel each other."""
    number = int.from_bytes(blake2b(feature.encode(), digest_size=16).digest(), "big")
    for _ in range(4):
        vector[(number >> 1) % len(vector)] += weight / 2 if number & 1 else -weight / 2
        number >>= 32


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def relevance(query: str, document: str) -> float:
    """Share of the query's words that the document has, from 0 to 1; among equals the shorter document wins by a little."""
    wanted, present = set(words(query)), set(words(document))
    if not wanted or not present:
        return 0.0
    shared = len(wanted & present)
    return round(0.95 * shared / len(wanted) + 0.05 * shared / len(wanted | present), 6)

"""Secrets that are shown once: API keys, session tokens, one-time links. Only their SHA-256 is stored.

That hash needs no salt and no cost, unlike a password's: 256 random bits cannot be guessed from it.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import zlib

from hausgeist.workspace.names import ALPHABET

__all__ = ["KEY_PREFIX", "digest", "is_key", "looks_like_key", "new_key", "new_token", "same"]

KEY_PREFIX = "hg-"
_BODY = 43
"""Characters of base 62 for 32 bytes."""
_CHECK = 6
_SHOWN = len(KEY_PREFIX) + 6


def new_key() -> tuple[str, str]:
    """A key's secret, and the part of it that may be shown later."""
    body = _base62(secrets.randbits(256), _BODY)
    secret = KEY_PREFIX + body + _checksum(body)
    return secret, secret[:_SHOWN]


def new_token() -> str:
    """A session token or the secret of a one-time link."""
    return secrets.token_urlsafe(32)


def looks_like_key(text: str) -> bool:
    """Whether this claims to be a key of ours, valid or not."""
    return text.startswith(KEY_PREFIX)


def is_key(text: str) -> bool:
    """Whether this is a well-formed key: a mistyped or cut one is told from a wrong one without asking the database."""
    body, check = text[len(KEY_PREFIX) : -_CHECK], text[-_CHECK:]
    return (
        len(text) == len(KEY_PREFIX) + _BODY + _CHECK
        and looks_like_key(text)
        and text.isascii()
        and text[len(KEY_PREFIX) :].isalnum()
        and hmac.compare_digest(_checksum(body), check)
    )


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def same(one: str, other: str) -> bool:
    """Compare two digests in constant time."""
    return hmac.compare_digest(one, other)


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECK)


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))

"""Passwords: what may be one, and argon2id hashes of them. Hashing runs in threads, few at a time.

Hash parameters are RFC 9106's second recommendation (64 MiB, 3 passes, 4 lanes), argon2-cffi's default.
"""

from __future__ import annotations

import asyncio
import unicodedata
from typing import TYPE_CHECKING

from hausgeist.errors import Busy, InvalidRequest

if TYPE_CHECKING:
    from argon2 import PasswordHasher

__all__ = ["Passwords", "parse_password"]

_SHORTEST, _LONGEST = 8, 1024
_AT_ONCE = 2
"""Each hash takes 64 MiB for its tenth of a second."""
_WAITING = 32


def parse_password(password: str) -> str:
    """The password as it is hashed: however the keyboard composed its characters. Raises `InvalidRequest`."""
    if not _SHORTEST <= len(password) <= _LONGEST:
        raise InvalidRequest(f"A password has {_SHORTEST} to {_LONGEST} characters.", param="password")
    try:
        password.encode()
    except UnicodeEncodeError:
        raise InvalidRequest("The password holds characters that are not valid Unicode.", param="password") from None
    return unicodedata.normalize("NFKC", password)


class Passwords:
    """Hashes and verifies, without stopping the event loop and without letting many sign-ins fill the memory."""

    def __init__(self) -> None:
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self._waiting = 0
        self._hasher: PasswordHasher | None = None

    async def hash(self, password: str) -> str:
        return await self._run(parse_password(password), None) or ""

    async def verify(self, stored: str | None, password: str) -> tuple[bool, str | None]:
        """Whether the password is the one stored, and a new hash to store where the parameters have changed.

        With nothing stored (no such user, or one without a password) it takes the same time and says no.
        """
        try:
            password = parse_password(password)
        except InvalidRequest:
            # Nobody has such a password; that is known of every user, so there is nothing to hide by taking time.
            return False, None
        if stored is None:
            await self._run(password, None)
            return False, None
        right = await self._run(password, stored)
        if right is None:
            return False, None
        return True, await self._run(password, None) if self._argon2().check_needs_rehash(stored) else None

    async def _run(self, password: str, stored: str | None) -> str | None:
        """Hash, or verify where a hash is given (then the password is returned if it is right)."""
        if self._waiting >= _WAITING:
            raise Busy("Too many people are signing in at this moment; try again shortly.", retry_after=2.0)
        self._waiting += 1
        try:
            async with self._turn:
                return await asyncio.to_thread(self._hash_or_verify, password, stored)
        finally:
            self._waiting -= 1

    def _hash_or_verify(self, password: str, stored: str | None) -> str | None:
        from argon2.exceptions import InvalidHashError, VerificationError

        if stored is None:
            return self._argon2().hash(password)
        try:
            self._argon2().verify(stored, password)
        except (VerificationError, InvalidHashError):
            return None
        return password

    def _argon2(self) -> PasswordHasher:
        if self._hasher is None:
            from argon2 import PasswordHasher

            self._hasher = PasswordHasher()
        return self._hasher

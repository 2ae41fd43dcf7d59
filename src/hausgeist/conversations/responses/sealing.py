"""Text that clients carry for this server without being able to read or change it: summaries of compacted conversations, reasoning.

It is encrypted and authenticated with a key that lies in the database, for one person in one project: what was sealed for somebody opens for nobody
else, and after a move or a backup it opens as before.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from typing import Final

from sqlalchemy import select

from hausgeist.conversations.records import seal
from hausgeist.errors import InvalidRequest
from hausgeist.identity import Principal
from hausgeist.store.database import Database

__all__ = ["Seal"]

_PREFIX: Final = "hgs1."
_NONCE: Final = 12


class Seal:
    """Seals and opens, with the key that was made together with the table."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._key: bytes | None = None

    def close(self, text: str, who: Principal) -> str:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = secrets.token_bytes(_NONCE)
        return _PREFIX + base64.urlsafe_b64encode(nonce + AESGCM(self._secret()).encrypt(nonce, text.encode(), _owner(who))).decode()

    def open(self, sealed: str, who: Principal, *, param: str = "input") -> str:
        """Raises `InvalidRequest` for what was not sealed here for this person in this project, or was changed."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        try:
            raw = base64.b64decode(sealed.removeprefix(_PREFIX), altchars=b"-_", validate=True)
            if not sealed.startswith(_PREFIX) or len(raw) <= _NONCE:
                raise ValueError
            return AESGCM(self._secret()).decrypt(raw[:_NONCE], raw[_NONCE:], _owner(who)).decode()
        except (InvalidTag, ValueError, binascii.Error, UnicodeError):
            raise InvalidRequest(
                "'encrypted_content' was not made by this server for this user and project, or was changed. Send it back as it was, or leave it out.",
                param=param,
            ) from None

    def _secret(self) -> bytes:
        if self._key is None:
            self._key = bytes(self._database.read(lambda connection: connection.execute(select(seal.c.key)).scalar_one()))
        return self._key


def _owner(who: Principal) -> bytes:
    return f"{who.project}\0{who.user}".encode()

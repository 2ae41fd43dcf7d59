"""Tokens that requests bring for servers of tools: readable by this process alone, so that what is kept of a request holds none of them.

The key lives in memory and ends with the process. A request that is taken up after a restart has to be sent again if it brought a token.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping
from typing import Any, Final

from hausgeist.errors import Unavailable

__all__ = ["Vault"]

_NONCE: Final = 12


class Vault:
    """Locks and opens the secrets of a tool: `authorization`, and the values of `headers`. Everything else stays as it is."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def lock(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        locked = dict(spec)
        if token := spec.get("authorization"):
            locked["authorization"] = self._close(str(token))
        if headers := spec.get("headers"):
            locked["headers"] = {name: self._close(str(value)) for name, value in headers.items()}
        return locked

    def open(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        """What `lock` was given. Raises `Unavailable` for what another process has locked."""
        opened = dict(spec)
        if token := spec.get("authorization"):
            opened["authorization"] = self._open(token)
        if headers := spec.get("headers"):
            opened["headers"] = {name: self._open(value) for name, value in headers.items()}
        return opened

    def _close(self, text: str) -> str:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = secrets.token_bytes(_NONCE)
        return base64.b64encode(nonce + AESGCM(self._key).encrypt(nonce, text.encode(), None)).decode()

    def _open(self, text: str) -> str:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        raw = base64.b64decode(text)
        try:
            return AESGCM(self._key).decrypt(raw[:_NONCE], raw[_NONCE:], None).decode()
        except InvalidTag:
            raise Unavailable(
                "The token for an MCP server was not kept over the restart of this server, as tokens never are. Send the request again."
            ) from None

"""Signatures of Standard Webhooks, as OpenAI's SDKs verify them (`webhooks.unwrap`): HMAC-SHA256 over id, time and body."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable

__all__ = ["headers", "hint", "new_secret"]

_PREFIX = "whsec_"


def new_secret() -> str:
    """256 random bits."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def hint(secret: str) -> str:
    """By which a secret can be told from others, and which gives nothing of it away that helps."""
    return f"{_PREFIX}...{secret.rstrip('=')[-4:]}"


def headers(event: str, body: bytes, at: int, keys: Iterable[str]) -> dict[str, str]:
    """Those of one delivery at the Unix time `at`: a signature by each of the secrets that are good then. `event`: its id, the same with each try."""
    signed = b".".join((event.encode(), str(at).encode(), body))
    return {
        "webhook-id": event,
        "webhook-timestamp": str(at),
        "webhook-signature": " ".join(f"v1,{_signature(key, signed)}" for key in keys),
    }


def _signature(key: str, signed: bytes) -> str:
    return base64.b64encode(hmac.new(base64.b64decode(key.removeprefix(_PREFIX)), signed, hashlib.sha256).digest()).decode()

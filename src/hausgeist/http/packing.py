"""Long documents of JSON as browsers take them: compressed where they say that they can."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

__all__ = ["packed", "unpacks"]

_LEVEL: Final = 5
_SMALL: Final = 1000
_REFUSED: Final = re.compile(r"gzip\s*;\s*q=0(\.0*)?\s*(,|$)")


def unpacks(request: Request) -> bool:
    """Whether the client says that it takes gzip."""
    accepted = request.headers.get("accept-encoding", "")
    return "gzip" in accepted and not _REFUSED.search(accepted)


async def packed(request: Request, value: Any) -> Response:
    """The document. What takes a while is done in a thread."""
    content = await asyncio.to_thread(_encoded, value, unpacks(request))
    headers = {"vary": "Accept-Encoding"}
    if content[:2] == b"\x1f\x8b":
        headers["content-encoding"] = "gzip"
    return Response(content, media_type="application/json", headers=headers)


def _encoded(value: Any, pack: bool) -> bytes:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8", "replace")
    return gzip.compress(text, _LEVEL, mtime=0) if pack and len(text) > _SMALL else text

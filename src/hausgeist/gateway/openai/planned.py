"""What the OpenAI platform has and this server does not yet: each known path says so (501) instead of being unknown (404)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from hausgeist.errors import NotSupported

__all__ = ["PREFIXES", "refuse"]

PREFIXES: dict[str, str] = {
    "audio": "speech",
    "batches": "batches",
    "chat/completions": "stored completions",
    "conversations": "conversations",
    "evals": "evals",
    "files": "files",
    "fine_tuning": "fine-tuning",
    "images": "image generation",
    "moderations": "moderation",
    "organization": "administration over this API",
    "projects": "administration over this API",
    "responses": "the Responses API",
    "uploads": "uploads",
    "vector_stores": "vector stores",
    "webhook_endpoints": "webhooks",
    "webhook_event_types": "webhooks",
}
"""First part of the path after /v1, and what is behind it in words."""


async def refuse(request: Request) -> Response:
    """Raises `NotSupported` naming what was asked for."""
    path = request.url.path.removeprefix("/v1/")
    what = next((name for prefix, name in PREFIXES.items() if path == prefix or path.startswith(prefix + "/")), "this part of the API")
    raise NotSupported(f"{request.method} {request.url.path} is not supported: {what} cannot be served here yet. docs/coverage.md lists what is.")

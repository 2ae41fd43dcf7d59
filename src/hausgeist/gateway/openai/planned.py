"""What the OpenAI platform has and this server does not yet: each known path says so (501) instead of being unknown (404)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from hausgeist.errors import NotSupported

__all__ = ["PREFIXES", "REASONS", "refuse"]

PREFIXES: dict[str, str] = {
    "audio": "speech",
    "evals": "evals",
    "fine_tuning": "fine-tuning",
    "images": "image generation",
    "moderations": "moderation",
    "organization": "administration over this API",
    "projects": "administration over this API",
}
"""First part of the path after /v1, and what is behind it in words."""

REASONS: dict[str, str] = {
    "moderations": "its categories are those of a classifier that only OpenAI has. Guard models that run here (llama-guard3, qwen3guard) judge "
    "by others, and what they do not know, such as harassment, would be reported as harmless. Ask one of them in a chat, where it answers by its "
    "own categories.",
}
"""Why not, where it is not a matter of time."""


async def refuse(request: Request) -> Response:
    """Raises `NotSupported` naming what was asked for."""
    path = request.url.path.removeprefix("/v1/")
    prefix = next((prefix for prefix in PREFIXES if path == prefix or path.startswith(prefix + "/")), "")
    why = REASONS.get(prefix) or f"{PREFIXES.get(prefix, 'this part of the API')} cannot be served here yet. docs/coverage.md lists what is."
    raise NotSupported(f"{request.method} {request.url.path} is not supported: {why}")

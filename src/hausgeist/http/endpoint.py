"""One route as data: what it answers, who may use it, which SDK operation it is. Routing, OpenAPI and the coverage tables come from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

__all__ = ["Dialect", "Endpoint", "Handler"]

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one tongue says errors. `error` turns any exception into the response its clients understand."""

    name: Literal["openai", "anthropic", "ollama", "house"]
    error: Callable[[Request, Exception], Response]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A method on a path. `request.state.principal` and `request.state.origin` are set before `handle` runs; what it raises, `dialect` says.

    `path` is Starlette's (`/v1/models/{model:path}`). `action`: decided and audited before the handler for house matters; model calls leave it
    `None`, the door decides those. `operations`: names of the official SDK's operations that this route serves ("chat.completions.create").
    """

    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    handle: Handler
    dialect: Dialect
    summary: str
    action: str | None = None
    body: type[BaseModel] | None = None
    operations: Sequence[str] = ()
    query: Sequence[str] = ()
    """Names of what may stand behind the question mark, all of it text that may be left out."""
    upload: bool = False
    """Its body is a file, read as a stream: as large as the disk allows, whatever the limit of other bodies."""
    open: bool = False
    """Answers without a key (health, sign-in)."""

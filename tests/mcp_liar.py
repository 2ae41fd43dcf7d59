"""A server of tools within the test that answers as it is told, however wrong, and the tools of "mcp" under some settings."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Self

from aiohttp import web

from hausgeist.conversations.mcp import McpTools
from hausgeist.gateway.openai.schemas import check_schema
from hausgeist.governance import Egress, Governor
from hausgeist.settings import McpSection, Settings
from hausgeist.store.database import Database

__all__ = ["ADD", "READ", "USER", "Kit", "Liar", "Respond", "Result", "respond", "stream", "text"]

Result = dict[str, Any]
Respond = Callable[[web.Request, dict[str, Any]], Awaitable[web.StreamResponse | Result]]

ADD = {"name": "add", "description": "Add.", "inputSchema": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}}
READ = {"name": "read", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": True, "title": "Read"}}
USER = {"type": "message", "role": "user", "content": "hi"}


def text(*parts: str) -> Result:
    return {"content": [{"type": "text", "text": part} for part in parts]}


class Liar:
    """Speaks the form of July 2026; what it answers to a method can be set. `seen`: what it was asked."""

    def __init__(self) -> None:
        self.port = 0
        self.seen: list[tuple[str, dict[str, Any], dict[str, str]]] = []
        self.answers: dict[str, Result | Respond] = {
            "server/discover": {"supportedVersions": ["2026-07-28"], "capabilities": {}}, "tools/list": {"tools": [ADD, READ]},
            "tools/call": text("3"),
        }  # fmt: skip

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    def methods(self) -> list[str]:
        return [method for method, _, _ in self.seen]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        message = json.loads(body) if body else {}
        method = message.get("method", request.method)
        self.seen.append((method, message, dict(request.headers)))
        found = self.answers.get(method)
        if found is None:
            return web.json_response({"jsonrpc": "2.0", "id": message.get("id"), "error": {"code": -32601, "message": "no such method"}}, status=404)
        result = found if isinstance(found, dict) else await found(request, message)
        if isinstance(result, dict):
            return web.json_response({"jsonrpc": "2.0", "id": message["id"], "result": result})
        return result

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{any:.*}", self.handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        await web.SockSite(self._runner, listener).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()


class Kit:
    """Tools under some settings, and the audit table."""

    def __init__(self, home: Path) -> None:
        self.database = Database.open(home)
        self.governor = Governor(self.database)
        self._made: list[Egress] = []

    def tools(self, url: str, *, offline: bool = False, **fields: Any) -> McpTools:
        settings = Settings(home=Path("/nonexistent"), offline=offline, mcp={"home": McpSection(url=url, **fields)})
        self._made.append(Egress(settings, self.governor))
        check: Any = lambda schema: check_schema(schema, "tools", strict=False)  # noqa: E731
        return McpTools(settings.mcp, egress=self._made[-1], governor=self.governor, check_schema=check)

    async def close(self) -> None:
        for egress in self._made:
            await egress.close()
        self.database.close()

    async def rows(self) -> list[tuple[str, str, str]]:
        await self.governor.flush()
        return [(entry.action, entry.outcome, entry.target) for entry in self.governor.audit.entries()]


def stream(*messages: bytes | dict[str, Any], after: float = 0, end: bool = True) -> Respond:
    """Answers with events. `after`: seconds between them; not `end`: the stream stays open."""

    async def respond(request: web.Request, message: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for one in messages:
            await asyncio.sleep(after)
            body = one if isinstance(one, bytes) else b"data: " + json.dumps({"jsonrpc": "2.0", **one}).encode() + b"\n\n"
            await response.write(body.replace(b"ID", str(message["id"]).encode()))
        while not end:
            await asyncio.sleep(0.01)
            await response.write(b": still here\n\n")
        return response

    return respond


def respond(status: int = 200, body: bytes = b"{}", kind: str = "application/json", **headers: str) -> Respond:
    async def respond(request: web.Request, message: dict[str, Any]) -> web.StreamResponse:
        return web.Response(status=status, body=body.replace(b"ID", str(message.get("id")).encode()), content_type=kind, headers=headers)

    return respond


DONE = b'data: {"jsonrpc": "2.0", "id": ID, "result": {"content": [{"type": "text", "text": "3"}]}}\n\n'

"""The server of `mcp_server`: run as a script, with the descriptor of a listening socket and the options as JSON."""

import json
import sys
from typing import Any

import anyio
import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations
from pydantic import BaseModel


class Name(BaseModel):
    name: str


def serve(descriptor: int, *, era: str, as_json: bool, stateless: bool, token: str) -> None:
    app = _noting(_application(as_json, stateless), era, token)
    uvicorn.Server(uvicorn.Config(app, fd=descriptor, log_level="error", timeout_graceful_shutdown=1)).run()


def _application(as_json: bool, stateless: bool) -> Any:
    server = MCPServer("Household", log_level="CRITICAL")
    count = 0

    @server.tool(annotations=ToolAnnotations(read_only_hint=True))
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    @server.tool()
    def note(text: str) -> str:
        """Write something down."""
        nonlocal count
        count += 1
        return f"note {count}: {text}"

    @server.tool()
    def fail(why: str) -> str:
        """Fail."""
        raise ToolError(why)

    @server.tool()
    async def wait(seconds: float, ctx: Context) -> str:
        """Wait, and tell of it meanwhile."""
        for step in range(10):
            await anyio.sleep(seconds / 10)
            await ctx.report_progress(step, 10, f"step {step}")
        return "waited"

    @server.tool()
    async def ask(ctx: Context) -> str:
        """Ask the user something."""
        answer = await ctx.elicit("Who are you?", Name)
        return f"the answer was {answer.action}"

    @server.tool()
    def long(characters: int) -> str:
        """Say much."""
        return "x" * characters

    return server.streamable_http_app(json_response=as_json, stateless_http=stateless)


def _noting(app: Any, era: str, token: str) -> Any:
    """The application behind a door: what is asked is noted, the form of July 2026 and those without the token are refused."""
    seen: list[dict[str, Any]] = []

    async def answer(send: Any, status: int, body: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": json.dumps(body).encode()})

    async def door(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return await app(scope, receive, send)
        if scope["path"] == "/seen":
            return await answer(send, 200, seen)
        body, parts = b"", []
        while True:
            parts.append(await receive())
            body += parts[-1].get("body", b"")
            if not parts[-1].get("more_body"):
                break
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        seen.append({"http": scope["method"], "headers": headers, "method": json.loads(body).get("method") if body else None})
        if token and headers.get("authorization") != f"Bearer {token}":
            return await answer(send, 401, {"error": "invalid_token"})
        if era == "handshake" and headers.get("mcp-protocol-version") == "2026-07-28":
            refusal = {"code": -32600, "message": "Bad Request: Unsupported protocol version: 2026-07-28"}
            return await answer(send, 400, {"jsonrpc": "2.0", "id": "server-error", "error": refusal})
        return await app(scope, lambda: receive() if not parts else _soon(parts.pop(0)), send)

    async def _soon(part: Any) -> Any:
        return part

    return door


if __name__ == "__main__":
    serve(int(sys.argv[1]), **json.loads(sys.argv[2]))

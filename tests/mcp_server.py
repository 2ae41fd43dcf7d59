"""A real MCP server, by the protocol's official package, in a process of its own: tools that answer, fail, take long, ask back.

`with McpServer(era="handshake") as server:` gives `server.url`; what it was asked is in `server.seen()`.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Literal, Self
from urllib.error import URLError
from urllib.request import urlopen

__all__ = ["McpServer"]

Era = Literal["bare", "handshake"]
ROOT = Path(__file__).parents[1]


class McpServer:
    """`era`: "handshake" has it refuse the form of July 2026, as servers of before do. `as_json`: answers are documents, not streams. `stateless`: no
    sessions. `token`: the bearer that it wants."""

    def __init__(self, *, era: Era = "handshake", as_json: bool = False, stateless: bool = False, token: str = "") -> None:
        self._options = {"era": era, "as_json": as_json, "stateless": stateless, "token": token}

    def __enter__(self) -> Self:
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/mcp"
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", str(ROOT / "tests" / "mcp_application.py"), str(listener.fileno()), json.dumps(self._options)],
            pass_fds=[listener.fileno()], cwd=ROOT, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip
        listener.close()
        until = time.monotonic() + 60
        while True:
            try:
                self.seen()
                return self
            except (URLError, OSError):
                if time.monotonic() > until or self._process.poll() is not None:
                    self.__exit__()
                    raise
                time.sleep(0.1)

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def seen(self) -> list[dict[str, Any]]:
        """Requests of clients: method of HTTP, headers, method of the protocol."""
        with urlopen(self.url.replace("/mcp", "/seen"), timeout=5) as answer:
            return list(json.load(answer))

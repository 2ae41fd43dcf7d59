"""What no request may bring about, however malformed: an answer that is not in its tongue, a traceback, something that stays taken."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from urllib.parse import unquote

import httpx
import psutil

from tests.acceptance.support import ServerProcess, until, wrong_shape

__all__ = ["Watch", "judge"]

_ALLOWED = {501, 503}
"""Of the statuses from 500 on: what is not there, and what is not there now. No malformed request may crash an engine (502)."""
_TELLTALE = re.compile(r"Traceback|File \"[^\"]+\", line \d|site-packages|/src/hausgeist/|object at 0x[0-9a-f]+|sqlite3\.|pydantic_core")
_SETTLE = 20.0
_MORE_MEMORY = 96 * 2**20
"""What thousands of requests may leave in the server's memory: caches with an end, and what the allocator keeps."""


def judge(method: str, path: str, headers: Mapping[str, str], status: int, content_type: str, body: bytes, *, protocol: bool = False) -> str:
    """What is wrong with an answer; empty: nothing. `headers`: names in lower case. `protocol`: the request may not even be HTTP, so that an
    answer in plain words will do."""
    text = body.decode("utf-8", "replace")
    if status >= 500 and status not in _ALLOWED:
        return f"status {status}: {text[:300]}"
    if found := _TELLTALE.search(text):
        # What the caller sent may come back in an error.
        return f"the answer tells of the inside: {text[max(0, found.start() - 100) : found.end() + 100]}" if status >= 400 else ""
    if status < 400 or method == "HEAD" or (protocol and content_type.startswith("text/plain")):
        return ""
    if "json" not in content_type:
        return f"status {status} in {content_type or 'no type'}: {text[:200]}"
    try:
        said = json.loads(body)
    except ValueError:
        return f"status {status}, and not JSON: {text[:200]}"
    return _shape(unquote(path.partition("?")[0], errors="replace"), headers, said)


def _shape(path: str, headers: Mapping[str, str], said: object) -> str:
    if path.startswith("/v1/models") or (path.startswith("/v1/") and "anthropic-version" in headers):
        # Two tongues share these addresses, and a header decides.
        either = [wrong_shape("/v1/messages", said), wrong_shape("/v1/models", said)]
        return "" if not all(either) else either[1]
    return wrong_shape(path, said)


class Watch:
    """The server before and after: files, processes, memory, places, and its log."""

    def __init__(self, server: ServerProcess, client: httpx.Client, *, model: str = "tiny") -> None:
        """`model`: the one that is asked to see whether all is well."""
        self._model = model
        self._server = server
        self._client = client
        self.answers: Counter[int] = Counter()
        self.wrong: list[str] = []
        self._log = len(server.text())

    def __enter__(self) -> Watch:
        self._ask()
        self._settle()
        self.descriptors = self._server.descriptors()
        self.memory = self._server.resident()
        self.began = time.monotonic()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None:
            self.check()

    def check(self) -> None:
        """Raises `AssertionError` for whatever stayed."""
        self.seconds = time.monotonic() - self.began
        self._settle()
        self._ask()
        self._settle()
        self.more_descriptors = self._server.descriptors() - self.descriptors
        self.more_memory = self._server.resident() - self.memory
        assert self.more_descriptors <= 8, f"{self.more_descriptors} more open files than before: {self._open()}"
        assert self.more_memory <= _MORE_MEMORY, f"{self.more_memory / 2**20:.0f} MiB more than before"
        assert not list((self._server.home / "blobs").glob(".partial-*"))
        said = self._server.text()[self._log :]
        complaints = [line for line in said.splitlines() if re.search(r"^\S+ +error |Traceback|^  File \"", line)]
        assert not complaints, "\n".join(complaints[:20])
        assert not self.wrong, "\n".join(self.wrong[:20])

    def _ask(self) -> None:
        """An ordinary request is answered, at once."""
        asked = time.monotonic()
        body = {"model": self._model, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 2}
        assert self._client.post("/v1/chat/completions", json=body).status_code == 200
        assert time.monotonic() - asked < 10

    def _settle(self) -> None:
        """No place is taken, nobody waits, and there is one process for each model in memory."""
        until(lambda: not self._taken(), _SETTLE, f"free places ({self._taken()})", pause=0.1)
        until(
            lambda: self._children() <= self._loaded(), _SETTLE, f"the end of processes ({self._children()} for {self._loaded()} models)", pause=0.1
        )
        until(lambda: self._connections() <= 1, _SETTLE, f"the end of connections ({self._connections()})", pause=0.1)

    def _taken(self) -> list[str]:
        names = ("hausgeist_active_requests{", "hausgeist_queue_requests{")
        return [line for line in self._client.get("/metrics").text.splitlines() if line.startswith(names) and not line.endswith(" 0.0")]

    def _loaded(self) -> int:
        return len([one for one in self._client.get("/api/ps").json()["models"] if not one["name"].startswith("fake:")])

    def _children(self) -> int:
        return len(psutil.Process(self._server.pid).children(recursive=True))

    def _connections(self) -> int:
        """Of clients; ours is one."""
        return len([one for one in psutil.Process(self._server.pid).net_connections("tcp") if one.status != psutil.CONN_LISTEN])

    def _open(self) -> list[str]:
        return [str(link.readlink()) for link in Path(f"/proc/{self._server.pid}/fd").iterdir() if link.exists()]

"""One worker process: starting it, reading its log, knowing when and why it ended, ending it. What it serves is `adapter.py`'s matter."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import secrets
import signal
import sys
import tempfile
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hausgeist.engines.llamacpp.providers import Provider
from hausgeist.errors import LoadFailed

__all__ = ["Process", "run_folder"]

_UNIX_PATH_LIMIT = 100
_LINES = 40
_LINE_LENGTH = 400
_SERVING_LINES = re.compile(
    r"GGML_ASSERT|ggml_abort|GGML_ABORT|CUDA error|ggml_cuda|ggml_vulkan|ggml_metal|out of memory|failed to allocate|bad_alloc|terminate called"
    r"|what\(\):|Segmentation|worker:"
)
"""While it serves, the engine's log may quote prompts; only lines that speak of the engine's own death are kept then."""

_PRIVATE = ("HAUSGEIST_", "LLAMA_", "HF_", "OPENAI_", "ANTHROPIC_", "AWS_")
"""Variables that a worker does not get: our secrets, and what would change the engine's settings behind our back."""


def run_folder(home: Path) -> Path:
    """A folder that only we can enter, with a path short enough for a unix socket; sockets of servers that are gone are removed."""
    folder = home / "run"
    if len(os.fsencode(folder)) + 32 > _UNIX_PATH_LIMIT:
        return Path(tempfile.mkdtemp(prefix="hausgeist-"))
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    for socket in folder.glob("*.sock"):
        owner = socket.name.partition("-")[0]
        if owner.isdigit() and not _exists(int(owner)):
            socket.unlink(missing_ok=True)
    return folder


class Process:
    """A started worker. `address` is the path of its unix socket, or "host:port"; `key` what it demands of callers."""

    def __init__(self, process: asyncio.subprocess.Process, address: str, key: str) -> None:
        self._process = process
        self.address = address
        self.key = key
        self.serving = False
        """Set once it answers: from then on its log is kept only as far as it cannot quote prompts."""
        self._lines: deque[str] = deque(maxlen=_LINES)
        self._complaint = ""
        self._report: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._ended = asyncio.Event()
        self._stopping = False
        self.on_line: Callable[[str], None] | None = None
        self._tasks = [asyncio.create_task(self._drain()), asyncio.create_task(self._read_report())]
        self._reaper = asyncio.create_task(self._reap())

    @classmethod
    async def start(cls, provider: Provider, parameters: dict[str, Any], *, folder: Path, fit: bool = False) -> Process:
        """Start one. It answers at `address` once it has loaded. Raises `LoadFailed` when not even the process starts."""
        listen, port = _endpoint(folder, provider)
        config = {
            **parameters,
            "binary": str(provider.binary) if provider.binary else None,
            "parent": os.getpid(),
            "listen": listen,
            "port": port,
            "key": secrets.token_urlsafe(24),
            "fit": fit,
            "place": parameters["gpu_layers"] is None and provider.backends != ("cpu",),
            "ping": 15,
        }
        environment = {name: value for name, value in os.environ.items() if not name.startswith(_PRIVATE)}
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-m",
                "hausgeist.engines.llamacpp.worker",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=environment,
                cwd=folder,
            )
        except OSError as error:
            raise LoadFailed(f"The worker process could not be started: {error.strerror or error}.") from error
        self = cls(process, listen if port == 0 and listen.endswith(".sock") else f"{listen}:{port}", config["key"])
        if process.stdin is None:
            raise LoadFailed("The worker process has no standard input.")
        with contextlib.suppress(ConnectionError, BrokenPipeError):
            process.stdin.write(json.dumps(config).encode() + b"\n")
            await process.stdin.drain()
        return self

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.returncode is None and not self._ended.is_set()

    async def ended(self) -> None:
        """Wait until it has ended and its log is read."""
        await self._ended.wait()

    def report(self) -> dict[str, Any]:
        """What the worker told about itself so far."""
        return self._report.result() if self._report.done() and not self._report.cancelled() else {}

    def reason(self) -> str:
        """Why it ended, in a sentence, with the last words of its log."""
        code = self._process.returncode
        if self._stopping:
            text = "It was stopped"
        elif code is None:
            text = "It runs"
        elif code == -signal.SIGKILL if sys.platform != "win32" else False:
            text = "It was killed from outside, as a system does that runs out of memory"
        elif code < 0:
            with contextlib.suppress(ValueError):
                text = f"It crashed with {signal.Signals(-code).name}"
        else:
            text = f"It ended with status {code}"
        words = self.last_words()
        return f"{text}: {words}" if words else f"{text}."

    def last_words(self) -> str:
        """The most telling line of the log: the first complaint, as those after it only repeat that it failed. Empty when it said nothing."""
        return self._complaint or (self._lines[-1] if self._lines else "")

    def lines(self) -> list[str]:
        return list(self._lines)

    async def close(self, *, patience: float = 3.0) -> None:
        """End it: politely, then for sure; and reap it. Idempotent, and safe under cancellation."""
        self._stopping = self._stopping or self.alive
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate() if patience else self._process.kill()
            if patience:
                asyncio.get_running_loop().call_later(patience, self._kill)
        await asyncio.shield(self._reaper)

    def _kill(self) -> None:
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def _reap(self) -> None:
        await self._process.wait()
        await asyncio.wait(self._tasks, timeout=2)
        for task in self._tasks:
            task.cancel()
        if self._process.stdin is not None:
            self._process.stdin.close()
        if self.address.endswith(".sock"):
            with contextlib.suppress(OSError):
                Path(self.address).unlink()
        self._ended.set()

    async def _drain(self) -> None:
        """Keep the log pipe empty: an engine that cannot write its log stands still."""
        stream = self._process.stderr
        rest = b""
        while stream is not None and (block := await stream.read(65536)):
            *lines, rest = (rest + block).split(b"\n")
            rest = rest[-_LINE_LENGTH * 4 :]
            for line in lines:
                self._note(line)
        if rest:
            self._note(rest)

    def _note(self, raw: bytes) -> None:
        line = raw[: _LINE_LENGTH * 4].decode("utf-8", "replace").strip()[:_LINE_LENGTH]
        if not line or (self.serving and not _SERVING_LINES.search(line)):
            return
        self._lines.append(line)
        if not self._complaint and (found := _COMPLAINT.search(line)):
            self._complaint = (found.group(1) or found.group(0)).strip()
        if self.on_line is not None:
            self.on_line(line)

    async def _read_report(self) -> None:
        stream = self._process.stdout
        if stream is None:
            return
        with contextlib.suppress(ValueError):
            line = await stream.readline()
            if line and not self._report.done():
                self._report.set_result(json.loads(line))
        while await stream.read(65536):
            pass


_COMPLAINT = re.compile(r"^[\d.]+ E (?:\w+ +)?\S+: (?:error loading model: )?(.+)$|^.*(?:GGML_ASSERT|CUDA error|what\(\):|^worker: ).*$")


def _endpoint(folder: Path, provider: Provider) -> tuple[str, int]:
    if sys.platform != "win32":
        return str(folder / f"{os.getpid()}-{secrets.token_hex(4)}.sock"), 0
    if provider.binary is None:
        return "127.0.0.1", 0
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return "127.0.0.1", int(free.getsockname()[1])


def _exists(pid: int) -> bool:
    import psutil

    return bool(psutil.pid_exists(pid))

"""One worker process: starting it, reading its log, knowing when and why it ended, ending it. What it serves is `adapter.py`'s matter."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import re
import secrets
import shutil
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

log = logging.getLogger(__name__)

_UNIX_PATH_LIMIT = 100
"""Bytes; systems allow 104 to 108."""
_LONGEST_NAME = 24
_LINES = 40
_LINE_LENGTH = 400
_PING = 15
"""Seconds after which the engine sends a sign of life into a stream that has nothing to say."""

_SERVING_LINES = re.compile(
    r"GGML_ASSERT|GGML_ABORT|ggml_abort|CUDA error|ggml_(?:cuda|vulkan|metal)|out of memory|failed to allocate|bad_alloc|terminate called|what\(\):"
    r"|^worker: "
)
"""While it serves, the engine's log may quote prompts; only lines that speak of the engine's own death are kept then."""
_COMPLAINT = re.compile(r"^[\d.]+ E (?:\w+ +)?\S+: (?:error loading model: )?(.+)$|^.*(?:GGML_ASSERT|CUDA error|what\(\):).*$|^(?:worker|error): .*$")
"""A line that says what is wrong. Those after the first mostly repeat that something is."""

_FIT_MEMORY = 8 * 2**30
"""Bytes: laying out a model of any size takes its vocabulary and little more."""
_KILLED = 9
_OWN_WORDS = "worker: "
"""What `worker.py` itself says: never anything of a request, and worth knowing, such as what it could not give up on this system."""

_PRIVATE = ("HAUSGEIST_", "LLAMA_", "HF_", "OPENAI_", "ANTHROPIC_", "AWS_")
"""Variables that a worker does not get: secrets, and what would change the engine's settings behind our back."""


def run_folder(home: Path) -> Path:
    """A folder that only we can enter, with a path short enough for a unix socket. What servers that are gone have left there is removed."""
    folder = home / "run"
    if len(os.fsencode(folder.absolute())) + _LONGEST_NAME > _UNIX_PATH_LIMIT:
        _sweep(Path(tempfile.gettempdir()), "hausgeist-*")
        return Path(tempfile.mkdtemp(prefix=f"hausgeist-{os.getpid()}-"))
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    _sweep(folder, "*.sock")
    return folder.absolute()


_LEFT = re.compile(r"hausgeist-(\d{1,7})-[a-z0-9_]{8}|(\d{1,7})-.*\.sock")


def _sweep(folder: Path, pattern: str) -> None:
    import psutil

    for left in folder.glob(pattern):
        # Only what a server of ours made: in a shared folder others may have things of a similar name.
        owner = _LEFT.fullmatch(left.name)
        if owner is None or psutil.pid_exists(int(owner[1] or owner[2])):
            continue
        with contextlib.suppress(OSError):
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink()


class Process:
    """A started worker. `address` is the path of its unix socket, or "host:port"; `key` what it demands of callers."""

    def __init__(self, process: asyncio.subprocess.Process, address: str, key: str) -> None:
        self._process = process
        self.address = address
        self.key = key
        self.serving = False
        """Set once it answers: from then on its log is kept only as far as it cannot quote prompts."""
        self.on_line: Callable[[str], None] | None = None
        self._lines: deque[str] = deque(maxlen=_LINES)
        self._complaint = ""
        self._report: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._ended = asyncio.Event()
        self._stopping = False
        self._readers = [asyncio.create_task(self._read_log()), asyncio.create_task(self._read_report())]
        self._reaper = asyncio.create_task(self._reap())

    @classmethod
    async def start(cls, provider: Provider, parameters: dict[str, Any], *, folder: Path, fit: bool = False) -> Process:
        """Start one. It answers at `address` once it has loaded; with `fit` it only says what it would load. Raises `LoadFailed`.

        It dies with the thread that starts it (the kernel sees to that), so this must be one that lives as long as the server.
        """
        listen, port = _endpoint(folder, provider)
        config = {
            **parameters,
            "binary": str(provider.binary) if provider.binary else None,
            "parent": os.getpid(),
            "listen": listen,
            "port": port,
            "key": secrets.token_urlsafe(24),
            "fit": fit,
            "memory": _FIT_MEMORY if fit and not provider.accelerated else parameters["memory"],
            "place": parameters["gpu_layers"] is None and provider.accelerated,
            "ping": _PING,
        }
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-m",
                "hausgeist.engines.llamacpp.worker",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=_environment(),
                cwd=folder,
            )
        except OSError as error:
            raise LoadFailed(f"The worker process could not be started: {error.strerror or error}.") from error
        self = cls(process, listen if listen.endswith(".sock") else f"{listen}:{port}", config["key"])
        try:
            if process.stdin is not None:
                with contextlib.suppress(ConnectionError):  # a process that ended at once says why in its log
                    process.stdin.write(json.dumps(config).encode() + b"\n")
                    await process.stdin.drain()
        except BaseException:
            await asyncio.shield(self.close(patience=0))
            raise
        return self

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    @property
    def gave_up(self) -> bool:
        """It ended by itself and in order, with an error: it was not killed, and did not crash."""
        return not self._stopping and (self._process.returncode or 0) > 0

    async def ended(self) -> None:
        """Wait until it has ended, its log is read and its socket removed."""
        await self._ended.wait()

    async def reported(self) -> dict[str, Any]:
        """Wait until it has said that it serves, and where. A llama-server never does."""
        return await asyncio.shield(self._report)

    def reason(self) -> str:
        """Why it ended, in a sentence, with the most telling words of its log."""
        code = self._process.returncode
        if self._stopping:
            text = "It was stopped"
        elif code is None:
            text = "It has not ended"
        elif code == -_KILLED:
            text = "It was killed from outside, as the system does when memory runs out"
        elif code < 0:
            text = f"It crashed ({_signal(-code)})"
        else:
            text = f"It ended with status {code}"
        words = "" if self._stopping else self.last_words()
        return f"{text}: {words}" if words else f"{text}."

    def last_words(self) -> str:
        """The most telling line of its log: its first complaint, or else its last line. Empty when it said nothing."""
        return self._complaint or (self._lines[-1] if self._lines else "")

    async def close(self, *, patience: float = 3.0) -> None:
        """End it: politely, then for sure; and reap it. Idempotent, and complete even if the caller is cancelled."""
        if self.alive:
            self._stopping = True
            with contextlib.suppress(ProcessLookupError):
                if patience > 0:
                    self._process.terminate()
                    asyncio.get_running_loop().call_later(patience, self._kill)
                else:
                    self._process.kill()
        await asyncio.shield(self._reaper)

    def _kill(self) -> None:
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def _reap(self) -> None:
        await self._process.wait()
        await asyncio.wait(self._readers, timeout=2)
        for reader in self._readers:
            reader.cancel()
        self._report.cancel()
        if self._process.stdin is not None:
            self._process.stdin.close()
        if self.address.endswith(".sock"):
            with contextlib.suppress(OSError):
                os.unlink(self.address)
        self._ended.set()

    async def _read_log(self) -> None:
        """Keep the pipe empty: an engine that cannot write its log stands still."""
        stream = self._process.stderr
        rest = b""
        while stream is not None and (block := await stream.read(65536)):
            *lines, rest = (rest + block).split(b"\n")
            rest = rest[-_LINE_LENGTH * 4 :]
            for line in lines:
                self._note(line)
        self._note(rest)

    def _note(self, raw: bytes) -> None:
        line = raw[: _LINE_LENGTH * 4].decode("utf-8", "replace").strip()[:_LINE_LENGTH]
        if not line or (self.serving and not _SERVING_LINES.search(line)):
            return
        if line.startswith(_OWN_WORDS) and self.on_line is None:
            log.warning("the worker of process %d says: %s", self.pid, line.removeprefix(_OWN_WORDS))
        self._lines.append(line)
        # What went wrong before it served is no reason for its end after it did.
        if (not self._complaint or self.serving) and (found := _COMPLAINT.search(line)):
            self._complaint = (found.group(1) or found.group(0)).strip()
        if self.on_line is not None:
            self.on_line(line)

    async def _read_report(self) -> None:
        stream = self._process.stdout
        if stream is None:
            return
        with contextlib.suppress(ValueError):
            told = json.loads(await stream.readline() or b"null")
            if isinstance(told, dict) and not self._report.done():
                self._report.set_result(told)
        while await stream.read(65536):
            pass


def _environment() -> dict[str, str]:
    """Ours without secrets, and such that the worker imports the same Hausgeist as we are."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_PRIVATE)}
    root = str(Path(__file__).parents[3])
    environment["PYTHONPATH"] = os.pathsep.join(part for part in (root, environment.get("PYTHONPATH", "")) if part)
    return environment


def _endpoint(folder: Path, provider: Provider) -> tuple[str, int]:
    """Where it shall listen: a unix socket, or loopback on a port of its own choice (0) or, where it could not tell us, of ours."""
    if os.name != "nt":
        return str(folder / f"{os.getpid()}-{secrets.token_hex(4)}.sock"), 0
    import socket

    if provider.binary is None:
        return "127.0.0.1", 0
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return "127.0.0.1", int(free.getsockname()[1])


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"

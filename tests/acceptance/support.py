"""A real server as a process of its own, as users start it, for tests that kill it, watch it from outside, or measure it.

Owns starting, finding and ending processes, and the specimens that these tests need. What is asked and expected is each test's own.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from hausgeist.engines.specimen import SHAPES, ModelShape, write_shaped, write_specimen
from hausgeist.engines.specimen.tokenizer import learn

__all__ = [
    "BUILD",
    "HALF_A_BILLION",
    "LONG",
    "ROOT",
    "SLOW",
    "ServerProcess",
    "free_port",
    "gauge",
    "marked",
    "needs",
    "needs_linux",
    "needs_to_run",
    "objects",
    "prompt_of",
    "shaped",
    "tiny",
    "until",
    "wrong_shape",
]

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build" / "specimens"
_MARK = "TEST_MARK"
"""Workers inherit the environment (less what is private), so whoever carries this variable came from the server that it was given to."""

_WORDS = len(learn().tokens)
"""A vocabulary without unused tokens, so that each token of an answer is seen by its client."""

SLOW = ModelShape(
    architecture="llama", layers=8, width=512, inner=1536, heads=8, kv_heads=2, head=64, vocabulary=_WORDS, context=32768, rope_base=1e4
)
"""Large enough that loads, prompts and answers take a while (some 300 tokens a second on one core), small enough to be written in a second."""

HALF_A_BILLION = replace(SHAPES["qwen2.5-0.5b"], vocabulary=_WORDS)
"""The layers of a real model, for real times of prompts and answers."""

LONG = {"temperature": 0}
"""At temperature 0 the specimens repeat themselves and never come to an end."""


def needs(*commands: str) -> None:
    """Skip a test, by name, where a program is missing; in continuous integration that is a failure."""
    missing = [command for command in commands if shutil.which(command) is None]
    if missing:
        _cannot(f"{', '.join(missing)} is not installed")


def needs_to_run(command: Sequence[str], otherwise: str) -> None:
    """The same where it is there, but not allowed to work."""
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    if ended.returncode != 0:
        _cannot(f"{otherwise} ({ended.stderr.strip()[-200:]})")


def needs_linux() -> None:
    """The same for tests that look into /proc."""
    if sys.platform != "linux":
        pytest.skip("processes are found through /proc, which only Linux has")


def _cannot(reason: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}, and CI must not skip this (see .ci/run)")
    pytest.skip(reason)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(condition: Any, seconds: float, what: str, *, pause: float = 0.01) -> Any:
    """The condition's value once it is true."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(pause)
    return found


def tiny() -> Path:
    """A tiny language model of random weights: loads at once, thousands of tokens a second."""
    return _kept("tiny.gguf", write_specimen)


def shaped(name: str, shape: ModelShape | str, precision: Any = "Q4_K_M") -> Path:
    """A model of random weights in this shape; written once, kept under build/."""
    return _kept(f"{name}.gguf", lambda path: write_shaped(path, shape, precision))


def _kept(name: str, write: Any) -> Path:
    BUILD.mkdir(parents=True, exist_ok=True)
    path = BUILD / name
    if not path.is_file():
        write(path)  # appears whole, also if another test run writes it at the same time
    return path


def prompt_of(tokens: int) -> str:
    """A text of about so many tokens for specimens, whose vocabulary knows short common words."""
    words = "the house was old and the people in it were kind to each other and to all who came".split()  # noqa: SIM905
    return " ".join(words[number % len(words)] for number in range(tokens))


def marked(mark: str) -> list[int]:
    """Every living process that inherited this mark, whoever its parent is now."""
    wanted = f"{_MARK}={mark}".encode()
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        with contextlib.suppress(OSError), open(f"/proc/{entry}/environ", "rb") as environ:
            if wanted in environ.read().split(b"\0"):
                found.append(int(entry))
    return found


class ServerProcess:
    """`hausgeist serve` (or another command of it) as a child. Everything that descends from it carries its mark."""

    def __init__(
        self,
        home: Path,
        *files: Path,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        wrapper: Sequence[str] = (),
        port: int = 0,
        threads: int | None = 1,
    ) -> None:
        """`threads` per engine: with one, several workers share few cores without spinning while they wait for each other's."""
        self.home = home
        if threads is not None and not home.exists():
            home.mkdir(parents=True, mode=0o700)
            (home / "hausgeist.toml").write_text("".join(f'[models."{file.stem}"]\nthreads = {threads}\n' for file in files))
        self.mark = secrets.token_hex(8)
        self.log = home.with_name(home.name + ".log")
        self.wrapper = [*wrapper]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HAUSGEIST_")}
        self.environment = {**kept, "HAUSGEIST_FAKE": "1", "HAUSGEIST_GUIDE": "0", **(environment or {}), _MARK: self.mark}
        self.command = [sys.executable, "-m", "hausgeist", "serve", *map(str, files), "--home", str(home), "--port", str(port), *arguments]
        self.process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def start(self, *, within: float = 30.0) -> ServerProcess:
        """Start it, and return when it says where it is."""
        self.launch()
        self.wait_ready(within=within)
        return self

    def launch(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.wrapper, *self.command], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment, cwd=self.home.parent
            )

    def wait_ready(self, *, within: float = 30.0) -> None:
        assert self.process is not None
        deadline = time.monotonic() + within
        while True:
            with contextlib.suppress(OSError, ValueError, TypeError):
                told = json.loads((self.home / "run" / "server.json").read_text())
                # What a killed predecessor left behind is not this one's.
                if told["pid"] in marked(self.mark):
                    self.url, self.pid = told["address"], told["pid"]
                    return
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended with {self.process.returncode}:\n{self.text()[-3000:]}")
            if time.monotonic() > deadline:
                raise AssertionError(f"the server was not ready within {within:g} s:\n{self.text()[-3000:]}")
            time.sleep(0.02)

    def text(self) -> str:
        """What it printed and logged."""
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""

    def family(self) -> list[int]:
        """The server and everything that came from it."""
        return marked(self.mark)

    def workers(self) -> list[int]:
        """Engine processes, loading ones and fit passes included."""
        return [pid for pid in self.family() if pid != getattr(self, "pid", 0) and b"llamacpp.worker" in _command_line(pid)]

    def send(self, number: int) -> None:
        """A signal to the server itself, not to a wrapper around it."""
        os.kill(self.pid, number)

    def wait(self, within: float) -> int:
        """Its exit status."""
        assert self.process is not None
        return self.process.wait(within)

    def kill(self) -> None:
        """kill -9, and reap."""
        with contextlib.suppress(ProcessLookupError):
            self.send(signal.SIGKILL)
        assert self.process is not None
        self.process.wait(10)

    def descriptors(self) -> int:
        """Open files and sockets of the server."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def resident(self) -> int:
        """Bytes of memory."""
        return int(psutil.Process(self.pid).memory_info().rss)

    def client(self, **options: Any) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=options.pop("timeout", 60), trust_env=False, **options)

    def close(self) -> None:
        """End whatever is left of it."""
        for pid in self.family():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self.process is not None:
            if self.process.poll() is None:
                self.process.kill()
            self.process.wait(10)

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def gauge(server: ServerProcess, client: httpx.Client, name: str, model: str) -> float:
    """A figure of /metrics; 0 where there is none yet."""
    found = re.search(rf'^{name}{{model="{re.escape(model)}"}} ([\d.e+-]+)$', client.get("/metrics").text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def wrong_shape(path: str, body: Any) -> str:
    """What is wrong with the shape of an error for the tongue that is spoken at `path`; empty: nothing."""
    if not isinstance(body, dict):
        return f"not an object: {str(body)[:200]}"
    error = body.get("error")
    if path == "/api" or path.startswith("/api/"):
        return "" if isinstance(error, str) and error else f"Ollama's errors are a string: {str(body)[:200]}"
    if path.startswith("/v1/messages"):
        right = body.get("type") == "error" and isinstance(error, dict) and bool(error.get("type")) and bool(error.get("message"))
        return "" if right else f"Anthropic's errors have a type and a message: {str(body)[:200]}"
    if not isinstance(error, dict) or not error.get("message") or not isinstance(error.get("type"), str) or "param" not in error:
        return f"an object with message, type and param was expected: {str(body)[:200]}"
    if path.startswith("/v1/") and "code" not in error:
        return f"OpenAI's errors have a code: {str(body)[:200]}"
    return ""


def objects(lines: Iterator[str]) -> list[dict[str, Any]]:
    """The JSON objects of a stream of events or lines."""
    found = []
    for line in lines:
        text = line.removeprefix("data:").strip()
        if text.startswith("{"):
            found.append(json.loads(text))
    return found

"""A server for the length of one command: `hausgeist run` starts it when none runs, and it ends when its parent does, however that dies.

The parent holds the write end of a pipe that is the child's standard input; the end of the pipe is the end of the server.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from hausgeist.cli.exits import ServerUnreachable
from hausgeist.cli.running import Running, find
from hausgeist.errors import HausgeistError

__all__ = ["TransientServer"]

_PATIENCE = 60.0


class TransientServer:
    """A child process that serves. `wait` returns when it can be asked."""

    def __init__(self, home: Path, *, files: Sequence[Path] = (), flags: Sequence[str] = ()) -> None:
        logs = home / "logs"
        self.log = logs / "transient.log"
        try:
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            logs.mkdir(mode=0o700, exist_ok=True)
            descriptor = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        except OSError as error:
            raise HausgeistError(f"{self.log} cannot be written: {error.strerror}. Choose another home folder with --home.") from error
        self._home = home
        command = [sys.executable, "-m", "hausgeist", "serve", "--transient", "--home", str(home), *flags, *(str(file) for file in files)]
        with os.fdopen(descriptor, "wb") as log:
            # A group of its own: Ctrl-C in the terminal stops the answer, not the server.
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True)

    def wait(self) -> Running:
        """Until it listens. Raises with the server's own last words when it ends instead."""
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            running = find(self._home)
            if running is not None:  # ours, or one that somebody else started in the same moment
                return running
            if self._process.poll() is not None:
                if (running := find(self._home)) is not None:
                    return running
                raise ServerUnreachable(self._last_words())
            time.sleep(0.03)
        self.close()
        raise ServerUnreachable(f"the server did not start within {_PATIENCE:.0f} seconds; its log is {self.log}.")

    def close(self) -> None:
        """Let it end. It finishes the answers of others first, without this process waiting for those. Idempotent."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)

    def _last_words(self) -> str:
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            lines = []
        for line in reversed(lines):
            if line.startswith("error: "):
                return line.removeprefix("error: ")
        return f"the server ended before it could answer; its log is {self.log}."

"""Runs the tools that make an engine: line by line, killed with us, and without a network where that is asked for and the system allows it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path

__all__ = ["CommandFailed", "run"]

_TAIL = 400
_LINE_LIMIT = 64 * 2**10
_PATIENCE = 5.0

_LAUNCH = """
import os, sys
from hausgeist.sandbox import process as sandbox
parent, offline, command = int(sys.argv[1]), sys.argv[2] == "1", sys.argv[3:]
sandbox.die_with_parent(parent)
if hasattr(os, "nice"):
    os.nice(10)
if offline:
    sandbox.deny_network()
os.execvp(command[0], command)
"""
"""In between, so that nothing has to run between fork and exec in a process with threads."""


class CommandFailed(Exception):
    """A tool ended with an error. `lines`: the last it said."""

    def __init__(self, command: str, code: int, lines: Sequence[str]) -> None:
        super().__init__(f"{command} ended with code {code}")
        self.code = code
        self.lines = list(lines)


async def run(
    command: Sequence[str | Path],
    *,
    line: Callable[[str], None] = lambda text: None,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    log: Path | None = None,
    offline: bool = False,
) -> list[str]:
    """Run to the end and return the last lines of output. Cancelling ends the tool and all that it started. Raises `CommandFailed`.

    `offline`: without a network, where the system can do that. `log`: a file that the output is appended to.
    """
    words = [str(word) for word in command]
    launched = words if sys.platform == "win32" else [sys.executable, "-P", "-c", _LAUNCH, str(os.getpid()), "1" if offline else "0", *words]
    process = await asyncio.create_subprocess_exec(
        *launched,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=folder,
        env=None if environment is None else {**os.environ, **environment},
        start_new_session=sys.platform != "win32",
    )
    last: deque[str] = deque(maxlen=_TAIL)
    try:
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(log.open("a", encoding="utf-8")) if log is not None else None
            async for text in _lines(process):
                last.append(text)
                if file is not None:
                    file.write(text + "\n")
                line(text)
        code = await process.wait()
    except BaseException:
        await asyncio.shield(asyncio.ensure_future(_end(process)))
        raise
    if code != 0:
        raise CommandFailed(Path(words[0]).name, code, last)
    return list(last)


async def _lines(process: asyncio.subprocess.Process) -> AsyncIterator[str]:
    """Lines of output; a line without an end comes in parts."""
    assert process.stdout is not None
    rest = b""
    while chunk := await process.stdout.read(_LINE_LIMIT):
        *whole, rest = (rest + chunk).split(b"\n")
        for one in whole:
            yield one.decode("utf-8", "replace").rstrip("\r")
        if len(rest) > _LINE_LIMIT:
            yield rest.decode("utf-8", "replace")
            rest = b""
    if rest:
        yield rest.decode("utf-8", "replace")


async def _end(process: asyncio.subprocess.Process) -> None:
    """End the tool with all that it started: ninja takes away what its compilers left half-written when it is asked politely."""
    for force in (False, True):
        # The second time for whoever of them did not listen, even if the tool itself did.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if sys.platform == "win32":
                process.kill() if force else process.terminate()
            else:
                os.killpg(process.pid, signal.SIGKILL if force else signal.SIGTERM)
        deadline = time.monotonic() + _PATIENCE
        while process.returncode is None and time.monotonic() < deadline:  # `wait` would wait for whoever holds the pipe, too
            await asyncio.sleep(0.02)
    if process.stdout is not None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.stdout.read(), _PATIENCE)
    await process.wait()

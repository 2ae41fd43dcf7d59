"""One parser process as the server sees it: started, told what to read, watched while it does, ended.

What it answers is not believed: lengths and names are checked here, what it has made of a file in `wire.py`. It is ended when it takes longer than
it may or falls silent, and nothing that it has started outlives it.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import logging
import os
import secrets
import shutil
import signal
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hausgeist.errors import HausgeistError, NotFound, NotSupported
from hausgeist.knowledge.parse.base import Limits, Unreadable
from hausgeist.knowledge.parse.lending import folder_name

__all__ = ["RESULT", "Child", "Ended", "Progress"]

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
"""Called with pages that are done and pages in total, now and then."""

RESULT = 512 << 20
"""Bytes of what is made of a file."""
_GROWN = 768 << 20
"""Bytes that a process may still hold after a file; a larger one is replaced."""
_START = 60.0
"""Seconds that a process may take to start; a busy machine is slow."""
_LOOK = 0.5
"""Seconds between two looks at what a process has used."""
_STILL = 60.0
"""Seconds after which a process that does nothing at all is given up."""
_AHEAD, _FAR_AHEAD = 4, 16
"""Small files that a process is told of before it has answered, so that it need not wait for the next; and where they take no time, so that it need
not be told so often."""
_NO_TIME = 0.02
"""Seconds of such a file."""
_PATIENCE = 10
"""Times its processor time that a file may take by the clock, on a machine that has other things to do."""
_LINE = 64 * 2**10
_PRIVATE = ("HAUSGEIST_", "LLAMA_", "HF_", "OPENAI_", "ANTHROPIC_", "AWS_")
_SAID = {"unreadable": Unreadable, "missing": NotFound, "unsupported": NotSupported}
_SENTENCE = 2000


class Ended(Exception):
    """The process is gone, or had to be ended. The message says why, as the end of a sentence that begins with "The file ..."."""


class Child:
    """One process. `ready`: it waits for a file."""

    def __init__(self, process: Process, folder: Path) -> None:
        self._process = process
        self._folder = folder
        self.given = folder / "given"
        self.scratch = folder / "scratch"
        self.ready = False
        self.files = 0
        self.since = time.monotonic()
        self._log = asyncio.create_task(self._read_log())
        self._ending: asyncio.Task[None] | None = None
        self._why = ""

    @classmethod
    async def start(cls, parent: Path, limits: Limits, languages: Sequence[str], among: set[Child]) -> Child:
        """Raises `Ended` and `OSError`. It is `among` the others as soon as it exists, so that whoever closes finds it.

        It dies with the thread that starts it, which must live as long as the server."""
        folder = parent / folder_name(secrets.token_hex(6))
        for name in ("given", "scratch"):
            (folder / name).mkdir(parents=True, mode=0o700)
        environment = {name: value for name, value in os.environ.items() if not name.startswith(_PRIVATE)}
        root = str(Path(__file__).parents[3])
        environment["PYTHONPATH"] = os.pathsep.join(part for part in (root, environment.get("PYTHONPATH", "")) if part)
        environment |= {"TMPDIR": str(folder / "scratch"), "HOME": str(folder / "scratch"), "OMP_THREAD_LIMIT": "1"}
        environment |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"), "1")
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-m",
                "hausgeist.knowledge.parse.worker",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=environment,
                cwd=folder,
                limit=_LINE,
                start_new_session=True,
            )
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self = cls(process, folder.absolute())
        among.add(self)
        config = {
            "parent": os.getpid(),
            "memory": limits.memory,
            "given": str(self.given),
            "scratch": str(self.scratch),
            "limits": dataclasses.asdict(limits),
            "languages": list(languages),
        }
        try:
            await self._send(config)
            async with asyncio.timeout(_START):
                told = await self._answer()
            if told.get("network") and sys.platform == "linux":
                log.warning("a parser process could not give up the network (no seccomp here)")
            self.ready = True
        except BaseException as error:
            await asyncio.shield(self.end())
            among.discard(self)
            if isinstance(error, TimeoutError):
                raise Ended(f"did not start within {_START:g} seconds.") from error
            raise
        return self

    @property
    def alive(self) -> bool:
        return self._process.returncode is None and self._ending is None

    def grown(self) -> bool:
        import psutil

        try:
            return int(psutil.Process(self._process.pid).memory_info().rss) > _GROWN
        except psutil.Error:
            return True

    async def work(self, job: dict[str, Any], progress: Progress | None, limits: Limits, most: int) -> bytes:
        """Have a file read. Raises `Unreadable` for what the process says of the file, `Ended` where it ends over it."""
        self.ready = False
        self.files += 1
        watch = asyncio.create_task(self._watch(limits))
        try:
            await self._send(job)
            return await self._outcome(progress, limits, most)
        finally:
            watch.cancel()

    async def go_through(
        self, jobs: Sequence[tuple[int, dict[str, Any]]], progress: Callable[[int, int, int], None] | None, limits: Limits, over: Callable[[], bool]
    ) -> AsyncGenerator[tuple[int, bytes | HausgeistError]]:
        """Have files read one after the other, until it is `over` (and one in any case): what is made of each, or why it cannot be
        read. Raises `Ended` where the process ends over the first that has not been told of."""
        sent = done = 0
        began = time.monotonic()
        watch = asyncio.create_task(self._watch(limits))
        try:
            while done < len(jobs):
                stop = done > 0 and over()
                if stop and sent == done:
                    break
                self.ready = False
                far = done >= _AHEAD and time.monotonic() - began < _NO_TIME * done
                if not stop and (not far or sent - done <= _AHEAD):
                    more = jobs[sent : done + (_FAR_AHEAD if far else _AHEAD)]
                    sent += len(more)
                    await self._send(*(job for _, job in more))
                number = jobs[done][0]
                data: bytes | HausgeistError
                try:
                    data = await self._outcome(partial(progress, number) if progress is not None else None, limits, RESULT)
                except (Unreadable, NotFound, NotSupported) as error:
                    data = error
                done += 1
                self.files += 1
                self.ready = self.ready and sent == done
                yield number, data
        finally:
            self.ready = self.ready and sent == done
            watch.cancel()

    async def _outcome(self, progress: Progress | None, limits: Limits, most: int) -> bytes:
        while True:
            told = await self._answer()
            if "done" in told and "total" in told:
                if progress is not None:
                    progress(int(told["done"]), int(told["total"]))
                continue
            return await self._result(told, limits, most)

    async def _result(self, told: dict[str, Any], limits: Limits, most: int) -> bytes:
        if "bytes" in told:
            size = told["bytes"]
            if type(size) is not int or not 0 <= size <= most:
                raise Ended("makes more text than can be kept; split it into smaller ones.")
            data = await self._exactly(size)
            self.ready = True
            return data
        for name, kind in _SAID.items():
            if name in told:
                self.ready = True
                raise kind(str(told[name])[:_SENTENCE])
        if "memory" in told:  # what is left of the process is in no good state
            raise Ended(_takes_too_much(limits))
        self.ready = True
        log.warning("a document could not be read: %s", str(told.get("failed"))[:200])
        raise Unreadable("The file could not be read: it is damaged, or made in a way that its parser does not know.")

    async def _watch(self, limits: Limits) -> None:
        """End it when it takes too long; that it has used enough processor time or none at all for a while is what counts, not the clock alone."""
        began = moved = time.monotonic()
        # Between two files it has no others running, and to look for them takes longer than to read a small file.
        last = _used(self._process.pid, alone=True)
        before: float | None = last
        files = self.files
        while True:
            await asyncio.sleep(min(_LOOK, limits.seconds / 4))
            now = time.monotonic()
            if files != self.files:
                # Another one is being read by now. It is looked at when it is still there the next time, as to look takes a while.
                files, began, moved, before = self.files, now, now, None
                continue
            used = await asyncio.to_thread(_used, self._process.pid)
            if before is None:
                before = last = used
            if used - last > 0.001:
                last, moved = used, now
            if used - before > limits.seconds or now - began > limits.seconds * _PATIENCE or now - moved > min(_STILL, limits.seconds):
                self._why = f"took too long to read (more than {limits.seconds:g} seconds), and was given up."
                await self.end()
                return

    async def _send(self, *told: dict[str, Any]) -> None:
        if not told:
            return
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(b"".join(json.dumps(one).encode() + b"\n" for one in told))
            await self._process.stdin.drain()
        except ConnectionError:
            raise Ended(await self._reason()) from None

    async def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        try:
            line = await self._process.stdout.readline()
            told = json.loads(line) if line else None
        except (ValueError, RecursionError):
            raise Ended("confused its parser.") from None
        if told is None:
            raise Ended(await self._reason())
        if not isinstance(told, dict):
            raise Ended("confused its parser.")
        return told

    async def _exactly(self, size: int) -> bytes:
        assert self._process.stdout is not None
        try:
            return await self._process.stdout.readexactly(size)
        except asyncio.IncompleteReadError:
            raise Ended(await self._reason()) from None

    async def _reason(self) -> str:
        if self._why:
            return self._why
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                code = await self._process.wait()
                if code == -signal.SIGTERM or (code < 0 and -code == 9):
                    return "could not be read: its parser was killed, as the system does when memory runs out."
                return f"crashed its parser ({_signal(-code)}); it is damaged, or made to do that."
        return "made its parser fall silent."

    async def _read_log(self) -> None:
        """Keep the pipe empty. What parsers print may quote the file, so nothing of it is kept."""
        assert self._process.stderr is not None
        while await self._process.stderr.read(65536):
            pass

    async def end(self) -> None:
        """Kill it with all that it has started, reap it, remove its folder. Idempotent, and complete even if the caller is cancelled."""
        if self._ending is None:
            self._ending = asyncio.create_task(self._finish())
        await asyncio.shield(self._ending)

    async def _finish(self) -> None:
        self.ready = False
        _kill(self._process)
        await self._process.wait()
        self._log.cancel()
        if self._process.stdin is not None:
            self._process.stdin.close()
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)


def _takes_too_much(limits: Limits) -> str:
    return f"takes more memory to read than a parser may have ({limits.memory >> 20} MiB)."


def _kill(process: Process) -> None:
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()


def _used(pid: int, *, alone: bool = False) -> float:
    """Seconds of processor time of a process and all that it has started; `alone`: that still run are not looked for."""
    import psutil

    total = 0.0
    with contextlib.suppress(psutil.Error):
        own = psutil.Process(pid)
        times = own.cpu_times()
        total = times.user + times.system + getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
        for child in () if alone else own.children(recursive=True):
            with contextlib.suppress(psutil.Error):
                times = child.cpu_times()
                total += times.user + times.system
    return total


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"status {-number}"

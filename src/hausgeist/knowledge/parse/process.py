"""Processes that read documents, so that a file that breaks a parser breaks nothing else.

A parser process has no network, can read the one file and write into a scratch folder, and has a limit of memory and of time for each file. What it
sends back is data that is checked (`wire.py`). When it crashes, hangs or takes too much, it is ended, its file is `Unreadable`, and the next file
gets a fresh one. Processes start when they are needed, end when they have been idle for a while, and never outlive the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import logging
import os
import re
import secrets
import shutil
import signal
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from hausgeist.errors import HausgeistError, NotFound, NotSupported, Unavailable
from hausgeist.knowledge.parse.base import Limits, Unreadable
from hausgeist.knowledge.parse.wire import decode, decode_cut
from hausgeist.knowledge.parsed import Cut, Parsed, Small

__all__ = ["Parsers", "Progress"]

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
"""Called with pages that are done and pages in total, now and then."""

_FILES = 5000
"""After so many files a process is replaced, whatever it has leaked."""
_GROWN = 768 << 20
"""Bytes that a process may still hold after a file; a larger one is replaced."""
_START = 60.0
"""Seconds that a process may take to start; a busy machine is slow."""
_LOOK = 0.5
"""Seconds between two looks at what a process has used."""
_STILL = 60.0
"""Seconds after which a process that does nothing at all is given up."""
_AHEAD = 4
"""Small files that a process is told of before it has answered, so that it need not wait for the next."""
_TURN = 1.0
"""Seconds after which small files that are read together let others have the process."""
_AT_ONCE = 16 << 10
"""Bytes of a result that are unpacked faster than they are handed to another thread."""
_PATIENCE = 10
"""Times its processor time that a file may take by the clock, on a machine that has other things to do."""
_RESULT = 512 << 20
_PICTURE = 64 << 20
_LINE = 64 * 2**10
_PNG = b"\x89PNG\r\n\x1a\n"
_PRIVATE = ("HAUSGEIST_", "LLAMA_", "HF_", "OPENAI_", "ANTHROPIC_", "AWS_")
_SAID = {"unreadable": Unreadable, "missing": NotFound, "unsupported": NotSupported}
_SENTENCE = 2000
_OURS = re.compile(r"(\d{1,9})-(\d{1,12})-[0-9a-f]{12}")
_SLOTS_OF_PICTURES = 1
"""Besides the others, so that who looks at a page need not wait for a folder that is being read."""


T = TypeVar("T")
R_co = TypeVar("R_co", covariant=True)


class _Unpack(Protocol[R_co]):
    def __call__(self, data: bytes, /, *, characters: int) -> R_co: ...


class _Ended(Exception):
    """The process is gone, or had to be ended. The message says why, as the end of a sentence that begins with "The file ..."."""


class Parsers:
    """A pool of parser processes.

    `folder`: for what they need while they work, best on the disk where the files are, which are then linked rather than copied; what earlier
    processes left there is removed. `processes`: most at once; None: half of the processors. `languages`: of OCR, as Tesseract calls them; none: what
    is installed. `idle`: seconds after which a process that has nothing to do ends.
    """

    def __init__(
        self, folder: Path, *, processes: int | None = None, limits: Limits | None = None, languages: Sequence[str] = (), idle: float = 60.0
    ) -> None:
        self._folder = folder
        self._limits = limits or Limits()
        self._languages = tuple(languages)
        self._idle = idle
        self.processes = max(1, processes if processes is not None else (os.cpu_count() or 2) // 2)
        self._free = asyncio.Semaphore(self.processes)
        self._awaited = 0
        """Files that wait for a process by themselves."""
        self._free_for_pictures = asyncio.Semaphore(_SLOTS_OF_PICTURES)
        self._resting: list[_Worker] = []
        self._all: set[_Worker] = set()
        self._sweeper: asyncio.Task[None] | None = None
        self._swept = False
        self._closed = asyncio.Event()

    async def parse(self, path: Path, filename: str, *, progress: Progress | None = None) -> Parsed:
        """Read a file. `filename`: as its owner calls it, a hint to what it is. Raises `Unreadable`, saying why and what would help."""
        self._awaited += 1
        try:
            await self._free.acquire()
        finally:
            self._awaited -= 1
        try:
            data = await self._do({"filename": filename}, path, progress, _RESULT)
        finally:
            self._free.release()
        return await self._unpacked(decode, data)

    async def cut_all(
        self, files: Sequence[Small], each: Callable[[int, Cut | HausgeistError], Awaitable[None]], *,
        progress: Callable[[int, int, int], None] | None = None,
    ) -> None:  # fmt: skip
        """Read and cut small files of one project in one go. `each`: told of each, by its number, what it says or why it could not be read, as soon
        as that is known. A file that ends its process costs nothing but itself. `progress`: the number of the file that is being read, and pages."""
        left = list(enumerate(files))
        while left:
            async with self._free:
                left = await self._turn(left, each, progress)

    async def _turn(
        self, files: Sequence[tuple[int, Small]], each: Callable[[int, Cut | HausgeistError], Awaitable[None]],
        progress: Callable[[int, int, int], None] | None,
    ) -> list[tuple[int, Small]]:  # fmt: skip
        """Read some of them; those that are left."""
        worker = await self._take()
        done = 0
        try:
            lent = await asyncio.to_thread(_lend_all, [one for _, one in files], worker.given)
            jobs = []
            for (number, one), given in zip(files, lent, strict=True):
                if isinstance(given, Path):
                    jobs.append((number, {"filename": one.filename, "path": str(given), "most": one.most, "overlap": one.overlap}))
                else:
                    await each(number, given)
            try:
                until = time.monotonic() + _TURN
                over = lambda: self._awaited > 0 and time.monotonic() > until  # noqa: E731
                async with contextlib.aclosing(worker.go_through(jobs, progress, self._limits, over)) as answers:
                    async for number, data in answers:
                        await each(number, await self._cut(data) if isinstance(data, bytes) else data)
                        done += 1
            except _Ended as error:
                if self._closed.is_set():
                    raise Unavailable("The server is stopping; the file will be read when it runs again.") from error
                await each(jobs[done][0], Unreadable(f"The file {error}"))
                done += 1
        finally:
            await self._give_back(worker)
        left = {number for number, _ in jobs[done:]}
        return [one for one in files if one[0] in left]

    async def _cut(self, data: bytes) -> Cut | HausgeistError:
        try:
            return await self._unpacked(decode_cut, data)
        except Unreadable as error:
            return error

    async def _unpacked(self, unpack: _Unpack[T], data: bytes) -> T:
        most = 2 * self._limits.characters + (1 << 20)
        try:
            if len(data) <= _AT_ONCE:
                return unpack(data, characters=most)
            # Long documents take a while to unpack; the server has other things to do meanwhile.
            return await asyncio.to_thread(unpack, data, characters=most)
        except (ValueError, TypeError, IndexError, KeyError, RecursionError) as error:
            log.warning("a parser sent what no parser says: %s", error)
            raise Unreadable("The file could not be read: its parser did not answer in order.") from error

    async def picture(self, path: Path, page: int, width: int) -> bytes:
        """A page as PNG, `width` pixels wide (fewer, where it would have too many). Pages count from 1.

        Raises `NotFound` for a page that is not there, `NotSupported` for files whose pages have no pictures, `Unreadable` for damaged ones."""
        async with self._free_for_pictures:
            data = await self._do({"page": page, "width": width}, path, None, _PICTURE)
        if not data.startswith(_PNG):
            raise Unreadable("The page could not be drawn.")
        return data

    async def close(self) -> None:
        """End all processes, working ones too; their callers get `Unavailable`. Idempotent."""
        self._closed.set()
        if self._sweeper is not None:
            self._sweeper.cancel()
        await asyncio.gather(*(worker.end() for worker in list(self._all)))
        self._resting.clear()

    async def _do(self, job: dict[str, Any], path: Path, progress: Progress | None, most: int) -> bytes:
        worker = await self._take()
        given = worker.given / secrets.token_hex(8)
        try:
            await asyncio.to_thread(_lend, path, given)
            data = await worker.work({**job, "path": str(given)}, progress, self._limits, most)
        except _Ended as error:
            if self._closed.is_set():
                raise Unavailable("The server is stopping; the file will be read when it runs again.") from error
            raise Unreadable(f"The file {error}") from error
        finally:
            await self._give_back(worker)
        return data

    async def _give_back(self, worker: _Worker) -> None:
        # Told to end or tired, or in the middle of something that nobody waits for any more.
        if worker.ready and worker.files < _FILES and not worker.grown() and not self._closed.is_set():
            with contextlib.suppress(OSError):
                await asyncio.to_thread(_clear, worker)
            worker.since = time.monotonic()
            self._resting.append(worker)
        else:
            await asyncio.shield(self._end(worker))

    async def _take(self) -> _Worker:
        if self._closed.is_set():
            raise Unavailable("The server is stopping.")
        while self._resting:
            worker = self._resting.pop()
            if worker.alive:
                return worker
            await self._end(worker)
        if not self._swept:
            self._swept = True
            await asyncio.to_thread(_sweep, self._folder)
        try:
            worker = await _Worker.start(self._folder, self._limits, self._languages, self._all)
        except _Ended as error:
            raise Unavailable(f"A process to read documents could not be started: it {error}") from error
        except OSError as error:
            raise Unavailable(f"A process to read documents could not be started: {error.strerror or error}.") from error
        if self._closed.is_set():  # meanwhile
            await asyncio.shield(self._end(worker))
            raise Unavailable("The server is stopping.")
        if self._sweeper is None or self._sweeper.done():
            self._sweeper = asyncio.create_task(self._send_home())
        return worker

    async def _send_home(self) -> None:
        """End those that have been idle for long."""
        while self._all:
            await asyncio.sleep(min(self._idle / 4 + 0.05, 5.0))
            until = time.monotonic() - self._idle
            for worker in [one for one in self._resting if one.since < until or not one.alive]:
                self._resting.remove(worker)
                await self._end(worker)

    async def _end(self, worker: _Worker) -> None:
        await worker.end()
        self._all.discard(worker)


class _Worker:
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
    async def start(cls, parent: Path, limits: Limits, languages: Sequence[str], among: set[_Worker]) -> _Worker:
        """Raises `_Ended` and `OSError`. It is `among` the others as soon as it exists, so that whoever closes finds it.

        It dies with the thread that starts it, which must live as long as the server."""
        folder = parent / f"{os.getpid()}-{_began(os.getpid()):.0f}-{secrets.token_hex(6)}"
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
                raise _Ended(f"did not start within {_START:g} seconds.") from error
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
        """Have a file read. Raises `Unreadable` for what the process says of the file, `_Ended` where it ends over it."""
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
        read. Raises `_Ended` where the process ends over the first that has not been told of."""
        sent = done = 0
        watch = asyncio.create_task(self._watch(limits))
        try:
            while done < len(jobs):
                stop = done > 0 and over()
                if stop and sent == done:
                    break
                self.ready = False
                more = () if stop else jobs[sent : done + _AHEAD]
                sent += len(more)
                await self._send(*(job for _, job in more))
                number = jobs[done][0]
                data: bytes | HausgeistError
                try:
                    data = await self._outcome(partial(progress, number) if progress is not None else None, limits, _RESULT)
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
                raise _Ended("makes more text than can be kept; split it into smaller ones.")
            data = await self._exactly(size)
            self.ready = True
            return data
        for name, kind in _SAID.items():
            if name in told:
                self.ready = True
                raise kind(str(told[name])[:_SENTENCE])
        if "memory" in told:  # what is left of the process is in no good state
            raise _Ended(_takes_too_much(limits))
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
            raise _Ended(await self._reason()) from None

    async def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        try:
            line = await self._process.stdout.readline()
            told = json.loads(line) if line else None
        except (ValueError, RecursionError):
            raise _Ended("confused its parser.") from None
        if told is None:
            raise _Ended(await self._reason())
        if not isinstance(told, dict):
            raise _Ended("confused its parser.")
        return told

    async def _exactly(self, size: int) -> bytes:
        assert self._process.stdout is not None
        try:
            return await self._process.stdout.readexactly(size)
        except asyncio.IncompleteReadError:
            raise _Ended(await self._reason()) from None

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


def _lend(path: Path, given: Path) -> None:
    """Put a file where the process can read it, and nothing else. Raises `Unreadable` when it is not there."""
    try:
        try:
            os.link(path.resolve(strict=True), given)
        except FileNotFoundError:
            raise
        except OSError:  # another disk, or somebody else's file
            shutil.copyfile(path, given)
    except OSError as error:
        raise Unreadable(f"The file could not be read from disk: {error.strerror or error}.") from error


def _lend_all(files: Sequence[Small], folder: Path) -> list[Path | Unreadable]:
    lent: list[Path | Unreadable] = []
    for one in files:
        given = folder / secrets.token_hex(8)
        try:
            _lend(one.path, given)
            lent.append(given)
        except Unreadable as error:
            lent.append(error)
    return lent


def _clear(worker: _Worker) -> None:
    """Leave nothing of a file to the next one."""
    for folder in (worker.given, worker.scratch):
        for left in folder.iterdir():
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)


def _sweep(folder: Path) -> None:
    """Remove what servers that are gone have left. Their ids may be those of others by now, so it counts when they began."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for left in folder.iterdir():
        owner = _OURS.fullmatch(left.name)
        if owner is not None and abs(_began(int(owner[1])) - int(owner[2])) > 2:
            shutil.rmtree(left, ignore_errors=True)


def _began(pid: int) -> float:
    """When a process began; 0 if there is none."""
    import psutil

    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return 0.0


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"status {-number}"

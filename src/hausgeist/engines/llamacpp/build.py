"""Makes a llama-server for this very machine: source, configure, compile, install. Whether it is right and faster finds `verify.py`.

What is made lies in HOME/engines/VERSION-FLAVOUR; HOME/engines/built points to the one that kept the contract last. A build that was stopped,
however, goes on where it was: its work lies in HOME/engines/work until it is done.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import platform
import re
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hausgeist.engines.llamacpp import source as package
from hausgeist.engines.llamacpp.command import CommandFailed, run
from hausgeist.engines.llamacpp.toolchain import Flavour, Toolchain, jobs, toolchain
from hausgeist.errors import Conflict, DiskFull, LoadFailed, NotFound

__all__ = ["Built", "Flavour", "Progress", "build", "publish"]

_ROOM: dict[Flavour, int] = {"native": 800 * 2**20, "cuda": 5 * 2**30, "vulkan": 3 * 2**30}
"""Free space that a build needs at most: package, source, objects, result."""

_NAME = "llama-server.exe" if os.name == "nt" else "llama-server"

_OPTIONS: Sequence[str] = (
    "-DCMAKE_BUILD_TYPE=Release",
    "-DBUILD_SHARED_LIBS=OFF",
    "-DGGML_NATIVE=ON",
    "-DGGML_CCACHE=OFF",
    "-DGGML_OPENMP_FETCH=OFF",
    "-DGGML_ALL_WARNINGS=OFF",
    "-DLLAMA_ALL_WARNINGS=OFF",
    "-DLLAMA_BUILD_COMMON=ON",
    "-DLLAMA_BUILD_TOOLS=ON",
    "-DLLAMA_BUILD_SERVER=ON",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_BUILD_APP=OFF",
    "-DLLAMA_BUILD_UI=OFF",
    "-DLLAMA_USE_PREBUILT_UI=OFF",
    "-DLLAMA_OPENSSL=OFF",
    "-DLLAMA_SUBPROCESS=OFF",
    "-DLLAMA_LLGUIDANCE=OFF",
    "-DFETCHCONTENT_FULLY_DISCONNECTED=ON",
    "-DLLAMA_BUILD_NUMBER=0",
    f"-DLLAMA_BUILD_COMMIT={package.VERSION}",
)
_FLAVOURS: dict[Flavour, Sequence[str]] = {"native": (), "cuda": ("-DGGML_CUDA=ON",), "vulkan": ("-DGGML_VULKAN=ON",)}


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a build has come. `total` is 0 where it is not known."""

    stage: Literal["fetch", "unpack", "configure", "compile"]
    done: int = 0
    total: int = 0
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Built:
    """An installed llama-server that nobody has tried yet."""

    binary: Path
    version: str
    flavour: Flavour
    backends: tuple[str, ...]
    seconds: float


async def build(
    home: Path,
    *,
    flavour: Flavour = "native",
    source: Path | None = None,
    offline: bool = False,
    progress: Callable[[Progress], None] = lambda progress: None,
) -> Built:
    """Build and install. Cancelling it leaves what was compiled for the next time, and nothing else.

    Raises `NotFound` naming tools to install, `DiskFull`, `Conflict` while another build runs, `EgressRefused`, `Unavailable` (the source cannot
    be fetched), `LoadFailed` when compiling fails or the result does not start.
    """
    started = time.monotonic()
    tools = toolchain(flavour)
    engines = home / "engines"
    work = engines / "work"
    with _alone(work):
        _clean(engines)
        _demand_room(work, flavour)
        archive = await package.obtain(
            work, source=source, offline=offline, progress=lambda done, total: progress(Progress("fetch", done, total, package.PACKAGE))
        )
        progress(Progress("unpack"))
        tree = await asyncio.to_thread(package.extract, archive, work / f"llama.cpp-{package.VERSION}")
        compiled = await _compile(tools, tree, work / f"{package.VERSION}-{flavour}", flavour, progress)
        about = await _about(compiled, flavour)
        installed = await asyncio.to_thread(_install, compiled, engines / f"{package.VERSION}-{flavour}", about)
        await asyncio.to_thread(shutil.rmtree, work / f"{package.VERSION}-{flavour}", ignore_errors=True)
        await asyncio.to_thread(shutil.rmtree, tree, ignore_errors=True)
    return Built(installed, package.VERSION, flavour, _backends(flavour), time.monotonic() - started)


def publish(home: Path, built: Built) -> Path:
    """Make it the engine called "built", in one step. Returns its path there."""
    name = home / "engines" / "built"
    folder = built.binary.parent
    draft = name.with_name(f".built-{secrets.token_hex(4)}")
    if os.name == "nt":
        shutil.copytree(folder, draft)
        old = name.with_name(f".old-{secrets.token_hex(4)}")
        if name.exists():
            name.rename(old)
        draft.rename(name)
        shutil.rmtree(old, ignore_errors=True)
    else:
        draft.symlink_to(folder.name, target_is_directory=True)
        draft.replace(name)
    return name / built.binary.name


async def _compile(tools: Toolchain, tree: Path, folder: Path, flavour: Flavour, progress: Callable[[Progress], None]) -> Path:
    log = _fresh_log(folder)
    options = [*_OPTIONS, *_FLAVOURS[flavour], *tools.options, f"-DCMAKE_MAKE_PROGRAM={tools.ninja}"]
    status = re.compile(r"\[(\d+)/(\d+)\] (.*)")

    def told(line: str) -> None:
        if match := status.match(line):
            progress(Progress("compile", int(match[1]), int(match[2]), match[3].rpartition("/")[2][:80]))

    progress(Progress("configure"))
    try:
        # Nothing that is built may be fetched on the side: what the package does not hold is not in the engine.
        await run([tools.cmake, "-G", "Ninja", "-S", tree, "-B", folder, *options], log=log, offline=True)
        ninja: list[str | Path] = [tools.ninja, "-C", folder, "-j", str(jobs(flavour)), "llama-server"]
        await run(ninja, line=told, environment={"NINJA_STATUS": "[%f/%t] "}, log=log, offline=True)
    except CommandFailed as error:
        if any("No space left on device" in line for line in error.lines):
            raise DiskFull(f"The disk of {folder} became full while compiling; free some space and build again: it goes on where it was.") from error
        reason = _reason(error.lines)
        if "no GPU was detected" in reason:
            reason += " To build for one that is not here, set CUDAARCHS to its compute capability (89, 90, ...)."
        raise LoadFailed(f"The engine could not be built: {reason} All of the output is in {log}.") from error
    return folder / "bin" / _NAME


def _fresh_log(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "build.log"
    log.unlink(missing_ok=True)
    return log


def _reason(lines: Sequence[str]) -> str:
    """The first line that says what is wrong."""
    for mark in ("CMake Error", "error:", "fatal:", "Killed", "FAILED:"):
        for number, line in enumerate(lines):
            if mark in line:
                more = " ".join(part.strip() for part in lines[number + 1 : number + 4]) if mark == "CMake Error" else ""
                return f"{line.strip()} {more}".strip()[:500]
    return (lines[-1].strip() if lines else "the compiler said nothing.")[:500]


async def _about(binary: Path, flavour: Flavour) -> dict[str, object]:
    """What build.json says. Starts the program once: one that does not start is not installed."""
    try:
        said = " ".join(await asyncio.wait_for(run([binary, "--version"], offline=True), 60))
    except CommandFailed as error:
        said = _reason(error.lines)
        hint = " Is the graphics driver installed?" if flavour != "native" else ""
        raise LoadFailed(f"The engine was built, but does not start here: {said}{hint}") from error
    except TimeoutError as error:
        raise LoadFailed("The engine was built, but '--version' takes it more than a minute.") from error
    return {
        "version": package.VERSION,
        "flavour": flavour,
        "backends": list(_backends(flavour)),
        "source": f"{package.PACKAGE} {package.VERSION}, sha256 {package.SHA256}",
        "built": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": f"{platform.system()} {platform.machine()}",
        "says": said[:500],
    }


def _backends(flavour: Flavour) -> tuple[str, ...]:
    return ("cpu",) if flavour == "native" else ("cpu", flavour)


def _install(binary: Path, folder: Path, about: dict[str, object]) -> Path:
    """Into place, whole: a new folder by one rename; into one that is there, each file by one rename, the program first."""
    draft = folder.with_name(f".draft-{secrets.token_hex(4)}")
    try:
        draft.mkdir(parents=True)
        shutil.copy2(binary, draft / _NAME)
        (draft / _NAME).chmod(0o755)
        (draft / "build.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
        for file in draft.iterdir():
            _sync(file)
        if folder.is_dir():
            for name in (_NAME, "build.json"):
                os.replace(draft / name, folder / name)
        else:
            draft.rename(folder)
    except OSError as error:
        raise DiskFull(f"The engine cannot be installed into {folder}: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return folder / _NAME


def _sync(file: Path) -> None:
    with file.open("rb+") as stream:
        os.fsync(stream.fileno())


def _demand_room(folder: Path, flavour: Flavour) -> None:
    free = shutil.disk_usage(folder).free
    if free < _ROOM[flavour]:
        raise DiskFull(f"Building ({flavour}) needs about {_ROOM[flavour] / 2**30:.1f} GiB below {folder}; {free / 2**30:.1f} GiB are free.")


def _clean(engines: Path) -> None:
    """Take away what a build that was killed left half-done, besides its work."""
    work = engines / "work"
    for leftover in (*engines.glob(".draft-*"), *engines.glob(".built-*"), *engines.glob(".old-*"), *work.glob("fetch-*"), *work.glob("unpack-*")):
        if leftover.is_symlink():
            leftover.unlink(missing_ok=True)
        else:
            shutil.rmtree(leftover, ignore_errors=True)


@contextlib.contextmanager
def _alone(work: Path) -> Iterator[None]:
    """One build at a time in a home. The lock ends with the process, however that ends. Raises `Conflict`."""
    try:
        work.mkdir(parents=True, exist_ok=True)
        stream = (work / "lock").open("a+")
    except OSError as error:
        raise NotFound(f"{work} cannot be written: {error.strerror}.") from error
    with stream:
        try:
            if sys.platform == "win32":
                import msvcrt

                msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                import fcntl

                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Conflict("Another build of the engine is running here; wait for it to end.") from error
        yield

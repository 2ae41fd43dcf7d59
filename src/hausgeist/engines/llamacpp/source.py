"""Where the source of llama.cpp comes from: the source package of llama-cpp-python, one version, known by its sha256.

pip fetches it, because only pip knows the user's index, mirror, proxy and credentials. pip insists on asking a source package for its
metadata by running its build; so it is given a build backend of ours that answers and does nothing else.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

from hausgeist.engines.llamacpp.command import CommandFailed, run
from hausgeist.errors import DiskFull, EgressRefused, InvalidRequest, NotFound, Unavailable

__all__ = ["PACKAGE", "SHA256", "VERSION", "extract", "obtain"]

PACKAGE = "llama-cpp-python"
VERSION = "0.3.36"
SHA256 = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"
_ARCHIVE = f"llama_cpp_python-{VERSION}.tar.gz"
_INSIDE = PurePosixPath(f"llama_cpp_python-{VERSION}/vendor/llama.cpp")
_UNUSED = {"docs", "models", "media", "tests", "benches", "gguf-py", "conversion"}
"""Half of the archive; nothing that is compiled needs them."""

_BACKEND = f"""
from pathlib import Path

def get_requires_for_build_wheel(config_settings=None):
    return []

def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    folder = Path(metadata_directory, "llama_cpp_python-{VERSION}.dist-info")
    folder.mkdir()
    Path(folder, "METADATA").write_text("Metadata-Version: 2.1\\nName: {PACKAGE}\\nVersion: {VERSION}\\n")
    return folder.name
"""


async def obtain(
    folder: Path, *, source: Path | None = None, offline: bool = False, progress: Callable[[int, int], None] = lambda done, total: None
) -> Path:
    """The package as a file: `source`, or one fetched before into `folder`, or fetched now. Its sha256 is right.

    `progress(done, total)` in bytes. Raises `InvalidRequest` for a `source` that is not it, `EgressRefused` when it would have to be
    fetched `offline`, `Unavailable` when pip cannot get it.
    """
    if source is not None:
        return await asyncio.to_thread(_given, source)
    if kept := await asyncio.to_thread(_kept, folder):
        return kept
    if offline:
        raise EgressRefused(f"Offline, the source package cannot be fetched. Give it as a file: --source {_ARCHIVE}.")
    if find_spec("pip") is None:
        raise NotFound(f"pip is missing in this Python. Run 'python -m ensurepip', or fetch {_ARCHIVE} yourself and give it with --source.")
    with tempfile.TemporaryDirectory(prefix="fetch-", dir=folder) as room:
        fetched = await _fetch(Path(room), progress)
        if await asyncio.to_thread(_digest, fetched) != SHA256:
            raise Unavailable(f"What the package index has as {PACKAGE} {VERSION} is not the package that is known (sha256 {SHA256}).")
        os.replace(fetched, folder / _ARCHIVE)
    return folder / _ARCHIVE


def _given(source: Path) -> Path:
    if not source.is_file():
        raise NotFound(f"There is no file {source}.")
    if _digest(source) != SHA256:
        raise InvalidRequest(f"{source} is not the source package of {PACKAGE} {VERSION} (sha256 {SHA256}).", param="source")
    return source


def _kept(folder: Path) -> Path | None:
    """What an earlier build fetched. Makes the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / _ARCHIVE
    if file.is_file() and _digest(file) == SHA256:
        return file
    file.unlink(missing_ok=True)
    return None


async def _fetch(room: Path, progress: Callable[[int, int], None]) -> Path:
    backend, wanted = _backend(room)

    def told(line: str) -> None:
        if match := re.fullmatch(r"Progress (\d+) of (\d+)", line.strip()):
            progress(int(match[1]), int(match[2]))

    command: list[str | Path] = [sys.executable, "-m", "pip", "download", "--no-input", "--disable-pip-version-check", "--progress-bar", "raw"]
    command += ["--no-deps", "--no-build-isolation", "--no-binary", PACKAGE, "--require-hashes", "--requirement", wanted, "--dest", room / "fetched"]
    try:
        await run(command, line=told, environment={"PYTHONPATH": str(backend)}, folder=room)
    except CommandFailed as error:
        said = [text for text in error.lines if "ERROR" in text or text.startswith("error:")] or error.lines[-3:]
        if any("No space left" in text for text in error.lines):
            raise DiskFull from error
        raise Unavailable(
            f"pip could not fetch the source package of {PACKAGE} {VERSION}: {_without_credentials(' '.join(said))} "
            f"Check pip's index ('pip config list'), or fetch {_ARCHIVE} yourself and give it with --source."
        ) from error
    return room / "fetched" / _ARCHIVE


def _backend(room: Path) -> tuple[Path, Path]:
    """A folder for PYTHONPATH with the build backend that the package names, and a requirements file with its hash."""
    backend = room / "backend" / "scikit_build_core"
    backend.mkdir(parents=True)
    (backend / "__init__.py").touch()
    (backend / "build.py").write_text(_BACKEND, encoding="utf-8")
    wanted = room / "requirements.txt"
    wanted.write_text(f"{PACKAGE}=={VERSION} --hash=sha256:{SHA256}\n", encoding="utf-8")
    return backend.parent, wanted


def extract(archive: Path, target: Path) -> Path:
    """Unpack llama.cpp into `target` and return its folder. Whole or not at all; what is there from before is used again."""
    if (target / "CMakeLists.txt").is_file():
        return target
    if not hasattr(tarfile, "data_filter"):
        raise NotFound("This Python cannot unpack archives safely: update it to the latest release of its version.")
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix="unpack-", dir=target.parent))
    try:
        with tarfile.open(archive, "r:gz") as packed:
            for member in packed:
                inside = PurePosixPath(member.name)
                if _INSIDE not in inside.parents or inside.parts[len(_INSIDE.parts)] in _UNUSED:
                    continue
                packed.extract(member, draft, filter="data")
        if not (draft / _INSIDE / "CMakeLists.txt").is_file():
            raise InvalidRequest(f"{archive.name} does not contain llama.cpp.", param="source")
        os.replace(draft / _INSIDE, target)
    except OSError as error:
        raise DiskFull(f"The source cannot be unpacked into {target.parent}: {error.strerror or error}.") from error
    except tarfile.TarError as error:
        raise InvalidRequest(f"{archive.name} cannot be unpacked: {error}.", param="source") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return target


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _without_credentials(text: str) -> str:
    return re.sub(r"://[^/@\s]+@", "://", text)[:600]

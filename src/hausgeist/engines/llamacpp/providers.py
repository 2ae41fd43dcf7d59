"""Which llama.cpp runs: the wheel from PyPI, a llama-server built on this machine, or one of the user's own. The choice lies in HOME/engine.json.

What is here only looks and remembers; `build.py` makes the built one, `verify.py` finds out whether it is right and faster.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from hausgeist.errors import InvalidRequest, NotFound, StoreError
from hausgeist.settings import Settings

__all__ = ["NAMES", "Provider", "ProviderName", "built_binary", "choose", "provider", "providers"]

ProviderName = Literal["wheel", "built", "binary"]
NAMES: tuple[ProviderName, ...] = ("wheel", "built", "binary")


@dataclass(frozen=True, slots=True)
class Provider:
    """One way to run llama.cpp. `binary` is `None` for the wheel, which runs inside the worker's Python."""

    name: ProviderName
    binary: Path | None
    version: str
    backends: tuple[str, ...]
    """What it computes on: "cpu", and "cuda", "vulkan", "metal" or "rocm" where compiled in."""

    @property
    def fingerprint(self) -> str:
        """Which build answers, for `system_fingerprint`: the engine's name and version."""
        return re.sub(r"[^\w.+-]+", "-", f"{'xllamacpp' if self.name == 'wheel' else 'llama.cpp'}-{self.version}", flags=re.ASCII).strip("-")

    @property
    def accelerated(self) -> bool:
        """Whether it can compute on something else than processors."""
        return any(backend != "cpu" for backend in self.backends)


def built_binary(home: Path) -> Path:
    """Where `hausgeist engine build` puts the llama-server that it made; beside it `build.json`: {"version": str, "backends": [str]}."""
    return home / "engines" / "built" / ("llama-server.exe" if os.name == "nt" else "llama-server")


def provider(settings: Settings) -> Provider:
    """The one to use: `settings.engine`, or the stored choice, or the wheel. Raises `NotFound` when it is not there."""
    name: ProviderName = _stored(settings.home) if settings.engine == "auto" else settings.engine
    return _find(name, settings)


def providers(settings: Settings) -> list[Provider]:
    """All that can be used on this machine."""
    found = []
    for name in NAMES:
        try:
            found.append(_find(name, settings))
        except NotFound:
            continue
    return found


def choose(home: Path, name: str, binary: Path | None = None) -> None:
    """Remember which one to use from now on; `binary` is the path of the user's own llama-server, for "binary"."""
    if name not in NAMES:
        raise InvalidRequest(f"There is no engine '{name}'. Choose one of {', '.join(NAMES)}.", param="engine")
    if name == "built" and not built_binary(home).is_file():
        raise NotFound("No engine has been built here yet. 'hausgeist engine build' does it.")
    stored: dict[str, Any] = {**_read(home), "engine": name}
    if binary is not None:
        stored["binary"] = str(binary.absolute())
    file = home / "engine.json"
    draft = file.with_name(f".engine-{secrets.token_hex(4)}.json")
    try:
        home.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps(stored) + "\n", encoding="utf-8")
        draft.replace(file)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise StoreError(f"{file} cannot be written: {error.strerror}.") from error


def _find(name: ProviderName, settings: Settings) -> Provider:
    if name == "wheel":
        return _wheel()
    if name == "built":
        binary = built_binary(settings.home)
        if not binary.is_file():
            raise NotFound("No engine has been built here yet. Run 'hausgeist engine build', or 'hausgeist engine use wheel'.")
        about = _json(binary.with_name("build.json"))
        return Provider("built", binary, str(about.get("version", "unknown")), _names(about.get("backends")) or ("cpu",))
    stored = _read(settings.home).get("binary")
    path = settings.engine_binary or (Path(stored) if isinstance(stored, str) and stored else None)
    if path is None:
        raise NotFound("No llama-server of your own is configured. Set engine_binary (HAUSGEIST_ENGINE_BINARY) to its path.")
    if not path.is_file() or not os.access(path, os.X_OK):
        raise NotFound(f"{path} is not an executable file. Set engine_binary to a llama-server.")
    path = path.absolute()
    return Provider("binary", path, *_ask(path, path.stat().st_mtime_ns))


@lru_cache(maxsize=1)
def _wheel() -> Provider:
    try:
        version = metadata.version("xllamacpp")
        files = metadata.files("xllamacpp") or []
    except metadata.PackageNotFoundError as error:
        raise NotFound("The Python package xllamacpp is not installed. 'pip install xllamacpp' brings it.") from error
    clues = [version.encode(), *(str(file).encode() for file in files)]
    for file in files:
        if file.suffix in {".so", ".pyd", ".dylib"}:
            clues.append(_ends(Path(str(file.locate()))))
    found = dict.fromkeys(backend for mark, backend in _MARKS if any(mark in clue for clue in clues))
    return Provider("wheel", None, version, ("cpu", *found))


_MARKS = (
    (b"libcuda.so", "cuda"),
    (b"nvcuda.dll", "cuda"),
    (b"ggml-cuda", "cuda"),
    (b"libamdhip64", "rocm"),
    (b"ggml-hip", "rocm"),
    (b"libvulkan.so", "vulkan"),
    (b"vulkan-1.dll", "vulkan"),
    (b"ggml-vulkan", "vulkan"),
    (b"Metal.framework", "metal"),
)
"""What a library that computes on a GPU links to. Names of linked libraries stand at one end of the file or the other."""


def _ends(file: Path, size: int = 4 * 2**20) -> bytes:
    try:
        with file.open("rb") as stream:
            head = stream.read(size)
            stream.seek(max(size, file.stat().st_size - size))
            return head + stream.read()
    except OSError:
        return b""


@lru_cache(maxsize=8)
def _ask(binary: Path, _modified: int) -> tuple[str, tuple[str, ...]]:
    """Version and backends of a llama-server that we did not make, as it tells itself."""
    import re
    import subprocess

    def output(*arguments: str) -> str:
        try:
            done = subprocess.run([str(binary), *arguments], capture_output=True, text=True, timeout=20, check=False, stdin=subprocess.DEVNULL)
        except (OSError, subprocess.TimeoutExpired):
            return ""
        return done.stdout + done.stderr

    version = re.search(r"version:\s*(.+)", output("--version"))
    devices = output("--list-devices")
    marks = (("CUDA", "cuda"), ("Vulkan", "vulkan"), ("ROCm", "rocm"), ("Metal", "metal"), ("MTL", "metal"), ("SYCL", "sycl"))
    found = dict.fromkeys(name for mark, name in marks if re.search(rf"^\s*{mark}\d*:", devices, re.MULTILINE))
    return (version.group(1).strip() if version else "unknown"), ("cpu", *found)


def _stored(home: Path) -> ProviderName:
    name = _read(home).get("engine")
    return next((known for known in NAMES if known == name), "wheel")


def _read(home: Path) -> dict[str, Any]:
    return _json(home / "engine.json")


def _json(file: Path) -> dict[str, Any]:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _names(value: object) -> tuple[str, ...]:
    return tuple(str(one) for one in value) if isinstance(value, list) else ()

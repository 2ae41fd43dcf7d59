"""Which files a worker process may touch: its model's, its libraries', the devices it computes on. Nothing of the home folder, and no writing."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from hausgeist.sandbox.files import DEVICE, EXECUTE, LOOK, MAKE_SOCKET, PROGRAMS, READ, REMOVE_FILE, python, restrict, system

__all__ = ["confine"]

_SETTINGS = ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "vulkan", "OpenCL", "glvnd", "nvidia", "drirc", "amd", "rocm")
"""Of /etc, what loaders and drivers read; the rest of it is none of a worker's business."""
_PROCESSES = ("self", "sys", "driver", "cpuinfo", "meminfo", "stat", "devices", "modules", "filesystems", "version", "loadavg", "uptime")
"""Of /proc, this process and the machine: the environment of others may hold secrets."""
_DEVICES = ("null", "zero", "full", "random", "urandom", "shm", "dri", "kfd", "dxg", "accel")
_NUMBERED = re.compile(r"nvidia.*|mali\d*|davinci.*|hisi_hdc|devmm_svm")


def confine(config: dict[str, Any]) -> str:
    """Leave this thread, and all that comes from it, the files that a worker with this configuration needs. Call it before other threads start.

    Returns why it was not possible, or nothing."""
    return restrict(_granted(config))


def _granted(config: dict[str, Any]) -> Iterator[tuple[Path, int]]:
    """What may be touched, and how. What is not there is passed over."""
    yield from system()
    yield from python("xllamacpp")
    for name in _SETTINGS:
        yield Path("/etc") / name, LOOK
    for name in _PROCESSES:
        yield Path("/proc") / name, LOOK
    yield Path("/sys"), LOOK
    for name in _DEVICES:
        yield Path("/dev") / name, DEVICE
    for path in _entries(Path("/dev")):
        if _NUMBERED.fullmatch(path.name):
            yield path, DEVICE
    files = (config["model"], config["projector"], config["draft"], *(adapter for adapter, _ in config["adapters"]))
    for file in files:
        for path in _with_parts(file) if file else ():
            yield path, READ
    if config["binary"]:
        yield from _binary(Path(config["binary"]))
    if config["listen"].endswith(".sock"):
        yield Path(config["listen"]).parent, MAKE_SOCKET | REMOVE_FILE


def _binary(binary: Path) -> Iterator[tuple[Path, int]]:
    """An engine of one's own, with the libraries that lie beside it. Not their whole folder, which may be anything."""
    yield binary, READ | EXECUTE
    for path in _entries(binary.resolve().parent):
        if ".so" in path.suffixes or path == binary.resolve():
            yield path, READ | EXECUTE
    for place in (str(binary.resolve().parent.parent / "lib"), *os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)):
        if place:
            yield Path(place), PROGRAMS


_PART = re.compile(r"-\d{5}-of-(\d{5})\.gguf$")


def _with_parts(file: str) -> Iterable[Path]:
    """A large model comes in several files, of which the first is named."""
    found = _PART.search(file)
    if found is None:
        return [Path(file)]
    stem = file[: found.start()]
    return [path for path in _entries(Path(file).parent) if str(path).startswith(stem) and _PART.search(path.name)]


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []

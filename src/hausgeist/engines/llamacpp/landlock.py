"""Which files a worker process may touch: its model's, its libraries', the devices it computes on. Nothing of the home folder, and no writing.

A parser of foreign model files is where hostile bytes meet native code; what it cannot open it cannot give away. Landlock (Linux 5.13 and later)
asks for no rights and holds for whatever is exec'd. Only ctypes and the standard library, as in `sandbox.py`; elsewhere nothing is done.
"""

from __future__ import annotations

import ctypes
import os
import re
import struct
import sys
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

__all__ = ["confine"]

_CREATE, _ADD, _RESTRICT = 444, 445, 446
"""The same numbers on every architecture."""
_VERSION = 1
_PATH_BENEATH = 1

_EXECUTE, _WRITE, _READ, _LIST = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REMOVE_FILE, _MAKE_SOCKET = 1 << 5, 1 << 9
_TRUNCATE, _IOCTL = 1 << 14, 1 << 15
_HANDLED = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
"""All that a version knows to restrict; version 4 added ports, which the network filter sees to."""
_SCOPES = 0b11
"""From version 6 on: no signals to processes outside, no abstract sockets of theirs."""
_OF_FILES = _EXECUTE | _WRITE | _READ | _TRUNCATE | _IOCTL
"""What can be granted on something that is not a folder."""

_PROGRAMS = _READ | _LIST | _EXECUTE
_LOOK = _READ | _LIST
_DEVICE = _READ | _LIST | _WRITE | _IOCTL

_SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/opt", "/nix/store", "/gnu/store", "/run/opengl-driver", "/run/current-system/sw")
_SETTINGS = ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "vulkan", "OpenCL", "glvnd", "nvidia", "drirc", "amd", "rocm")
"""Of /etc, what loaders and drivers read; the rest of it is none of a worker's business."""
_PROCESSES = ("self", "sys", "driver", "cpuinfo", "meminfo", "stat", "devices", "modules", "filesystems", "version", "loadavg", "uptime")
"""Of /proc, this process and the machine: the environment of others may hold secrets."""
_DEVICES = ("null", "zero", "full", "random", "urandom", "shm", "dri", "kfd", "dxg", "accel")
_NUMBERED = re.compile(r"nvidia.*|mali\d*|davinci.*|hisi_hdc|devmm_svm")


def confine(config: dict[str, Any]) -> str:
    """Leave this thread, and all that comes from it, the files that a worker with this configuration needs. Call it before other threads start.

    Returns why it was not possible, or nothing."""
    if sys.platform != "linux":
        return "only Linux can confine a process to some files"
    libc = ctypes.CDLL(None, use_errno=True)
    version = _call(libc, _CREATE, None, 0, _VERSION)
    if version < 1:
        return f"this kernel cannot confine a process to some files (Landlock: {os.strerror(ctypes.get_errno())})"
    handled = _HANDLED[max(known for known in _HANDLED if known <= version)]
    attributes = struct.pack("QQQ", handled, 0, _SCOPES if version >= 6 else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    rules = _call(libc, _CREATE, ctypes.create_string_buffer(attributes, len(attributes)), size, 0)
    if rules < 0:
        return f"Landlock: {os.strerror(ctypes.get_errno())}"
    try:
        for path, rights in _granted(config):
            _grant(libc, rules, path, rights & handled)
        if libc.prctl(ctypes.c_int(38), ctypes.c_ulong(1), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)) != 0:
            return f"no_new_privs: {os.strerror(ctypes.get_errno())}"
        if _call(libc, _RESTRICT, rules, 0) != 0:
            return f"Landlock: {os.strerror(ctypes.get_errno())}"
    except OSError as error:
        return str(error)
    finally:
        os.close(rules)
    return ""


def _granted(config: dict[str, Any]) -> Iterator[tuple[Path, int]]:
    """What may be touched, and how. What is not there is passed over by `_grant`."""
    for name in _SYSTEM:
        yield Path(name), _PROGRAMS
    for path in _python():
        yield path, _PROGRAMS
    for name in _SETTINGS:
        yield Path("/etc") / name, _LOOK
    for name in _PROCESSES:
        yield Path("/proc") / name, _LOOK
    yield Path("/sys"), _LOOK
    for name in _DEVICES:
        yield Path("/dev") / name, _DEVICE
    for path in _entries(Path("/dev")):
        if _NUMBERED.fullmatch(path.name):
            yield path, _DEVICE
    files = (config["model"], config["projector"], config["draft"], *(adapter for adapter, _ in config["adapters"]))
    for file in files:
        for path in _with_parts(file) if file else ():
            yield path, _READ
    if config["binary"]:
        yield from _binary(Path(config["binary"]))
    if config["listen"].endswith(".sock"):
        yield Path(config["listen"]).parent, _MAKE_SOCKET | _REMOVE_FILE


def _python() -> Iterator[Path]:
    """The interpreter, its libraries and ours, and the packages of the engine, wherever they are installed."""
    for prefix in {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}:
        yield Path(prefix)
    yield Path(__file__).parents[2]
    spec = find_spec("xllamacpp")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        yield Path(place).parent  # its libraries lie beside it, and Python looks for it there


def _binary(binary: Path) -> Iterator[tuple[Path, int]]:
    """An engine of one's own, with the libraries that lie beside it. Not their whole folder, which may be anything."""
    yield binary, _READ | _EXECUTE
    for path in _entries(binary.resolve().parent):
        if ".so" in path.suffixes or path == binary.resolve():
            yield path, _READ | _EXECUTE
    for place in (str(binary.resolve().parent.parent / "lib"), *os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)):
        if place:
            yield Path(place), _PROGRAMS


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


def _grant(libc: Any, rules: int, path: Path, rights: int) -> None:
    # What the kernel makes up of a process it may make up anew, without our rule, unless somebody holds on to it.
    keep = path == Path("/proc/self")
    try:
        handle = os.open(path, os.O_PATH)
    except OSError:
        return
    os.set_inheritable(handle, keep)
    try:
        if not path.is_dir():
            rights &= _OF_FILES
        rule = struct.pack("=Qi", rights, handle)
        if _call(libc, _ADD, rules, _PATH_BENEATH, ctypes.create_string_buffer(rule, len(rule)), 0) != 0:
            raise OSError(ctypes.get_errno(), f"Landlock, {path}: {os.strerror(ctypes.get_errno())}")
    finally:
        if not keep:
            os.close(handle)


def _call(libc: Any, number: int, *values: Any) -> int:
    words = [value if value is None or isinstance(value, ctypes.Array) else ctypes.c_long(value) for value in values]
    return int(libc.syscall(ctypes.c_long(number), *words))

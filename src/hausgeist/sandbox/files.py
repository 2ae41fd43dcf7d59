"""Leaving a process only the files that it needs. Nothing of the home folder, and no writing, unless it is granted.

A parser of foreign files is where hostile bytes meet native code; what it cannot open it cannot give away. Landlock (Linux 5.13 and later)
asks for no rights and holds for whatever is exec'd. Only ctypes and the standard library, as in `process.py`; elsewhere nothing is done.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

__all__ = ["DEVICE", "EXECUTE", "LOOK", "MAKE_SOCKET", "PROGRAMS", "READ", "REMOVE_FILE", "SCRATCH", "python", "restrict", "system"]

_CREATE, _ADD, _RESTRICT = 444, 445, 446
"""The same numbers on every architecture."""
_VERSION = 1
_PATH_BENEATH = 1

EXECUTE, _WRITE, READ, _LIST = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REMOVE_FOLDER, REMOVE_FILE, _MAKE_FOLDER, _MAKE_FILE, MAKE_SOCKET = 1 << 4, 1 << 5, 1 << 7, 1 << 8, 1 << 9
_TRUNCATE, _IOCTL = 1 << 14, 1 << 15
_HANDLED = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
"""All that a version knows to restrict; version 4 added ports, which the network filter sees to."""
_SCOPES = 0b11
"""From version 6 on: no signals to processes outside, no abstract sockets of theirs."""
_OF_FILES = EXECUTE | _WRITE | READ | _TRUNCATE | _IOCTL
"""What can be granted on something that is not a folder."""

PROGRAMS = READ | _LIST | EXECUTE
LOOK = READ | _LIST
DEVICE = READ | _LIST | _WRITE | _IOCTL
SCRATCH = READ | _LIST | _WRITE | _TRUNCATE | _MAKE_FILE | _MAKE_FOLDER | REMOVE_FILE | _REMOVE_FOLDER

_SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/opt", "/nix/store", "/gnu/store", "/run/opengl-driver", "/run/current-system/sw")


def restrict(granted: Iterable[tuple[Path, int]]) -> str:
    """Leave this thread, and all that comes from it, these files and folders with these rights. Call it before other threads start.

    What is not there is passed over. Returns why it was not possible, or nothing."""
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
        for path, rights in granted:
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


def system() -> Iterator[tuple[Path, int]]:
    """Programs and libraries of the system."""
    for name in _SYSTEM:
        yield Path(name), PROGRAMS


def python(*packages: str) -> Iterator[tuple[Path, int]]:
    """The interpreter, its libraries and ours, and these packages, wherever they are installed."""
    for prefix in {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}:
        yield Path(prefix), PROGRAMS
    yield Path(__file__).parents[1], PROGRAMS
    for package in packages:
        spec = find_spec(package)
        for place in (spec.submodule_search_locations or ()) if spec else ():
            yield Path(place).parent, PROGRAMS  # its libraries lie beside it, and Python looks for it there


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

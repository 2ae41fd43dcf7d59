"""What a worker process gives up before native code runs in it: outliving its parent, core dumps, endless memory, the network.

Only ctypes and the standard library: this is imported at the very start of the worker. Everything here holds across exec. Linux can do all of
it; elsewhere a worker is tied to its parent by a pipe alone, and the network is left to the good conduct of what runs in it.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import platform
import signal
import struct
import sys

__all__ = ["LINUX", "deny_network", "die_with_parent", "limit"]

LINUX: bool = sys.platform == "linux"

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_SET_MODE_FILTER = 1
_SECCOMP_FILTER_FLAG_TSYNC = 1


_FIRST_TO_GO = 800
"""Of 1000: when memory runs out, the kernel shall take the worker, which can be had again, and not the server."""


def limit(memory: int | None = None) -> None:
    """No core dumps (they would hold prompts), as many open files as the system lets us have, and at most `memory` bytes (mapped files do not
    count) where the system can hold it to that."""
    if sys.platform == "win32":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    os.umask(0o077)
    if LINUX:
        if memory is not None:
            hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
            allowed = memory if hard == resource.RLIM_INFINITY else min(memory, hard)
            resource.setrlimit(resource.RLIMIT_DATA, (allowed, allowed))
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write(str(_FIRST_TO_GO))


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent ends. Ends it at once if that has happened already."""
    if LINUX:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if hasattr(os, "getppid") and os.getppid() != parent:
        os._exit(0)


def deny_network() -> bool:
    """Refuse sockets of any family but AF_UNIX, for all threads and whatever is exec'd, for good. False where this system cannot."""
    if not LINUX or not (program := _program(platform.machine())):
        return False
    code = b"".join(struct.pack("HBBI", *line) for line in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    libc = ctypes.CDLL(None, use_errno=True)

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]

    pointer = ctypes.byref(Program(len(program), ctypes.cast(buffer, ctypes.c_void_p)))
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    number = _CALLS[platform.machine()]["seccomp"]
    if libc.syscall(ctypes.c_long(number), ctypes.c_ulong(_SECCOMP_SET_MODE_FILTER), ctypes.c_ulong(_SECCOMP_FILTER_FLAG_TSYNC), pointer) != 0:
        code_ = ctypes.get_errno()
        if code_ in (errno.ENOSYS, errno.EINVAL, errno.EPERM, errno.EACCES):
            return False
        raise OSError(code_, os.strerror(code_))
    return True


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(ctypes.c_int(option), ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"prctl({option}): {os.strerror(code)}")


_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_CALLS = {
    "x86_64": {
        "socket": 41,
        "ptrace": 101,
        "process_vm_readv": 310,
        "process_vm_writev": 311,
        "seccomp": 317,
        "io_uring_setup": 425,
        "pidfd_getfd": 438,
    },
    "aarch64": {
        "socket": 198,
        "ptrace": 117,
        "process_vm_readv": 270,
        "process_vm_writev": 271,
        "seccomp": 277,
        "io_uring_setup": 425,
        "pidfd_getfd": 438,
    },
}
_X32 = 0x40000000
"""System calls of the x32 ABI have this bit set and the same architecture; none of them is let through."""

_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16


def _program(machine: str) -> list[tuple[int, int, int, int]]:
    """A classic BPF program: (operation, lines to skip if true, if false, operand) per line. Empty for an architecture we do not know.

    io_uring could open sockets behind the filter's back; ptrace, process_vm_* and pidfd_getfd could borrow another process's.
    """
    if machine not in _CALLS or sys.byteorder != "little":
        return []
    calls = _CALLS[machine]
    refused = [calls[name] for name in ("io_uring_setup", "ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd")]
    checks: list[tuple[int, int]] = [(_EQUAL, number) for number in refused]
    if machine == "x86_64":
        checks.insert(0, (_AT_LEAST, _X32))
    # Layout: [arch check][load nr][checks...][is it socket?][load domain][is it AF_UNIX?][allow][refuse]
    tail = 5
    program: list[tuple[int, int, int, int]] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 0, len(checks) + tail, _ARCHITECTURES[machine]),
        (_LOAD, 0, 0, _NUMBER),
    ]
    for position, (operation, number) in enumerate(checks):
        program.append((operation, len(checks) - position - 1 + tail - 1, 0, number))
    program += [
        (_EQUAL, 0, 2, calls["socket"]),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_EQUAL, 0, 1, 1),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    ]
    return program

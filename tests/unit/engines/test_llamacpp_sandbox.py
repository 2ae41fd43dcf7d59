"""What a worker gives up, tried in processes that really give it up."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux only")

SEALED = """
import errno, os, socket, subprocess, sys, threading, ctypes
from hausgeist.engines.llamacpp import sandbox

def refused(family):
    try:
        socket.socket(family, socket.SOCK_STREAM).close()
    except PermissionError:
        return True
    return False

before, after = threading.Event(), threading.Event()
seen = []
thread = threading.Thread(target=lambda: (before.set(), after.wait(), seen.append(refused(socket.AF_INET))))
thread.start()
before.wait()
assert not refused(socket.AF_INET)
assert sandbox.deny_network()
after.set()
thread.join()
assert seen == [True], "a thread that was there before"
assert refused(socket.AF_INET) and refused(socket.AF_INET6) and refused(socket.AF_NETLINK) and refused(socket.AF_VSOCK)
left, right = socket.socketpair()
left.sendall(b"x")
assert right.recv(1) == b"x"
socket.socket(socket.AF_UNIX).close()
libc = ctypes.CDLL(None, use_errno=True)
assert libc.syscall(425, 8, ctypes.create_string_buffer(120)) == -1 and ctypes.get_errno() == errno.EPERM, "io_uring"
code = "import socket\\ntry: socket.socket()\\nexcept PermissionError: print('refused')"
print(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip())
"""

CHILD = """
import os, sys
from hausgeist.engines.llamacpp import sandbox
sandbox.die_with_parent(int(sys.argv[1]))
os.write(1, b"tied\\n")
if sys.argv[2] == "exec":
    os.execv("/bin/sleep", ["sleep", "60"])
import time
time.sleep(60)
"""

PARENT = """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[1], str(os.getpid()), sys.argv[2]], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
import time
time.sleep(60)
"""


def gone(pid: int, patience: float = 2.0) -> bool:
    until = time.monotonic() + patience
    while time.monotonic() < until:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return False


@linux
def test_no_network_for_any_thread_nor_after_exec() -> None:
    done = subprocess.run([sys.executable, "-c", SEALED], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "refused\n"


@linux
@pytest.mark.parametrize("after", ["exec", "stay"])
def test_a_child_dies_with_its_parent(after: str) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, CHILD, after], stdout=subprocess.PIPE, text=True)
    try:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        time.sleep(0.1)
        assert psutil.pid_exists(child)
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        parent.stdout.close()  # type: ignore[union-attr]
    assert gone(child)


def test_a_child_whose_parent_is_gone_already_ends_at_once() -> None:
    done = subprocess.run([sys.executable, "-c", CHILD, str(os.getpid() + 1), "stay"], capture_output=True, timeout=20, check=False)
    assert (done.returncode, done.stdout) == (0, b"")


@pytest.mark.skipif(os.name == "nt", reason="no resource limits")
def test_limits() -> None:
    code = (
        "import os, resource; from hausgeist.engines.llamacpp import sandbox; sandbox.limit(); "
        "print(resource.getrlimit(resource.RLIMIT_CORE), oct(os.umask(0)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout == "(0, 0) 0o77\n"


@linux
def test_a_filter_is_there_for_both_architectures() -> None:
    from hausgeist.engines.llamacpp.sandbox import _program

    for machine in ("x86_64", "aarch64"):
        program = _program(machine)
        for position, (operation, if_true, if_false, _) in enumerate(program):
            if operation & 7 == 5:
                assert position + 1 + max(if_true, if_false) < len(program)
    assert _program("riscv64") == []


def test_the_sandbox_needs_nothing_but_the_standard_library() -> None:
    source = Path(sys.modules["hausgeist"].__file__ or "").parent / "engines" / "llamacpp" / "sandbox.py"
    code = f"import runpy; runpy.run_path({str(source)!r})"
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True, timeout=20)

"""What a worker gives up, tried in processes that really give it up."""

import json
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
from hausgeist.sandbox import process as sandbox

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
from hausgeist.sandbox import process as sandbox
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


CONFINED = """
import json, os, socket, subprocess, sys
from pathlib import Path
from hausgeist.sandbox import process as sandbox
from hausgeist.engines.llamacpp.landlock import confine

home, outside = Path(sys.argv[1]), Path(sys.argv[2])
model = home / "blobs" / "model.gguf"
config = {"model": str(model), "projector": None, "draft": None, "adapters": [], "binary": None, "listen": str(home / "run" / "1-a.sock")}
sandbox.deny_network()
why = confine(config)
if why:
    print(json.dumps({"why": why}))
    sys.exit()

def attempt(what):
    try:
        what()
    except PermissionError:
        return "refused"
    return "done"

server = socket.socket(socket.AF_UNIX)
told = {
    "why": "",
    "model": model.read_text(),
    "database": attempt(lambda: (home / "hausgeist.db").read_text()),
    "list": attempt(lambda: list(home.iterdir())),
    "blob": attempt(lambda: (home / "blobs" / "other").read_text()),
    "write home": attempt(lambda: (home / "new").write_text("x")),
    "write model": attempt(lambda: model.write_text("x")),
    "truncate model": attempt(lambda: os.truncate(model, 0)),
    "write run": attempt(lambda: (home / "run" / "new").write_text("x")),
    "outside": attempt(lambda: (outside / "secret").read_text()),
    "write outside": attempt(lambda: (outside / "new").write_text("x")),
    "passwords": attempt(lambda: Path("/etc/shadow").read_text()),
    "environment of the parent": attempt(lambda: Path(f"/proc/{os.getppid()}/environ").read_bytes()),
    "signal": attempt(lambda: os.kill(os.getppid(), 0)),
    "null": attempt(lambda: Path("/dev/null").write_text("x")),
    "socket": attempt(lambda: server.bind(config["listen"])),
    "remove socket": attempt(lambda: os.unlink(config["listen"])),
    "import": attempt(lambda: __import__("xllamacpp")),
    "exec": subprocess.run(["/bin/sh", "-c", "cat " + str(home / "hausgeist.db") + " 2>&1"], capture_output=True, text=True).stdout,
}
print(json.dumps(told))
"""


@linux
def test_of_the_files_a_worker_has_only_its_own(tmp_path: Path) -> None:
    home, outside = tmp_path / "home", tmp_path / "outside"
    for folder in (home / "blobs", home / "run", outside):
        folder.mkdir(parents=True)
    for file in (home / "hausgeist.db", home / "blobs" / "other", outside / "secret"):
        file.write_text("secret")
    (home / "blobs" / "model.gguf").write_text("weights")
    done = subprocess.run([sys.executable, "-c", CONFINED, str(home), str(outside)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    if told["why"]:
        pytest.skip(told["why"])
    assert "secret" not in told.pop("exec")
    assert told == {
        "why": "",
        "model": "weights",
        **dict.fromkeys(("database", "list", "blob", "write home", "write model", "truncate model", "write run", "outside"), "refused"),
        **dict.fromkeys(("write outside", "passwords", "environment of the parent"), "refused"),
        "signal": told["signal"],  # from version 6 of Landlock on
        **dict.fromkeys(("null", "socket", "remove socket", "import"), "done"),
    }
    assert (home / "blobs" / "model.gguf").read_text() == "weights"


@linux
def test_an_engine_of_ones_own_comes_with_its_libraries_and_no_more(tmp_path: Path) -> None:
    from hausgeist.engines.llamacpp.landlock import _granted

    for name in ("llama-server", "libggml.so.1", "hausgeist.db", "model-00001-of-00002.gguf", "model-00002-of-00002.gguf", "model-other.gguf"):
        (tmp_path / name).write_text("")
    model = str(tmp_path / "model-00001-of-00002.gguf")
    config = {"model": model, "projector": None, "draft": None, "adapters": [], "binary": str(tmp_path / "llama-server"), "listen": "127.0.0.1:1"}
    granted = {path.name for path, _ in _granted(config) if path.parent == tmp_path}
    assert granted == {"llama-server", "libggml.so.1", "model-00001-of-00002.gguf", "model-00002-of-00002.gguf"}


@linux
def test_a_kernel_that_cannot_confine_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    from hausgeist.engines.llamacpp import landlock
    from hausgeist.sandbox import files

    monkeypatch.setattr(files, "_CREATE", 1000)  # a call that no kernel has
    assert "this kernel cannot" in landlock.confine({})


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


@linux
def test_memory_has_an_end_and_the_kernel_knows_whom_to_take_first() -> None:
    code = (
        "from hausgeist.sandbox import process as sandbox; sandbox.limit(2**30)\n"
        "print(open('/proc/self/oom_score_adj').read().strip())\n"
        "try: bytearray(2**31)\nexcept MemoryError: print('no more')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout == "800\nno more\n"


@pytest.mark.skipif(os.name == "nt", reason="no resource limits")
def test_limits() -> None:
    code = (
        "import os, resource; from hausgeist.sandbox import process as sandbox; sandbox.limit(); "
        "print(resource.getrlimit(resource.RLIMIT_CORE), oct(os.umask(0)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout == "(0, 0) 0o77\n"


@linux
def test_a_filter_is_there_for_both_architectures() -> None:
    from hausgeist.sandbox.process import _program

    for machine in ("x86_64", "aarch64"):
        program = _program(machine)
        for position, (operation, if_true, if_false, _) in enumerate(program):
            if operation & 7 == 5:
                assert position + 1 + max(if_true, if_false) < len(program)
    assert _program("riscv64") == []


def test_the_sandbox_needs_nothing_but_the_standard_library() -> None:
    for name in ("process.py", "files.py"):
        source = Path(sys.modules["hausgeist"].__file__ or "").parent / "sandbox" / name
        code = f"import runpy; runpy.run_path({str(source)!r})"
        subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True, timeout=20)

"""One server per home, and a file left behind does not look like a server."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from hausgeist.cli import running
from hausgeist.cli.running import HomeLock, Running, find
from hausgeist.errors import Conflict

HERE = Running(address="http://127.0.0.1:4287", pid=1, started=0.0, version="1")


def test_found_while_it_runs(tmp_path: Path) -> None:
    assert find(tmp_path) is None
    lock = HomeLock(tmp_path / "home")
    lock.publish(HERE)
    assert find(tmp_path / "home") == HERE
    lock.release()
    assert find(tmp_path / "home") is None


def test_only_its_user_can_read_it(tmp_path: Path) -> None:
    lock = HomeLock(tmp_path)
    lock.publish(HERE)
    assert (tmp_path / "run" / "server.json").stat().st_mode & 0o777 == 0o600
    lock.release()


def test_a_second_server_is_told_where_the_first_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "_PATIENCE", 0.1)
    lock = HomeLock(tmp_path)
    lock.publish(HERE)
    with pytest.raises(Conflict, match=r"http://127\.0\.0\.1:4287"):
        HomeLock(tmp_path)
    lock.release()
    HomeLock(tmp_path).release()


def test_kill_9_frees_the_home(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from hausgeist.cli.running import HomeLock, Running\n"
        "lock = HomeLock(Path(sys.argv[1])); lock.publish(Running(address='http://x', pid=1, started=0.0, version='1'))\n"
        "print('up', flush=True); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        child.stdout.readline()
        assert find(tmp_path) is not None
    finally:
        child.kill()
        child.communicate()
    assert find(tmp_path) is None
    lock = HomeLock(tmp_path)
    lock.release()


def test_looking_does_not_keep_a_server_from_starting(tmp_path: Path) -> None:
    """Who looks holds the lock for a moment; the server tries again."""
    code = "import sys\nfrom pathlib import Path\nfrom hausgeist.cli.running import find\nwhile True: find(Path(sys.argv[1]))"
    HomeLock(tmp_path).release()
    looking = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) for _ in range(2)]
    try:
        time.sleep(0.5)
        lock = HomeLock(tmp_path)
        lock.publish(HERE)
        lock.release()
    finally:
        for child in looking:
            child.kill()
            child.wait()

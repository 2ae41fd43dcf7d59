"""The wheel, in an environment of its own: all that a server needs is in it, and nothing is taken from the clone."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "--quiet"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    # With the build tool at hand nothing has to be fetched, so this passes without a network, too.
    isolation = ["--no-build-isolation"] if importlib.util.find_spec("hatchling") else []
    ended = subprocess.run(
        [*PIP, "wheel", "--no-deps", *isolation, "--wheel-dir", folder, ROOT], capture_output=True, text=True, timeout=300, check=False
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel in it. What it depends on is borrowed from this one, whose own Hausgeist stays out of reach."""
    folder = tmp_path_factory.mktemp("clean") / "venv"
    venv.create(folder, with_pip=False, symlinks=os.name != "nt")
    python = str(folder / "bin" / "python")
    ended = subprocess.run(
        [*PIP, "--python", python, "install", "--no-deps", "--no-index", wheel], capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    site = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], capture_output=True, text=True, check=True, timeout=30
    )
    paths = dict.fromkeys([sysconfig.get_path("purelib"), sysconfig.get_path("platlib")])
    # A folder on the path is not searched for .pth files, so the editable install of the clone has no effect there.
    (Path(site.stdout.strip()) / "borrowed.pth").write_text("".join(f"{path}\n" for path in paths))
    return folder


def run(environment: Path, *arguments: str, home: Path) -> str:
    ended = subprocess.run(
        [environment / "bin" / arguments[0], *arguments[1:]], capture_output=True, text=True, timeout=60, check=False, cwd=home, env=_env(home)
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    return ended.stdout.strip()


def _env(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HAUSGEIST_", "PYTHON", "COVERAGE", "VIRTUAL_ENV"))}
    return kept | {"HAUSGEIST_HOME": str(home)}


def test_all_files_are_in_it(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("hausgeist/")}
    there = {
        path.relative_to(ROOT / "src").as_posix()
        for path in (ROOT / "src" / "hausgeist").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith("LEAD-")
    }
    assert not there - names
    assert any(name.startswith("hausgeist/store/migrations/versions/0001") for name in names)
    assert "hausgeist/py.typed" in names
    assert zipfile.ZipFile(wheel).getinfo("hausgeist/library/guide/guide.gguf").file_size <= 12e6


def test_the_first_answer_needs_nothing_else(environment: Path, tmp_path: Path) -> None:
    assert "hausgeist pull" in run(environment, "hausgeist", "run", "How do I install a model?", home=tmp_path)


def test_it_says_what_it_is(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        text = archive.read(metadata).decode()
        assert any(name.endswith("/licenses/LICENSE") for name in archive.namelist())
    assert "License-Expression: Apache-2.0" in text
    assert "Requires-Python: >=3.11" in text


def test_the_version(environment: Path, tmp_path: Path) -> None:
    import hausgeist

    assert run(environment, "hausgeist", "--version", home=tmp_path) == f"hausgeist {hausgeist.__version__}"
    where = run(environment, "python", "-c", "import hausgeist; print(hausgeist.__file__)", home=tmp_path)
    assert Path(where).is_relative_to(environment)
    assert hausgeist.__version__ in run(
        environment, "python", "-c", "from importlib.metadata import version; print(version('hausgeist'))", home=tmp_path
    )


def test_migrations_are_packaged(environment: Path, tmp_path: Path) -> None:
    code = (
        "import pathlib, sqlite3, sys; from hausgeist.store.database import Database; Database.open(pathlib.Path(sys.argv[1])).close();"
        "print(sqlite3.connect(pathlib.Path(sys.argv[1]) / 'hausgeist.db').execute('SELECT count(*) FROM models').fetchone()[0])"
    )
    assert run(environment, "python", "-c", code, str(tmp_path / "home"), home=tmp_path) == "0"


@pytest.fixture
def served(environment: Path, tmp_path: Path) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = (tmp_path / "log").open("wb")
    process = subprocess.Popen(
        [environment / "bin" / "hausgeist", "serve", "--port", str(port), "--offline"],
        stdout=log,
        stderr=subprocess.STDOUT,
        cwd=tmp_path,
        env=_env(tmp_path / "home") | {"HAUSGEIST_FAKE": "1", "HAUSGEIST_GUIDE": "0"},
    )
    yield port, process
    if process.poll() is None:
        process.kill()
    process.wait(10)
    log.close()


def test_it_serves(served: tuple[int, subprocess.Popen[bytes]], tmp_path: Path) -> None:
    port, process = served
    health = _answer(f"http://127.0.0.1:{port}/health", process, tmp_path / "log")
    assert health
    assert _answer(f"http://127.0.0.1:{port}/ready", process, tmp_path / "log")
    models = json.loads(_answer(f"http://127.0.0.1:{port}/v1/models", process, tmp_path / "log"))
    assert "fake:echo" in {model["id"] for model in models["data"]}
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0, (tmp_path / "log").read_text()[-3000:]


def _answer(url: str, process: subprocess.Popen[bytes], log: Path, seconds: float = 30) -> bytes:
    until = time.monotonic() + seconds
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while True:
        try:
            with opener.open(url, timeout=5) as reply:
                return bytes(reply.read())
        except (urllib.error.URLError, OSError) as error:
            if process.poll() is not None or time.monotonic() > until:
                raise AssertionError(f"{url}: {error}\n{log.read_text()[-3000:]}") from error
            time.sleep(0.1)

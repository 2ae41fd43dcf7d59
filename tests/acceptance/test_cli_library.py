"""The life of a model on the terminal: from a real registry and a hub on loopback, with a server and without, interrupted and killed."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hausgeist.engines.specimen import write_specimen
from tests.acceptance.test_cli_commands import data, environment, hausgeist
from tests.hub import Hub
from tests.registry import Registry

NAME = "hf.co/owner/slow:Q4_K_M"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_specimen(tmp_path_factory.mktemp("weights") / "tiny-Q4_K_M.gguf")


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> Iterator[Registry]:
    with Registry(tmp_path_factory.mktemp("registry")) as registry:
        registry.push("library/small", [("model", weights), ("license", b"MIT License")])
        yield registry


@pytest.fixture
def hub(weights: Path) -> Iterator[Hub]:
    with Hub() as hub:
        hub.add("owner/slow", {"tiny-Q4_K_M.gguf": weights})
        yield hub


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def run(home: Path, registry: Registry) -> Callable[..., subprocess.CompletedProcess[str]]:
    return lambda *arguments, **more: hausgeist(home, *arguments, **{"HAUSGEIST_REGISTRY": registry.url, **more})


def until(condition: Callable[[], Any], seconds: float = 30) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)
    return found


def partials(home: Path) -> list[Path]:
    return [file for file in (home / "blobs").glob(".download-*") if file.stat().st_size]


@pytest.mark.parametrize("serving", [False, True])
def test_the_life_of_a_model(run: Callable[..., Any], registry: Registry, weights: Path, tmp_path: Path, home: Path, serving: bool) -> None:
    server = None
    if serving:
        server = _served(home, registry)
    try:
        pulled = run("pull", "small")
        assert (pulled.returncode, pulled.stdout) == (0, "")
        assert "pulled small: " in pulled.stderr
        assert "up to date" in run("pull", "small").stderr
        told = [json.loads(line) for line in run("pull", "small", "--name", "second", "--json").stdout.splitlines()]
        assert told[-1]["stage"] == "done"
        listed = {model["name"]: model for model in data(run("list", "--json"))["models"]}
        small = listed["small:latest"]
        assert (small["reference"], small["pinned"], bool(small["version"])) == ("small", False, True)
        assert listed["second:latest"]["digest"] == small["digest"]
        shown = run("show", "small").stdout
        assert "MIT License" in shown
        assert "digest" in shown
        assert "FROM small" in run("show", "small", "--modelfile").stdout
        assert "as their sources have them" in run("outdated").stderr
        registry.push("library/small", [("model", weights), ("system", b"new")])
        assert "small" in run("outdated").stdout
        assert "pinned" in (run("pin", "small").stderr + run("upgrade", "--all").stderr)
        run("unpin", "small")
        assert run("upgrade", "small").returncode == 0
        assert "what it was before" in run("rollback", "small").stderr
        assert "is sound" in run("verify", "--all").stderr
        file = tmp_path / f"models-{serving}.tar"
        assert run("export", "small", "second", str(file)).returncode == 0
        assert run("export", "small", str(file)).returncode == 1
        other = hausgeist(tmp_path / f"other-{serving}", "import", str(file))
        assert "installed small: " in other.stderr
        assert len(data(hausgeist(tmp_path / f"other-{serving}", "list", "--json"))["models"]) >= 2
        assert run("cp", "small", "third").returncode == 0
        modelfile = tmp_path / "Modelfile"
        modelfile.write_text(f'FROM {weights}\nSYSTEM """Be\nkind."""\nPARAMETER temperature 0\nMESSAGE user hi\nMESSAGE assistant ho\n')
        assert run("create", "mario", "-f", str(modelfile)).returncode == 0
        assert "MESSAGE assistant ho" in run("show", "mario", "--modelfile").stdout
        (tmp_path / "diary").write_text("nobody's business")
        modelfile.write_text("FROM ./diary\n")
        nosy = run("create", "thief", "-f", str(modelfile))
        assert (nosy.returncode, "is not a GGUF file" in nosy.stderr) == (2, True), nosy.stderr
        assert run("rm", "--yes", "small", "second", "third", "mario").returncode == 0
        assert run("gc", "--all").returncode == 0
        assert list((home / "blobs").iterdir()) == []
    finally:
        registry.push("library/small", [("model", weights), ("license", b"MIT License")])
        if server is not None:
            server.kill()
            server.wait()


def _served(home: Path, registry: Registry) -> subprocess.Popen[bytes]:
    variables = environment(home, HAUSGEIST_REGISTRY=registry.url)
    process = subprocess.Popen([sys.executable, "-m", "hausgeist", "serve"], env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: (home / "run" / "server.json").is_file() and (home / "run" / "server.json").read_text().strip())
    return process


def test_run_brings_what_is_not_there(run: Callable[..., Any]) -> None:
    answered = run("run", "small", "hello", "--max-tokens", "3", "--yes")
    assert answered.returncode == 0, answered.stderr
    assert "small is not installed; pulling it" in answered.stderr
    assert "installed small: " in answered.stderr
    assert "licence: MIT License" in answered.stderr
    assert "pulling" not in run("run", "small", "hello", "--max-tokens", "3").stderr


@pytest.mark.parametrize("command", [("run", "kanzlei-meier", "hello"), ("create", "ours", "--from", "kanzlei-meier")])
def test_a_name_that_could_be_private_does_not_leave_the_house(run: Callable[..., Any], command: tuple[str, ...]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as outside:
        outside.setblocking(False)
        address = f"127.0.0.1:{outside.getsockname()[1]}"
        done = run(*command, HAUSGEIST_REGISTRY=f"http://{address}")
        assert done.returncode == 3
        assert f"{address} was not asked for it" in done.stderr
        assert "'hausgeist pull kanzlei-meier' looks for it" in done.stderr
        with pytest.raises(BlockingIOError):
            outside.accept()


@pytest.mark.parametrize("command", [("pull", "gemma3:4b"), ("run", "gemma3:4b", "hello")])
@pytest.mark.parametrize("how", ["offline", "nobody"])
def test_without_a_way_out(run: Callable[..., Any], command: tuple[str, ...], how: str) -> None:
    began = time.monotonic()
    more = (
        {"HAUSGEIST_OFFLINE": "1", "HAUSGEIST_REGISTRY": "https://registry.ollama.ai"}
        if how == "offline"
        else {"HAUSGEIST_REGISTRY": "http://127.0.0.1:9"}
    )
    done = run(*command, **more)
    assert done.returncode in {1, 3, 4}
    assert "hausgeist import FILE" in done.stderr
    assert "Traceback" not in done.stderr
    assert time.monotonic() - began < 20


def test_what_is_not_there(run: Callable[..., Any], weights: Path) -> None:
    done = run("pull", "nothing")
    assert done.returncode == 3
    assert "nothing" in done.stderr
    for command in (("upgrade", "nothing"), ("rollback", "nothing"), ("pin", "nothing"), ("verify", "nothing")):
        assert run(*command).returncode == 3, command
    assert run("import", "/nowhere.tar").returncode == 3
    mistaken = run("import", str(weights))
    assert mistaken.returncode == 2
    assert "is a model file (GGUF)" in mistaken.stderr
    assert "hausgeist create NAME --from FILE" in mistaken.stderr
    assert run("create", "x", "-f", "/nowhere").returncode == 3
    assert run("upgrade").returncode == 2


def test_ctrl_c_keeps_what_has_come(home: Path, hub: Hub) -> None:
    hub.fault("slow", rate=5_000, times=1000)
    leader, follower = pty.openpty()
    variables = environment(home, HF_ENDPOINT=hub.url, HAUSGEIST_ALLOW="localhost", TERM="xterm")
    process = subprocess.Popen([sys.executable, "-m", "hausgeist", "pull", NAME], env=variables, stdin=follower, stdout=follower, stderr=follower)
    os.close(follower)
    until(lambda: partials(home))
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    said = b""
    try:
        while piece := os.read(leader, 4096):
            said += piece
    except OSError:
        pass  # the other end is closed
    os.close(leader)
    assert process.wait(20) == 130
    assert b"tiny-Q4_K_M.gguf" in said
    assert b"goes on from there" in said
    assert partials(home)
    assert data(hausgeist(home, "list", "--json", HAUSGEIST_FAKE=""))["models"] == []
    hub.faults.clear()
    assert hausgeist(home, "pull", NAME, HF_ENDPOINT=hub.url, HAUSGEIST_ALLOW="localhost").returncode == 0
    assert not partials(home)


def test_a_pull_says_which_precision_it_takes_and_why_and_keeps_to_it(home: Path, hub: Hub, weights: Path) -> None:
    hub.add("owner/two", {"tiny-Q4_K_M.gguf": weights, "tiny-Q8_0.gguf": weights})
    pulled = hausgeist(home, "pull", "hf.co/owner/two", HF_ENDPOINT=hub.url, HAUSGEIST_ALLOW="localhost")
    assert pulled.returncode == 0, pulled.stderr
    assert "Q8_0: it fits on " in pulled.stderr
    hub.seen.clear()
    again = hausgeist(home, "pull", "hf.co/owner/two", HF_ENDPOINT=hub.url, HAUSGEIST_ALLOW="localhost")
    assert "is up to date" in again.stderr
    assert not hub.requests("cdn")
    shown = data(hausgeist(home, "show", "hf.co/owner/two", "--json", HAUSGEIST_FAKE=""))
    assert shown["reference"] == "hf.co/owner/two:Q8_0"


def test_a_killed_server_goes_on_with_its_pulls(home: Path, hub: Hub) -> None:
    hub.fault("slow", rate=20_000, times=1000)
    variables = environment(home, HF_ENDPOINT=hub.url, HAUSGEIST_ALLOW="localhost")
    command = [sys.executable, "-m", "hausgeist", "serve"]
    server = subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: (home / "run" / "server.json").is_file() and (home / "run" / "server.json").read_text().strip())
    client = subprocess.Popen([sys.executable, "-m", "hausgeist", "pull", NAME], env=variables, stderr=subprocess.PIPE)
    until(lambda: partials(home))
    server.kill()
    server.wait()
    assert client.wait(20) == 5
    assert client.stderr is not None
    client.stderr.close()
    assert not [file for file in (home / "blobs").iterdir() if file.name.startswith("sha256-")]
    hub.faults.clear()
    server = subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: [file for file in (home / "blobs").iterdir() if file.name.startswith("sha256-")])
        until(lambda: NAME in hausgeist(home, "list").stdout)
    finally:
        server.terminate()
        server.wait()


def test_a_killed_import_leaves_no_model(run: Callable[..., Any], home: Path, tmp_path: Path) -> None:
    run("pull", "small")
    file = tmp_path / "small.tar"
    run("export", "small", str(file))
    fifo, other = tmp_path / "fifo", tmp_path / "other"
    os.mkfifo(fifo)
    process = subprocess.Popen([sys.executable, "-m", "hausgeist", "import", str(fifo)], env=environment(other), stderr=subprocess.DEVNULL)
    with fifo.open("wb") as target:
        target.write(file.read_bytes()[: file.stat().st_size // 2])
        target.flush()
        until(lambda: list((other / "blobs").glob(".partial-*")))
        process.kill()
        process.wait()
    assert data(hausgeist(other, "list", "--json", HAUSGEIST_FAKE=""))["models"] == []
    assert not list((other / "blobs").glob(".partial-*"))
    assert hausgeist(other, "import", str(file)).returncode == 0

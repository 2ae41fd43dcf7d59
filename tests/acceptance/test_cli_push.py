"""`hausgeist push` as people type it: asked first, told how far it is, gone on with after Ctrl-C and after the death of the server."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from hausgeist.engines.specimen import write_specimen
from tests.acceptance.test_cli_commands import environment, hausgeist
from tests.acceptance.test_cli_library import until
from tests.registry import MANIFEST, Registry


class Gate:
    """In front of a registry: weights wait here until it is opened."""

    def __init__(self, registry: Registry) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()
        self.passed = 0
        """Bytes of weights."""
        outer, http = self, httpx.Client(base_url=registry.url, trust_env=False, timeout=30)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def forward(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if self.command == "PATCH":
                    outer.reached.set()
                    outer.opened.wait(30)
                    outer.passed += len(body)
                kept = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
                answer = http.request(self.command, self.path, content=body, headers=kept)
                self.send_response(answer.status_code)
                for name, value in answer.headers.items():
                    if name.lower() not in {"content-length", "date", "transfer-encoding"}:
                        self.send_header(name, value)
                self.send_header("Content-Length", answer.headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(answer.content)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(answer.content)

            do_GET = do_HEAD = do_POST = do_PATCH = do_PUT = forward  # noqa: N815

            def log_message(self, *arguments: Any) -> None:
                return None

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except OSError:  # whoever asked was killed
                    self.close_connection = True

        self._http = http
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, name="gate", daemon=True).start()

    def close(self) -> None:
        self.opened.set()
        self._server.shutdown()
        self._server.server_close()
        self._http.close()


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with Registry(tmp_path_factory.mktemp("registry")) as registry:
        yield registry


@pytest.fixture
def gate(registry: Registry) -> Iterator[Gate]:
    gate = Gate(registry)
    yield gate
    gate.close()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home, weights = tmp_path / "home", write_specimen(tmp_path / "tiny.gguf", seed=int.from_bytes(os.urandom(3)))
    home.mkdir()
    modelfile = tmp_path / "Modelfile"
    modelfile.write_text(f"FROM {weights}\nSYSTEM Be kind.\n")
    assert hausgeist(home, "create", "mario", "-f", str(modelfile)).returncode == 0
    return home


def named(home: Path, host: str) -> None:
    (home / "hausgeist.toml").write_text(f'[registries."{host}"]\n')


def pushed(registry: Registry, name: str, tag: str) -> bool:
    address = f"{registry.url}/v2/{name}/manifests/{tag}"
    return httpx.get(address, headers={"Accept": MANIFEST}, trust_env=False).status_code == 200


def typed(home: Path, *arguments: str, keys: bytes = b"", meanwhile: Callable[[subprocess.Popen[bytes]], None] | None = None) -> tuple[int, str]:
    """On a terminal."""
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "hausgeist", *arguments]
    process = subprocess.Popen(command, env=environment(home, TERM="xterm"), stdin=follower, stdout=follower, stderr=follower)
    os.close(follower)
    os.write(leader, keys)
    if meanwhile is not None:
        meanwhile(process)
    said = b""
    try:
        while piece := os.read(leader, 4096):
            said += piece
    except OSError:
        pass  # the other end is closed
    os.close(leader)
    return process.wait(30), " ".join(said.decode(errors="replace").split())


def test_a_question_comes_first(home: Path, registry: Registry) -> None:
    named(home, registry.host)
    name = f"{registry.host}/asked/mario:1"
    code, said = typed(home, "push", "mario", name, keys=b"n\n")
    assert (code, "nothing sent" in said) == (0, True), said
    assert f"to {registry.host}, as {name}. go on? [y/N]" in said
    assert "this sends 3" in said
    assert "no chat template in Ollama's language" in said
    nobody = hausgeist(home, "push", "mario", name)
    assert (nobody.returncode, "say --yes" in nobody.stderr) == (2, True)
    assert not pushed(registry, "asked/mario", "1")
    code, said = typed(home, "push", "mario", name, keys=b"y\n")
    assert (code, f"pushed {name} to {registry.host}: 3" in said) == (0, True), said
    assert pushed(registry, "asked/mario", "1")
    assert "it was all there" in hausgeist(home, "push", "mario", name, "--yes").stderr
    other = home.parent / "other"
    assert hausgeist(other, "pull", name, HAUSGEIST_ALLOW="127.0.0.1").returncode == 0
    assert "Be kind." in hausgeist(other, "show", name).stdout


def test_what_is_not_sent(home: Path, registry: Registry) -> None:
    for arguments, code, complaint in (
        (("mario",), 1, "names no registry and no owner"),
        (("mario", "library/mario"), 1, "names no registry and no owner"),
        (("mario", "./file"), 1, "not a name in a registry"),
        (("mario", "me/mario"), 4, 'allow = ["registry.ollama.ai"]'),
        (("mario", f"{registry.host}/me/mario"), 4, "Its owner can add it"),
        (("nobody", f"{registry.host}/me/mario"), 3, "nobody"),
    ):
        done = hausgeist(home, "push", *arguments, "--yes")
        assert (done.returncode, complaint in done.stderr) == (code, True), done.stderr
    assert httpx.get(f"{registry.url}/v2/me/mario/tags/list", trust_env=False).status_code == 404


def test_lines_of_json(home: Path, registry: Registry) -> None:
    named(home, registry.host)
    done = hausgeist(home, "push", "mario", f"{registry.host}/json/mario", "--yes", "--json")
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert list(dict.fromkeys(one["stage"] for one in told)) == ["resolving", "uploading", "publishing", "done"], done.stderr
    assert told[-1]["done"] > 300_000


def test_ctrl_c(home: Path, registry: Registry, gate: Gate) -> None:
    named(home, gate.host)
    name = f"{gate.host}/stopped/mario"

    def interrupt(process: subprocess.Popen[bytes]) -> None:
        assert gate.reached.wait(30)
        process.send_signal(signal.SIGINT)

    code, said = typed(home, "push", "mario", name, "--yes", meanwhile=interrupt)
    assert (code, "goes on from there" in said) == (130, True), said
    gate.opened.set()
    assert not pushed(registry, "stopped/mario", "latest")
    assert hausgeist(home, "push", "mario", name, "--yes").returncode == 0
    assert pushed(registry, "stopped/mario", "latest")


def test_a_killed_server_goes_on_with_its_pushes(home: Path, registry: Registry, gate: Gate) -> None:
    named(home, gate.host)

    def serve() -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "hausgeist", "serve"]
        process = subprocess.Popen(command, env=environment(home), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(lambda: (home / "run" / "server.json").is_file() and (home / "run" / "server.json").read_text().strip())
        return process

    server = serve()
    command = [sys.executable, "-m", "hausgeist", "push", "mario", f"{gate.host}/killed/mario", "--yes"]
    client = subprocess.Popen(command, env=environment(home), stderr=subprocess.DEVNULL)
    assert gate.reached.wait(30)
    server.kill()
    server.wait()
    assert client.wait(20) == 5
    assert not pushed(registry, "killed/mario", "latest")
    gate.opened.set()
    server = serve()
    try:
        until(lambda: pushed(registry, "killed/mario", "latest"))
        assert not list((home / "blobs").glob(".upload-*"))
    finally:
        server.terminate()
        server.wait()

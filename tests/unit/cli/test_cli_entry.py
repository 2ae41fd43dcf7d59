"""How a command line ends: codes, words, and no traceback; what the shell completes; how little '--version' needs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import typer

from hausgeist.cli import entry
from hausgeist.cli.client import Client, RequestFailed, remote_address
from hausgeist.cli.exits import EXIT_CODES, ServerUnreachable
from hausgeist.cli.options import complete_file_or_model
from hausgeist.cli.running import HomeLock, Running
from hausgeist.cli.serve import _bytes, _seconds
from hausgeist.errors import Busy, Conflict, EgressRefused, InvalidRequest, ModelNotFound, NotAllowed, NotAuthenticated, StoreError


def application(error: BaseException) -> typer.Typer:
    app = typer.Typer(rich_markup_mode=None)

    @app.command()
    def fail() -> None:
        raise error

    @app.command()
    def other() -> None: ...

    return app


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ModelNotFound("x"), 3),
        (InvalidRequest("no"), 2),
        (NotAllowed("no"), 4),
        (NotAuthenticated(), 4),
        (EgressRefused(), 4),
        (ServerUnreachable(), 5),
        (Conflict("no"), 1),
        (Busy(), 1),
        (StoreError(), 1),
        (KeyboardInterrupt(), 130),
        (typer.Abort(), 130),
        (typer.Exit(7), 7),
    ],
)
def test_exit_codes(error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(entry, "build", lambda: application(error))
    assert entry.main(["fail"]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    if isinstance(error, (ModelNotFound, InvalidRequest, Conflict)):
        assert captured.err == f"error: {error.message}\n"
    assert code in EXIT_CODES or code == 7


def test_what_nobody_expected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("HAUSGEIST_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HAUSGEIST_LOG_LEVEL", raising=False)
    monkeypatch.setattr(entry, "build", lambda: application(ZeroDivisionError("oh")))
    assert entry.main(["fail"]) == 1
    log = tmp_path / "home" / "logs" / "cli.log"
    said = capsys.readouterr().err
    assert "ZeroDivisionError: oh" in said
    assert str(log) in said
    assert "Traceback" not in said
    assert "Traceback" in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600


def test_tracebacks_for_those_who_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAUSGEIST_LOG_LEVEL", "debug")
    monkeypatch.setattr(entry, "build", lambda: application(ZeroDivisionError("oh")))
    with pytest.raises(ZeroDivisionError):
        entry.main(["fail"])


def test_the_version_needs_nothing() -> None:
    code = "import sys; from hausgeist.__main__ import main; main(['--version']); print(len([m for m in sys.modules if m.startswith('hausgeist')]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    version, modules = done.stdout.splitlines()
    assert version.startswith("hausgeist ")
    assert int(modules) == 2


@pytest.mark.parametrize("words", ["key crea", "serv"])
def test_the_shell_completes_commands(words: str) -> None:
    parts = ["hausgeist", *words.split()]
    environment = {**os.environ, "_HAUSGEIST_COMPLETE": "complete_bash", "COMP_WORDS": " ".join(parts), "COMP_CWORD": str(len(parts) - 1)}
    done = subprocess.run([sys.executable, "-m", "hausgeist"], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.split() == [{"crea": "create", "serv": "serve"}[parts[-1]]]


def test_the_shell_completes_models_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"models": [{"name": "gemma:latest"}, {"name": "qwen:7b"}]}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HAUSGEIST_HOME", str(tmp_path / "home"))
    (tmp_path / "gem.gguf").touch()
    (tmp_path / "gems.txt").touch()
    assert list(complete_file_or_model("gem")) == ["gem.gguf"]
    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    lock = HomeLock(tmp_path / "home")
    try:
        lock.publish(Running(address=f"http://127.0.0.1:{server.server_port}", pid=1, started=0.0, version="1"))
        assert list(complete_file_or_model("gem")) == ["gemma", "gem.gguf"]
    finally:
        lock.release()
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("localhost", "http://localhost:4287"),
        ("127.0.0.1:99", "http://127.0.0.1:99"),
        ("::1", "http://[::1]:4287"),
        ("ai.example.org", "https://ai.example.org:4287"),
        ("ai.example.org:443", "https://ai.example.org:443"),
        ("http://10.0.0.1:80/v1", "http://10.0.0.1:80"),
        ("https://ai.example.org/", "https://ai.example.org"),
    ],
)
def test_addresses(text: str, address: str) -> None:
    assert remote_address(text, 4287) == address


def test_a_port_that_is_none() -> None:
    with pytest.raises(InvalidRequest):
        remote_address("ai.example.org:http", 4287)


@pytest.mark.parametrize(("text", "count"), [("16G", 16 << 30), ("1.5 GiB", 3 << 29), ("800M", 800 << 20), ("4096", 4096), (None, None)])
def test_sizes(text: str | None, count: int | None) -> None:
    assert _bytes(text) == count


def test_times() -> None:
    assert _seconds("10m") == 600
    assert _seconds("-1") == -1
    with pytest.raises(InvalidRequest):
        _seconds("soon")
    with pytest.raises(InvalidRequest):
        _bytes("much")


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'"x"'])
def test_something_else_answers(body: bytes) -> None:
    import httpx

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=body)

    client = Client(httpx.Client(base_url="http://x", transport=httpx.MockTransport(answer)))
    with client, pytest.raises(RequestFailed, match="Hausgeist server"):
        client.ask("GET", "/api/tags")


def test_lines_are_split_at_newlines_only() -> None:
    import httpx

    text = "a\u2028b\x85c"
    lines = json.dumps({"text": text}, ensure_ascii=False).encode() + b"\n" + b'{"error": "broken"}\n'

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=lines)

    with Client(httpx.Client(base_url="http://x", transport=httpx.MockTransport(answer))) as client, client.stream("/x", {}) as events:
        assert next(events) == {"text": text}
        with pytest.raises(RequestFailed, match="broken"):
            next(events)

"""The commands as scripts and people call them: output, JSON, exit codes, pipes."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
import psutil
import pytest
from cryptography.x509 import DNSName, NameConstraints, load_pem_x509_certificate

from hausgeist.__main__ import main
from hausgeist.engines.specimen import write_specimen
from hausgeist.http.rules import own_names

PATIENCE = 60


def environment(home: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HAUSGEIST_") and name not in {"NO_COLOR", "FORCE_COLOR"}}
    return {**kept, "HAUSGEIST_HOME": str(home), "HAUSGEIST_FAKE": "1", "HAUSGEIST_GUIDE": "0", "HAUSGEIST_PORT": "0", **more}


def hausgeist(home: Path, *arguments: str, stdin: str | bytes = b"", **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command line as a script would, with pipes at all ends; in this process, as starting Python a hundred times takes a minute."""
    fed = io.TextIOWrapper(io.BytesIO(stdin.encode() if isinstance(stdin, str) else stdin), "utf-8")
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    with patch.dict(os.environ, environment(home, **more), clear=True), patch("sys.stdin", fed), redirect_stdout(out), redirect_stderr(err):
        code = main(arguments)
    texts = [stream.buffer.getvalue().decode() for stream in (out, err)]  # type: ignore[attr-defined]
    return subprocess.CompletedProcess(arguments, code, *texts)


def process(home: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """The same in a process of its own."""
    command = [sys.executable, "-m", "hausgeist", *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, encoding="utf-8", env=environment(home), timeout=PATIENCE, check=False)


def data(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


class Served:
    def __init__(self, home: Path, *arguments: str) -> None:
        self.home = home
        self.log = home.parent / "server.log"
        with self.log.open("wb") as log:
            command = [sys.executable, "-m", "hausgeist", "serve", *arguments]
            self.process = subprocess.Popen(command, env=environment(home), stdout=log, stderr=log)
        deadline = time.monotonic() + PATIENCE
        while "Ctrl-C ends it" not in self.log.read_text():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)

    @property
    def about(self) -> dict[str, Any]:
        return dict(json.loads((self.home / "run" / "server.json").read_text()))

    def close(self) -> int:
        self.process.terminate()
        return self.process.wait(30)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    server = Served(tmp_path_factory.mktemp("served") / "home")
    yield server
    assert server.close() == 0


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def test_the_screen_of_a_start(served: Served) -> None:
    screen, address = served.log.read_text(), served.about["address"]
    for line in (address, "fake:echo", "hausgeist run fake:echo", f"curl {address}/v1/chat/completions", f'OpenAI(base_url="{address}/v1"'):
        assert line in screen


def test_the_curl_line_works(served: Served) -> None:
    line = next(line for line in served.log.read_text().splitlines() if line.strip().startswith("curl"))
    done = subprocess.run(["sh", "-c", line.strip().removeprefix("curl").strip()], capture_output=True, timeout=PATIENCE, check=True)
    assert json.loads(done.stdout)["choices"][0]["message"]["content"] == "hello"


def test_models_are_listed_and_shown(served: Served) -> None:
    listed = data(hausgeist(served.home, "list", "--json"))
    assert "fake:echo" in {model["name"] for model in listed["models"]}
    assert "fake:echo" in hausgeist(served.home, "list").stdout
    shown = data(hausgeist(served.home, "show", "fake:echo", "--json"))
    assert "completion" in shown["capabilities"]
    missing = hausgeist(served.home, "show", "nothing")
    assert (missing.returncode, missing.stdout) == (3, "")
    assert missing.stderr.startswith("error: The model 'nothing' is not installed")


def test_one_answer(served: Served) -> None:
    assert process(served.home, "run", "fake:echo", "one", "two").stdout == "one two\n"
    assert process(served.home, "run", "fake:echo", "first:", stdin="then\n").stdout == "first:\n\nthen\n"
    assert hausgeist(served.home, "run", "fake:echo", stdin="piped\n").stdout == "piped\n"
    final = data(hausgeist(served.home, "run", "fake:echo", "hi", "--json"))
    assert final["message"] == {"role": "assistant", "content": "hi"}
    assert final["done"]
    assert final["eval_count"] > 0


def test_an_answer_by_a_schema(served: Served) -> None:
    schema = json.dumps({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]})
    done = hausgeist(served.home, "run", "fake:obeys", "json", "--json-schema", schema)
    assert isinstance(json.loads(done.stdout)["n"], int)


def test_options_reach_the_model(served: Served) -> None:
    final = data(hausgeist(served.home, "run", "fake:obeys", "length 500", "--max-tokens", "7", "--json"))
    assert (final["eval_count"], final["done_reason"]) == (7, "length")


def test_nothing_to_answer_is_a_usage_error(served: Served) -> None:
    for arguments, stdin in ((["run", "fake:echo"], ""), (["run", "fake:echo"], b"\xff\xfe"), (["run"], ""), (["run", "fake:echo", "--nope"], "")):
        done = hausgeist(served.home, *arguments, stdin=stdin)
        assert done.returncode == 2
        assert done.stderr.startswith("error: ")
        assert "Traceback" not in done.stderr


def test_hostile_text_is_harmless_in_pipes_too(served: Served) -> None:
    done = hausgeist(served.home, "run", "fake:echo", stdin="\x1b[2Jx")
    assert done.stdout == "␛[2Jx\n"
    assert json.loads(hausgeist(served.home, "run", "fake:echo", "--json", stdin="\x1b[2Jx").stdout)["message"]["content"] == "\x1b[2Jx"


def test_an_answer_that_fails(served: Served) -> None:
    done = hausgeist(served.home, "run", "fake:obeys", "die")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    half = hausgeist(served.home, "run", "fake:obeys", stdin="say half\nfail 500 boom")
    assert half.returncode == 1
    assert half.stdout == "half\n"
    assert "boom" in half.stderr


def test_loaded_models_can_be_stopped(served: Served) -> None:
    hausgeist(served.home, "run", "fake:echo", "hi")
    assert "fake:echo" in {model["name"] for model in data(hausgeist(served.home, "ps", "--json"))["models"]}
    done = hausgeist(served.home, "stop", "fake:echo")
    assert (done.returncode, done.stderr) == (0, "stopped fake:echo\n")
    assert "fake:echo" not in {model["name"] for model in data(hausgeist(served.home, "ps", "--json"))["models"]}
    assert hausgeist(served.home, "stop", "nothing").returncode == 3
    assert hausgeist(served.home, "stop").returncode == 2


def test_a_file_is_handed_to_the_server_that_runs(served: Served, tmp_path: Path) -> None:
    file = write_specimen(tmp_path / "small.gguf")
    done = hausgeist(served.home, "run", str(file), "hello", "--max-tokens", "3", "--json")
    assert data(done)["model"].startswith("small")
    assert "the server that runs keeps small; 'hausgeist rm small' removes it" in done.stderr
    assert "keeps" not in hausgeist(served.home, "run", str(file), "hello", "--max-tokens", "3", "--json").stderr  # it was there
    assert data(hausgeist(served.home, "ls", "--json")) == data(hausgeist(served.home, "list", "--json"))
    for command in (
        ("show", "smal"),
        ("rm", "smal"),
        ("cp", "smal", "x"),
        ("stop", "smal"),
        ("pin", "smal"),
        ("upgrade", "smal"),
        ("rollback", "smal"),
    ):
        missing = hausgeist(served.home, *command)
        assert (missing.returncode, "did you mean small?" in missing.stderr) == (3, True), (command, missing.stderr)
    assert "small:latest" in {model["name"] for model in data(hausgeist(served.home, "list", "--json"))["models"]}
    assert hausgeist(served.home, "rm", "small").returncode == 2  # nobody to ask
    assert hausgeist(served.home, "rm", "small", "--yes").returncode == 0
    assert hausgeist(served.home, "rm", "small", "--yes").returncode == 3


def test_a_second_server_on_the_same_home_is_refused(served: Served) -> None:
    done = process(served.home, "serve")
    assert done.returncode == 1
    assert served.about["address"] in done.stderr


def test_a_port_in_use(served: Served, home: Path) -> None:
    port = served.about["address"].rpartition(":")[2]
    done = process(home, "serve", "--port", port)
    assert done.returncode == 1
    assert "in use" in done.stderr
    assert "--port" in done.stderr


def test_a_chat_takes_another_port_when_its_own_is_in_use(served: Served, home: Path) -> None:
    port = served.about["address"].rpartition(":")[2]
    assert hausgeist(home, "run", "fake:echo", "hi", HAUSGEIST_PORT=port).stdout == "hi\n"


def test_a_broken_pipe_is_quiet(served: Served) -> None:
    command = [sys.executable, "-m", "hausgeist", "run", "fake:obeys", "length 4000"]
    running = subprocess.Popen(command, env=environment(served.home), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert running.stdout is not None
    assert running.stderr is not None
    running.stdout.read(1)
    running.stdout.close()
    said = running.stderr.read().decode()
    running.stderr.close()
    assert running.wait(PATIENCE) != 0
    assert said == ""


def test_another_server_by_address(served: Served, home: Path) -> None:
    address = served.about["address"]
    assert data(hausgeist(home, "list", "--json", "--host", address))["models"]
    assert data(hausgeist(home, "list", "--json", "--host", address.removeprefix("http://")))["models"]
    refused = hausgeist(home, "list", "--host", "127.0.0.1:1")
    assert refused.returncode == 5
    assert "hausgeist serve" in refused.stderr


def test_without_a_server_the_application_answers(home: Path, tmp_path: Path) -> None:
    models = {model["name"] for model in data(hausgeist(home, "list", "--json"))["models"]}
    assert "fake:echo" in models
    assert "completion" in data(hausgeist(home, "show", "fake:echo", "--json"))["capabilities"]
    assert data(hausgeist(home, "ps", "--json")) == {"models": []}
    assert hausgeist(home, "rm", "nothing", "--yes").returncode == 3
    assert hausgeist(home, "list", HAUSGEIST_FAKE="").stderr.startswith("no models yet\n")


def test_a_file_without_a_server(home: Path, tmp_path: Path) -> None:
    file = write_specimen(tmp_path / "small.gguf")
    final = data(hausgeist(home, "run", str(file), "hello", "--max-tokens", "3", "--json"))
    assert final["eval_count"] <= 3
    assert "small:latest" not in {model["name"] for model in data(hausgeist(home, "list", "--json"))["models"]}
    assert not (home / "run" / "server.json").read_text()
    missing = hausgeist(home, "run", "./nothing.gguf", "hello")
    assert missing.returncode == 3
    (tmp_path / "junk.gguf").write_bytes(b"GGUF" + b"\xff" * 100)
    junk = hausgeist(home, "run", str(tmp_path / "junk.gguf"), "hello")
    assert junk.returncode != 0
    assert "junk.gguf" in junk.stderr
    assert "Traceback" not in junk.stderr


def test_a_server_that_cannot_start_says_why(home: Path) -> None:
    home.mkdir()
    (home / "hausgeist.toml").write_text("no_such_setting = 1\n")
    done = hausgeist(home, "run", "fake:echo", "hi")
    assert done.returncode == 2
    assert "no_such_setting" in done.stderr


def test_keys_projects_and_users(home: Path) -> None:
    project = data(hausgeist(home, "project", "create", "contracts", "--json"))
    made = data(hausgeist(home, "key", "create", "--project", "contracts", "--role", "reader", "--name", "editor", "--json"))
    assert set(made) == {"id", "key"}
    assert made["key"].startswith("hg-")
    listed = data(hausgeist(home, "key", "list", "--project", "contracts", "--json"))["keys"]
    assert [(key["id"], key["project"], key["role"]) for key in listed] == [(made["id"], project["id"], "reader")]
    assert made["key"] not in hausgeist(home, "key", "list").stdout
    plain = hausgeist(home, "key", "create", "--project", "contracts")
    assert plain.stdout.startswith("hg-")
    assert len(plain.stdout.split()) == 1  # what is captured by $(...) is the key alone
    assert hausgeist(home, "key", "rm", made["id"]).returncode == 0
    assert hausgeist(home, "key", "rm", "key_nothing").returncode == 3
    assert hausgeist(home, "key", "create", "--project", "nowhere").returncode == 3
    assert hausgeist(home, "key", "create", "--role", "king").returncode == 2

    user = data(hausgeist(home, "user", "create", "ada", "--invite", "--json"))
    assert "/sign-in#" in user["link"]
    assert hausgeist(home, "user", "create", "ADA").returncode == 1
    assert hausgeist(home, "user", "passwd", "ada", stdin="correct horse battery\n").returncode == 0
    assert hausgeist(home, "user", "passwd", "ada", stdin="").returncode == 2
    assert hausgeist(home, "project", "member", "add", "contracts", "ada", "--role", "owner").returncode == 0
    members = data(hausgeist(home, "project", "member", "list", "contracts", "--json"))["members"]
    assert [(member["name"], member["role"]) for member in members] == [("ada", "owner")]
    assert hausgeist(home, "user", "rm", "ada").returncode in {0, 1}
    assert hausgeist(home, "project", "rm", "default").returncode == 1
    assert hausgeist(home, "project", "rm", "contracts").returncode == 0


def test_changes_leave_rows_in_the_audit_table(home: Path) -> None:
    import sqlite3

    made = data(hausgeist(home, "key", "create", "--json"))
    hausgeist(home, "key", "rm", made["id"])
    hausgeist(home, "key", "rm", "key_nothing")
    with sqlite3.connect(home / "hausgeist.db") as connection:
        rows = connection.execute("SELECT actor, action, outcome, address FROM audit ORDER BY id").fetchall()
    connection.close()
    assert rows == [
        ("local", "key.create", "allowed", "terminal"),
        ("local", "key.delete", "allowed", "terminal"),
        ("local", "key.delete", "allowed", "terminal"),
        ("local", "key.delete", "failed", "terminal"),
    ]


def test_a_public_bind_wants_keys_but_not_from_this_terminal(tmp_path: Path, home: Path) -> None:
    server = Served(home, "--host", "0.0.0.0")
    try:
        address = server.about["address"]
        assert address.startswith("https://")
        assert "hausgeist key create" in server.log.read_text()
        assert data(hausgeist(home, "list", "--json"))["models"]
        assert hausgeist(home, "run", "fake:echo", "hi").stdout == "hi\n"
        certificate = tmp_path / "ca.crt"
        assert hausgeist(home, "cert", "export", str(certificate)).returncode == 0
        assert hausgeist(home, "cert", "export").stdout == certificate.read_text()
        assert data(hausgeist(home, "cert", "show", "--json"))["server"]["names"]
        stranger = tmp_path / "elsewhere"
        assert hausgeist(stranger, "list", "--host", address).returncode == 5  # not trusted
        trusting = {"SSL_CERT_FILE": str(certificate)}
        refused = hausgeist(stranger, "list", "--host", address, **trusting)
        assert refused.returncode == 4
        assert "HAUSGEIST_API_KEY" in refused.stderr
        key = hausgeist(home, "key", "create").stdout.strip()
        assert data(hausgeist(stranger, "list", "--json", "--host", address, HAUSGEIST_API_KEY=key, **trusting))["models"]
    finally:
        assert server.close() == 0


def test_backup_and_restore(home: Path, tmp_path: Path) -> None:
    made = data(hausgeist(home, "key", "create", "--json"))
    archive = tmp_path / "all.tar"
    assert data(hausgeist(home, "backup", str(archive), "--json"))["files"] >= 1
    assert archive.stat().st_mode & 0o077 == 0
    assert hausgeist(home, "backup", str(archive)).returncode == 1  # it is there already
    new = tmp_path / "new"
    assert data(hausgeist(new, "restore", str(archive), "--json"))["home"] == str(new)
    assert [key["id"] for key in data(hausgeist(new, "key", "list", "--json"))["keys"]] == [made["id"]]
    assert hausgeist(new, "restore", str(archive)).returncode == 1
    assert hausgeist(new, "restore", str(archive), "--force").returncode == 0
    assert hausgeist(new, "restore", str(tmp_path / "nothing.tar")).returncode == 3
    (tmp_path / "junk.tar").write_bytes(b"x" * 10000)
    assert hausgeist(tmp_path / "other", "restore", str(tmp_path / "junk.tar")).returncode == 2


def test_a_server_in_use_is_not_restored_over(served: Served, tmp_path: Path) -> None:
    archive = tmp_path / "all.tar"
    assert hausgeist(served.home, "backup", str(archive)).returncode == 0
    done = hausgeist(served.home, "restore", str(archive), "--force")
    assert done.returncode == 1
    assert "a server runs" in done.stderr


def test_engines(home: Path) -> None:
    engines = data(hausgeist(home, "engine", "list", "--json"))["engines"]
    assert [(engine["name"], engine["used"]) for engine in engines] == [("wheel", True)]
    assert hausgeist(home, "engine", "use", "built").returncode == 3
    assert hausgeist(home, "engine", "use", "rocket").returncode == 2
    assert hausgeist(home, "engine", "build", "--cuda", "--vulkan").returncode == 2
    assert hausgeist(home, "engine", "verify", "rocket").returncode == 2


def test_a_model_that_cannot_fit_is_not_pulled(home: Path) -> None:
    """What does not fit is said before gigabytes are fetched, with one that does."""
    done = hausgeist(home, "run", "llama3.3:70b", "hello", HAUSGEIST_MEMORY=str(4 << 30), HAUSGEIST_OFFLINE="1")
    assert done.returncode != 0
    assert "llama3.3:70b (Q4_K_M) does not fit" in done.stderr
    [instead] = re.findall(r"is \S+ \(\S+\): 'hausgeist run (\S+)'", done.stderr)
    fitting = data(hausgeist(home, "plan", instead, "--json", HAUSGEIST_MEMORY=str(4 << 30)))
    assert fitting["fits"]
    assert fitting["total_bytes"] <= 4 << 30
    asked = hausgeist(home, "run", "--yes", "llama3.3:70b", "hello", HAUSGEIST_MEMORY=str(4 << 30), HAUSGEIST_OFFLINE="1")
    assert "could not be pulled" in asked.stderr


def test_the_doctor(home: Path, served: Served) -> None:
    report = data(hausgeist(served.home, "doctor", "--json"))
    found = {finding["check"]: finding for finding in report["findings"]}
    assert report["ok"]
    assert served.about["address"] in found["server"]["found"]
    assert found["database"]["status"] == "ok"
    hausgeist(home, "key", "create")
    (home / "hausgeist.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 8000)
    broken = hausgeist(home, "doctor")
    assert broken.returncode == 1
    assert "hausgeist restore" in broken.stdout


def test_the_health_check_of_the_container(served: Served, home: Path) -> None:
    for where, code in ((served.home, 0), (home, 5)):
        done = subprocess.run([sys.executable, "-m", "hausgeist.cli.health"], env=environment(where), timeout=PATIENCE, check=False)
        assert done.returncode == code


def test_the_address_is_true_and_private(served: Served) -> None:
    about = served.about
    assert httpx.get(about["address"] + "/api/version", trust_env=False).status_code == 200
    assert psutil.pid_exists(about["pid"])
    assert (served.home / "run" / "server.json").stat().st_mode & 0o777 == 0o600


def test_no_words_no_command(home: Path) -> None:
    bare = process(home)
    assert bare.returncode == 2
    assert "commands:" in bare.stdout
    wrong = process(home, "sreve")
    assert wrong.returncode == 2
    assert "sreve" in wrong.stderr
    assert "\x1b" not in bare.stdout + wrong.stderr
    assert process(home, "--version").stdout.startswith("hausgeist ")
    assert not home.exists()


def test_an_authority_exported_before_the_first_start_vouches_for_the_name_of_this_machine(home: Path) -> None:
    exported = hausgeist(home, "cert", "export")
    assert exported.returncode == 0
    authority = load_pem_x509_certificate(exported.stdout.encode())
    permitted = authority.extensions.get_extension_for_class(NameConstraints).value.permitted_subtrees or []
    assert own_names() <= {one.value for one in permitted if isinstance(one, DNSName)}

"""Documents on the terminal, as people and scripts use them: add, search, ask, watch, docs, demo."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from hausgeist.cli.demo import PAPERS, QUESTIONS
from hausgeist.cli.running import find
from tests.acceptance.support import until
from tests.acceptance.test_cli_commands import Served, data, environment, hausgeist


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    server = Served(tmp_path_factory.mktemp("served") / "home")
    yield server
    assert server.close() == 0


@pytest.fixture
def project(served: Served, request: pytest.FixtureRequest) -> str:
    """A project of this test's own."""
    name = request.node.name.replace("_", "-")[:60]
    assert hausgeist(served.home, "project", "create", name).returncode == 0
    return name


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "papers"
    write(folder / "lease.md", "# Lease\n\nThe lease of the mill ends on 30 June 2031. The rent is 870 crowns a month.\n")
    write(folder / "sub" / "bees.txt", "The bees of the monastery are kept by brother Anselm. He harvests 40 kilograms of honey each year.\n")
    return folder


def write(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    os.utime(path, (time.time() - 60, time.time() - 60))
    return path


def listed(served: Served, project: str) -> dict[str, dict[str, Any]]:
    found = data(hausgeist(served.home, "docs", "list", "--project", project, "--json"))["documents"]
    return {one["filename"]: one for one in found}


def files_of(served: Served, project: str) -> list[str]:
    """Names of all files that the server keeps for a project."""
    with httpx.Client(base_url=served.about["address"], headers={"openai-project": project}, trust_env=False) as client:
        return sorted(one["filename"] for one in client.get("/v1/files").json()["data"])


def test_a_folder_is_added_searched_and_asked(served: Served, project: str, folder: Path) -> None:
    write(folder / ".hidden.txt", "x")
    write(folder / "film.mp4", "x")
    done = hausgeist(served.home, "add", str(folder), "--project", project, "--attribute", "year=2024")
    assert done.returncode == 0, done.stderr
    assert "left out: hidden (1), films and sound (1)" in done.stderr
    assert "2 added, in the store 'documents'" in done.stderr
    documents = listed(served, project)
    assert {name: one["status"] for name, one in documents.items()} == {"lease.md": "completed", "bees.txt": "completed"}
    noted = documents["bees.txt"]["attributes"]
    assert noted["path"] == str(folder / "sub" / "bees.txt")
    assert (noted["size"], noted["year"], len(noted["sha256"])) == ((folder / "sub" / "bees.txt").stat().st_size, 2024, 64)
    found = data(hausgeist(served.home, "search", "who keeps the bees?", "--project", project, "--json"))["hits"]
    assert found[0]["filename"] == "bees.txt"
    assert "Anselm" in found[0]["text"]
    text = hausgeist(served.home, "docs", "show", "bees.txt", "--text", "--project", project).stdout
    assert text[found[0]["start"] : found[0]["end"]] == found[0]["text"]
    shown = hausgeist(served.home, "search", "who keeps the bees?", "--project", project, "--limit", "1", FORCE_COLOR="1").stdout
    assert "\x1b[36mbees\x1b[0m" in shown
    assert hausgeist(served.home, "search", "bees", "--project", project, "--filter", "year>2024").returncode == 3
    answered = data(hausgeist(served.home, "ask", "When does the lease of the mill end?", "--quote", "--model", "fake:echo",
                              "--project", project, "--json"))  # fmt: skip
    assert answered["mode"] == "extractive"
    assert "30 June 2031" in answered["answer"]
    first = answered["citations"][0]
    assert (first["filename"], first["verified"]) == ("lease.md", True)
    whole = hausgeist(served.home, "docs", "show", "lease.md", "--text", "--project", project).stdout
    assert " ".join(whole[first["start"] : first["end"]].split()) == " ".join(first["quote"].split())
    shown = hausgeist(served.home, "ask", "When does the lease of the mill end?", "--quote", "--model", "fake:echo", "--project", project).stdout
    assert "[1] lease.md" in shown
    assert "✓ verified" in shown
    with httpx.Client(base_url=served.about["address"], headers={"openai-project": project}, trust_env=False) as client:
        assert client.get("/house/v1/chats").json()["data"] == [], "what was asked is not kept"


def test_only_what_has_changed_is_sent_again(served: Served, project: str, folder: Path) -> None:
    add = ("add", str(folder), "--project", project, "--json")
    first = data(hausgeist(served.home, *add))
    assert (first["done"], first["ready"], first["failures"]) == ({"new": 2}, 2, [])
    assert data(hausgeist(served.home, *add)) | {"left_out": []} == {**first, "done": {}, "ready": 0, "unchanged": 2, "left_out": []}
    before = listed(served, project)
    os.utime(folder / "lease.md")
    write(folder / "sub" / "bees.txt", "The bees have flown away to sister Mechthild.\n")
    (folder / "moved").mkdir()
    again = data(hausgeist(served.home, *add))
    assert again["done"] == {"touched": 1, "changed": 1}
    after = listed(served, project)
    assert after["lease.md"]["id"] == before["lease.md"]["id"]
    assert after["bees.txt"]["id"] != before["bees.txt"]["id"]
    assert files_of(served, project) == ["bees.txt", "lease.md"]
    assert "replaces" not in after["bees.txt"]["attributes"]
    assert data(hausgeist(served.home, "search", "bees", "--project", project, "--json"))["hits"][0]["text"].strip().endswith("Mechthild.")
    shutil.move(folder / "lease.md", folder / "moved" / "lease.md")
    assert data(hausgeist(served.home, *add))["done"] == {"moved": 1}
    moved = listed(served, project)["lease.md"]
    assert (moved["id"], moved["attributes"]["path"]) == (before["lease.md"]["id"], str(folder / "moved" / "lease.md"))


def test_one_broken_file_does_not_stop_the_others(served: Served, project: str, folder: Path) -> None:
    write(folder / "broken.pdf", b"%PDF-1.7\nthis is none")
    done = hausgeist(served.home, "add", str(folder), "--project", project)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {folder / 'broken.pdf'}: ")
    assert "\n2 added, 1 could not be read, in the store 'documents'\n" in done.stderr
    status = hausgeist(served.home, "docs", "status", "--project", project)
    assert (status.returncode, status.stdout) == (1, "2 ready, 1 failed\n")
    only = hausgeist(served.home, "docs", "list", "--status", "failed", "--project", project)
    assert "broken.pdf" in only.stdout
    assert "lease.md" not in only.stdout
    assert only.stderr.startswith("error: broken.pdf: ")
    assert hausgeist(served.home, "docs", "show", "broken.pdf", "--project", project).returncode == 1
    again = data_of_failure(hausgeist(served.home, "add", str(folder), "--project", project, "--json"))
    assert (again["done"], again["unchanged"], len(again["failures"])) == ({"again": 1}, 2, 1)
    write(folder / "broken.pdf", (PAPERS / "Vesta R15 manual.pdf").read_bytes())
    assert data(hausgeist(served.home, "add", str(folder), "--project", project, "--json"))["done"] == {"changed": 1}
    assert listed(served, project)["broken.pdf"]["status"] == "completed"


def data_of_failure(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 1, done.stderr
    return json.loads(done.stdout)


def test_documents_are_removed(served: Served, project: str, folder: Path) -> None:
    hausgeist(served.home, "add", str(folder), "--project", project)
    assert hausgeist(served.home, "docs", "remove", "nothing.txt", "--project", project).returncode == 3
    assert hausgeist(served.home, "docs", "remove", "--project", project).returncode == 2
    done = hausgeist(served.home, "docs", "remove", str(folder / "lease.md"), "--project", project)
    assert (done.returncode, done.stderr) == (0, "removed lease.md\n")
    assert files_of(served, project) == ["bees.txt"]
    assert (folder / "lease.md").exists()
    assert hausgeist(served.home, "docs", "remove", "--all", "--project", project).returncode == 2  # nobody to ask
    assert hausgeist(served.home, "docs", "remove", "--all", "--yes", "--project", project).returncode == 0
    assert files_of(served, project) == []
    missing = hausgeist(served.home, "docs", "list", "--project", project)
    assert missing.returncode == 3
    assert "hausgeist add FOLDER" in missing.stderr


def test_projects_do_not_see_each_other(served: Served, project: str, folder: Path) -> None:
    hausgeist(served.home, "add", str(folder), "--project", project, "--store", "mine")
    assert hausgeist(served.home, "search", "bees", "--store", "mine").returncode == 3
    [store] = data(hausgeist(served.home, "docs", "stores", "--project", project, "--json"))["stores"]
    assert (store["name"], store["file_counts"]["completed"]) == ("mine", 2)
    assert hausgeist(served.home, "search", "bees", "--store", store["id"]).returncode == 3
    for command in ("add", "watch"):
        assert hausgeist(served.home, command, str(folder), "--project", "nobody").returncode == 3


def test_a_large_file_comes_in_parts(served: Served, project: str, tmp_path: Path) -> None:
    # No text: so many words would keep the server reading for minutes.
    large = write(tmp_path / "large.log", b"needle: the safe opens with 4711\n" + b"\0" * (34 * 2**20))
    done = hausgeist(served.home, "add", str(large), "--project", project, "--no-wait")
    assert done.returncode == 0, done.stderr
    with httpx.Client(base_url=served.about["address"], headers={"openai-project": project}, trust_env=False) as client:
        [one] = client.get("/v1/files").json()["data"]
        assert one["bytes"] == large.stat().st_size
        assert client.get(f"/v1/files/{one['id']}/content").content[:33] == b"needle: the safe opens with 4711\n"
    hausgeist(served.home, "docs", "remove", "--all", "--yes", "--project", project)


def test_ctrl_c_leaves_nothing_broken(served: Served, project: str, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    for number in range(80):
        write(folder / f"{number:03}.txt", f"The number of this page is {number}, and its secret is {number * number}.\n")
    command = [sys.executable, "-m", "hausgeist", "add", str(folder), "--project", project]
    adding = subprocess.Popen(command, env=environment(served.home), stderr=subprocess.PIPE, encoding="utf-8")
    until(lambda: len(files_of(served, project)) >= 10, 60, "the first files are there", pause=0.02)
    adding.send_signal(signal.SIGINT)
    assert "give the same line again" in adding.communicate(timeout=60)[1]
    assert adding.returncode == 130
    there = len(files_of(served, project))
    assert 10 <= there < 80
    again = data(hausgeist(served.home, "add", str(folder), "--project", project, "--json"))
    assert (again["done"], again["unchanged"], again["failures"]) == ({"new": 80 - there}, there, [])
    assert len(files_of(served, project)) == len(listed(served, project)) == 80
    assert data(hausgeist(served.home, "docs", "status", "--project", project, "--json"))["counts"]["completed"] == 80


class Watching:
    """`hausgeist watch --json` as a process; `seen` are its events."""

    def __init__(self, served: Served, folder: Path, project: str, *more: str) -> None:
        command = [sys.executable, "-m", "hausgeist", "watch", str(folder), "--project", project, "--interval", "0.1", "--json", *more]
        self.process = subprocess.Popen(command, env=environment(served.home), stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8")
        self.seen: list[tuple[str, str]] = []
        self.said: list[str] = []
        self._threads = [threading.Thread(target=self._read, daemon=True), threading.Thread(target=self._hear, daemon=True)]
        for thread in self._threads:
            thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            event = json.loads(line)
            self.seen.append((event["event"], Path(event["path"]).name))

    def _hear(self) -> None:
        assert self.process.stderr is not None
        self.said.extend(self.process.stderr)

    def close(self) -> int:
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(60)
        for thread, stream in zip(self._threads, (self.process.stdout, self.process.stderr), strict=True):
            thread.join(60)
            assert stream is not None
            stream.close()
        return code


@pytest.fixture
def watching(served: Served, project: str, folder: Path) -> Iterator[Callable[..., Watching]]:
    made: list[Watching] = []

    def watch(*more: str) -> Watching:
        made.append(Watching(served, folder, project, *more))
        return made[-1]

    yield watch
    for one in made:
        if one.process.poll() is None:
            assert one.close() == 0, one.said


def test_a_folder_is_kept_in_step(served: Served, project: str, folder: Path, watching: Callable[..., Watching]) -> None:
    watcher = watching()
    until(lambda: {("ready", "lease.md"), ("ready", "bees.txt")} <= set(watcher.seen), 60, f"the first round: {watcher.seen} {watcher.said}")
    ids = {name: one["id"] for name, one in listed(served, project).items()}
    write(folder / "new.txt", "A file that came later.\n")
    until(lambda: ("ready", "new.txt") in watcher.seen, 60, "a new file")
    write(folder / "lease.md", "# Lease\n\nThe lease of the mill has no end any more.\n")
    until(lambda: ("replaced", "lease.md") in watcher.seen and watcher.seen.count(("ready", "lease.md")) == 2, 60, "a changed file")
    shutil.move(folder / "sub" / "bees.txt", folder / "bees of the monastery.txt")
    until(lambda: ("moved", "bees of the monastery.txt") in watcher.seen, 60, "a moved file")
    (folder / "new.txt").unlink()
    until(lambda: ("removed", "new.txt") in watcher.seen, 60, "a deleted file")
    until(lambda: sorted(files_of(served, project)) == ["bees.txt", "lease.md"], 60, "what is gone is gone from the server")
    documents = listed(served, project)
    assert documents["bees.txt"]["id"] == ids["bees.txt"]
    assert documents["bees.txt"]["attributes"]["path"] == str(folder / "bees of the monastery.txt")
    assert documents["lease.md"]["id"] != ids["lease.md"]
    shutil.move(folder, folder.with_name("elsewhere"))
    until(lambda: any("is not there" in line for line in watcher.said), 60, "a lost mount is noticed")
    folder.mkdir()
    until(lambda: any("vanished at once" in line for line in watcher.said), 60, "an empty mount is noticed")
    time.sleep(0.5)
    assert len(listed(served, project)) == 2
    folder.rmdir()
    shutil.move(folder.with_name("elsewhere"), folder)
    until(lambda: any("within reach again" in line for line in watcher.said), 60, "the mount is back")
    assert {name: one["id"] for name, one in listed(served, project).items()} == {name: one["id"] for name, one in documents.items()}


def test_once_is_for_timers(served: Served, project: str, folder: Path) -> None:
    watch = ("watch", str(folder), "--once", "--interval", "0.1", "--project", project)
    done = hausgeist(served.home, *watch)
    assert done.returncode == 0, done.stderr
    assert "2 new" in done.stderr
    assert {one["status"] for one in listed(served, project).values()} == {"completed"}
    assert hausgeist(served.home, *watch).stderr.endswith("nothing to do\n")
    (folder / "lease.md").unlink()
    shutil.rmtree(folder / "sub")
    lost = hausgeist(served.home, *watch)
    assert lost.returncode == 1
    assert "--delete-all" in lost.stderr
    assert len(listed(served, project)) == 2
    assert hausgeist(served.home, *watch, "--delete-all").returncode == 0
    assert listed(served, project) == {}


def test_on_a_fresh_machine_one_line_gives_a_cited_answer(tmp_path: Path) -> None:
    done = hausgeist(tmp_path / "home", "demo", "--json", HAUSGEIST_GUIDE="1")
    answered = data(done)
    assert answered["mode"] == "extractive"
    assert "Thermolub 300" in answered["answer"]
    first = answered["citations"][0]
    assert (first["filename"], first["verified"]) == ("Vesta R15 manual.pdf", True)
    assert first["boxes"]
    assert first["boxes"][0]["page"] == first["page"]
    until(lambda: find(tmp_path / "home") is None, 60, "the server of this command goes with it")


def test_the_demo_knows_its_answers(served: Served, project: str) -> None:
    hausgeist(served.home, "add", str(PAPERS), "--project", project)
    questions = json.loads(QUESTIONS.read_text("utf-8"))
    assert len(questions) >= 25
    assert {one["language"] for one in questions} == {"de", "en"}
    if shutil.which("tesseract") is None:
        questions = [one for one in questions if not one["file"].startswith("delivery note")]
    missed = []
    for one in questions:
        answered = data(hausgeist(served.home, "ask", one["question"], "--quote", "--model", "fake:echo", "--project", project, "--json"))
        quotes = [" ".join(str(citation["quote"]).split()) for citation in answered["citations"] if citation["filename"] == one["file"]]
        if not any(one["answer"] in quote for quote in quotes):
            missed.append(one["question"])
    assert len(missed) <= 0.2 * len(questions), missed


def test_search_of_a_store_is_measured_as_it_is(served: Served, project: str, tmp_path: Path) -> None:
    for number, (who, what) in enumerate((("Anselm", "honey"), ("Benedikta", "cider"), ("Clemens", "wool"), ("Dorothea", "candles"))):
        text = (
            f"Brother or sister {who} looks after the {what} of the monastery and sold {number * 37 + 112} pieces of it in the year {1900 + number}."
        )
        write(tmp_path / "papers" / f"{what}.txt", f"{text} Nobody else is allowed to enter the room in which {what} is kept over winter.\n")
    assert hausgeist(served.home, "add", str(tmp_path / "papers"), "--project", project).returncode == 0
    saved = tmp_path / "before.json"
    measure = ("eval", "retrieval", "--store", "documents", "--project", project)
    run = data(hausgeist(served.home, *measure, "--save", str(saved), "--json"))
    assert run["passages"] == 4
    assert run["questions"] >= 4
    assert run["recall_at_1"] >= 0.75
    assert run["support"] >= 0.75
    again = data(hausgeist(served.home, *measure, "--save", str(tmp_path / "after.json"), "--json"))
    assert again["digest"] == run["digest"]
    compared = data(hausgeist(served.home, "eval", "retrieval", "--compare", str(saved), str(tmp_path / "after.json"), "--json"))
    assert compared["fused"]["difference"] == 0
    # The fake model writes the same question about everything, which is a question nevertheless.
    written = data(hausgeist(served.home, *measure, "--model", "fake:echo", "--most", "2", "--json"))
    assert written["questions"] <= 2
    refused = hausgeist(served.home, "eval", "retrieval", "--model", "fake:echo")
    assert refused.returncode != 0
    assert "--store" in refused.stderr

"""What has to be done so that a store is in step with files, and what a look at a folder makes of what is missing."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from hausgeist.cli.documents.checks import wanted_languages
from hausgeist.cli.documents.conditions import filters_of, read_attributes, read_value
from hausgeist.cli.documents.gathering import Found, machine
from hausgeist.cli.documents.looking import Eye
from hausgeist.cli.documents.shelf import Kept
from hausgeist.cli.documents.step import Plan, Step, Work, compare
from hausgeist.errors import InvalidRequest, TooLarge, Unavailable


def kept(path: Path | str, **more: Any) -> Kept:
    told: dict[str, Any] = {"path": str(path), "machine": machine(), "sha256": "0" * 64, "size": 5, "modified": 1.0}
    told |= {name: more.pop(name) for name in list(more) if name in told}
    return Kept.of({"id": more.pop("file", f"file-{path}"), "status": "completed", "created_at": 1, "attributes": told, **more})


def found(path: str, size: int = 5, modified: float = 1.0) -> Found:
    return Found(Path(path), size, modified)


def test_what_is_there_unchanged_is_left_alone() -> None:
    plan = compare([found("/d/a"), found("/d/b", size=6), found("/d/c")], [kept("/d/a"), kept("/d/b")], again=True)
    assert [(one.found.path.name, len(one.before)) for one in plan.work] == [("b", 1), ("c", 0)]
    assert (plan.unchanged, plan.gone, plan.again, plan.stale, plan.empty) == (1, (), [], [], False)


def test_what_failed_is_tried_again_when_asked_to() -> None:
    failed = kept("/d/a", status="failed", last_error={"code": "invalid_file", "message": "It is damaged."})
    assert failed.error == "It is damaged."
    assert compare([found("/d/a")], [failed], again=True).again == [failed]
    assert compare([found("/d/a")], [failed], again=False).unchanged == 1


def test_what_a_command_left_that_was_ended_is_finished() -> None:
    old, new = kept("/d/a", file="old", size=4), kept("/d/a", file="new", status="in_progress")
    plan = compare([found("/d/a")], [old, new], again=True)
    assert (plan.stale, plan.waiting, plan.unchanged) == ([], [new], 1), "the old one serves until the new one is read"
    read = kept("/d/a", file="new")
    assert compare([found("/d/a")], [old, read], again=True).stale == [old]
    noted = Kept.of({"id": "new", "status": "completed", "created_at": 1, "attributes": {**read.attributes, "replaces": "old"}})
    plan = compare([found("/d/a")], [old, noted], again=True)
    assert (plan.stale, plan.cluttered, plan.empty) == ([], [noted], False)


def look(eye: Eye, *those: Kept) -> tuple[list[str], list[str], str]:
    seen = eye.look(those)
    return sorted(one.path.name for one in seen.whole), [Path(one.path).name for one in seen.gone], seen.held


def test_files_are_taken_when_they_are_whole(tmp_path: Path) -> None:
    eye = Eye(tmp_path)
    (tmp_path / "old.txt").write_text("words")
    os.utime(tmp_path / "old.txt", (1e9, 1e9))
    growing = tmp_path / "growing.txt"
    growing.write_text("half")
    assert look(eye)[0] == ["old.txt"]
    growing.write_text("half a word")
    assert look(eye)[0] == ["old.txt"]
    assert look(eye)[0] == ["growing.txt", "old.txt"]


def test_missing_twice_is_gone(tmp_path: Path) -> None:
    eye, there, away = Eye(tmp_path), tmp_path / "there.txt", tmp_path / "away.txt"
    there.write_text("words")
    those = (kept(there), kept(away))
    assert look(eye, *those)[1] == []
    assert look(eye, *those)[1] == ["away.txt"]
    away.write_text("back")
    assert look(eye, *those)[1] == []


def test_only_what_was_brought_from_below_the_folder_may_go(tmp_path: Path) -> None:
    eye = Eye(tmp_path / "d")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "there.txt").write_text("words")
    by_hand = Kept.of({"id": "file-1", "status": "completed", "created_at": 1, "attributes": None})
    those = [kept(tmp_path / "d" / "x", machine="another"), by_hand, kept(tmp_path / "d" / "sub" / "y"), kept(tmp_path / "dd" / "z")]
    assert look(eye, *those)[1] == []
    assert look(eye, *those)[1] == ["y"]


def test_a_lost_mount_removes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "mount"
    folder.mkdir()
    those = [kept(folder / f"{number}.txt") for number in range(3)]
    eye = Eye(folder)
    for _ in range(3):
        _, gone, held = look(eye, *those)
        assert gone == []
        assert "all 3 documents" in held
        assert "--delete-all" in held
    folder.rmdir()
    assert look(eye, *those)[1:] == ([], f"{folder} is not there; waiting for it")
    folder.mkdir()
    meant = Eye(folder, delete_all=True)
    assert look(meant, *those)[1] == []
    assert len(look(meant, *those)[1]) == 3


def test_what_cannot_be_looked_at_is_not_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text("words")
    (tmp_path / "locked").mkdir()
    those = [kept(tmp_path / "locked" / "b.txt"), kept(tmp_path / "c.txt")]
    scan = os.scandir

    def refused(path: Any) -> Any:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refused)
    eye = Eye(tmp_path)
    look(eye, *those)
    _, gone, held = look(eye, *those)
    assert gone == ["c.txt"]
    assert "1 documents are out of reach" in held


def test_a_folder_on_another_device_than_before_is_not_believed(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("words")
    (tmp_path / "nas").mkdir()
    those = [kept(tmp_path / "nas" / "b.txt")]
    eye = Eye(tmp_path)
    eye._devices[tmp_path / "nas"] = -1
    for _ in range(3):
        _, gone, held = look(eye, *those)
        assert gone == []
        assert "out of reach" in held


def test_attributes_and_filters() -> None:
    assert read_attributes(["customer=Miller", "year=2024", "price=1.5", "paid=true", 'code="12"', "zip=01234", "n=nan"]) == {
        "customer": "Miller", "year": 2024, "price": 1.5, "paid": True, "code": "12", "zip": "01234", "n": "nan",
    }  # fmt: skip
    assert [type(read_value(text)) for text in ("1e5", "-3", "٣", "", "²")] == [str, int, str, str, str]
    for wrong in (["x"], ["=1"], ["path=/a"], ["replaces=x"], [f"n{number}=1" for number in range(11)]):
        with pytest.raises(InvalidRequest):
            read_attributes(wrong)
    assert filters_of([]) is None
    assert filters_of(["customer=Miller & Co=x"]) == {"type": "eq", "key": "customer", "value": "Miller & Co=x"}
    assert filters_of(["year>=2024", "city!=Bonn", "n<3"]) == {
        "type": "and",
        "filters": [
            {"type": "gte", "key": "year", "value": 2024},
            {"type": "ne", "key": "city", "value": "Bonn"},
            {"type": "lt", "key": "n", "value": 3},
        ],
    }
    with pytest.raises(InvalidRequest, match="NAME=VALUE"):
        filters_of(["nothing"])


def test_languages_of_the_locale() -> None:
    assert wanted_languages({"LANG": "de_DE.UTF-8", "LANGUAGE": "de:fr"}) == ["de", "fr", "en"]
    assert wanted_languages({"LANG": "C.UTF-8"}) == ["en"]


class Server:
    """A shelf that takes its time, and knows how many are sent to it at once."""

    def __init__(self) -> None:
        self.at_once = self.most = 0
        self.put_in: list[list[str]] = []
        self._lock = threading.Lock()
        self.on_the_way: Callable[[str], None] = lambda name: None

    def bring(self, one: Found, pause: Callable[[], None] = lambda: None) -> str:
        with self._lock:
            self.at_once += 1
            self.most = max(self.most, self.at_once)
        try:
            # The later ones are there sooner.
            time.sleep(0.002 * (12 - int(one.path.stem)))
            self.on_the_way(one.path.stem)
            return f"file-{one.path.stem}"
        finally:
            with self._lock:
                self.at_once -= 1

    def put(self, files: Sequence[tuple[str, Mapping[str, object]]]) -> str:
        self.put_in.append([file for file, _ in files])
        return "vsfb_1"


def papers(folder: Path, number: int) -> list[Work]:
    made = []
    for n in range(number):
        path = folder / f"{n}.txt"
        path.write_text(f"Number {n}.", "utf-8")
        made.append(Work(Found(path, path.stat().st_size, path.stat().st_mtime)))
    return made


def test_small_files_are_sent_side_by_side_and_put_in_in_their_order(tmp_path: Path) -> None:
    server = Server()
    step = Step(server)  # type: ignore[arg-type]
    outcome = step.run(Plan(work=papers(tmp_path, 12)), [], wait=False)
    assert 2 <= server.most <= 4
    assert [file for some in server.put_in for file in some] == [f"file-{n}" for n in range(12)]
    assert (outcome.done, outcome.failures) == ({"new": 12}, [])
    assert set(step.watched) == {f"file-{n}" for n in range(12)}


def test_one_that_cannot_be_sent_stops_no_other(tmp_path: Path) -> None:
    def refuse(name: str) -> None:
        if name == "3":
            raise TooLarge("The file is larger than 1 byte, the limit here.")

    server = Server()
    server.on_the_way = refuse
    outcome = Step(server).run(Plan(work=papers(tmp_path, 6)), [], wait=False)  # type: ignore[arg-type]
    assert [file for some in server.put_in for file in some] == [f"file-{n}" for n in (0, 1, 2, 4, 5)]
    assert [(Path(one.path).name, one.why) for one in outcome.failures] == [("3.txt", "The file is larger than 1 byte, the limit here.")]


def test_what_was_sent_is_put_in_when_the_server_goes(tmp_path: Path) -> None:
    def gone(name: str) -> None:
        if name in ("4", "5"):
            raise Unavailable("The server is stopping.")

    server = Server()
    server.on_the_way = gone
    step = Step(server)  # type: ignore[arg-type]
    with pytest.raises(Unavailable):
        step.run(Plan(work=papers(tmp_path, 12)), [], wait=False)
    sent = [file for some in server.put_in for file in some]
    assert sent[:4] == ["file-0", "file-1", "file-2", "file-3"]
    assert not {"file-4", "file-5"} & set(sent)
    assert set(step.watched) == set(sent)

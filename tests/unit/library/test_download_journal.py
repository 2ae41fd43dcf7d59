"""The arithmetic of ranges, and what a journal may be relied upon for after anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hausgeist.library.download import journal
from hausgeist.library.download.journal import Journal, Origin
from hausgeist.library.download.pace import Pace
from hausgeist.library.download.ranges import Ranges

SIZE = 40
ranges = st.lists(st.tuples(st.integers(0, SIZE), st.integers(0, SIZE)).map(lambda pair: (min(pair), max(pair))), max_size=12)
ORIGIN = Origin("u", SIZE, '"e"', "m")


def members(found: Any) -> set[int]:
    return {number for start, end in found for number in range(start, end)}


@given(ranges, st.integers(0, SIZE), st.integers(0, SIZE))
def test_ranges_are_sets_of_bytes(given_: list[tuple[int, int]], start: int, end: int) -> None:
    found, model = Ranges(given_), members(given_)
    assert members(found) == model
    assert found.total == len(model)
    assert found.prefix == next(number for number in range(SIZE + 1) if number not in model)
    assert members(found.gaps(end, start)) == set(range(start, end)) - model
    assert members(found.gaps(SIZE)) == set(range(SIZE)) - model
    flat = [edge for one in found for edge in one]
    assert flat == sorted(set(flat)), "ranges touch or overlap"
    assert found == Ranges(reversed(given_))


def test_what_is_no_range() -> None:
    for start, end in ((2, 1), (-1, 1)):
        with pytest.raises(ValueError, match="no range"):
            Ranges([(start, end)])


def lines(*texts: str) -> str:
    return "".join(f"{text} {crc32(text.encode()):08x}\n" for text in texts)


def begun(path: Path) -> Journal:
    found = Journal(path)
    found.begin(ORIGIN, Ranges())
    return found


def test_what_was_written_outlives_the_process_and_what_was_flushed_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = begun(tmp_path / "j")
    first.wrote(0, 10)
    written = first.written
    first.wrote(20, 30)
    first.synced(written)
    first.close()
    assert list(Journal(tmp_path / "j").done) == [(0, 10), (20, 30)]
    monkeypatch.setattr(journal, "boot_id", lambda: "0000-aaaa")
    again = Journal(tmp_path / "j")
    assert again.origin == ORIGIN
    assert list(again.done) == [(0, 10)]
    again.begin(ORIGIN, again.done)
    again.wrote(10, 12)
    again.close()
    assert list(Journal(tmp_path / "j").done) == [(0, 12)]
    monkeypatch.setattr(journal, "boot_id", lambda: "")
    assert list(Journal(tmp_path / "j").done) == [(0, 10)]


@given(done=ranges, cut=st.integers(0, 400), tail=st.binary(max_size=40))
def test_a_torn_journal_never_claims_more_than_was_written(tmp_path_factory: pytest.TempPathFactory, done: Any, cut: int, tail: bytes) -> None:
    path = tmp_path_factory.mktemp("j") / "j"
    whole = begun(path)
    for start, end in done:
        if start < end:
            whole.wrote(start, end)
    whole.close()
    data = path.read_bytes()
    path.write_bytes(data[:cut] + tail)
    found = Journal(path)
    assert members(found.done) <= members(done)
    assert found.origin in {None, ORIGIN}
    if cut >= len(data):
        assert members(found.done) == members(done)


@given(st.binary(max_size=300) | st.text(alphabet='ws boot v1{}":,0123456789\n', max_size=200).map(str.encode))
def test_hostile_journals_say_nothing(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("j") / "j"
    path.write_bytes(data)
    assert Journal(path).done.total == 0


@pytest.mark.parametrize(
    "line", ["w 5 4", "w 0 41", "w -1 4", "s 9", "w 0 99999999999999999999", "boot zz", 'v1 {"size": 40, "url": "u"}', "", "w 0 4 \n", "W 0 4"]
)
def test_a_line_that_makes_no_sense_ends_it(tmp_path: Path, line: str) -> None:
    begun(tmp_path / "j").close()
    with (tmp_path / "j").open("a") as file:
        file.write(lines(line, "w 0 1"))
    assert list(Journal(tmp_path / "j").done) == ([(0, 1)] if line == "s 9" else [])


@pytest.mark.parametrize(
    "head", ['{"size": "4", "url": "u"}', '{"size": -1, "url": "u"}', '{"size": 4}', '{"size": 4, "url": 1}', "{}", "{", '{"x": 1}']
)
def test_heads_that_make_no_sense(tmp_path: Path, head: str) -> None:
    (tmp_path / "j").write_text(lines(f"v1 {head}"))
    assert Journal(tmp_path / "j").origin is None


@pytest.mark.parametrize(
    ("now", "changed"),
    [
        (ORIGIN, False),
        (Origin("u", 41, '"e"', "m"), True),
        (Origin("u", SIZE, '"f"', "m"), True),
        (Origin("u", SIZE, '"e"', "n"), False),
        (Origin("u", SIZE, "", "n"), True),
        (Origin("u", SIZE, "", ""), False),
        (Origin("v", SIZE, '"f"', "n"), False),
        (Origin("v", 41, '"e"', "m"), True),
    ],
)
def test_what_counts_as_changed(now: Origin, changed: bool) -> None:
    assert ORIGIN.changed(now) is changed


def test_pace_follows_the_last_seconds() -> None:
    now = 0.0
    pace = Pace(1000, clock=lambda: now)
    assert (pace.rate, pace.left(5000)) == (0.0, None)
    for second in range(1, 4):
        now = float(second)
        pace.update(1000 + 100 * second)
    assert pace.rate == pytest.approx(100)
    assert pace.left(2300) == pytest.approx(10)
    assert pace.left(0) is None
    for second in range(4, 60):
        now = float(second)
        pace.update(1300)
    assert pace.rate < 1
    assert pace.left(2300) is None

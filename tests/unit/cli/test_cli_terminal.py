"""Text of others never drives the terminal."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hausgeist.cli import console
from hausgeist.cli.terminal import neutralise, one_line


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[2J\x1b[H", "␛[2J␛[H"),
        ("\x1b]0;title\x07", "␛]0;title␇"),
        ("\x1b]52;c;ZXZpbA==\x07", "␛]52;c;ZXZpbA==␇"),
        ("a\rb", "ab"),
        ("one\r\ntwo", "one\ntwo"),
        ("\x9b31m", "�31m"),
        ("abc\b\b\b", "abc␈␈␈"),
        ("safe\u202etxt.exe", "safe�txt.exe"),
        ("\x7f", "␡"),
        ("a\u2028b", "a\nb"),
        ("\ud800", "�"),
    ],
)
def test_control_characters_become_visible(hostile: str, shown: str) -> None:
    assert neutralise(hostile) == shown


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-3, "just now"), (0.4, "just now"), (1.2, "1 second ago"), (59, "59 seconds ago"), (60, "1 minute ago"), (7300, "2 hours ago")],
)
def test_how_long_ago(seconds: float, said: str) -> None:
    assert console.ago(seconds) == said


def test_ordinary_text_stays() -> None:
    text = "Grüße, 你好, שלום, 👩‍👩‍👧\n\tcode\n"
    assert neutralise(text) == text


@given(st.text(), st.integers(0, 50))
def test_cutting_a_stream_anywhere_changes_nothing(text: str, cut: int) -> None:
    whole = neutralise(text)
    assert neutralise(text[:cut]) + neutralise(text[cut:]) == whole
    assert not any(ord(character) < 32 and character not in "\n\t" for character in whole)
    assert not any(0x7F <= ord(character) < 0xA0 for character in whole)
    whole.encode()


def test_one_line() -> None:
    assert one_line("a\n b\x1b[0m\t c") == "a b␛[0m c"


def test_json_is_harmless_and_whole(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"text": "\x1b[31m \x9b \u202e \ud800 ü 你", "n": 1}
    console.print_json(value)
    out = capsys.readouterr().out
    assert json.loads(out) == value
    assert not {"\x1b", "\x9b", "\u202e", "\ud800"} & set(out)
    assert "ü 你" in out


def test_tables_do_not_cut_what_is_piped(capsys: pytest.CaptureFixture[str]) -> None:
    console.table(["name", "size"], [["x" * 300, "1 GiB"], ["y\x1b[2J\nz", "20 MiB"]], right=["size"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "x" * 300 + "   1 GiB"
    assert lines[2].startswith("y␛[2J z ")


def test_messages_are_neutralised(capsys: pytest.CaptureFixture[str]) -> None:
    console.fail("\x1b[2Jno")
    console.say("\x1b[2Jyes")
    captured = capsys.readouterr()
    assert captured.err == "error: ␛[2Jno\n"
    assert captured.out == "␛[2Jyes\n"


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 30, "5.0 GiB"), (300 << 20, "300 MiB"), (2 << 40, "2.0 TiB")]
)
def test_sizes(count: int, text: str) -> None:
    assert console.size(count) == text


@pytest.mark.parametrize(("seconds", "text"), [(0, "0 seconds"), (61, "1 minute"), (7200, "2 hours"), (90000, "1 day")])
def test_ages(seconds: float, text: str) -> None:
    assert console.age(seconds) == text


def test_no_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert console.paint("x", "bad") == "\x1b[1;31mx\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert console.paint("x", "bad") == "x"

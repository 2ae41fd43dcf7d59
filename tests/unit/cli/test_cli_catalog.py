"""`hausgeist catalog`: what is found, and what is said when nothing is."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest

from hausgeist.cli import main
from hausgeist.library.catalog import USES, bytes_of, load


@pytest.mark.parametrize(
    ("typed", "count"),
    [
        ("8gb", 8 * 10**9),
        ("8GB", 8 * 10**9),
        ("8g", 8 * 10**9),
        ("8GiB", 8 * 2**30),
        ("1.5gb", 1_500_000_000),
        ("1,5gb", 1_500_000_000),
        ("500mb", 5 * 10**8),
        ("1tb", 10**12),
        ("8b", None),
        ("8", None),
        ("gb", None),
        ("-8gb", None),
        ("8gbx", None),
    ],
)
def test_sizes(typed: str, count: int | None) -> None:
    assert bytes_of(typed) == count


def found(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, object]]:
    assert main(["catalog", *arguments, "--json"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    models = json.loads(captured.out)["models"]
    assert isinstance(models, list)
    return models


def test_code_within_8gb(capsys: pytest.CaptureFixture[str]) -> None:
    models = found(capsys, "code", "8gb")
    names = [model["name"] for model in models]
    assert "qwen2.5-coder:7b" in names
    assert "qwen2.5-coder:32b" not in names
    assert all("code" in model["use"] and model["size"] <= 8e9 for model in models)  # type: ignore[operator]
    assert models == found(capsys, "--use", "code", "8gb")


def test_one_model_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    [model] = found(capsys, "gemma3:4b-it-q4_K_M")
    assert model["name"] == "gemma3:4b"
    assert model["parameters"] == 4300079472
    assert model["size"] == model["weights"] + model["projector"]  # type: ignore[operator]
    assert main(["catalog", "gemma3"]) == 0
    captured = capsys.readouterr()
    assert "4,300,079,472" in captured.out
    assert "hausgeist pull gemma3:4b" in captured.err


def test_what_no_engine_runs_is_not_recommended(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["catalog", "whisper:tiny"]) == 0
    captured = capsys.readouterr()
    assert "to hear with" in captured.out
    assert "no engine" in captured.err
    assert "pull" not in captured.err
    assert main(["catalog", "gemma4:e2b"]) == 0
    assert "to see and hear with" in capsys.readouterr().out


def test_the_table_has_a_heading_for_each_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["catalog", "code", "4gb", "--license", "apache"]) == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert lines[0].split() == ["name", "parameters", "context", "size", "licence"]
    assert lines[1] == "Code"
    assert any(line.startswith("qwen2.5-coder:1.5b ") for line in lines)
    assert "hausgeist pull NAME" in captured.err
    assert main(["catalog"]) == 0
    captured = capsys.readouterr()
    shown = captured.out.splitlines()
    assert [line for line in shown if line.lower() in USES] == [use.capitalize() for use in USES]
    assert 20 < len(shown) < 45
    assert "more with --all" in captured.err
    assert main(["catalog", "--all"]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:] if line.strip() and line.lower() not in USES]
    assert sorted(listed) == sorted(entry.name for entry in load())


def test_the_table_fits_a_narrow_terminal() -> None:
    """Over a real terminal of 80 columns: nothing is broken over lines, and of no row are the numbers cut."""
    primary, secondary = pty.openpty()
    fcntl.ioctl(secondary, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 80, 0, 0))
    read = b""
    command = [sys.executable, "-c", "import sys; from hausgeist.cli import main; sys.exit(main(['catalog', '--all']))"]
    environment = {**os.environ, "TERM": "xterm", "NO_COLOR": "1"}
    environment.pop("COLUMNS", None)
    with subprocess.Popen(command, stdout=secondary, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, env=environment) as process:
        os.close(secondary)
        try:
            while part := os.read(primary, 65536):
                read += part
        except OSError:  # how Linux says that the other side is closed
            pass
        finally:
            os.close(primary)
    assert process.returncode == 0
    lines = read.decode().splitlines()
    assert len(lines) > len(load().entries)
    assert max(map(len, lines)) <= 80
    by_name = {line.split()[0]: line for line in lines if line.strip()}
    for entry in load():
        assert re.search(r"\d [MGT]iB", by_name[entry.name])
        assert "…" not in by_name[entry.name].split("iB")[0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["gema"], "did you mean gemma"),
        (["code", "1mb"], "the smallest of them is"),
        (["xyzzy"], "try a use (chat, code, vision"),
        (["xyzzy\x1b[2J"], "no model in the catalogue"),
    ],
)
def test_nothing_found_says_what_is_possible(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["catalog", *words]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err
    assert "\x1b[2J" not in captured.err
    assert found(capsys, *words) == []


def test_what_is_no_use_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["catalog", "--use", "war"]) == 2
    assert "chat, code, vision, embedding, rerank, speech" in capsys.readouterr().err
    assert main(["catalog", "8gb", "9gb"]) == 2
    assert "two sizes" in capsys.readouterr().err.lower()

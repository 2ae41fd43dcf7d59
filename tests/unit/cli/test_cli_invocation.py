"""Which words start this program, as a line to copy has them."""

from __future__ import annotations

from pathlib import Path

import pytest

from hausgeist.cli.invocation import command


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an environment in it, to stand in."""
    folder = tmp_path / "my clone"
    (folder / ".venv" / "bin").mkdir(parents=True)
    for name in ("python", "hausgeist"):
        (folder / ".venv" / "bin" / name).write_text("#!/bin/sh\n")
        (folder / ".venv" / "bin" / name).chmod(0o755)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.executable", str(folder / ".venv" / "bin" / "python"))
    return folder


def test_from_a_clone(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for started in (".venv/bin/hausgeist", str(clone / "src" / "hausgeist" / "__main__.py")):
        monkeypatch.setattr("sys.argv", [started])
        assert command() == ".venv/bin/hausgeist"


def test_from_elsewhere(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", [str(clone / ".venv" / "bin" / "hausgeist")])
    monkeypatch.chdir("/")
    assert command().strip("'").endswith("my clone/.venv/bin/hausgeist")
    assert command().startswith("'")


def test_on_the_path(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(clone / ".venv" / "bin"))
    for started in ("hausgeist", str(clone / ".venv" / "bin" / "hausgeist"), "/x/__main__.py"):
        monkeypatch.setattr("sys.argv", [started])
        assert command() == "hausgeist"


def test_another_one_is_on_the_path(clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hausgeist").write_text("#!/bin/sh\n")
    (tmp_path / "hausgeist").chmod(0o755)
    monkeypatch.setattr("sys.argv", [".venv/bin/hausgeist"])
    assert command() == ".venv/bin/hausgeist"


def test_without_a_script(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (clone / ".venv" / "bin" / "hausgeist").unlink()
    monkeypatch.setattr("sys.argv", ["/x/__main__.py"])
    assert command() == ".venv/bin/python -m hausgeist"

"""Reading a file past what is kept of it in memory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hausgeist.hardware import storage

KIB = 1 << 10


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "_BLOCK", 64 * KIB)
    monkeypatch.setattr(storage, "_ROUND", 256 * KIB)


def test_a_file_is_read_in_whole_rounds(tmp_path: Path) -> None:
    file = tmp_path / "model"
    file.write_bytes(os.urandom(KIB) * 1100)
    rate = storage.read_speed(file, seconds=60)
    assert rate is not None
    assert len(rate.rounds) == 4, "and the rest, less than a round, is left out"
    assert 0 < rate.usual <= rate.best
    assert file.stat().st_size == 1100 * KIB


def test_time_ends_it(tmp_path: Path) -> None:
    file = tmp_path / "model"
    file.write_bytes(bytes(4 << 20))
    assert storage.read_speed(file, seconds=0) is None
    rate = storage.read_speed(file, seconds=1e-6)
    assert rate is None or len(rate.rounds) == 1


def test_without_a_way_past_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "model"
    file.write_bytes(bytes(KIB * 1024))
    real = os.open

    def refused(path: object, flags: int, *rest: object) -> int:
        if flags & getattr(os, "O_DIRECT", 0):
            raise OSError(22, "Invalid argument")
        return real(path, flags)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(storage.os, "open", refused)
    rate = storage.read_speed(file, seconds=60)
    assert rate is not None
    assert len(rate.rounds) == 4


def test_what_cannot_be_measured(tmp_path: Path) -> None:
    short = tmp_path / "short"
    short.write_bytes(bytes(500 * KIB))
    assert storage.read_speed(short) is None
    assert storage.read_speed(tmp_path / "nowhere") is None
    assert storage.read_speed(tmp_path) is None

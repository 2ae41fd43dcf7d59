"""What fits on the disk: looked at as often as it matters, and no more."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from hausgeist.errors import DiskFull
from hausgeist.store import space
from hausgeist.store.space import Space

GIB = 1 << 30


class Disk:
    def __init__(self, free: int) -> None:
        self.free = free
        self.looks = 0

    def usage(self, path: Path) -> SimpleNamespace:
        self.looks += 1
        return SimpleNamespace(free=self.free)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk(100 * GIB)
    monkeypatch.setattr(shutil, "disk_usage", disk.usage)
    return disk


def test_where_there_is_ample_room_it_is_looked_at_now_and_then(tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space, "_MOMENT", 60.0)
    one = Space(tmp_path, reserve=GIB)
    for _ in range(50):
        one.require(1000)
    assert disk.looks == 1
    # What was asked for counts until it is looked again, so nobody gets more than there is.
    for _ in range(9):
        one.require(10 * GIB)
    assert disk.looks == 1
    disk.free = 5 * GIB
    with pytest.raises(DiskFull):
        one.require(10 * GIB)
    assert disk.looks == 2
    monkeypatch.setattr(space, "_MOMENT", 0.0)
    disk.free = 100 * GIB
    one.require(1000)
    one.require(1000)
    assert disk.looks == 4


def test_where_there_is_not_it_is_looked_at_each_time(tmp_path: Path, disk: Disk) -> None:
    disk.free = 3 * GIB
    one = Space(tmp_path, reserve=GIB)
    one.require(GIB)
    with one.claim(GIB), pytest.raises(DiskFull, match="1\\.1 GB more are on their way"):
        one.require(3 * GIB // 2)
    disk.free = GIB
    one.require(0)  # who has nothing to write need not ask
    with pytest.raises(DiskFull):
        one.require(1)

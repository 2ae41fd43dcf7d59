"""What a process holds, seen from outside: its share of what is shared, its own apart from files, and what lies on devices."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from hausgeist.hardware.process import held

MIB = 2**20
ROLLUP = """5592-7ffd ---p 00000000 00:00 0                          [rollup]
Rss:              900000 kB
Pss:              800000 kB
Pss_Dirty:           112 kB
Pss_Anon:         300000 kB
Pss_File:         500000 kB
Swap:              20000 kB
SwapPss:           10000 kB
"""


def pretended(root: Path, text: str) -> Path:
    (root / "1").mkdir()
    (root / "1" / "smaps_rollup").write_text(text)
    return root


def test_shares_are_read_and_what_was_swapped_out_is_still_its_own(tmp_path: Path) -> None:
    found = held(1, pretended(tmp_path, ROLLUP))
    assert found is not None
    assert (found.anonymous, found.mapped) == (310_000 * 1024, 500_000 * 1024)


def test_older_systems_tell_the_sum_only(tmp_path: Path) -> None:
    found = held(1, pretended(tmp_path, ROLLUP.replace("Pss_Anon", "Other")))
    assert found is not None
    assert found.anonymous + found.mapped == 810_000 * 1024


def test_where_no_shares_are_told_resident_pages_count(tmp_path: Path) -> None:
    found = held(os.getpid(), tmp_path)
    assert found is not None
    assert found.anonymous + found.mapped > 10 * MIB
    assert held(2**22 + 1, tmp_path) is None


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_real_process(tmp_path: Path) -> None:
    file = tmp_path / "weights"
    file.write_bytes(os.urandom(24 * MIB))
    code = (
        "import mmap, sys\nown = bytearray(b'x') * (40 << 20)\nfile = open(sys.argv[1], 'rb')\n"
        "weights = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)\nsum(weights[::4096])\nprint('ready', flush=True)\ninput()"
    )
    with subprocess.Popen([sys.executable, "-c", code, file], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        alone = held(process.pid)
        with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, prot=mmap.PROT_READ) as also:
            sum(also[::4096])
            shared = held(process.pid)
        process.kill()
    assert alone is not None
    assert shared is not None
    assert 40 * MIB <= alone.anonymous < 80 * MIB
    assert 24 * MIB <= alone.mapped < 48 * MIB
    assert alone.mapped - shared.mapped == pytest.approx(12 * MIB, abs=2 * MIB), "whoever maps it as well takes over half"


class DriverError(Exception):
    pass


def nvml(opened: list[int], broken: bool) -> SimpleNamespace:
    """Two cards; the process is on the second, with another one beside it."""

    def running(handle: int) -> list[SimpleNamespace]:
        if broken:
            raise DriverError
        others = [SimpleNamespace(pid=7, usedGpuMemory=99), SimpleNamespace(pid=1, usedGpuMemory=None)]
        return others if handle == 0 else [*others, SimpleNamespace(pid=1, usedGpuMemory=5 * MIB)]

    return SimpleNamespace(
        NVMLError=DriverError,
        nvmlInit=lambda: opened.append(1),
        nvmlShutdown=lambda: opened.append(-1),
        nvmlDeviceGetCount=lambda: 2,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetComputeRunningProcesses=running,
    )


@pytest.mark.parametrize(("broken", "expected"), [(False, {"CUDA1": 5 * MIB}), (True, {})])
def test_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: bool, expected: dict[str, int]) -> None:
    opened: list[int] = []
    monkeypatch.setitem(sys.modules, "pynvml", nvml(opened, broken))
    found = held(1, pretended(tmp_path, ROLLUP))
    assert found is not None
    assert found.devices == expected
    assert opened == [1, -1]

"""What the machine has, under cgroups made of files, and for real."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import psutil
import pytest

from hausgeist import hardware
from hausgeist.hardware import Cpu, Disk, Memory, probe
from hausgeist.hardware.cgroup import cpu_quota, memory_limits
from tests.unit.hardware.trees import tree

MIB = 1 << 20


def unified(root: Path, group: str, files: dict[str, object]) -> Path:
    base = {"proc/self/cgroup": f"0::{group}", "sys/fs/cgroup/cgroup.controllers": "cpu memory"}
    return tree(root, {**base, **{f"sys/fs/cgroup{name}": content for name, content in files.items()}})


def test_without_cgroups_the_machine_counts(tmp_path: Path) -> None:
    found = hardware.memory(tmp_path)
    assert found.total == psutil.virtual_memory().total
    assert 0 < found.available <= found.total
    assert cpu_quota(tmp_path) is None


def test_the_tightest_of_nested_groups_counts(tmp_path: Path) -> None:
    stat = f"anon {300 * MIB}\ninactive_file {50 * MIB}\nactive_file {30 * MIB}\nslab_reclaimable {20 * MIB}"
    files = {
        "/a/b/memory.max": "max",
        "/a/b/memory.current": 100 * MIB,
        "/a/memory.max": 800 * MIB,
        "/a/memory.high": 600 * MIB,
        "/a/memory.current": 400 * MIB,
        "/a/memory.stat": stat,
    }
    assert hardware.memory(unified(tmp_path, "/a/b", files)) == Memory(600 * MIB, 300 * MIB)


def test_over_the_limit_nothing_is_left(tmp_path: Path) -> None:
    files = {"/memory.max": 100 * MIB, "/memory.current": 120 * MIB}
    assert hardware.memory(unified(tmp_path, "/", files)) == Memory(100 * MIB, 0)


def test_a_container_sees_its_own_mount_and_the_path_of_the_host(tmp_path: Path) -> None:
    files = {"/memory.max": 512 * MIB, "/memory.current": 12 * MIB, "/cpu.max": "150000 100000"}
    root = unified(tmp_path, "/docker/0123", files)
    assert hardware.memory(root) == Memory(512 * MIB, 500 * MIB)
    assert cpu_quota(root) == 1.5


def test_a_path_that_leads_out_is_not_followed(tmp_path: Path) -> None:
    root = unified(tmp_path, "/../../../x", {"/memory.max": 64 * MIB, "/memory.current": 0})
    assert [limit.limit for limit in memory_limits(root)] == [64 * MIB]


def test_the_first_version(tmp_path: Path) -> None:
    tree(
        tmp_path,
        {
            "proc/self/cgroup": "5:memory:/box\n4:cpu,cpuacct:/box\n0::/",
            "sys/fs/cgroup/memory/box/memory.limit_in_bytes": 256 * MIB,
            "sys/fs/cgroup/memory/box/memory.usage_in_bytes": 100 * MIB,
            "sys/fs/cgroup/memory/box/memory.stat": f"total_inactive_file {10 * MIB}\ntotal_active_file {6 * MIB}",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": 9223372036854771712,
            "sys/fs/cgroup/memory/memory.usage_in_bytes": 1,
            "sys/fs/cgroup/cpu/box/cpu.cfs_quota_us": 200000,
            "sys/fs/cgroup/cpu/box/cpu.cfs_period_us": 100000,
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": -1,
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": 100000,
        },
    )
    assert hardware.memory(tmp_path) == Memory(256 * MIB, 172 * MIB)
    assert cpu_quota(tmp_path) == 2.0


def test_nonsense_in_the_files_is_no_limit(tmp_path: Path) -> None:
    root = unified(tmp_path, "/", {"/memory.max": "banana", "/memory.current": "", "/cpu.max": "x y z"})
    assert memory_limits(root) == []
    assert cpu_quota(root) is None


def test_the_processor_of_this_machine() -> None:
    found = hardware.cpu()
    assert found.model
    assert 1 <= found.cores <= found.threads
    if sys.platform == "linux":
        assert found.threads <= len(os.sched_getaffinity(0))


@pytest.mark.skipif(sys.platform != "linux", reason="affinity is Linux's")
def test_affinity_and_quota_bound_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    first = min(os.sched_getaffinity(0))
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {first})
    assert (hardware.cpu().threads, hardware.cpu().cores) == (1, 1)
    monkeypatch.undo()
    monkeypatch.setattr(probe, "cpu_quota", lambda: 0.5)
    found = hardware.cpu()
    assert isinstance(found, Cpu)
    assert (found.threads, found.cores, found.quota) == (1, 1, 0.5)


def test_arm_is_named_by_board_and_cores(tmp_path: Path) -> None:
    cores = "".join(
        f"processor\t: {number}\nFeatures\t: fp asimd asimddp crc32\nCPU implementer\t: 0x41\nCPU part\t: 0xd0b\n\n" for number in range(4)
    )
    tree(
        tmp_path,
        {"proc/cpuinfo": f"{cores}Hardware\t: BCM2835\nModel\t\t: Raspberry Pi 5 Model B Rev 1.0", "proc/device-tree/model": "Raspberry Pi 5\0"},
    )
    assert probe._identity(tmp_path) == ("Raspberry Pi 5, Cortex-A76", ("asimd", "asimddp"))
    little = cores.replace("0xd0b", "0xd87", 2).replace("0xd0b", "0xd85")
    (tmp_path / "proc/device-tree/model").unlink()
    assert probe._identity(tree(tmp_path, {"proc/cpuinfo": little}))[0] == "Cortex-A725 + Cortex-X925"
    unknown = cores.replace("0xd0b", "0xfff")
    assert probe._identity(tree(tmp_path, {"proc/cpuinfo": unknown}))[0], "the architecture at least"


def test_the_disk_of_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    found = hardware.disk(tmp_path / "not" / "yet")
    assert isinstance(found, Disk)
    assert 0 < found.free <= found.total
    assert found.total == hardware.disk(tmp_path).total
    assert hardware.disk(Path("hausgeist-nowhere/below")).total > 0

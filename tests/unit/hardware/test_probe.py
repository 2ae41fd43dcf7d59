"""What the machine has, under cgroups made of files, and for real."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import psutil
import pytest

from hausgeist import hardware
from hausgeist.hardware import Cpu, Device, Memory, probe
from hausgeist.hardware.cgroup import cpu_quota, memory_limits

MIB = 1 << 20


def tree(root: Path, files: dict[str, object]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")
    return root


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


def smi(folder: Path, script: str) -> str:
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return str(folder)


def test_devices_by_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_by_nvml", lambda: None)
    lines = "echo '0, NVIDIA H200, 143771, 143000, 570.1, 9.0, GPU-1'; echo '1, NVIDIA GB10, [N/A], [N/A], 580.2, 12.1, GPU-2'; echo 'Unable to talk'"
    monkeypatch.setenv("PATH", smi(tmp_path, lines))
    assert hardware.devices() == [
        Device(0, "NVIDIA H200", "cuda", 143771 * MIB, 143000 * MIB, "570.1", "9.0", "GPU-1"),
        Device(1, "NVIDIA GB10", "cuda", 0, 0, "580.2", "12.1", "GPU-2"),
    ]
    monkeypatch.setenv("PATH", smi(tmp_path, "echo 'NVIDIA-SMI has failed' >&2; exit 9"))
    assert hardware.devices() == []
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    assert hardware.devices() == []


class FakeNvml:
    """The binding's functions, as far as they are called."""

    class NVMLError(Exception): ...

    def __init__(self, broken: str = "") -> None:
        self.broken = broken
        self.ended = False

    def nvmlInit(self) -> None:  # noqa: N802
        if self.broken == "init":
            raise self.NVMLError

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.ended = True

    def __getattr__(self, name: str) -> object:
        if name == self.broken:
            raise self.NVMLError
        memory = type("Memory", (), {"total": 80 << 30, "free": 79 << 30})()
        values = {
            "nvmlSystemGetDriverVersion": "570.1",
            "nvmlDeviceGetCount": 1,
            "nvmlDeviceGetHandleByIndex": "handle",
            "nvmlDeviceGetMemoryInfo": memory,
            "nvmlDeviceGetCudaComputeCapability": (9, 0),
            "nvmlDeviceGetName": b"NVIDIA H100",
            "nvmlDeviceGetUUID": "GPU-7",
        }
        return lambda *arguments: values[name]


def test_devices_by_nvml(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    nvml = FakeNvml()
    monkeypatch.setattr(probe, "import_module", lambda name: nvml)
    assert hardware.devices() == [Device(0, "NVIDIA H100", "cuda", 80 << 30, 79 << 30, "570.1", "9.0", "GPU-7")]
    assert nvml.ended
    monkeypatch.setenv("PATH", smi(tmp_path, "echo '0, By SMI, 1, 1, 1, 9.0, GPU-1'"))
    for broken in ("init", "nvmlDeviceGetMemoryInfo"):
        monkeypatch.setattr(probe, "import_module", lambda name, broken=broken: FakeNvml(broken))
        assert [device.name for device in hardware.devices()] == ["By SMI"]

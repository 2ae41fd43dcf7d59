"""NVIDIA's cards and chips, by NVML, nvidia-smi and the device tree."""

from __future__ import annotations

from pathlib import Path

import pytest

from hausgeist import hardware
from hausgeist.hardware import nvidia
from hausgeist.hardware.capacity import Memory
from hausgeist.hardware.device import Device
from tests.unit.hardware.trees import GIB, tree

MIB = 1 << 20


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvidia, "memory", lambda root: Memory(120 * GIB, 113 * GIB))


def smi(folder: Path, script: str) -> str:
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return str(folder)


def test_devices_by_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = """echo '0, NVIDIA H200, 143771, 143000, 570.1, GPU-1, 00000000:04:00.0, 9.0'
echo '1, NVIDIA GB10, [N/A], [N/A], 580.2, GPU-2, 0000000F:01:00.0, 12.1'
echo '2, NVIDIA A100-SXM4-40GB, [GPU is lost], [GPU is lost], 570.1, GPU-3, 00000000:05:00.0, 8.0'
echo 'Unable to talk'"""
    monkeypatch.setenv("PATH", smi(tmp_path, lines))
    assert hardware.devices(tmp_path) == [
        Device(0, "NVIDIA H200", "cuda", 143771 * MIB, 143000 * MIB, "570.1", "9.0", "GPU-1", slot="0000:04:00.0"),
        Device(1, "NVIDIA GB10", "cuda", 120 * GIB, 113 * GIB, "580.2", "12.1", "GPU-2", unified=True, slot="000f:01:00.0"),
        Device(2, "NVIDIA A100-SXM4-40GB", "cuda", 0, 0, "570.1", "8.0", "GPU-3", slot="0000:05:00.0"),
    ]
    monkeypatch.setenv("PATH", smi(tmp_path, "echo 'NVIDIA-SMI has failed' >&2; exit 9"))
    assert hardware.devices(tmp_path) == []
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    assert hardware.devices(tmp_path) == []


def test_an_old_driver_is_asked_for_what_it_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = """case "$1" in
*compute_cap*) echo 'Field "compute_cap" is not a valid field to query.'; exit 2;;
*) echo '0, Tesla P40, 22919, 22900, 460.32, GPU-1, 00000000:04:00.0';;
esac"""
    monkeypatch.setenv("PATH", smi(tmp_path, script))
    assert nvidia.devices(tmp_path) == [Device(0, "Tesla P40", "cuda", 22919 * MIB, 22900 * MIB, "460.32", "", "GPU-1", slot="0000:04:00.0")]


def test_a_jetson_is_named_by_its_board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", smi(tmp_path, "echo '0, Orin (nvgpu), [N/A], [N/A], 540.4.0, [N/A], [N/A], [N/A]'"))
    expected = Device(0, "Orin (nvgpu)", "cuda", 120 * GIB, 113 * GIB, "540.4.0", unified=True)
    assert nvidia.devices(tmp_path) == [expected]
    tree(tmp_path, {"proc/device-tree/model": "NVIDIA Jetson AGX Orin Developer Kit\0"})
    assert [found.name for found in nvidia.devices(tmp_path)] == ["NVIDIA Jetson AGX Orin"]


def test_a_jetson_without_tools_by_its_device_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    board = "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super"
    names = "nvidia,p3768-0000+p3767-0005-super\0nvidia,p3767-0005\0nvidia,tegra234\0"
    tree(tmp_path, {"proc/device-tree/model": f"{board}\0", "proc/device-tree/compatible": names})
    assert nvidia.devices(tmp_path) == [], "the GPU is not given to this container"
    tree(tmp_path, {"dev/nvgpu/igpu0/ctrl": ""})
    assert nvidia.devices(tmp_path) == [Device(0, "NVIDIA Jetson Orin Nano Super", "cuda", 120 * GIB, 113 * GIB, "", "8.7", unified=True)]
    tree(tmp_path, {"proc/device-tree/model": "Raspberry Pi 5\0", "proc/device-tree/compatible": "raspberrypi,5-model-b\0brcm,bcm2712\0"})
    assert nvidia.devices(tmp_path) == []


class FakeNvml:
    """The binding's functions, as far as they are called."""

    class NVMLError(Exception):
        value = 999

    class Unsupported(NVMLError):
        value = 3

    def __init__(self, broken: str = "", error: type[NVMLError] = NVMLError, name: bytes = b"NVIDIA H100") -> None:
        self.broken = broken
        self.error = error
        self.name = name
        self.ended = False

    def nvmlInit(self) -> None:  # noqa: N802
        if self.broken == "init":
            raise self.NVMLError

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.ended = True

    def __getattr__(self, name: str) -> object:
        if name == self.broken:
            raise self.error
        values = {
            "nvmlSystemGetDriverVersion": "570.1",
            "nvmlDeviceGetCount": 1,
            "nvmlDeviceGetHandleByIndex": "handle",
            "nvmlDeviceGetMemoryInfo": type("Memory", (), {"total": 80 << 30, "free": 79 << 30})(),
            "nvmlDeviceGetCudaComputeCapability": (9, 0),
            "nvmlDeviceGetName": self.name,
            "nvmlDeviceGetUUID": "GPU-7",
            "nvmlDeviceGetPciInfo": type("Pci", (), {"busId": b"00000000:0A:00.0"})(),
        }
        return lambda *arguments: values[name]


def test_devices_by_nvml(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    nvml = FakeNvml()
    monkeypatch.setattr(nvidia, "import_module", lambda name: nvml)
    tree(tmp_path, {f"sys/bus/pci/devices/0000:0a:00.0/max_link_{name}": value for name, value in (("speed", "32.0 GT/s PCIe"), ("width", 16))})
    expected = Device(0, "NVIDIA H100", "cuda", 80 << 30, 79 << 30, "570.1", "9.0", "GPU-7", slot="0000:0a:00.0", link="PCIe 5.0 x16")
    assert hardware.devices(tmp_path) == [expected]
    assert nvml.ended
    monkeypatch.setattr(nvidia, "import_module", lambda name: FakeNvml("nvmlDeviceGetPciInfo"))
    assert hardware.devices(tmp_path)[0].slot == ""
    monkeypatch.setenv("PATH", smi(tmp_path, "echo '0, By SMI, 1, 1, 1, GPU-1, 00000000:04:00.0, 9.0'"))
    for broken in ("init", "nvmlDeviceGetMemoryInfo"):
        monkeypatch.setattr(nvidia, "import_module", lambda name, broken=broken: FakeNvml(broken))
        assert [device.name for device in hardware.devices(tmp_path)] == ["By SMI"]


def test_a_chip_without_memory_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    expected = Device(0, "NVIDIA GB10", "cuda", 120 * GIB, 113 * GIB, "570.1", "9.0", "GPU-7", unified=True, slot="0000:0a:00.0")
    monkeypatch.setattr(nvidia, "import_module", lambda name: FakeNvml("nvmlDeviceGetMemoryInfo", FakeNvml.Unsupported, b"NVIDIA GB10"))
    assert nvidia.devices(tmp_path) == [expected]
    monkeypatch.setattr(nvidia, "import_module", lambda name: FakeNvml(name=b"NVIDIA GB10"))
    assert nvidia.devices(tmp_path) == [expected], "whatever its driver says is the machine's"

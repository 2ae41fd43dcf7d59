"""Cards of AMD and Intel, in trees of files laid out as Linux lays them out."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from hausgeist import hardware
from hausgeist.hardware import amd, intel, pci
from hausgeist.hardware.capacity import Memory
from hausgeist.hardware.device import Device
from tests.unit.hardware.trees import GIB, card, kfd, processor, tree

IDS = """\
# comment
1002  Advanced Micro Devices, Inc. [AMD/ATI]
\t744c  Navi 31 [Radeon RX 7900 XT/7900 XTX/7900 GRE/7900M]
\t\t1002 0e3b  Radeon RX 7900 XTX
\t73bf  Navi 21 [Radeon RX 6800/6800 XT / 6900 XT]
8086  Intel Corporation
\t0bd5  Ponte Vecchio XT (2 Tile) [Data Center GPU Max 1550]
\t56c0  ATS-M150 [Data Center GPU Flex 170]
\t73bf  No card of AMD
C 03  Display controller
\t00  VGA compatible controller
"""
VRAM = {"mem_info_vram_total": 25753026560, "mem_info_vram_used": 1234567168, "mem_info_gtt_total": 16106127360, "mem_info_gtt_used": 536870912}


@pytest.fixture(autouse=True)
def _no_tools(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "no-tools"))


def tool(folder: Path, name: str, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_two_cards_of_amd_in_the_order_of_their_slots(tmp_path: Path) -> None:
    processor(tmp_path)
    card(tmp_path, 0, "0000:83:00.0", "amdgpu", "1002:744c", VRAM, revision="cc")
    card(tmp_path, 1, "0000:03:00.0", "amdgpu", "1002:744c", {**VRAM, "unique_id": "5fd3e5c1a2b3c4d5"}, revision="c8")
    kfd(tmp_path, 1, "0000:03:00.0", 110000, 96)
    kfd(tmp_path, 2, "0000:83:00.0", 110000, 84)
    tree(tmp_path, {"sys/module/amdgpu/version": "6.12.12"})
    assert hardware.devices(tmp_path) == [
        Device(
            *(0, "AMD Radeon RX 7900 XTX", "rocm", 25753026560, 25753026560 - 1234567168, "amdgpu 6.12.12", "gfx1100", "5fd3e5c1a2b3c4d5"),
            units=96,
            slot="0000:03:00.0",
        ),
        Device(
            *(1, "AMD Radeon RX 7900 XT", "rocm", 25753026560, 25753026560 - 1234567168, "amdgpu 6.12.12", "gfx1100"), units=84, slot="0000:83:00.0"
        ),
    ]
    assert hardware.devices(tmp_path)[0].runs == ("rocm", "vulkan")


def test_a_server_card_tells_its_name(tmp_path: Path) -> None:
    card(tmp_path, 1, "0002:00:00.0", "amdgpu", "1002:74a1", {"mem_info_vram_total": 206141652992, "product_name": "AMD Instinct MI300X OAM"})
    kfd(tmp_path, 2, "0002:00:00.0", 90402, 304, each=4)
    (found,) = amd.devices(tmp_path)
    assert (found.name, found.capability, found.units, found.unified) == ("AMD Instinct MI300X", "gfx942", 304, False)
    assert found.total == found.free == 206141652992


def test_strix_halo_has_what_is_set_aside_and_what_the_driver_may_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(amd, "memory", lambda root: Memory(122 * GIB, 50 * GIB))
    held = {"mem_info_vram_total": 512 << 20, "mem_info_vram_used": 112 << 20, "mem_info_gtt_total": 110 * GIB, "mem_info_gtt_used": 10 * GIB}
    card(tmp_path, 0, "0000:c5:00.0", "amdgpu", "1002:1586", held, revision="c1")
    kfd(tmp_path, 1, "0000:c5:00.0", 110501, 40)
    (found,) = amd.devices(tmp_path)
    assert (found.name, found.capability, found.units, found.unified) == ("AMD Radeon 8060S Graphics", "gfx1151", 40, True)
    assert found.total == 110 * GIB + (512 << 20)
    assert found.free == 50 * GIB + (400 << 20), "no more than the machine has"


def test_the_firmware_may_have_set_most_of_it_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(amd, "memory", lambda root: Memory(31 * GIB, 30 * GIB))
    held = {"mem_info_vram_total": 96 * GIB, "mem_info_vram_used": 20 * GIB, "mem_info_gtt_total": 40 * GIB, "mem_info_gtt_used": 0}
    card(tmp_path, 0, "0000:bf:00.0", "amdgpu", "1002:1586", held, revision="c1")
    kfd(tmp_path, 1, "0000:bf:00.0", 110501, 40)
    (found,) = amd.devices(tmp_path)
    assert (found.total, found.free) == (127 * GIB, 106 * GIB), "the driver's share is no more than the machine's memory"


def test_without_amdkfd_the_metrics_tell_a_processor_with_graphics(tmp_path: Path) -> None:
    device = card(tmp_path, 0, "0000:c5:00.0", "amdgpu", "1002:15bf", VRAM)
    assert not amd.devices(tmp_path)[0].unified
    for head, unified in ((b"\x80\x00\x01\x03", False), (b"\x98\x00\x02\x02", True), (b"\x08\x01\x03\x00", True), (b"\x98\x00", False)):
        (device / "gpu_metrics").write_bytes(head)
        assert amd.devices(tmp_path)[0].unified is unified


def test_graphics_that_only_show_a_picture_are_left_out(tmp_path: Path) -> None:
    card(tmp_path, 0, "0000:0b:00.0", "amdgpu", "1002:164e", {"mem_info_vram_total": 512 << 20})
    kfd(tmp_path, 1, "0000:0b:00.0", 100306, 2)
    card(tmp_path, 1, "0000:03:00.0", "amdgpu", "1002:73bf", VRAM, revision="c1")
    assert [found.slot for found in amd.devices(tmp_path)] == ["0000:03:00.0"]


def test_another_driver_or_nonsense_is_no_accelerator(tmp_path: Path) -> None:
    card(tmp_path, 0, "0000:03:00.0", "radeon", "1002:6798")
    card(tmp_path, 1, "0000:04:00.0", "amdgpu", "1002:744c", {"mem_info_vram_total": "banana"})
    card(tmp_path, 2, "0000:05:00.0", "nvidia", "10de:2684", VRAM)
    assert hardware.devices(tmp_path) == []
    assert hardware.devices(tmp_path / "nowhere") == []


def test_names_of_amd_from_the_best_that_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card(tmp_path, 0, "0000:03:00.0", "amdgpu", "1002:73bf", VRAM, revision="c3")

    def name() -> str:
        return amd.devices(tmp_path)[0].name

    assert name() == "AMD GPU 73bf"
    tree(tmp_path, {"usr/share/misc/pci.ids": IDS})
    assert name() == "AMD Radeon RX 6800/6800 XT / 6900 XT"
    answer = {"card0": {"Card Series": "N/A", "PCI Bus": "0000:01:00.0"}, "card1": {"Card Series": "Navi 21 XL", "PCI Bus": "0000:03:00.0"}}
    tool(tmp_path / "bin", "rocm-smi", f"echo '{json.dumps(answer)}'", monkeypatch)
    assert name() == "Navi 21 XL"
    for broken in ("echo '[1]'", "echo '{\"card0\": 1}'", "echo no; exit 3"):
        tool(tmp_path / "bin", "rocm-smi", broken, monkeypatch)
        assert name() == "AMD Radeon RX 6800/6800 XT / 6900 XT"
    tree(tmp_path, {"opt/amdgpu/share/libdrm/amdgpu.ids": "# List\n1.0.0\n73BF,\tC1,\tAMD Radeon RX 6800 XT\n73BF,\tC3,\tAMD Radeon RX 6800\nodd"})
    assert name() == "AMD Radeon RX 6800"


def test_the_processor_names_its_graphics(tmp_path: Path) -> None:
    card(tmp_path, 0, "0000:c4:00.0", "amdgpu", "1002:15bf", VRAM, revision="c7")
    kfd(tmp_path, 1, "0000:c4:00.0", 110003, 12)
    for told, name in (("w/ Radeon 780M Graphics", "AMD Radeon 780M"), ("with Radeon 780M", "AMD Radeon 780M"), ("16-Core", "AMD GPU 15bf")):
        tree(tmp_path, {"proc/cpuinfo": f"processor\t: 0\nmodel name\t: AMD Ryzen 7 7840HS {told}\nflags\t: avx2"})
        assert amd.devices(tmp_path)[0].name == name


def test_a_card_that_is_not_given_to_the_container(tmp_path: Path) -> None:
    card(tmp_path, 0, "0000:03:00.0", "amdgpu", "1002:744c", VRAM, revision="c8")
    (tmp_path / "dev/dri/renderD128").unlink()
    (found,) = amd.devices(tmp_path)
    assert "--device /dev/dri" in found.barred
    assert found.total


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() == 0, reason="root may open everything")
def test_a_card_that_this_user_may_not_use(tmp_path: Path) -> None:
    card(tmp_path, 0, "0000:03:00.0", "amdgpu", "1002:744c", VRAM, revision="c8")
    (tmp_path / "dev/dri/renderD128").chmod(0)
    assert "usermod" in amd.devices(tmp_path)[0].barred


def test_who_may_not_open_the_card_is_told_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card(tmp_path, 0, "0000:03:00.0", "amdgpu", "1002:744c", VRAM, revision="c8")
    monkeypatch.setattr(pci.os, "access", lambda path, mode: False)
    assert "usermod -aG render,video" in amd.devices(tmp_path)[0].barred


def test_arc_by_the_driver_xe(tmp_path: Path) -> None:
    card(tmp_path, 0, "0000:00:02.0", "i915", "8086:a780")
    card(tmp_path, 1, "0000:03:00.0", "xe", "8086:e20b", {"tile0/physical_vram_size_bytes": 12 * GIB, "tile0/gt0/freq0/cur_freq": 2100})
    tree(tmp_path, {"usr/share/hwdata/pci.ids": IDS})
    assert hardware.devices(tmp_path) == [Device(0, "Intel Arc B580", "vulkan", 12 * GIB, 12 * GIB, "xe", slot="0000:03:00.0")]


def test_tiles_are_added_up(tmp_path: Path) -> None:
    tiles: dict[str, object] = {f"tile{number}/memory/physical_vram_size_bytes": 64 * GIB for number in range(2)}
    card(tmp_path, 0, "0000:29:00.0", "xe", "8086:0bd5", tiles)
    tree(tmp_path, {"usr/share/misc/pci.ids": IDS})
    (found,) = intel.devices(tmp_path)
    assert (found.name, found.total) == ("Intel Data Center GPU Max 1550", 128 * GIB)


def test_arc_by_intels_build_of_i915_keeps_its_size_beside_the_card(tmp_path: Path) -> None:
    device = card(tmp_path, 0, "0000:03:00.0", "i915", "8086:56a0")
    (device / "drm/card0/lmem_total_bytes").write_text(f"{16 * GIB}\n")
    (found,) = intel.devices(tmp_path)
    assert (found.name, found.total, found.free) == ("Intel Arc A770", 16 * GIB, 16 * GIB)


def test_arc_by_the_kernels_i915_is_asked_by_the_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card(tmp_path, 1, "0000:03:00.0", "i915", "8086:56a1")
    asked: list[tuple[Path, str]] = []

    def regions(node: Path, driver: str) -> tuple[int, int]:
        asked.append((node, driver))
        return 8 * GIB, 7 * GIB

    monkeypatch.setattr(intel, "regions", regions)
    (found,) = intel.devices(tmp_path)
    assert (found.total, found.free) == (8 * GIB, 7 * GIB)
    assert asked == [(tmp_path / "dev/dri/renderD129", "i915")]


def test_intels_tool_is_asked_for_what_is_not_known_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card(tmp_path, 0, "0000:4d:00.0", "i915", "8086:56c0")
    (found,) = intel.devices(tmp_path)
    assert (found.name, found.total, found.free) == ("Intel GPU 56c0", 0, 0), "not known is not guessed"
    answer = {
        "device_name": "Intel(R) Data Center GPU Flex 170",
        "memory_physical_size_byte": str(16 * GIB),
        "uuid": "00000000-0000-004d-0000-56c08086",
    }
    tool(tmp_path / "bin", "xpu-smi", f'[ "$*" = "discovery -d 0000:4d:00.0 -j" ] && echo \'{json.dumps(answer)}\'', monkeypatch)
    (found,) = intel.devices(tmp_path)
    assert (found.name, found.total, found.id) == ("Intel Data Center GPU Flex 170", 16 * GIB, "00000000-0000-004d-0000-56c08086")
    for broken in ("echo '[]'", 'echo \'{"memory_physical_size_byte": "much"}\'', "exit 1"):
        tool(tmp_path / "bin", "xpu-smi", broken, monkeypatch)
        assert intel.devices(tmp_path)[0].total == 0


def test_names_in_lists_belong_to_their_maker(tmp_path: Path) -> None:
    tree(tmp_path, {"usr/share/misc/pci.ids": IDS})
    assert pci.listed("0x8086", "73bf", tmp_path) == "No card of AMD"
    assert pci.listed("0x8086", "744c", tmp_path) == ""
    assert pci.listed("0x1002", "0e3b", tmp_path) == "", "a board, no chip"
    assert pci.listed("0x1002", "00", tmp_path) == ""


def test_the_narrowest_port_on_the_way_counts(tmp_path: Path) -> None:
    """As on a board whose second slot hangs on the chipset; the card has a switch of its own, which is always wide."""
    ports = {"0000:00:1c.4": ("8.0", 4), "0000:01:00.0": ("16.0", 16), "0000:02:00.0": ("16.0", 16)}
    behind = "/".join(ports)
    own: dict[str, object] = {
        "max_link_speed": "16.0 GT/s PCIe",
        "max_link_width": 16,
        "current_link_speed": "2.5 GT/s PCIe",
        "current_link_width": 16,
    }
    device = card(tmp_path, 0, "0000:03:00.0", "amdgpu", "1002:744c", {**VRAM, **own}, behind=behind)
    for folder, (rate, lanes) in zip(list(device.parents)[2::-1], ports.values(), strict=True):
        tree(folder, {"max_link_speed": f"{rate} GT/s PCIe", "max_link_width": lanes})
    assert amd.devices(tmp_path)[0].link == "PCIe 3.0 x4"
    tree(tmp_path, {"proc/cpuinfo": "flags\t\t: fpu hypervisor lahf_lm"})
    assert amd.devices(tmp_path)[0].link == "PCIe 4.0 x16", "ports of a virtual machine are made up"
    for speed, lanes in (("Unknown", 16), ("16.0 GT/s PCIe", 255), ("16.0 GT/s PCIe", "?")):
        tree(device, {"max_link_speed": speed, "max_link_width": lanes})
        assert amd.devices(tmp_path)[0].link == ""

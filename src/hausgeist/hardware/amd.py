"""AMD's accelerators, by what the drivers amdgpu and amdkfd say in /sys. Their tools are asked only for a name that nothing else gives.

Memory: https://docs.kernel.org/gpu/amdgpu/driver-misc.html; targets and compute units: /sys/class/kfd/kfd/topology/nodes/*/properties.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from hausgeist.hardware.capacity import Memory, memory
from hausgeist.hardware.device import Device
from hausgeist.hardware.pci import Card, barred, cards, link, listed
from hausgeist.hardware.reading import ask, fields, number, text

__all__ = ["devices"]

_VENDOR: Final = "0x1002"
_SHARING: Final = frozenset(
    ("gfx902", "gfx909", "gfx90c", "gfx1013", "gfx1033", "gfx1035", "gfx1036", "gfx1103", "gfx1150", "gfx1151", "gfx1152", "gfx1153")
)
"""Targets of processors with graphics, "APU" in the table of https://llvm.org/docs/AMDGPUUsage.html#processors."""
_SHARING_METRICS: Final = (2, 3)
"""Format of `gpu_metrics` on such processors; cards have 1 (drivers/gpu/drm/amd/include/kgd_pp_interface.h)."""
_LEAST_UNITS: Final = 3
"""Processors of desktops have two compute units, to show a picture with: slower than the cores beside them."""
_IDS: Final = ("usr/share/libdrm/amdgpu.ids", "opt/amdgpu/share/libdrm/amdgpu.ids")
_NAMES: Final = {
    **{("1586", revision): "AMD Radeon 8060S Graphics" for revision in ("c1", "c3", "c6", "d1")},
    **{("1586", revision): "AMD Radeon 8050S Graphics" for revision in ("c2", "c4", "d2", "d4")},
    **{("744c", "c8"): "AMD Radeon RX 7900 XTX", ("744c", "cc"): "AMD Radeon RX 7900 XT", ("744c", "ce"): "AMD Radeon RX 7900 GRE"},
    **{("747e", "c8"): "AMD Radeon RX 7800 XT", ("747e", "ff"): "AMD Radeon RX 7700 XT"},
    **{("7480", "c0"): "AMD Radeon RX 7600 XT", ("7480", "cf"): "AMD Radeon RX 7600"},
    **{("7448", "00"): "AMD Radeon Pro W7900", ("745e", "cc"): "AMD Radeon Pro W7800"},
    **{("7550", "c0"): "AMD Radeon RX 9070 XT", ("7550", "c2"): "AMD Radeon RX 9070 GRE", ("7550", "c3"): "AMD Radeon RX 9070"},
    **{("7551", "c0"): "AMD Radeon AI PRO R9700", ("7590", "c0"): "AMD Radeon RX 9060 XT", ("7590", "c7"): "AMD Radeon RX 9060"},
    **{("74a1", "00"): "AMD Instinct MI300X", ("74a5", "00"): "AMD Instinct MI325X"},
    **{("75a0", "00"): "AMD Instinct MI350X", ("75a3", "00"): "AMD Instinct MI355X"},
}
"""Out of libdrm's amdgpu.ids of 2026, for systems whose own is older than the card, or that have none."""


def devices(root: Path = Path("/")) -> list[Device]:
    """Cards and processors with graphics worth computing on. `root` is where /sys, /dev and lists of names are looked for."""
    nodes = _nodes(root)
    found: list[Device] = []
    for card in cards(_VENDOR, root):
        own = number(card.device / "mem_info_vram_total")
        if own is None:  # another driver than amdgpu has it
            continue
        node = nodes.get(card.slot, {})
        units = _count(node, "simd_count") // max(1, _count(node, "simd_per_cu"))
        if 0 < units < _LEAST_UNITS:
            continue
        target = _target(_count(node, "gfx_target_version"))
        unified = target in _SHARING if target else _sharing(card)
        size = _shared(card, own, memory(root)) if unified else _own(card, own)
        driver = " ".join(filter(None, (card.driver or "amdgpu", text(root / "sys/module/amdgpu/version"))))
        name, identity = _name(card, unified, root), text(card.device / "unique_id")
        way, shut, at = "" if unified else link(card.slot, root), barred(card, root), len(found)
        found.append(Device(at, name, "rocm", size.total, size.available, driver, target, identity, unified, units, card.slot, way, shut))
    return found


def _own(card: Card, total: int) -> Memory:
    return Memory(total, max(0, total - (number(card.device / "mem_info_vram_used") or 0)))


def _shared(card: Card, total: int, machine: Memory) -> Memory:
    """What the firmware set aside, and what the driver may take of main memory besides: RADV and llama.cpp add them up as well.

    The second is taken when it is used, so that no more is free than is free of the machine.
    """
    reserved = _own(card, total)
    most = min(number(card.device / "mem_info_gtt_total") or 0, machine.total)
    left = max(0, most - (number(card.device / "mem_info_gtt_used") or 0))
    return Memory(reserved.total + most, reserved.available + min(left, machine.available))


def _sharing(card: Card) -> bool:
    """For kernels without amdkfd."""
    try:
        with (card.device / "gpu_metrics").open("rb") as stream:
            head = stream.read(4)
    except OSError:
        return False
    return len(head) == 4 and head[2] in _SHARING_METRICS


def _nodes(root: Path) -> dict[str, Mapping[str, str]]:
    """What amdkfd says of each device, by PCI address."""
    found: dict[str, Mapping[str, str]] = {}
    for path in sorted((root / "sys/class/kfd/kfd/topology/nodes").glob("*/properties")):
        told = fields(text(path), " ")
        place = _count(told, "location_id")
        if _count(told, "simd_count"):  # processors have none
            slot = f"{_count(told, 'domain'):04x}:{place >> 8 & 0xFF:02x}:{place >> 3 & 0x1F:02x}.{place & 7}"
            found.setdefault(slot, told)
    return found


def _count(told: Mapping[str, str], name: str) -> int:
    value = told.get(name, "")
    return int(value) if value.isdecimal() else 0


def _target(version: int) -> str:
    """110501 -> "gfx1151", 90010 -> "gfx90a"."""
    return f"gfx{version // 10000}{version // 100 % 100:x}{version % 100:x}" if version else ""


def _name(card: Card, unified: bool, root: Path) -> str:
    """Without what is no part of it: "AMD Instinct MI300X OAM", "AMD Radeon RX 580 Series"."""
    return re.sub(r"\(TM\)| (?:OAM|Series)$", "", _given_name(card, unified, root))


def _given_name(card: Card, unified: bool, root: Path) -> str:
    """Servers' cards tell theirs; of others there are lists by device and revision."""
    if own := text(card.device / "product_name"):
        return own
    for path in _IDS:
        for line in text(root / path).splitlines():
            parts = [part.strip() for part in line.split(",", 2)]
            if len(parts) == 3 and parts[0].lower() == card.model and parts[1].lower().zfill(2) == card.revision:
                return parts[2]
    if known := _NAMES.get((card.model, card.revision)):
        return known
    if unified and (within := re.search(r"^model name.*\bw(?:/|ith) (Radeon [\w ]*\d\w*)", text(root / "proc/cpuinfo"), re.MULTILINE)):
        return f"AMD {within[1].strip()}"
    return _by_tool(card.slot) or _by_list(card, root)


def _by_tool(slot: str) -> str:
    try:
        answer: Any = json.loads(ask("rocm-smi", "--showproductname", "--showbus", "--json") or "{}")
        told: Any = next((one for one in answer.values() if str(one.get("PCI Bus", "")).lower() == slot), {})
    except (ValueError, AttributeError):
        return ""
    name = next((str(told[key]) for key in ("Card Series", "Card series", "Card Model", "Card model") if told.get(key)), "")
    return "" if name == "N/A" or name.startswith("0x") else name


def _by_list(card: Card, root: Path) -> str:
    name = listed(_VENDOR, card.model, root)
    return f"AMD {name}" if name else f"AMD GPU {card.model}"

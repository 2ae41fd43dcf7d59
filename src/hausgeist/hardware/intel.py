"""Intel's cards (Arc, Data Center GPU). Graphics within processors are left out: they are no faster than the cores beside them.

The size of memory: xe tells it in device/tile0/physical_vram_size_bytes, Intel's own build of i915 in lmem_total_bytes, the kernel's i915 only
by a call (`drm`). xpu-smi is asked last: it reads the card's management engine, which takes long.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from hausgeist.hardware.device import Device
from hausgeist.hardware.drm import regions
from hausgeist.hardware.pci import Card, barred, cards, link, listed
from hausgeist.hardware.reading import ask, number, text

__all__ = ["devices"]

_VENDOR: Final = "0x8086"
_WITHIN: Final = "0000:00:02.0"
"""Where graphics within the processor are, on every one of Intel's."""
_DRIVERS: Final = ("xe", "i915")
_NAMES: Final = {
    **{"56a0": "Arc A770", "56a1": "Arc A750", "56a2": "Arc A580", "56a5": "Arc A380", "56a6": "Arc A310"},
    **{"e20b": "Arc B580", "e20c": "Arc B570", "e211": "Arc Pro B60", "e212": "Arc Pro B50"},
}
"""For systems without a list of PCI devices, or with one from before the card."""


def devices(root: Path = Path("/")) -> list[Device]:
    """Cards by PCI address. `root` is where /sys, /dev and lists of names are looked for."""
    found: list[Device] = []
    for card in cards(_VENDOR, root):
        if card.slot == _WITHIN or card.driver not in _DRIVERS:
            continue
        shut = barred(card, root)
        told = None if shut else regions(root / "dev/dri" / card.node, card.driver)
        name = _NAMES.get(card.model) or listed(_VENDOR, card.model, root)
        identity = ""
        if told is None and (total := _size(card)):
            told = total, total
        if told is None or not name:
            tool = _by_tool(card.slot)
            told, name, identity = told or tool[0], name or tool[1], tool[2]
        name = name.removeprefix("Intel ")
        total, free = told or (0, 0)
        driver = " ".join(filter(None, (card.driver, text(root / "sys/module" / card.driver / "version"))))
        name, way = f"Intel {name or f'GPU {card.model}'}", link(card.slot, root)
        found.append(Device(len(found), name, "vulkan", total, free, driver, id=identity, slot=card.slot, link=way, barred=shut))
    return found


def _size(card: Card) -> int:
    tiles = sorted(card.device.glob("tile*/physical_vram_size_bytes")) or sorted(card.device.glob("tile*/memory/physical_vram_size_bytes"))
    if tiles:
        return sum(number(tile) or 0 for tile in tiles)
    return number(card.folder / "lmem_total_bytes") or 0


def _by_tool(slot: str) -> tuple[tuple[int, int] | None, str, str]:
    """Total and free bytes, name, UUID."""
    try:
        told: Any = json.loads(ask("xpu-smi", "discovery", "-d", slot, "-j") or "{}")
        total = int(told.get("memory_physical_size_byte") or 0)
        free = int(told.get("memory_free_size_byte") or total)
        name, identity = str(told.get("device_name", "")), str(told.get("uuid", ""))
    except (ValueError, TypeError, AttributeError):
        return None, "", ""
    for sign in ("(R)", "(TM)"):
        name = name.replace(sign, "")
    return ((total, free) if total else None), name.removesuffix(" Graphics"), identity

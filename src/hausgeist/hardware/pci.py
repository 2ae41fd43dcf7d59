"""Graphics cards as the kernel of Linux lists them, and the names that lists of PCI devices give them.

/sys/class/drm/card0 is the card, and its `device` the PCI device; connectors ("card0-DP-1") and render nodes lie beside it.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hausgeist.hardware.reading import fields, text

__all__ = ["Card", "barred", "cards", "link", "listed"]

_CARD: Final = re.compile(r"card\d+")
_SLOT: Final = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
_GENERATIONS: Final = {"2.5": "1.0", "5.0": "2.0", "8.0": "3.0", "16.0": "4.0", "32.0": "5.0", "64.0": "6.0"}
"""By GT/s of a lane, as the kernel writes them."""
_IDS: Final = ("usr/share/misc/pci.ids", "usr/share/hwdata/pci.ids", "usr/share/pci.ids")


@dataclass(frozen=True, slots=True)
class Card:
    """A card with a driver."""

    folder: Path
    """What drivers keep about the card itself; `device` in it is the PCI device."""
    slot: str
    """PCI address: "0000:03:00.0"."""
    driver: str
    model: str
    """PCI device number, four hexadecimal digits in lower case; `revision` two."""
    revision: str
    node: str
    """Name under /dev/dri of what computing goes through; empty where there is none."""

    @property
    def device(self) -> Path:
        return self.folder / "device"


def cards(vendor: str, root: Path = Path("/")) -> list[Card]:
    """Those of a maker ("0x1002") by PCI address, the order in which drivers count them."""
    found = []
    try:
        folders = [folder for folder in (root / "sys/class/drm").iterdir() if _CARD.fullmatch(folder.name)]
    except OSError:
        return []
    for folder in folders:
        device = folder / "device"
        if text(device / "vendor").lower() != vendor:
            continue
        told = fields(text(device / "uevent"), "=")
        model, revision = (text(device / name).lower().removeprefix("0x") for name in ("device", "revision"))
        slot = told.get("PCI_SLOT_NAME") or device.resolve().name
        found.append(Card(folder, slot.lower(), told.get("DRIVER", ""), model, revision, _node(device)))
    return sorted(found, key=lambda card: card.slot)


def barred(card: Card, root: Path = Path("/")) -> str:
    """Why this process cannot compute on the card, empty where nothing speaks against it."""
    if not card.node:
        return "its driver lets nobody compute on it"
    path = root / "dev/dri" / card.node
    if not path.exists():
        return f"/dev/dri/{card.node} is not here; a container is given it by '--device /dev/dri'"
    if not os.access(path, os.R_OK | os.W_OK):
        return f"this user may not open /dev/dri/{card.node}; 'usermod -aG render,video USER' lets him from the next login"
    return ""


def link(slot: str, root: Path = Path("/")) -> str:
    """What connects the device to the processor, "PCIe 3.0 x4": the slowest and narrowest of the ports on the way, at what they are built for.

    At rest many a device slows its port down, so that the present speed says little. A virtual machine's ports are no ports: there only the
    device itself counts.
    """
    device = (root / "sys/bus/pci/devices" / slot).resolve()
    virtual = " hypervisor" in text(root / "proc/cpuinfo")
    rates: list[float] = []
    lanes: list[int] = []
    for folder in (device, *(() if virtual else device.parents)):
        if not _SLOT.fullmatch(folder.name):
            break
        rate, width = text(folder / "max_link_speed").partition(" ")[0], text(folder / "max_link_width")
        if rate in _GENERATIONS and width.isdecimal() and 0 < int(width) <= 32:
            rates.append(float(rate))
            lanes.append(int(width))
    return f"PCIe {_GENERATIONS[str(min(rates))]} x{min(lanes)}" if rates else ""


def listed(vendor: str, model: str, root: Path = Path("/")) -> str:
    """The name on sale that pci.ids gives in brackets, "Arc A770" of "DG2 [Arc A770]"; where several are, they come in one: "RX 7900 XT/7900 XTX"."""
    for name in _IDS:
        within = False
        for line in text(root / name).splitlines():
            if line[:1] not in ("\t", "#", ""):
                within = line.startswith(f"{vendor.removeprefix('0x')} ")
            elif within and line.startswith(f"\t{model} "):
                whole = line[len(model) + 1 :].strip()
                bracketed = re.search(r"\[([^\[\]]+)\]$", whole)
                return bracketed[1] if bracketed else whole
    return ""


def _node(device: Path) -> str:
    try:
        return min((path.name for path in (device / "drm").iterdir() if path.name.startswith("renderD")), default="")
    except OSError:
        return ""

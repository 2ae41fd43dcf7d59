"""NVIDIA's accelerators: by NVML where its binding is installed, else by nvidia-smi, else (Jetson) by the device tree.

Chips without memory of their own (Jetson, GB10 in the DGX Spark) have no figures there: NVML answers "not supported" and nvidia-smi "[N/A]"
(seen at leptonai/gpud 1170, Syllo/nvtop 411 and 466). What they can have is the machine's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from hausgeist.hardware.capacity import memory
from hausgeist.hardware.device import Device
from hausgeist.hardware.pci import link
from hausgeist.hardware.reading import ask, text

__all__ = ["devices"]

_FIELDS: Final[Sequence[str]] = ("index", "name", "memory.total", "memory.free", "driver_version", "uuid", "pci.bus_id", "compute_cap")
_OLDER: Final[Sequence[str]] = _FIELDS[:-1]
"""Drivers before R510 do not know the last one and then answer nothing at all."""
_NOT_SUPPORTED: Final = 3
"""NVML_ERROR_NOT_SUPPORTED"""
_SHARING: Final = re.compile(r"\bGB10\b|nvgpu|\b(?:Orin|Xavier|Thor|Tegra)\b", re.IGNORECASE)
"""Chips whose driver may give the machine's memory as theirs, and count files that are cached there as taken."""
_KIT: Final = re.compile(r" (?:Engineering Reference )?Developer Kit")
_TEGRA: Final = {"tegra264": "11.0", "tegra234": "8.7", "tegra194": "7.2", "tegra186": "6.2", "tegra210": "5.3"}
"""Jetson Thor, Orin, Xavier, TX2, Nano and TX1: compute capability (https://developer.nvidia.com/cuda-gpus)."""


def devices(root: Path = Path("/")) -> list[Device]:
    """Empty where there is none, or no driver. `root` is where /proc and /sys are looked for."""
    found = _by_nvml(root)
    return (_by_smi(root) if found is None else found) or _by_tree(root)


def _by_nvml(root: Path) -> list[Device] | None:
    """`None`: ask another way."""
    try:
        nvml: Any = import_module("pynvml")
    except ImportError:
        return None
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        return None
    try:
        driver = _string(nvml.nvmlSystemGetDriverVersion())
        return [_of_nvml(nvml, index, driver, root) for index in range(nvml.nvmlDeviceGetCount())]
    except nvml.NVMLError:
        return None
    finally:
        nvml.nvmlShutdown()


def _of_nvml(nvml: Any, index: int, driver: str, root: Path) -> Device:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    try:
        held = nvml.nvmlDeviceGetMemoryInfo(handle)
        size: tuple[int, int] | None = int(held.total), int(held.free)
    except nvml.NVMLError as error:
        if getattr(error, "value", None) != _NOT_SUPPORTED:
            raise
        size = None
    try:
        slot = _slot(_string(nvml.nvmlDeviceGetPciInfo(handle).busId))
    except nvml.NVMLError:
        slot = ""
    major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)
    name, identity = _string(nvml.nvmlDeviceGetName(handle)), _string(nvml.nvmlDeviceGetUUID(handle))
    return _device(root, index, name, size, driver, f"{major}.{minor}", identity, slot)


def _by_smi(root: Path) -> list[Device]:
    wanted, answer = _FIELDS, _ask_smi(_FIELDS)
    if "not a valid field" in answer:
        wanted, answer = _OLDER, _ask_smi(_OLDER)
    found = []
    for line in answer.splitlines():
        parts = [part.strip() for part in line.split(",")]
        if len(parts) != len(wanted) or not parts[0].isdigit():
            continue
        told = dict(zip(wanted, parts, strict=True))
        total, free = told["memory.total"], told["memory.free"]
        size = (int(total) << 20, int(free) << 20 if free.isdigit() else 0) if total.isdigit() else None
        if size is None and "lost" in total.lower():  # "[GPU is lost]": it has fallen off the bus
            size = (0, 0)
        driver, capability, identity, bus = (_known(told.get(name, "")) for name in ("driver_version", "compute_cap", "uuid", "pci.bus_id"))
        found.append(_device(root, int(told["index"]), told["name"], size, driver, capability, identity, _slot(bus)))
    return found


def _ask_smi(wanted: Sequence[str]) -> str:
    return ask("nvidia-smi", f"--query-gpu={','.join(wanted)}", "--format=csv,noheader,nounits")


def _by_tree(root: Path) -> list[Device]:
    """Jetson before JetPack 6 has neither NVML nor nvidia-smi, but says what it is."""
    compatible = text(root / "proc/device-tree/compatible")
    chip = next((chip for chip in _TEGRA if f"nvidia,{chip}" in compatible.split("\0")), "")
    if not chip or not any((root / "dev" / name).exists() for name in ("nvhost-gpu", "nvgpu")):
        return []
    return [_device(root, 0, chip, None, "", _TEGRA[chip], "", "")]


def _device(root: Path, index: int, name: str, size: tuple[int, int] | None, driver: str, capability: str, identity: str, slot: str) -> Device:
    """`size`: total and free bytes; `None`: it has no memory of its own."""
    unified = size is None or bool(_SHARING.search(name))
    if not unified:
        assert size is not None
        return Device(index, name, "cuda", *size, driver, capability, identity, slot=slot, link=link(slot, root) if slot else "")
    machine = memory(root)
    board = text(root / "proc/device-tree/model")
    if "NVIDIA" in board:  # "Orin (nvgpu)" is in boards with 8 to 64 GB
        name = _KIT.sub("", board)
    return Device(index, name, "cuda", machine.total, machine.available, driver, capability, identity, unified=True, slot=slot)


def _slot(bus: str) -> str:
    """ "00000000:04:00.0" as everybody else writes it: "0000:04:00.0"."""
    domain, colon, rest = bus.partition(":")
    return f"{domain[-4:]}:{rest}".lower() if colon else ""


def _known(value: str) -> str:
    return "" if "N/A" in value or "Not Supported" in value else value


def _string(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)

"""What this machine has, as this process may use it: memory and processors under the limits of containers, accelerators.

Reads only and keeps nothing; what fits where is the planner's business. Each maker's accelerators have their file beside this one.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil

from hausgeist.hardware import amd, apple, intel, nvidia
from hausgeist.hardware.capacity import Memory, memory
from hausgeist.hardware.cgroup import cpu_quota
from hausgeist.hardware.device import Device
from hausgeist.hardware.reading import ask, fields, text

__all__ = ["Cpu", "Device", "Memory", "cpu", "devices", "memory"]

_FEATURES = {
    *("sse3", "ssse3", "sse4_1", "sse4_2", "f16c", "fma", "bmi2", "avx", "avx2", "avx_vnni", "avx512f", "avx512bw", "avx512dq", "avx512vl"),
    *("avx512vbmi", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16"),
    *("neon", "asimd", "asimddp", "asimdhp", "i8mm", "bf16", "sve", "sve2", "sme"),
}
"""Instruction sets that engines make use of; the rest of a processor's flags says nothing about speed here."""

_ARM = {
    **{"0xd03": "Cortex-A53", "0xd05": "Cortex-A55", "0xd08": "Cortex-A72", "0xd0b": "Cortex-A76", "0xd41": "Cortex-A78", "0xd42": "Cortex-A78AE"},
    **{"0xd47": "Cortex-A710", "0xd4d": "Cortex-A715", "0xd81": "Cortex-A720", "0xd87": "Cortex-A725", "0xd82": "Cortex-X4", "0xd85": "Cortex-X925"},
    **{"0xd0c": "Neoverse-N1", "0xd49": "Neoverse-N2", "0xd40": "Neoverse-V1", "0xd4f": "Neoverse-V2", "0xd84": "Neoverse-V3"},
}
"""Cores of Arm by part number, as in sys-utils/lscpu-arm.c of util-linux."""


@dataclass(frozen=True, slots=True)
class Cpu:
    """Processors that this process may run on."""

    model: str
    cores: int
    """Physical cores: as many threads as computing gains from."""
    threads: int
    """Logical processors."""
    features: tuple[str, ...]
    quota: float | None = None
    """Processors' worth of time that the container allows, where it limits it."""


def cpu() -> Cpu:
    """The processor; what cannot be told is empty."""
    allowed = _allowed()
    threads = len(allowed) or psutil.cpu_count() or 1
    cores = _physical(allowed) or min(threads, psutil.cpu_count(logical=False) or threads)
    quota = cpu_quota()
    if quota is not None:
        threads = max(1, min(threads, round(quota)))
        cores = max(1, min(cores, round(quota)))
    model, features = _identity()
    return Cpu(model, cores, threads, features, quota)


def devices(root: Path = Path("/")) -> list[Device]:
    """Accelerators of all makers. `root` is where /proc, /sys and /dev are looked for; makers' own programs are asked as they are in PATH."""
    return [*nvidia.devices(root), *amd.devices(root), *intel.devices(root), *apple.devices(root)]


def _allowed() -> list[int]:
    try:
        return sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else []
    except OSError:
        return []


def _physical(allowed: list[int]) -> int:
    """Cores behind the logical processors: siblings share one."""
    cores = set()
    for number in allowed:
        folder = Path(f"/sys/devices/system/cpu/cpu{number}/topology")
        siblings = text(folder / "core_cpus_list") or text(folder / "thread_siblings_list")
        if not siblings:
            return 0
        cores.add(siblings)
    return len(cores)


def _identity(root: Path = Path("/")) -> tuple[str, tuple[str, ...]]:
    if platform.system() == "Darwin":
        model = ask("sysctl", "-n", "machdep.cpu.brand_string")
        flags = ask("sysctl", "-n", "machdep.cpu.features", "machdep.cpu.leaf7_features").lower().replace(".", "_").split()
        return model, _known(["neon", *flags] if platform.machine() == "arm64" else ["avx" if flag == "avx1_0" else flag for flag in flags])
    lines = text(root / "proc/cpuinfo")
    told = {name.lower(): value for name, value in fields(lines, ":").items()}
    model = told.get("model name") or _arm(lines, root) or told.get("hardware") or platform.processor() or platform.machine()
    return model, _known((told.get("flags") or told.get("features") or "").split())


def _arm(lines: str, root: Path) -> str:
    """The board and the kinds of cores: "Raspberry Pi 5 Model B Rev 1.0, Cortex-A76". Arm's processors do not tell a name of their own."""
    cores = (_ARM.get(part, "") for part in re.findall(r"^CPU part\s*: (0x[0-9a-f]+)$", lines, re.MULTILINE | re.IGNORECASE))
    names = [text(root / "proc/device-tree/model"), " + ".join(dict.fromkeys(filter(None, cores)))]
    return ", ".join(filter(None, names))


def _known(flags: list[str]) -> tuple[str, ...]:
    return tuple(sorted(_FEATURES.intersection(flags)))

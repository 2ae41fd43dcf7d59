"""What this machine has, as this process may use it: memory and processors under the limits of containers, accelerators.

Reads only and keeps nothing; what fits where is the planner's business.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import psutil

from hausgeist.hardware.cgroup import cpu_quota, memory_limits

__all__ = ["Cpu", "Device", "Memory", "cpu", "devices", "memory"]

_FEATURES = {
    *("sse3", "ssse3", "sse4_1", "sse4_2", "f16c", "fma", "bmi2", "avx", "avx2", "avx_vnni", "avx512f", "avx512bw", "avx512dq", "avx512vl"),
    *("avx512vbmi", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16"),
    *("neon", "asimd", "asimddp", "asimdhp", "i8mm", "bf16", "sve", "sve2", "sme"),
}
"""Instruction sets that engines make use of; the rest of a processor's flags says nothing about speed here."""

_NVIDIA_FIELDS = "index,name,memory.total,memory.free,driver_version,compute_cap,uuid"


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of main memory: what there is, and what could be had now without swapping. The tightest limit around this process counts."""

    total: int
    available: int


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


@dataclass(frozen=True, slots=True)
class Device:
    """An accelerator. Memory in bytes."""

    index: int
    name: str
    kind: str
    """Which kind of engine build it takes: cuda."""
    total: int
    free: int
    driver: str = ""
    capability: str = ""
    """CUDA compute capability: "9.0"."""
    id: str = ""


def memory(root: Path = Path("/")) -> Memory:
    """Main memory, and cgroup limits where they are tighter. `root` is where /proc and /sys are looked for."""
    machine = psutil.virtual_memory()
    total, available = int(machine.total), int(machine.available)
    for group in memory_limits(root):
        total = min(total, group.limit)
        available = min(available, max(0, group.limit - group.held))
    return Memory(total, available)


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


def devices() -> list[Device]:
    """Accelerators: NVIDIA's by NVML where its binding is installed, else by nvidia-smi. Empty where there is none, or no driver."""
    found = _by_nvml()
    return _by_nvidia_smi() if found is None else found


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
        for name in ("core_cpus_list", "thread_siblings_list"):
            try:
                cores.add((folder / name).read_text(encoding="ascii").strip())
                break
            except OSError:
                continue
        else:
            return 0
    return len(cores)


def _identity() -> tuple[str, tuple[str, ...]]:
    if sys.platform == "darwin":
        model = _ask("sysctl", "-n", "machdep.cpu.brand_string")
        flags = _ask("sysctl", "-n", "machdep.cpu.features", "machdep.cpu.leaf7_features").lower().replace(".", "_").split()
        return model, _known(["neon", *flags] if platform.machine() == "arm64" else ["avx" if flag == "avx1_0" else flag for flag in flags])
    fields: dict[str, str] = {}
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            name, separator, value = line.partition(":")
            if separator:
                fields.setdefault(name.strip().lower(), value.strip())
    except OSError:
        pass
    model = fields.get("model name") or fields.get("hardware") or platform.processor() or platform.machine()
    return model, _known((fields.get("flags") or fields.get("features") or "").split())


def _known(flags: list[str]) -> tuple[str, ...]:
    return tuple(sorted(_FEATURES.intersection(flags)))


def _by_nvml() -> list[Device] | None:
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
        found = []
        for index in range(nvml.nvmlDeviceGetCount()):
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            held = nvml.nvmlDeviceGetMemoryInfo(handle)
            major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)
            name, identity = _string(nvml.nvmlDeviceGetName(handle)), _string(nvml.nvmlDeviceGetUUID(handle))
            found.append(Device(index, name, "cuda", int(held.total), int(held.free), driver, f"{major}.{minor}", identity))
        return found
    except nvml.NVMLError:
        return None
    finally:
        nvml.nvmlShutdown()


def _by_nvidia_smi() -> list[Device]:
    found = []
    for line in _ask("nvidia-smi", f"--query-gpu={_NVIDIA_FIELDS}", "--format=csv,noheader,nounits").splitlines():
        parts = [part.strip() for part in line.split(",")]
        if len(parts) != len(_NVIDIA_FIELDS.split(",")) or not parts[0].isdigit():
            continue
        index, name, total, free, driver, capability, identity = parts
        found.append(Device(int(index), name, "cuda", _mebibytes(total), _mebibytes(free), driver, capability, identity))
    return found


def _mebibytes(text: str) -> int:
    """Some devices say "[N/A]" (their memory is the machine's)."""
    return int(text) << 20 if text.isdigit() else 0


def _string(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _ask(*command: str) -> str:
    """What a program of the system prints; empty when it is not there or does not answer."""
    try:
        return subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=5, check=False, stdin=subprocess.DEVNULL
        ).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""

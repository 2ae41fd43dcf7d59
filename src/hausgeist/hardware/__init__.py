"""What this machine has: memory (cgroup limits counted), processors, accelerators. Reads only, decides nothing."""

from hausgeist.hardware.probe import Cpu, Device, Memory, cpu, devices, memory

__all__ = ["Cpu", "Device", "Memory", "cpu", "devices", "memory"]

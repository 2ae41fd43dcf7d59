"""What this machine has: memory (cgroup limits counted), processors, accelerators, disks; how fast it computes. Reads only, decides nothing."""

from hausgeist.hardware.capacity import Disk, disk, occupied
from hausgeist.hardware.probe import Cpu, Device, Memory, cpu, devices, memory

__all__ = ["Cpu", "Device", "Disk", "Memory", "cpu", "devices", "disk", "memory", "occupied"]

"""The GPU of Apple silicon. It shares the machine's memory, of which macOS lets it hold a part at a time."""

from __future__ import annotations

import platform
import re
import sys
from pathlib import Path
from typing import Final

from hausgeist.hardware.capacity import memory
from hausgeist.hardware.device import Device
from hausgeist.hardware.reading import ask

__all__ = ["devices"]

_METAL: Final = """
import ctypes
system = "/System/Library/Frameworks/"
ctypes.CDLL(system + "CoreGraphics.framework/CoreGraphics")
metal = ctypes.CDLL(system + "Metal.framework/Metal")
objc = ctypes.CDLL("/usr/lib/libobjc.dylib")
metal.MTLCreateSystemDefaultDevice.restype = ctypes.c_void_p
objc.sel_registerName.restype = ctypes.c_void_p
objc.sel_registerName.argtypes = [ctypes.c_char_p]
device = metal.MTLCreateSystemDefaultDevice()
send = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_void_p, ctypes.c_void_p)(("objc_msgSend", objc))
print(send(device, objc.sel_registerName(b"recommendedMaxWorkingSetSize")) if device else "none")
"""
"""Asks Metal what llama.cpp asks it. In a process of its own: a slip here would end the process that makes it."""
_SMALL: Final = 32 << 30


def devices(root: Path = Path("/")) -> list[Device]:
    """One on a Mac with Apple silicon, else none."""
    if platform.system() != "Darwin":
        return []
    name = ask("sysctl", "-n", "machdep.cpu.brand_string")
    if not name.startswith("Apple"):
        return []
    told = ask(sys.executable, "-I", "-c", _METAL)
    if told == "none":  # a virtual machine without a GPU
        return []
    machine = memory(root)
    most = int(told) if told.isdecimal() and int(told) else _most(machine.total)
    units = re.search(r'"gpu-core-count"\s*=\s*(\d+)', ask("ioreg", "-r", "-c", "AGXAccelerator", "-d", "1"))
    release = ask("sysctl", "-n", "kern.osproductversion")
    driver = f"macOS {release}" if release else ""
    free = min(most, machine.available)
    return [Device(0, name, "metal", most, free, driver, unified=True, units=int(units[1]) if units else 0)]


def _most(total: int) -> int:
    """What the owner has set, else what macOS sets by itself: 2/3 up to 32 GB, 3/4 above (https://github.com/ollama/ollama/issues/434).

    Later releases are more generous (0.84 of 128 GB: https://github.com/antirez/ds4/pull/893), which only Metal tells.
    """
    owner = ask("sysctl", "-n", "iogpu.wired_limit_mb")
    if owner.isdecimal() and int(owner):
        return min(total, int(owner) << 20)
    return total * 2 // 3 if total <= _SMALL else total * 3 // 4

"""The compilers and build tools of this machine, and what to install where one is missing."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hausgeist.errors import NotFound

__all__ = ["Flavour", "Toolchain", "jobs", "toolchain"]

Flavour = Literal["native", "cuda", "vulkan"]

_JOB_MEMORY: dict[Flavour, int] = {"native": 1200 * 2**20, "cuda": 3 * 2**30, "vulkan": 2 * 2**30}
"""What one compiler process takes at most, roughly."""


@dataclass(frozen=True, slots=True)
class Toolchain:
    """Paths of what is needed. `options`: what CMake must be told about them."""

    cmake: Path
    ninja: Path
    options: Sequence[str] = ()


def toolchain(flavour: Flavour) -> Toolchain:
    """Everything that this flavour needs. Raises `NotFound` naming all that is missing, and how to get it."""
    missing: list[str] = []
    cmake, ninja = _find("cmake"), _find("ninja")
    if cmake is None or ninja is None:
        names = " ".join(name for name, found in (("cmake", cmake), ("ninja", ninja)) if found is None)
        missing.append(f"'{Path(sys.executable).name} -m pip install {names}'")
    if sys.platform != "win32" and not _compiler():
        hint = "'xcode-select --install'" if sys.platform == "darwin" else "a C++ compiler ('apt install g++', 'dnf install gcc-c++')"
        missing.append(hint)
    options: list[str] = []
    if flavour == "cuda":
        nvcc = _nvcc()
        if nvcc is None:
            missing.append("NVIDIA's CUDA toolkit with nvcc (set CUDACXX to its path if it is not on PATH)")
        else:
            options.append(f"-DCMAKE_CUDA_COMPILER={nvcc}")
            if architectures := os.environ.get("CUDAARCHS"):
                options.append(f"-DCMAKE_CUDA_ARCHITECTURES={architectures}")  # otherwise for the GPU that is found
    if flavour == "vulkan" and _find("glslc") is None:
        missing.append("Vulkan's headers and glslc ('apt install libvulkan-dev glslc spirv-headers', or the Vulkan SDK)")
    if missing or cmake is None or ninja is None:
        raise NotFound(f"To build the engine ({flavour}), install first: {'; '.join(missing)}.")
    return Toolchain(cmake, ninja, options)


def jobs(flavour: Flavour) -> int:
    """How many compilers to run side by side: one per CPU we may use, as far as memory allows."""
    import psutil

    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(usable, psutil.virtual_memory().available // _JOB_MEMORY[flavour]))


def _find(name: str) -> Path | None:
    """In this Python's environment first: that is where 'pip install cmake ninja' puts them, activated or not."""
    found = shutil.which(name, path=sysconfig.get_path("scripts")) or shutil.which(name)
    return Path(found) if found else None


def _compiler() -> bool:
    named = os.environ.get("CXX")
    return any(shutil.which(name) for name in ([named.split()[0]] if named and named.split() else ["c++", "g++", "clang++"]))


def _nvcc() -> Path | None:
    named = os.environ.get("CUDACXX")
    places = [named] if named else ["nvcc", *(f"{os.environ[name]}/bin/nvcc" for name in ("CUDA_HOME", "CUDA_PATH") if name in os.environ)]
    found = next((path for path in map(shutil.which, [*places, "/usr/local/cuda/bin/nvcc"]) if path), None)
    return Path(found) if found else None

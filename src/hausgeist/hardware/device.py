"""What is known of an accelerator of this machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Device", "Kind"]

Kind = Literal["cuda", "rocm", "vulkan", "metal"]
"""Of NVIDIA, AMD, Intel, Apple: the kind of engine build that uses it best."""

_RUNS: dict[Kind, tuple[str, ...]] = {
    "cuda": ("cuda", "vulkan"),
    "rocm": ("rocm", "vulkan"),
    "vulkan": ("vulkan", "sycl"),
    "metal": ("metal",),
}


@dataclass(frozen=True, slots=True)
class Device:
    """An accelerator. Memory in bytes; 0: its driver does not tell."""

    index: int
    """Among those of its kind, as its driver counts them."""
    name: str
    kind: Kind
    total: int
    free: int
    driver: str = ""
    capability: str = ""
    """CUDA compute capability, "9.0"; AMD's target, "gfx1100"."""
    id: str = ""
    unified: bool = False
    """Its memory is the machine's: what it takes is missing there."""
    units: int = 0
    """Compute units of AMD, GPU cores of Apple; 0: not told. Chips of one name differ by it."""
    slot: str = ""
    """PCI address: "0000:03:00.0"."""
    link: str = ""
    """The narrowest connection on the way to the processor: "PCIe 4.0 x16"; empty: it has none, or it is not told."""
    barred: str = ""
    """Why this process cannot use it; empty: it can, as far as can be told."""

    @property
    def runs(self) -> tuple[str, ...]:
        """Kinds of engine builds that can use it, the best first."""
        return _RUNS[self.kind]

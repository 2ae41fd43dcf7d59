"""The ledger of host and device memory: what is promised to workers, and whether one more fits. Nothing is ever promised twice.

Model files are mapped, so the system counts their pages as available even while they are in use; the ledger therefore starts from the
total and subtracts what other processes hold and what every worker was promised, instead of trusting the free memory of the moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from hausgeist.hardware.probe import Memory
from hausgeist.model import Footprint
from hausgeist.settings import Settings

__all__ = ["Ledger", "gib"]


@dataclass(frozen=True, slots=True)
class Ledger:
    """`probe` reads the memory of the machine (or of the cgroup)."""

    settings: Settings
    probe: Callable[[], Memory]

    def capacity(self, held: Iterable[Footprint]) -> int:
        """Bytes of host memory that all workers together may have; `held`: what running workers really hold for themselves (not mapped files)."""
        memory = self.probe()
        ours = sum(one.parts.get("anonymous", one.host) for one in held)
        others = max(0, memory.total - memory.available - ours)
        capacity = max(0, memory.total - others - self.settings.memory_reserve)
        return capacity if self.settings.memory is None else min(capacity, self.settings.memory)

    def missing(self, wanted: Footprint, promised: Iterable[Footprint], held: Iterable[Footprint]) -> int:
        """Bytes by which `wanted` is too large beside what was promised already; 0 or less: it fits."""
        return wanted.host + sum(one.host for one in promised) - self.capacity(held)


def gib(size: float) -> str:
    """Bytes for people: "1.2 GiB"."""
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 / 10 else f"{size / 2**20:.0f} MiB"

"""Which layer goes to which device.

Source: `get_layer_buft_list` in llama.cpp's src/llama-model.cpp: the last layers go to devices, the output behind them as one more; the table of
token embeddings never does.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

__all__ = ["HOST", "Placement"]

HOST = -1


@dataclass(frozen=True, slots=True)
class Placement:
    """`layers`: how many, with the output, are to be on devices; `shares`: what part of them each device gets, in any unit."""

    blocks: int
    layers: int = 0
    shares: tuple[float, ...] = ()

    @property
    def offloaded(self) -> int:
        """Layers on devices, the output counted as one."""
        return min(self.layers, self.blocks + 1) if self.shares else 0

    @property
    def whole(self) -> bool:
        return self.offloaded == self.blocks + 1

    def device(self, layer: int) -> int:
        """Number of the device, or `HOST`. The output is the layer after the last."""
        first = self.blocks + 1 - self.offloaded
        if not self.offloaded or layer < first:
            return HOST
        return min(bisect_right(_ends(self.shares), (layer - first) / self.offloaded), len(self.shares) - 1)


@lru_cache(maxsize=64)
def _ends(shares: tuple[float, ...]) -> tuple[float, ...]:
    """Where each device's part of the offloaded layers ends, of 1."""
    total = sum(shares)
    return tuple(part / total for part in accumulate(shares))

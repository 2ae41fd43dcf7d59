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
        return max(0, min(self.layers, self.blocks + 1)) if self.shares else 0

    @property
    def whole(self) -> bool:
        return self.offloaded == self.blocks + 1

    @property
    def places(self) -> tuple[int, ...]:
        """The device of each layer by number, or `HOST`. The output is the layer after the last."""
        return _places(self)


@lru_cache(maxsize=64)
def _places(placement: Placement) -> tuple[int, ...]:
    count, shares = placement.offloaded, placement.shares
    total = sum(shares)
    ends = [part / total for part in accumulate(shares)]  # where each device's part of the offloaded layers ends, of 1
    devices = [min(bisect_right(ends, number / count), len(shares) - 1) for number in range(count)]
    return (*(HOST,) * (placement.blocks + 1 - count), *devices)

"""What makes vectors of text. One is the small model that is part of the installation, the others are embedding models of the library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Embedder"]


class Embedder(Protocol):
    @property
    def name(self) -> str:
        """Which model at which version: vectors of different names are never compared."""
        ...

    @property
    def dimension(self) -> int: ...

    @property
    def languages(self) -> frozenset[str]:
        """The languages it knows (ISO 639-1); empty: nobody has said, take it for any."""
        ...

    async def passages(self, texts: Sequence[str], *, background: bool = False) -> NDArray[np.float32]:
        """One vector of length 1 for each. Texts longer than the model reads are read in parts, whose mean it is. `background`: others go first."""
        ...

    async def query(self, text: str) -> NDArray[np.float32]:
        """The vector of a question."""
        ...

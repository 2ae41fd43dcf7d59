"""What search asks of an index of words and of an index of vectors. One of each belongs to one vector store; nothing else is in it.

Both are derived: the database knows every passage, and an index that is lost or behind is brought up again from there. A passage is known by its
number (`passages.id`, which grows and is never used again), and belongs to an entry (`entries.id`: a document as a store has it). An index keeps a
mark, which is committed together with what was added and removed before it; after a crash it is at one of its marks.

They block, so the event loop asks them in a thread; one thread at a time writes, any number read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Found", "TextEntry", "TextIndex", "VectorIndex"]


@dataclass(frozen=True, slots=True)
class TextEntry:
    """A passage as the index of words takes it."""

    id: int
    entry: int
    text: str
    language: str
    """ISO 639-1; "und" where it is not known."""
    heading: str = ""
    """The headings above it, joined."""
    filename: str = ""
    terms: tuple[str, str] | None = None
    """See `Cut.terms`; `None`: the index makes them itself."""


class Found(NamedTuple):
    """A passage, and how well it suits: more is better, and scores of one search can be compared with each other only."""

    # A search makes some hundreds of these, a tuple in half the time that an object takes.

    id: int
    score: float


class TextIndex(Protocol):
    @property
    def mark(self) -> int:
        """The last that was committed; 0 when nothing was."""
        ...

    def add(self, passages: Iterable[TextEntry]) -> None:
        """From the next commit on they are found. A passage that is there already is replaced."""
        ...

    def remove(self, ids: Collection[int]) -> None: ...

    def commit(self, mark: int) -> None:
        """What was added and removed is found from now on and stands on the disk."""
        ...

    def search(self, query: str, limit: int, *, language: str = "und", entries: Collection[int] | None = None) -> Sequence[Found]:
        """The best first. `query`: what a person wrote, with "exact phrases" in quotation marks; `entries`: only in these."""
        ...

    def close(self) -> None: ...


class VectorIndex(Protocol):
    @property
    def mark(self) -> int: ...

    def add(self, ids: Sequence[int], entries: Sequence[int], vectors: NDArray[np.float32]) -> None:
        """`vectors`: one row for each id, of length 1. A passage that is there already is replaced."""
        ...

    def remove(self, ids: Collection[int]) -> None: ...

    def commit(self, mark: int) -> None:
        """As that of words; and what was removed is overwritten on the disk."""
        ...

    def search(self, vector: NDArray[np.float32], limit: int, *, entries: Collection[int] | None = None) -> Sequence[Found]:
        """The nearest first; the score is the cosine."""
        ...

    def scores(self, vector: NDArray[np.float32], ids: Sequence[int]) -> Sequence[float]:
        """The cosine of passages that another index has found; NaN for those that are not here."""
        ...

    def vectors(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """As they were added, up to the precision that is kept. Raises `KeyError`."""
        ...

    def close(self) -> None: ...

"""What callers get of vector stores: the store, a file in it, a batch of files, and how far their reading is."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeVar

__all__ = ["AUTO", "Attachment", "Batch", "Chunking", "Counts", "FileStatus", "Page", "Progress", "Store", "StoreFile", "Trouble", "failed"]

T = TypeVar("T")
FileStatus = Literal["in_progress", "completed", "cancelled", "failed"]
ErrorCode = Literal["server_error", "unsupported_file", "invalid_file"]
_DAY: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class Chunking:
    """How documents are cut: tokens of a passage at most, and those that it shares with the one before."""

    most: int = 400
    overlap: int = 0

    def __str__(self) -> str:
        return f"{self.most}/{self.overlap}"

    @classmethod
    def parse(cls, text: str) -> Chunking:
        most, _, overlap = text.partition("/")
        return cls(int(most), int(overlap))


AUTO: Final = Chunking()


@dataclass(frozen=True, slots=True)
class Counts:
    """Files by their status."""

    in_progress: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0

    @property
    def total(self) -> int:
        return self.in_progress + self.completed + self.failed + self.cancelled


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """Times are Unix times."""

    id: str
    project: str
    user: str
    """Who made it; every member of the project has it."""
    created: float
    active: float
    """When it was last searched or changed."""
    name: str
    description: str
    metadata: Mapping[str, str]
    expires_days: int | None
    embedder: str
    """Whose vectors are searched; empty before the first."""
    mark: int
    counts: Counts = field(default_factory=Counts)
    bytes: int = 0
    """Of the text of its passages."""

    @property
    def expires(self) -> float | None:
        return self.active + self.expires_days * _DAY if self.expires_days is not None else None

    @property
    def expired(self) -> bool:
        return self.expires is not None and self.expires <= time.time()

    @property
    def status(self) -> Literal["expired", "in_progress", "completed"]:
        if self.expired:
            return "expired"
        return "in_progress" if self.counts.in_progress else "completed"


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a file could not be taken in, in a sentence for people."""

    code: ErrorCode
    message: str


def failed(code: ErrorCode, message: str) -> str:
    """As a row keeps it."""
    return json.dumps({"code": code, "message": message})


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreFile:
    """A file in a store."""

    store: str
    file: str
    filename: str
    created: float
    status: FileStatus
    error: Trouble | None
    attributes: Mapping[str, Any]
    chunking: Chunking
    batch: str | None
    bytes: int
    """Of the text of its passages."""
    done: int
    """Pages read; `total` is 0 where nobody knows yet how many there are."""
    total: int
    started: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A file that is to be put into a store. `replaces`: one of the store, which leaves it when this one is ready, and whose vectors serve where the
    text is the same."""

    file: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    chunking: Chunking = AUTO
    replaces: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Files that were put into a store together."""

    id: str
    store: str
    created: float
    cancelled: bool
    counts: Counts

    @property
    def status(self) -> FileStatus:
        if self.counts.in_progress:
            return "in_progress"
        if self.cancelled:
            return "cancelled"
        return "failed" if self.counts.failed and self.counts.failed == self.counts.total else "completed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far the reading of a store's files is."""

    counts: Counts
    pages_done: int
    """Of the files that are being read or wait."""
    pages_total: int
    files_per_second: float
    """Over the last files that were finished; 0 where nobody knows."""
    seconds_left: float | None
    reading: tuple[StoreFile, ...]
    """Those that are being read now."""
    trouble: str = ""
    """Why its words are searched without vectors, or without those of what came last; empty: nothing is wrong."""


class Page(list[T]):
    """Some of a list. `more`: others come after it."""

    more: bool = False

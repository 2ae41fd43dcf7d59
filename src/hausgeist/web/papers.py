"""What the routes about documents ask of those who keep, draw and read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from hausgeist.identity import Principal
from hausgeist.knowledge.hits import Mark

__all__ = ["Counts", "Drawer", "Listed", "Paper", "Papers", "Progress", "Sheet", "Status", "StoreFile", "Stores", "Trouble"]

Status = Literal["in_progress", "completed", "failed", "cancelled"]


class Paper(Protocol):
    """What is known of a document besides its text."""

    @property
    def digest(self) -> str: ...
    @property
    def media_type(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def warnings(self) -> Sequence[str]: ...
    @property
    def characters(self) -> int: ...
    @property
    def pages(self) -> int: ...


class Sheet(Protocol):
    """A page: where its text is, and its size in points (0: it has no paper)."""

    @property
    def number(self) -> int: ...
    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def width(self) -> float: ...
    @property
    def height(self) -> float: ...
    @property
    def label(self) -> str: ...
    @property
    def recognised(self) -> bool: ...


class Papers(Protocol):
    """What is asked about documents. Each raises `NotFound` for a file that the caller does not see, `InvalidRequest` for one that cannot be read."""

    async def text(self, who: Principal, file: str) -> str: ...

    async def marks(self, who: Principal, file: str, start: int, end: int) -> Sequence[Mark]: ...

    async def pages(self, who: Principal, file: str) -> Sequence[Sheet]: ...

    async def paper(self, who: Principal, file: str) -> Paper: ...


class Drawer(Protocol):
    """Who draws pages."""

    async def picture(self, path: Path, page: int, width: int) -> bytes:
        """As PNG. Raises `NotFound`, `InvalidRequest`."""
        ...


class Trouble(Protocol):
    """Why a file could not be read."""

    @property
    def code(self) -> str: ...
    @property
    def message(self) -> str: ...


class StoreFile(Protocol):
    """A file in a store. `done` of `total`: pages read; `bytes`: of the text of its passages."""

    @property
    def file(self) -> str: ...
    @property
    def filename(self) -> str: ...
    @property
    def created(self) -> float: ...
    @property
    def status(self) -> Status: ...
    @property
    def error(self) -> Trouble | None: ...
    @property
    def attributes(self) -> Mapping[str, Any]: ...
    @property
    def bytes(self) -> int: ...
    @property
    def done(self) -> int: ...
    @property
    def total(self) -> int: ...


class Listed(Protocol):
    """Some of a list. `more`: others come after it."""

    more: bool

    def __getitem__(self, place: int, /) -> StoreFile: ...

    def __len__(self) -> int: ...


class Counts(Protocol):
    """Files by their status."""

    @property
    def in_progress(self) -> int: ...
    @property
    def completed(self) -> int: ...
    @property
    def failed(self) -> int: ...
    @property
    def cancelled(self) -> int: ...
    @property
    def total(self) -> int: ...


class Progress(Protocol):
    """How far the reading of a store's files is; pages are those of files that are being read or wait."""

    @property
    def counts(self) -> Counts: ...
    @property
    def pages_done(self) -> int: ...
    @property
    def pages_total(self) -> int: ...
    @property
    def files_per_second(self) -> float: ...
    @property
    def seconds_left(self) -> float | None: ...
    @property
    def reading(self) -> Sequence[StoreFile]: ...
    @property
    def trouble(self) -> str:
        """Why words are searched without vectors; empty: nothing is wrong."""
        ...


class Stores(Protocol):
    """What is asked about stores. Each raises `NotFound` for a store that is not the project's."""

    def files(
        self, who: Principal, store: str, *, status: Status | None = None, after: str | None = None, limit: int = 100,
        order: Literal["asc", "desc"] = "desc",
    ) -> Listed: ...  # fmt: skip

    def progress(self, who: Principal, store: str) -> Progress: ...

"""A file's place in the line of those that are taken in."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from hausgeist.knowledge.stores.keeping import Wanted
from hausgeist.store.jobs import Task

__all__ = ["Place"]

_SMALL: Final = 64 << 10
"""Bytes of a file that is read together with others."""


@dataclass(eq=False, slots=True)
class Place:
    """A job in the line."""

    task: Task
    store: str
    file: str
    future: asyncio.Future[None]
    wanted: Wanted | None = None
    alone: bool = False
    """It found no company: somebody reads the same bytes, or has read them before."""
    ahead: bool = True
    """It has still to come to the indexes."""
    work: asyncio.Task[None] | None = None
    """What is being done for it, and for those with it."""
    company: Sequence[Place] = field(default_factory=tuple)

    @property
    def sure(self) -> Wanted:
        assert self.wanted is not None
        return self.wanted

    @property
    def fits(self) -> bool:
        """Whether it is read with others."""
        return not self.alone and self.sure.replaces is None and self.sure.file.bytes <= _SMALL

    @property
    def left(self) -> bool:
        """Whether what is done for it is done for nobody any more."""
        return all(one.future.done() for one in self.company)

    def fail(self, error: BaseException) -> None:
        if not self.future.done():
            self.future.set_exception(error)

    def end(self) -> None:
        if not self.future.done():
            self.future.set_result(None)

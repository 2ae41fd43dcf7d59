"""Saying how far the reading of a file has come, to whoever has asked. Readers call `report`; who has not asked is not told."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar

__all__ = ["listener", "report"]

listener: ContextVar[Callable[[int, int], None] | None] = ContextVar("listener", default=None)
"""Called with pages that are done and pages in total."""


def report(done: int, total: int) -> None:
    if (tell := listener.get()) is not None:
        tell(done, total)

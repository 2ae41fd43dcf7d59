"""The text of files that came with a question and are kept nowhere."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import quote, unquote

from hausgeist.knowledge.parsed import Parsed
from hausgeist.store.processes import is_dead, this_process

__all__ = ["Attached"]

_LONGEST = 3600.0
"""Seconds that no file takes to be read."""


class Attached:
    """`parse`: see `parse.process.Parsers.parse`. `folder`: where a file lies while it is read; made when it is needed."""

    def __init__(self, parse: Callable[[Path, str], Awaitable[Parsed]], folder: Path) -> None:
        self._parse = parse
        self._folder = folder

    async def text(self, body: bytes, filename: str) -> str:
        """What such a file says. Raises `InvalidRequest` for one that cannot be read, saying why."""
        path = await asyncio.to_thread(self._put, body)
        try:
            return (await self._parse(path, filename)).text
        finally:
            await asyncio.to_thread(path.unlink, missing_ok=True)

    def sweep(self) -> None:
        """Away with what processes that were killed have left."""
        if not self._folder.is_dir():
            return
        for left in self._folder.iterdir():
            with contextlib.suppress(OSError):
                if _is_left(left):
                    left.unlink(missing_ok=True)

    def _put(self, body: bytes) -> Path:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.sweep()
        path = self._folder / quote(this_process(), safe="")
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600), "wb") as file:
            file.write(body)
        return path


def _is_left(path: Path) -> bool:
    try:
        if is_dead(unquote(path.name)):
            return True
    except ValueError:
        pass  # of another version
    return time.time() - path.stat().st_mtime > _LONGEST

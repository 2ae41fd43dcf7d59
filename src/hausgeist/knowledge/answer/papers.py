"""The text of files that are attached to a question: those of the project, and those that came with the request and are kept nowhere."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from hausgeist.identity import Principal
from hausgeist.knowledge.hits import Reader
from hausgeist.knowledge.parsed import Parsed

__all__ = ["Papers"]

_LONGEST = 3600.0
"""Seconds that no file takes to be read."""


class Papers:
    """`parse`: see `parse.process.Parsers.parse`. `folder`: where a file lies while it is read; made when it is needed."""

    def __init__(self, reader: Reader, parse: Callable[[Path, str], Awaitable[Parsed]], folder: Path) -> None:
        self._reader = reader
        self._parse = parse
        self._folder = folder

    async def text(self, who: Principal, file: str) -> str:
        """Raises `NotFound`, and `InvalidRequest` for a file that cannot be read."""
        return await self._reader.text(who, file)

    async def text_of(self, body: bytes, filename: str) -> str:
        """Raises `InvalidRequest` for bytes that cannot be read."""
        path = await asyncio.to_thread(self._put, body)
        try:
            return (await self._parse(path, filename)).text
        finally:
            await asyncio.to_thread(path.unlink, missing_ok=True)

    def _put(self, body: bytes) -> Path:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in self._folder.iterdir():
            # Of a process that was killed.
            if time.time() - left.stat().st_mtime > _LONGEST:
                left.unlink(missing_ok=True)
        handle, name = tempfile.mkstemp(dir=self._folder)
        with os.fdopen(handle, "wb") as file:
            file.write(body)
        return Path(name)

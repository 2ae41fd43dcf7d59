"""One file on its way into a registry: in pieces, one after the other, gone on with where the registry has it after a failure or a restart.

Where an upload goes on is kept beside the blobs, for a process that dies in the middle. The registry's word for how far it is counts, not ours;
where it no longer knows, the file is sent from its beginning. It hashes what it got and takes only what has the right digest.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from hausgeist.errors import HausgeistError, InvalidRequest, NotFound, TooLarge, Unavailable
from hausgeist.library.download.answers import retry_after
from hausgeist.library.download.outbound import Patience
from hausgeist.library.push.layout import Layer
from hausgeist.library.push.registry import Registry
from hausgeist.library.sources.outbound import Document

__all__ = ["PIECE", "Notebook", "Upload"]

_BUFFER: Final = 2**20
PIECE: Final = 64 * 2**20
_SMALLEST: Final = 2**20
_LARGEST: Final = 2**30
_MOST: Final = 8
"""How often all of a file may leave before a registry that keeps losing it is given up."""
_KEPT_SECONDS: Final = 24 * 3600.0


class Notebook:
    """Where unfinished uploads go on, a small file for each. What is older than a day is forgotten: no registry keeps it for longer."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, key: str) -> str:
        """The address; empty where there is none."""
        path = self._path(key)
        try:
            return path.read_text(encoding="ascii") if time.time() - path.stat().st_mtime < _KEPT_SECONDS else ""
        except (OSError, ValueError):
            return ""

    def write(self, key: str, location: str) -> None:
        """Renamed into place, so that a kill leaves the old or the new. A disk that is full keeps nobody from pushing."""
        path, fresh = self._path(key), self._path(f"{key} {os.getpid()}")
        with suppress(OSError):
            fresh.touch(mode=0o600)
            fresh.write_text(location, encoding="ascii")
            fresh.replace(path)

    def forget(self, key: str) -> None:
        with suppress(OSError):
            self._path(key).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what is forgotten."""
        with suppress(OSError):
            for path in self._folder.glob(".upload-*"):
                with suppress(OSError):
                    if time.time() - path.stat().st_mtime >= _KEPT_SECONDS:
                        path.unlink()

    def _path(self, key: str) -> Path:
        return self._folder / f".upload-{hashlib.sha256(key.encode()).hexdigest()[:32]}"


class Upload:
    """One file, once. `sent` counts the bytes that left, those that had to be sent again as often as they were."""

    def __init__(
        self, registry: Registry, layer: Layer, notebook: Notebook, *, patience: Patience, tell: Callable[[int], None], piece: int = PIECE
    ) -> None:
        """`tell` is told how many bytes are there."""
        assert isinstance(layer.content, Path)
        self.sent = 0
        self._path = layer.content
        self._registry = registry
        self._layer = layer
        self._notebook = notebook
        self._patience = patience
        self._tell = tell
        self._piece = piece
        self._key = f"{registry.base} {registry.repository} {layer.sha256}"
        self._location = ""
        self._offset = 0
        self._failures = 0
        self._again = False
        """Whether it was sent from its beginning once more, as what was there was not what it should be."""
        self._fault: HausgeistError | None = None

    async def run(self, *, mount: str = "") -> None:
        """Raises `Unavailable` when trying again did not help, `InvalidRequest`, `NotAllowed`, `NotFound` for a file that is gone."""
        if not await self._resumed() and not await self._begun(mount):
            return
        while True:
            while self._offset < self._layer.size:
                await self._step()
            if await self._finished():
                self._notebook.forget(self._key)
                return

    async def _resumed(self) -> bool:
        known = self._notebook.read(self._key)
        if not known:
            return False
        try:
            self._location = self._registry.place(known)
            return await self._resync(anew=False)
        except InvalidRequest:
            return False

    async def _begun(self, mount: str = "") -> bool:
        """Whether there is something to send."""
        begun = await self._registry.begin(self._layer.sha256, mount=mount)
        if not begun.location:
            return False
        self._piece = min(max(self._piece, begun.least), _LARGEST)
        self._move(begun.location, 0)
        return True

    async def _step(self) -> None:
        """Send the next piece, and understand what became of it."""
        if self.sent >= _MOST * self._layer.size:
            raise Unavailable(f"{self._registry.host} keeps losing what is sent to it; it was given up after {self.sent} bytes.")
        start, end = self._offset, min(self._offset + self._piece, self._layer.size)
        try:
            answer = await self._registry.send(self._location, start, end, lambda limit: self._pieces(start, end, limit), stall=self._patience.stall)
        except Unavailable as error:
            if self._fault is not None:
                raise self._fault from error
            await self._failed(error)
            return
        match answer.status:
            case 200 | 201 | 202 | 204:
                self._failures = 0
                self._move(self._registry.place(answer.headers.get("Location") or self._location), end)
            case 401 | 416:
                await self._failed(Unavailable(f"{self._registry.host} did not take a part of the model (status {answer.status})."), at_once=True)
            case 413 if self._piece > _SMALLEST:
                self._piece = max(self._piece // 4, _SMALLEST)
                await self._resync()
            case 413:
                raise TooLarge(f"{self._registry.host} takes no pieces of {self._piece} bytes; whoever runs it has to allow larger requests.")
            case 404 | 408 | 425 | 429:
                await self._failed(self._busy(answer), wait=retry_after(answer.headers))
            case status if status >= 500:
                await self._failed(self._busy(answer), wait=retry_after(answer.headers))
            case status:
                raise self._registry.refusal(status, "take a part of the model")

    async def _failed(self, error: Unavailable, *, wait: float | None = None, at_once: bool = False) -> None:
        """Wait, and find out how far the registry is. Raises the error when that was enough."""
        self._failures += 1
        if self._failures >= self._patience.tries:
            raise error
        if not at_once or self._failures > 1:
            await asyncio.sleep(self._patience.delay(self._failures, wait))
        try:
            await self._resync()
        except Unavailable:
            # It is still away; the next step says so again.
            return

    async def _resync(self, *, anew: bool = True) -> bool:
        """Go on where the registry is, or from the beginning (`anew`) where it does not know. Whether it knew."""
        found = await self._registry.reached(self._location)
        if found is not None and found[1] <= self._layer.size:
            self._move(*found)
            return True
        if anew:
            await self._begun()
        return False

    async def _finished(self) -> bool:
        """Close the upload. False: it has to be sent once more."""
        status = await self._registry.finish(self._location, self._layer.sha256, size=self._layer.size)
        # Asked again, a registry that had closed it the first time knows nothing of it any more.
        if status in {200, 201, 202, 204} or (status in {404, 400, 416} and await self._registry.has(self._layer.sha256)):
            return True
        if status not in {400, 404, 416}:
            raise self._registry.refusal(status, "take the end of an upload")
        if self._again:
            raise InvalidRequest(
                f"{self._registry.host} got other bytes than the digest of {self._layer.name} says. If 'hausgeist verify' finds the model sound, "
                "something between here and there changes them."
            )
        self._again = True
        await self._begun()
        return False

    def _move(self, location: str, offset: int) -> None:
        self._location, self._offset = location, offset
        self._notebook.write(self._key, location)
        self._tell(offset)

    async def _pieces(self, start: int, end: int, limit: asyncio.Timeout) -> AsyncGenerator[bytes, None]:
        """These bytes of the file. Each that is taken shows that the connection lives."""
        loop = asyncio.get_running_loop()
        at = start
        try:
            with await asyncio.to_thread(self._path.open, "rb") as file:
                file.seek(start)
                while at < end:
                    chunk = await asyncio.to_thread(file.read, min(end - at, _BUFFER))
                    if not chunk:
                        self._fault = InvalidRequest(f"{self._layer.name} became shorter while it was sent.")
                        raise self._fault
                    yield chunk
                    at += len(chunk)
                    self.sent += len(chunk)
                    self._tell(at)
                    with suppress(RuntimeError):  # the answer may have come before the end
                        limit.reschedule(loop.time() + self._patience.stall)
        except OSError as error:
            self._fault = NotFound(f"{self._layer.name} cannot be read: {error.strerror or error}.")
            raise self._fault from error

    def _busy(self, answer: Document) -> Unavailable:
        return Unavailable(f"{self._registry.host} did not take a part of the model (status {answer.status}); try again later.")

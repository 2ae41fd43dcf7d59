"""Files that arrive at the same time get their rows together: one statement and one look at what the project has, for all of them.

Each is answered for itself. Where one cannot be kept the others are, and who has given up meanwhile takes nobody with them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from hausgeist.files.records import File, new_id, plain_name, plain_type
from hausgeist.store.database import Database
from hausgeist.store.drafts import Draft

__all__ = ["BATCH_SECONDS", "Arrival", "Arrivals", "file_of"]

BATCH_SECONDS: Final = 30 * 86400
"""How long a file of requests is kept where nobody says otherwise, as on OpenAI's platform."""
_MOST: Final = 256
"""Files of one transaction's share."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A finished draft, what it will be, and who waits for it."""

    file: File
    draft: Draft
    future: asyncio.Future[File]


Write = Callable[[Connection, Sequence[Arrival]], Sequence[File | Exception | None]]
"""Within a transaction: each with its row and its name, or why it is not kept; `None`: nobody wants it any more. Where it raises, none is."""


class Arrivals:
    def __init__(self, database: Database, write: Write) -> None:
        self._database = database
        self._write = write
        self._coming: list[Arrival] = []
        self._next: asyncio.Task[None] | None = None
        """That will take those that are coming."""
        self._tasks: set[asyncio.Task[None]] = set()

    async def keep(self, file: File, draft: Draft) -> File:
        """`draft`: on the disk; it is there until this returns or raises."""
        arrival = Arrival(file, draft, asyncio.get_running_loop().create_future())
        if self._next is None or self._next.done():
            self._coming.clear()  # of a loop that has ended
            self._next = self._begin()
        self._coming.append(arrival)
        return await arrival.future

    def _begin(self) -> asyncio.Task[None]:
        task = asyncio.create_task(self._together(), name="files arrive")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _together(self) -> None:
        # Those that were written at the same time come in the same round of the loop, ahead of this.
        some, self._coming = self._coming[:_MOST], self._coming[_MOST:]
        self._next = self._begin() if self._coming else None
        try:
            await self._kept(some)
        finally:
            for one in some:
                one.future.cancel()  # the loop ends; of those that are done this changes nothing

    async def _kept(self, some: Sequence[Arrival]) -> None:
        try:
            made = await self._database.write(lambda connection: self._write(connection, some))
        except Exception as error:
            if len(some) > 1:
                # Whose fault it is shows when each is kept for itself.
                await asyncio.gather(*(self._kept([one]) for one in some))
            elif not some[0].future.done():
                some[0].future.set_exception(error)
            return
        for one, outcome in zip(some, made, strict=True):
            if one.future.done() or outcome is None:
                continue
            if isinstance(outcome, Exception):
                one.future.set_exception(outcome)
            else:
                one.future.set_result(outcome)


def file_of(
    *, project: str, user: str, filename: str, purpose: str, size: int, digest: str, media_type: str = "", seconds: int | None = None
) -> File:  # fmt: skip
    """A new one, as a client calls it. `seconds`: how long it is to be kept."""
    now = time.time()
    if seconds is None and purpose == "batch":
        seconds = BATCH_SECONDS
    return File(
        id=new_id("file-"), project=project, user=user, created=now, expires=now + seconds if seconds is not None else None, purpose=purpose,
        filename=plain_name(filename), media_type=plain_type(media_type), bytes=size, digest=digest,
    )  # fmt: skip

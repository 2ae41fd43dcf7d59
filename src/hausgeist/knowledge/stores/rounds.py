"""A round: small files that are read together. What was made of them waits for company to be written, but not for long, and not for much."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import ExitStack
from typing import Any, Final

from hausgeist.errors import HausgeistError
from hausgeist.knowledge.parsed import Cut
from hausgeist.knowledge.stores.cutting import demand_text, passages_of
from hausgeist.knowledge.stores.documents import Documents
from hausgeist.knowledge.stores.keeping import Made
from hausgeist.knowledge.stores.place import Place
from hausgeist.knowledge.stores.reaching import Do
from hausgeist.knowledge.stores.telling import Telling

__all__ = ["Keep", "Round"]

Keep = Callable[[Sequence[tuple[Place, Made]]], Coroutine[Any, Any, None]]
"""Writes what was made of some."""
_HELD: Final = 1 << 20
"""Characters of text that wait to be written together."""
_COMPANY_SECONDS: Final = 0.25
"""For which the first of those that were read waits for others to be written with."""


class Round:
    """`run` once."""

    def __init__(self, places: Sequence[Place], slot: ExitStack, *, documents: Documents, telling: Telling, keep: Keep, do: Do) -> None:
        """`slot`: closed as soon as no more is to be read."""
        self._places = places
        self._slot = slot
        self._documents = documents
        self._telling = telling
        self._write = keep
        self._do = do
        self._began = time.time()
        self._held: list[tuple[Place, Made]] = []
        self._characters = 0
        self._waits: asyncio.TimerHandle | None = None
        self._keeping: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """Returns when all that could be read is written. Raises what the parser raises."""
        telling = [self._telling.progress(one.sure, self._began) for one in self._places]
        first = self._telling.begun_soon(self._places[0].sure, self._began)
        files = [(one.sure.file, one.sure.chunking) for one in self._places]
        try:
            await self._documents.cut_all(files, self._told, lambda number, done, total: telling[number](done, total))
        except asyncio.CancelledError:
            self._held.clear()
            raise
        finally:
            first.cancel()
            # The next are read meanwhile.
            self._slot.close()
            self._keep()
            if self._keeping:
                await asyncio.wait(self._keeping)

    async def _told(self, number: int, cut: Cut | HausgeistError) -> None:
        place = self._places[number]
        if isinstance(cut, HausgeistError):
            place.fail(cut)
            return
        if place.future.done():
            return
        try:
            rows, size = passages_of(cut.parsed, cut.pieces)
            demand_text(cut.parsed, rows)
            made = Made(place.sure, self._documents.pack(cut.parsed), rows, size, len(cut.parsed.pages), self._began, cut.terms)
        except Exception as error:
            place.fail(error)
            return
        self._held.append((place, made))
        self._characters += len(cut.parsed.text)
        if self._characters >= _HELD:
            self._keep()
            # No more is read than is written.
            await asyncio.wait(self._keeping)
        elif self._waits is None:
            self._waits = asyncio.get_running_loop().call_later(_COMPANY_SECONDS, self._keep)

    def _keep(self) -> None:
        held, self._held, self._characters = [one for one in self._held if not one[0].future.done()], [], 0
        if self._waits is not None:
            self._waits.cancel()
            self._waits = None
        if held:
            self._keeping.append(self._do(self._write(held), [place for place, _ in held]))

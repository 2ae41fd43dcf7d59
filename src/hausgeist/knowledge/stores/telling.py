"""How far a file is, for whoever looks: written into its row now and then, and lost with the process without harm."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from hausgeist.knowledge.stores import keeping
from hausgeist.knowledge.stores.keeping import Wanted
from hausgeist.store.database import Database

__all__ = ["Telling"]

_SECONDS: Final = 0.5
"""Between two reports."""


class Telling:
    def __init__(self, database: Database) -> None:
        self._database = database

    def begun_soon(self, wanted: Wanted, began: float) -> asyncio.TimerHandle:
        """Whoever looks sees what is being read; what is read before anybody could look (the handle is cancelled then) is not worth a write."""

        def begun() -> None:
            self._database.post(lambda connection: connection.execute(keeping.of_file(wanted).values(started=began)))

        return asyncio.get_running_loop().call_later(_SECONDS / 2, begun)

    def progress(self, wanted: Wanted, began: float) -> Callable[[int, int], None]:
        """Takes pages that are done, and pages in total."""
        told = 0.0

        def tell(done: int, total: int) -> None:
            nonlocal told
            if time.monotonic() - told >= _SECONDS or done >= total:
                told = time.monotonic()
                self._database.post(lambda connection: connection.execute(keeping.of_file(wanted).values(done=done, total=total, started=began)))

        return tell

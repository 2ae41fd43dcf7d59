"""One running pull and those who follow it: each sees the newest state of every file, however slowly it reads, and nobody holds another up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from hausgeist.library.transfer import Progress

__all__ = ["Followed"]


class Followed:
    """What a pull tells, kept for whoever comes later."""

    def __init__(self) -> None:
        self.followers = 0
        self.ended = False
        self.error: Exception | None = None
        self._latest: dict[tuple[str, str], tuple[int, Progress]] = {}
        self._count = 0
        self._changed = asyncio.Event()

    @property
    def done(self) -> int:
        """Bytes of all files so far."""
        return sum(progress.done for (stage, _), (_, progress) in self._latest.items() if stage == "downloading")

    @property
    def total(self) -> int:
        return sum(progress.total for (stage, _), (_, progress) in self._latest.items() if stage == "downloading")

    def tell(self, progress: Progress) -> None:
        self._count += 1
        # Taken out first, so that what was told last also comes last.
        self._latest.pop((progress.stage, progress.name), None)
        self._latest[progress.stage, progress.name] = (self._count, progress)
        self._wake()

    def end(self, error: Exception | None = None) -> None:
        """Nothing more will come. The first end counts."""
        if not self.ended:
            self.ended, self.error = True, error
            self._wake()

    async def follow(self) -> AsyncGenerator[Progress, None]:
        """All that is told, from the state at this moment on. Raises what the pull failed with."""
        seen = 0
        while True:
            changed = self._changed
            news = sorted((one for one in self._latest.values() if one[0] > seen), key=lambda one: one[0])
            for number, progress in news:
                seen = number
                yield progress
            if news:
                continue
            if self.ended:
                if self.error is not None:
                    raise self.error
                return
            await changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

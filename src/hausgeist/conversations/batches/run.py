"""One batch being worked on: its file is checked, its requests are asked a few at a time, what is said is appended to the files of results."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from secrets import token_hex
from typing import Any, BinaryIO, Final, Protocol

from hausgeist.conversations.batches.lines import requests
from hausgeist.conversations.batches.records import Batch
from hausgeist.conversations.batches.results import Results
from hausgeist.identity import Origin, Principal

__all__ = ["Perform", "Run"]

_RENEW_SECONDS: Final = 10.0
"""How long a right may outlive what gave it."""
_BUSY: Final = 429
_PASSING: Final = frozenset({502, 503})
_PAUSES: Final = (1.0, 5.0, 20.0)
_LONGEST_PAUSE: Final = 30.0


class Perform(Protocol):
    """Answers a request that no client waits for, as the route of that path would: status and body, errors in OpenAI's shape."""

    @property
    def endpoints(self) -> Collection[str]:
        """Paths that can be asked, such as /v1/embeddings."""
        ...

    async def __call__(self, who: Principal, origin: Origin, endpoint: str, body: Mapping[str, Any]) -> tuple[int, Mapping[str, Any]]: ...


class Run:
    """Asks what has no result yet, until all have one, time is up, or the task is cancelled."""

    def __init__(
        self, batch: Batch, results: Results, *, who: Principal, origin: Origin, perform: Perform, still: Callable[[Principal], Principal],
        slots: asyncio.Semaphore, progress: Callable[[], None], pause: float = 1.0,
    ) -> None:  # fmt: skip
        """`still`: the caller with the rights of now, or an error. `slots`: shared by all batches. `pause`: a second, or less in tests."""
        self._batch = batch
        self._results = results
        self._who = who
        self._origin = origin
        self._perform = perform
        self._still = still
        self._slots = slots
        self._progress = progress
        self._pause = pause
        self._renewed = 0.0
        self._down = False
        """The last request that came to an end was tried again in vain: the next ones are not, until one is answered."""
        self._failure: list[BaseException] = []
        self._asking: set[asyncio.Task[None]] = set()

    @property
    def over(self) -> bool:
        """Whether time is up."""
        return time.time() >= self._batch.expires

    async def all(self, file: BinaryIO) -> None:
        """Raises what `still` raises, and `StoreError` where a result could not be written."""
        try:
            async for number, request in requests(file):
                if number in self._results.done:
                    continue
                await self._slots.acquire()
                if self.over or self._failure:
                    self._slots.release()
                    break
                self._begin(number, request)
            await asyncio.gather(*self._asking)
        finally:
            for task in self._asking:
                task.cancel()
            await asyncio.gather(*self._asking, return_exceptions=True)
        if self._failure:
            raise self._failure[0]

    async def expire(self, file: BinaryIO) -> None:
        """Say of what is left that it was not asked."""
        async for number, request in requests(file):
            if number not in self._results.done:
                message = "This request could not be executed before the completion window expired."
                self._results.unanswered(number, str(request["custom_id"]), code="batch_expired", message=message)

    def _begin(self, number: int, request: Mapping[str, Any]) -> None:
        task = asyncio.create_task(self._one(number, request), name=f"{self._batch.id} {number}")
        self._asking.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        # Here and not in the task: one that was cancelled before it began does nothing any more.
        self._slots.release()
        self._asking.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failure.append(error)

    async def _one(self, number: int, request: Mapping[str, Any]) -> None:
        if time.monotonic() - self._renewed > _RENEW_SECONDS:
            self._who, self._renewed = self._still(self._who), time.monotonic()
        name = f"req_{token_hex(12)}"
        said = await self._ask(replace(self._origin, request_id=name, background=True), request["body"])
        if said is not None:
            self._results.answered(number, str(request["custom_id"]), status=said[0], request=name, body=said[1])
            self._progress()

    async def _ask(self, origin: Origin, body: Mapping[str, Any]) -> tuple[int, Mapping[str, Any]] | None:
        """What is said in the end; `None`: time was up first. A full queue is waited for, what may pass is tried again."""
        tries = 0
        while True:
            status, said = await self._perform(self._who, origin, self._batch.endpoint, body)
            if status not in _PASSING:
                self._down = False
            if status != _BUSY and (status not in _PASSING or tries >= len(_PAUSES) or self._down):
                self._down = status in _PASSING
                return status, said
            pause = _PAUSES[tries] if status in _PASSING else min(_LONGEST_PAUSE, 2.0 ** min(tries, 8))
            tries += 1
            await asyncio.sleep(pause * self._pause)
            if self.over:
                return None

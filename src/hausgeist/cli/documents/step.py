"""Keeping a store in step with files on a disk: what is to be done, and doing it.

`compare` decides from what is there and what is noted; `Step` carries it out and tells how far it is. What is done is safe to be stopped anywhere:
a file is in the store when the server has said so, an older version leaves it when the newer one is ready, and whoever compares again goes on.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from hausgeist.cli.documents.gathering import Found, Unreached, digest
from hausgeist.cli.documents.patience import Patience
from hausgeist.cli.documents.shelf import Kept, Shelf, attributes_of
from hausgeist.errors import HausgeistError, InvalidRequest, NotFound, TooLarge

__all__ = ["Change", "Failure", "Outcome", "Plan", "Step", "Told", "Work", "compare"]

Change = Literal["new", "changed", "moved", "touched", "again", "gone"]
_BATCH: Final = 50
"""Files that are put in together, and the seconds after which fewer are: the server reads the first while the last are still on their way."""
_BATCH_SECONDS: Final = 2.0
_SIDE_BY_SIDE: Final = 4
"""Small files that are sent at the same time: while one is on its way, the server flushes another to its disk."""
_SMALL: Final = 1 << 20
"""Bytes of one of them."""
_PAUSE: Final = 0.25
"""Seconds between two questions of how far the reading is; longer while nothing moves."""
_LONGEST_PAUSE: Final = 2.0


@dataclass(frozen=True, slots=True)
class Work:
    """A file to be looked at closely: it is new or looks different. `before`: what the store has under its path, newest last."""

    found: Found
    before: Sequence[Kept] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be done. `again`: could not be read the last time; `gone`: not on the disk any more; `stale`: an older version
    beside a newer one; `unchanged`: how many need nothing."""

    work: Sequence[Work] = ()
    again: Sequence[Kept] = ()
    gone: Sequence[Kept] = ()
    stale: Sequence[Kept] = ()
    cluttered: Sequence[Kept] = ()
    """Newer versions that are read, but whose older ones are still there: a command was ended in between."""
    unchanged: int = 0
    waiting: Sequence[Kept] = ()
    """In the store and not read yet."""

    @property
    def empty(self) -> bool:
        return not (self.work or self.again or self.gone or self.stale or self.cluttered)


@dataclass(frozen=True, slots=True)
class Failure:
    """A file that could not be brought or read, and why. `file`: its id, if it came so far; `change`: as what it was counted then."""

    path: str
    why: str
    file: str = ""
    change: Change | None = None


@dataclass(slots=True)
class Outcome:
    """What was done: files by kind of change, failures, and the files that were read."""

    done: dict[Change, int] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    pages: int = 0
    ready: int = 0

    def count(self, change: Change) -> None:
        self.done[change] = self.done.get(change, 0) + 1


def compare(found: Sequence[Found], kept: Sequence[Kept], *, again: bool, gone: Sequence[Kept] = ()) -> Plan:
    """What has to be done so that the store is in step. `again`: also with what could not be read the last time; `gone`: what has to go."""
    known: dict[str, list[Kept]] = {}
    for one in kept:
        if one.ours:
            known.setdefault(one.path, []).append(one)
    work: list[Work] = []
    failed: list[Kept] = []
    stale: list[Kept] = []
    waiting: list[Kept] = []
    cluttered: list[Kept] = []
    unchanged = 0
    for file in found:
        before = known.pop(file.key, [])
        same = [one for one in before if (one.size, one.modified) == (file.size, file.modified)]
        if not same:
            work.append(Work(file, before))
            continue
        newest = same[-1]
        if newest.status == "in_progress":
            waiting.append(newest)
        elif newest.replaces:
            cluttered.append(newest)
        if newest.status == "completed":
            stale += [one for one in before if one is not newest and one.file != newest.replaces]
        if newest.status in {"failed", "cancelled"} and again:
            failed.append(newest)
        else:
            unchanged += 1
    return Plan(work=work, again=failed, gone=gone, stale=stale, cluttered=cluttered, unchanged=unchanged, waiting=waiting)


class Told:
    """What a step tells while it goes on. Each method may be overridden; by default nothing happens."""

    def looked(self, done: int, total: int) -> None:
        """So many files are compared and, where needed, sent."""

    def sending(self, path: Path, size: int) -> None:
        """A file is being read or sent."""

    def read(self, progress: Mapping[str, object], left: int) -> None:
        """How far the server is with reading; `left`: files of this step that it has not read yet."""

    def happened(self, change: Change, path: str) -> None:
        """A file was brought, moved or removed."""

    def ready(self, path: str) -> None:
        """The server has read a file."""

    def failed(self, failure: Failure) -> None:
        """A file could not be."""


class Step:
    """Carries out a plan. `run` may be interrupted; what was sent by then is put in, and `run` of a new plan goes on."""

    def __init__(self, shelf: Shelf, told: Told | None = None, *, attributes: Mapping[str, object] | None = None) -> None:
        """`attributes`: noted of each file besides."""
        self._shelf = shelf
        self._told = told or Told()
        self._more = dict(attributes or {})
        self._sent: list[tuple[str, Mapping[str, object]]] = []
        self._sent_since = 0.0
        self._pause: Callable[[], None] = lambda: None
        self._pool: ThreadPoolExecutor | None = None
        self._coming: deque[tuple[Work, Mapping[str, object], Future[str]]] = deque()
        """Files that are being sent."""
        self._watched: dict[str, str] = {}
        """Files that the server reads for this step: id -> path."""
        self._counted: dict[str, Change] = {}
        self.outcome = Outcome()

    @property
    def watched(self) -> Mapping[str, str]:
        """Files that the server still reads for this step, and their paths."""
        return dict(self._watched)

    def run(self, plan: Plan, kept: Sequence[Kept], *, wait: bool = True) -> Outcome:
        """Do it, and with `wait` be there until the server has read everything."""
        here = {one.sha256: one for one in kept if one.ours and one.sha256 and one.status != "failed" and not os.path.lexists(one.path)}
        moved: set[str] = set()
        with Patience() as patience:
            self._pause = patience.pause
            with ThreadPoolExecutor(_SIDE_BY_SIDE, thread_name_prefix="sending") as self._pool:
                try:
                    for number, work in enumerate(plan.work):
                        patience.pause()
                        self._told.looked(number, len(plan.work))
                        self._one(work, here, moved)
                        self._arrived(_SIDE_BY_SIDE)
                        if len(self._sent) >= _BATCH or (self._sent and time.monotonic() - self._sent_since > _BATCH_SECONDS):
                            self._put()
                    self._arrived(0)
                finally:
                    # Also after Ctrl-C: what the server has is read, and is not sent twice.
                    while self._coming:
                        with suppress(HausgeistError):
                            self._arrived(0)
                    self._put()
        self._told.looked(len(plan.work), len(plan.work))
        for one in plan.again:
            self._shelf.again(one)
            self._watched[one.file] = one.path
            self._counted[one.path] = "again"
            self.outcome.count("again")
        for one in (*plan.gone, *plan.stale):
            if one.file not in moved:
                self._shelf.remove(one.file)
                if one in plan.gone:
                    self._happened("gone", one.path)
        for one in plan.cluttered:
            self._let_go(one)
        self._watched.update({one.file: one.path for one in plan.waiting})
        if wait:
            self.wait()
        return self.outcome

    def wait(self) -> Outcome:
        """Until the server has read what it was given. Raises what the connection raises; asking again goes on."""
        pause = _PAUSE
        while self._watched:
            before = len(self._watched)
            progress = self._shelf.progress()
            self._settle()
            self._told.read(progress, len(self._watched))
            if self._watched:
                pause = _PAUSE if len(self._watched) < before else min(pause * 1.3, _LONGEST_PAUSE)
                time.sleep(pause)
        return self.outcome

    def _one(self, work: Work, here: Mapping[str, Kept], moved: set[str]) -> None:
        found = work.found
        self._told.sending(found.path, found.size)
        try:
            sha256 = ""
            for piece in digest(found):
                sha256 = piece if isinstance(piece, str) else ""
            attributes = {**attributes_of(found, sha256), **self._more}
            if (same := next((one for one in work.before if one.sha256 == sha256 and one.status != "failed"), None)) is not None:
                self._shelf.describe(same, attributes)
                self._happened("touched", found.key)
                if same.status == "in_progress":
                    self._watched[same.file] = found.key
                return
            if not work.before and (other := here.get(sha256)) is not None and other.file not in moved:
                moved.add(other.file)
                self._shelf.describe(other, attributes)
                self._happened("moved", found.key)
                return
        except (Unreached, InvalidRequest, TooLarge) as error:
            self._fail(Failure(found.key, error.message))
            return
        if found.size <= _SMALL:
            assert self._pool is not None
            self._coming.append((work, attributes, self._pool.submit(self._shelf.bring, found)))
            return
        # A large one keeps the connection busy by itself, and can be broken off between its parts.
        self._arrived(0)
        future: Future[str] = Future()
        try:
            future.set_result(self._shelf.bring(found, self._pause))
        except (Unreached, InvalidRequest, TooLarge) as error:
            future.set_exception(error)
        self._brought(work, attributes, future)

    def _arrived(self, most: int) -> None:
        """Take note of what has been sent, in its order, until at most so many are on their way."""
        while self._coming and (len(self._coming) > most or self._coming[0][2].done()):
            self._brought(*self._coming.popleft())

    def _brought(self, work: Work, attributes: Mapping[str, object], sent: Future[str]) -> None:
        try:
            file = sent.result()
        except (Unreached, InvalidRequest, TooLarge) as error:
            self._fail(Failure(work.found.key, error.message))
            return
        if work.before:
            self._replace(file, attributes, work)
        else:
            if not self._sent:
                self._sent_since = time.monotonic()
            self._sent.append((file, attributes))

    def _replace(self, file: str, attributes: Mapping[str, object], work: Work) -> None:
        serving = next((one for one in reversed(work.before) if one.status == "completed"), work.before[-1])
        self._shelf.replace(file, attributes, serving.file)
        self._watched[file] = work.found.key
        self._happened("changed", work.found.key)
        for one in work.before:
            if one is not serving:
                self._shelf.remove(one.file)

    def _put(self) -> None:
        if not self._sent:
            return
        self._shelf.put(self._sent)
        for file, attributes in self._sent:
            self._watched[file] = str(attributes["path"])
            self._happened("new", str(attributes["path"]))
        self._sent = []

    def _settle(self) -> None:
        """Ask after what the server was given, and forget what it is done with."""
        waiting = {str(one["id"]): one for one in self._shelf.listed("in_progress")}
        for file, path in list(self._watched.items()):
            if file in waiting:
                continue
            del self._watched[file]
            try:
                kept = self._shelf.file(file)
            except NotFound:
                continue  # somebody has taken it out meanwhile
            if kept.status == "in_progress":
                self._watched[file] = path
                continue
            if kept.status == "completed":
                self.outcome.ready += 1
                self._told.ready(path)
            else:
                self._fail(Failure(path, kept.error or f"it is {kept.status}", file, self._counted.get(path)))
            self._let_go(kept)

    def _let_go(self, kept: Kept) -> None:
        """The version before goes: for good when the new one is read, and also where the new one cannot be, as it says what the file says no longer.
        Where the server failed, it stays."""
        if kept.replaces and (kept.status == "completed" or kept.code != "server_error"):
            with suppress(HausgeistError):
                self._shelf.clear(kept)

    def _happened(self, change: Change, path: str) -> None:
        self.outcome.count(change)
        self._counted[path] = change
        self._told.happened(change, path)

    def _fail(self, failure: Failure) -> None:
        self.outcome.failures.append(failure)
        self._told.failed(failure)

"""`hausgeist watch`: a folder and a store kept in step."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from hausgeist.cli.console import fail, hint, note, print_json_line, warn
from hausgeist.cli.exits import FAILED, OK, ServerUnreachable
from hausgeist.cli.help import Command, examples
from hausgeist.cli.options import Address, Home, InProject, InStore
from hausgeist.cli.terminal import one_line
from hausgeist.errors import Busy, Conflict, DiskFull, NotFound, Unavailable

if TYPE_CHECKING:
    from hausgeist.cli.answering import Link
    from hausgeist.cli.documents.gathering import Found
    from hausgeist.cli.documents.looking import Look
    from hausgeist.cli.documents.shelf import Kept, Shelf
    from hausgeist.cli.documents.step import Change, Failure, Plan

__all__ = ["register"]

_TEMPORARY: Final = (ServerUnreachable, Busy, Unavailable, DiskFull, Conflict, NotFound)
"""What may be over by the next look: a server that is being restarted, a store that was just removed."""
_LONGEST_PAUSE: Final = 60.0
_SHARE: Final = 20
"""A look that takes a second is followed by so many seconds of rest at least."""
_AGAIN: Final = 300.0
"""Seconds after which a file is tried again that could not be read here."""
_REFRESH: Final = 120.0
"""Seconds after which the store is asked anew what it has."""


def register(app: typer.Typer) -> None:
    lines = (
        "hausgeist watch ~/contracts --project office      until Ctrl-C",
        "hausgeist watch ~/contracts --once                for a timer of the system",
    )
    app.command("watch", cls=Command, short_help="keep a folder and a project's documents in step.", epilog=examples(*lines))(watch)


def watch(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="a folder.", show_default=False)],
    *,
    project: InProject = None,
    store: InStore = "",
    once: Annotated[bool, typer.Option("--once", help="bring it up to date, and end.")] = False,
    delete_all: Annotated[bool, typer.Option("--delete-all", help="remove the documents also when all files have vanished at once.")] = False,
    interval: Annotated[float, typer.Option(min=0.05, max=86400, metavar="SECONDS", help="time between two looks.")] = 2.0,
    as_json: Annotated[bool, typer.Option("--json", help="print what happens as lines of JSON.")] = False,
    host: Address = None,
    home: Home = None,
) -> int:
    """keep the documents of a project in step with a folder: what is new there is added, what has changed is replaced, what was moved stays as it is
    under its new path, what was deleted is removed. files that are still being written are waited for. when the folder is gone, or empty all at once,
    nothing is removed."""
    from hausgeist.cli.answering import Link
    from hausgeist.settings import load_settings

    root = Path(os.path.abspath(folder.expanduser()))
    if not root.is_dir():
        raise NotFound(f"there is no folder {root}.")
    link = Link(load_settings(home=home), host, project=project)
    watcher = _Watcher(link, root, store, delete_all=delete_all, as_json=as_json)
    try:
        if once:
            return watcher.once(interval)
        hint(f"watching {root}. Ctrl-C ends it")
        watcher.always(interval)
    except KeyboardInterrupt:
        hint("stopped; what was sent is kept")
    finally:
        link.close()
    return OK


class _Watcher:
    def __init__(self, link: Link, root: Path, store: str, *, delete_all: bool, as_json: bool) -> None:
        from hausgeist.cli.documents.looking import Eye

        self._link = link
        self._store = store
        self._eye = Eye(root, delete_all=delete_all)
        self._root = root
        self._as_json = as_json
        self._shelf: Shelf | None = None
        self._kept: list[Kept] = []
        self._asked = 0.0
        self._reading: dict[str, str] = {}
        """Files that the server reads -> paths."""
        self._unreadable: dict[str, tuple[int, float, float]] = {}
        """Paths that could not be brought: size and time of change, and until when they are left alone."""
        self._said = ""
        self._took = 0.0
        """Seconds of the last look, without what was sent after it."""
        self.failed = 0

    def once(self, interval: float) -> int:
        """Until nothing is left to do. Raises what the server's absence raises."""
        from hausgeist.cli.documents.showing import counted

        done: dict[str, int] = {}
        while True:
            look, changes = self.step(wait=True)
            for change, number in changes.items():
                done[change] = done.get(change, 0) + number
            if look.held and not look.gathering.found:
                return FAILED
            if not changes and not look.unsettled:
                break
            time.sleep(interval if look.unsettled else 0)
        if not self._as_json:
            note(", ".join(f"{number:,} {change}" for change, number in done.items()) or "nothing to do")
            if self.failed:
                hint(f"{counted(self.failed, 'document')} could not be read; 'hausgeist docs list --status failed' says why")
        return FAILED if self.failed else OK

    def always(self, interval: float) -> None:
        """For ever; what goes wrong is waited for. Raises `NotFound` where the first look finds that the project is not there."""
        pause, away, worked = interval, False, False
        while True:
            try:
                self.step(wait=False)
                if away:
                    note("the server answers again")
                pause, away, worked = interval, False, True
            except _TEMPORARY as error:
                if isinstance(error, NotFound) and not worked:
                    raise
                if not away:
                    warn(f"{error.message} trying again until it works")
                self._link.drop()
                self._shelf = None
                pause, away = min(max(pause * 2, 1.0), _LONGEST_PAUSE), True
            time.sleep(max(pause, _SHARE * self._took) if not away else pause)

    def step(self, *, wait: bool) -> tuple[Look, Mapping[Change, int]]:
        """One look, and what follows from it."""
        from hausgeist.cli.documents.step import Step, Told, compare

        shelf = self._open()
        began = time.monotonic()
        look = self._eye.look(self._kept)
        self._took = time.monotonic() - began
        self._hold(look.held)
        plan = compare(self._bearable(look.whole), self._kept, again=False, gone=look.gone)
        changes: Mapping[Change, int] = {}
        if not plan.empty or (wait and plan.waiting):
            watcher = self

            class Teller(Told):
                def happened(self, change: Change, path: str) -> None:
                    watcher._tell(change, path)

                def ready(self, path: str) -> None:
                    watcher._say("ready", path)

                def failed(self, failure: Failure) -> None:
                    watcher._fail(failure, plan)

            step = Step(shelf, Teller())
            outcome = step.run(plan, self._kept, wait=wait)
            self._reading.update(step.watched)
            changes = dict(outcome.done)
            self._asked = 0.0
        if self._reading:
            self._look_after(shelf)
        return look, changes

    def _open(self) -> Shelf:
        """The store, and what it has: asked anew after every change, and now and then, as others may change it."""
        from hausgeist.cli.documents.shelf import Shelf

        if self._shelf is None:
            self._shelf = Shelf.open(self._link.client(), self._store)
            self._asked = 0.0
        if not self._asked or time.monotonic() - self._asked > _REFRESH:
            self._kept = [one for one in self._shelf.kept() if one.ours]
            self._asked = time.monotonic()
        return self._shelf

    def _bearable(self, found: Sequence[Found]) -> list[Found]:
        now = time.monotonic()
        return [
            one for one in found
            if (known := self._unreadable.get(one.key)) is None or known[:2] != (one.size, one.modified) or known[2] < now
        ]  # fmt: skip

    def _look_after(self, shelf: Shelf) -> None:
        """Tell what the server could not read, and that the rest is ready."""
        waiting = {str(one["id"]) for one in shelf.listed("in_progress")}
        for file, path in list(self._reading.items()):
            if file in waiting:
                continue
            del self._reading[file]
            try:
                kept = shelf.file(file)
            except NotFound:
                continue
            if kept.status == "completed":
                self._say("ready", path)
            else:
                self.failed += 1
                self._say("failed", path, kept.error)
            self._asked = 0.0

    def _tell(self, change: Change, path: str) -> None:
        self._say({"new": "added", "changed": "replaced", "gone": "removed"}.get(change, change), path)

    def _fail(self, failure: Failure, plan: Plan) -> None:
        for work in plan.work:
            if work.found.key == failure.path:
                until = time.monotonic() + _AGAIN
                self._unreadable[failure.path] = (work.found.size, work.found.modified, until)
        self.failed += 1
        self._say("failed", failure.path, failure.why)

    def _hold(self, why: str) -> None:
        if why and why != self._said:
            warn(why)
        if not why and self._said:
            note("everything is within reach again")
        self._said = why

    def _say(self, what: str, path: str, why: str = "") -> None:
        shown = one_line(os.path.relpath(path, self._root)) if Path(path).is_relative_to(self._root) else one_line(path)
        if self._as_json:
            event: dict[str, Any] = {"event": what, "path": path, "time": round(time.time(), 3)}
            print_json_line({**event, **({"why": why} if why else {})})
        elif what == "failed":
            fail(f"{shown}: {one_line(why)}")
        else:
            note(f"{what} {shown}")

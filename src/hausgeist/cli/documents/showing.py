"""How bringing documents looks: on a terminal two bars, what is sent and what is read; into pipes the results only. At the end what was done, what
was left out and why, and each failure with its reason."""

from __future__ import annotations

import shutil
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from hausgeist.cli.console import err, fail, hint, is_terminal, note
from hausgeist.cli.documents.gathering import Gathering
from hausgeist.cli.documents.step import Failure, Outcome, Told
from hausgeist.cli.terminal import one_line

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

__all__ = ["Bars", "Quiet", "counted", "folded", "outcome_as_json", "say_left_out", "say_outcome", "showing"]

_VERBS: Final = {"new": "added", "changed": "replaced", "moved": "moved", "touched": "only newer", "again": "read this time", "gone": "removed"}
_MOST_SHOWN: Final = 20


class Quiet(Told, AbstractContextManager["Quiet"]):
    """Nothing is drawn."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass


class Bars(Quiet):
    """Two bars on a terminal's stderr."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, Progress, TextColumn

        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[said]}"))
        self._progress: Progress = Progress(*columns, console=err(), transient=True)
        self._sending: TaskID | None = None
        self._reading: TaskID | None = None
        self._began = time.monotonic()
        self._most = 0

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._progress.stop()

    def looked(self, done: int, total: int) -> None:
        if self._sending is None and total:
            self._sending = self._progress.add_task("sending", total=total, said="")
        if self._sending is not None:
            passed = time.monotonic() - self._began
            rate = f", {done / passed:.0f} a second" if done and passed > 1 else ""
            self._progress.update(self._sending, completed=done, total=total, said=f"{done:,} of {total:,} files{rate}")

    def sending(self, path: Path, size: int) -> None:
        if self._sending is not None:
            self._progress.update(self._sending, description=f"sending {one_line(path.name)[:40]}")

    def read(self, progress: Mapping[str, object], left: int) -> None:
        if self._sending is not None:
            self._progress.remove_task(self._sending)
            self._sending = None
        self._most = max(self._most, left)
        if self._reading is None:
            self._reading = self._progress.add_task("reading", total=self._most, said="")
        self._progress.update(self._reading, completed=self._most - left, total=self._most, said=_how_far(progress, self._most - left, self._most))


def showing(*, quiet: bool) -> Quiet:
    """Bars where somebody looks."""
    return Quiet() if quiet or not is_terminal(sys.stderr) else Bars()


def _how_far(progress: Mapping[str, object], done: int, total: int) -> str:
    """ "12 of 40 files, page 31 of 220 of handbook.pdf, 3.1 files a second, 9 s left"."""
    parts = [f"{done:,} of {total:,} files"]
    reading = progress.get("reading")
    if isinstance(reading, list) and reading and isinstance(reading[0], dict) and reading[0].get("pages_total"):
        one = reading[0]
        parts.append(f"page {one.get('pages_done')} of {one.get('pages_total')} of {one_line(str(one.get('filename')))[:40]}")
    rate, left = progress.get("files_per_second"), progress.get("seconds_left")
    if isinstance(rate, int | float) and rate:
        parts.append(f"{rate:.1f} files a second" if rate >= 1 else f"{rate * 60:.1f} files a minute")
    if isinstance(left, int | float):
        parts.append(f"{left:.0f} s left" if left < 120 else f"{left / 60:.0f} minutes left")
    return ", ".join(parts)


def folded(text: str) -> str:
    """Lines that end between words, where a terminal shows them."""
    return textwrap.fill(text, shutil.get_terminal_size().columns - 1, subsequent_indent="  ") if is_terminal(sys.stderr) else text


def counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def say_left_out(gathering: Gathering) -> None:
    """What of the folders is not taken, by reason."""
    if reasons := gathering.reasons():
        hint(folded("left out: " + ", ".join(f"{why} ({number:,})" for why, number in reasons.items())))
    for path, why in gathering.unreached[:_MOST_SHOWN]:
        fail(f"{one_line(str(path))} cannot be looked at: {why}")
    if (more := len(gathering.unreached) - _MOST_SHOWN) > 0:
        hint(f"and {more:,} more that cannot be looked at")


def say_outcome(outcome: Outcome, unchanged: int, store: str) -> None:
    """Each failure, then what was done: a file that could not be read is not among those that were added."""
    for failure in outcome.failures[:_MOST_SHOWN]:
        fail(f"{one_line(failure.path)}: {one_line(failure.why)}")
    if (more := len(outcome.failures) - _MOST_SHOWN) > 0:
        hint(f"and {more:,} more; 'hausgeist docs list --status failed' shows all")
    failed = Counter(failure.change for failure in outcome.failures)
    done = [f"{left:,} {_VERBS[change]}" for change, number in outcome.done.items() if (left := number - failed[change]) > 0]
    if unchanged:
        done.append(f"{unchanged:,} unchanged")
    if outcome.failures:
        done.append(f"{len(outcome.failures):,} could not be read")
    note(f"{', '.join(done) or 'nothing to do'}, in the store '{one_line(store)}'")


def outcome_as_json(outcome: Outcome, unchanged: int, gathering: Gathering, store: str) -> dict[str, Any]:
    """The same for programs."""
    return {
        "store": store,
        "done": dict(outcome.done),
        "unchanged": unchanged,
        "ready": outcome.ready,
        "failures": [_failure(one) for one in outcome.failures],
        "left_out": [{"path": str(path), "why": why} for path, why in gathering.left_out],
        "unreached": [{"path": str(path), "why": why} for path, why in gathering.unreached],
    }


def _failure(one: Failure) -> dict[str, str | None]:
    return {"path": one.path, "why": one.why, "file": one.file or None}

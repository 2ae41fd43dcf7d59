"""How the terminal speaks: short lower-case lines, results on stdout, everything about them on stderr, colour only for meaning.

Colour is used on a terminal only, and never with NO_COLOR. Text given to these functions may come from models or servers: it is made harmless here.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, TextIO

from hausgeist.cli.terminal import neutralise, one_line

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "Tone",
    "age",
    "ago",
    "coloured",
    "err",
    "fail",
    "hint",
    "is_terminal",
    "note",
    "out",
    "paint",
    "print_json",
    "print_json_line",
    "say",
    "size",
    "table",
    "warn",
]

Tone = Literal["good", "bad", "careful", "quiet", "strong", "accent", ""]
_SGR: dict[Tone, str] = {"good": "32", "bad": "1;31", "careful": "33", "quiet": "2", "strong": "1", "accent": "36", "": ""}
_JSON_UNSAFE = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


@cache
def out() -> Console:
    """Rich's console on stdout, for what needs layout (Markdown, progress)."""
    return _console(stderr=False)


@cache
def err() -> Console:
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=False)


def is_terminal(stream: TextIO) -> bool:
    """Whether a person reads here on a terminal that understands cursor movement."""
    return stream.isatty() and os.environ.get("TERM", "") != "dumb"


def coloured(stream: TextIO) -> bool:
    if os.environ.get("NO_COLOR"):
        return False
    return is_terminal(stream) or bool(os.environ.get("FORCE_COLOR"))


def paint(text: str, tone: Tone, stream: TextIO | None = None) -> str:
    """The text in a tone, where the stream (stdout) shows colour. The text itself must be harmless already."""
    if not tone or not text or not coloured(stream or sys.stdout):
        return text
    return f"\x1b[{_SGR[tone]}m{text}\x1b[0m"


def say(text: str = "", tone: Tone = "") -> None:
    """A result, on stdout."""
    print(paint(neutralise(text), tone))


def note(text: str) -> None:
    """What happened, for people; scripts that read stdout do not see it."""
    print(neutralise(text), file=sys.stderr)


def hint(text: str) -> None:
    """What to do next."""
    print(paint(neutralise(text), "quiet", sys.stderr), file=sys.stderr)


def warn(text: str) -> None:
    print(paint("warning:", "careful", sys.stderr) + " " + neutralise(text), file=sys.stderr)


def fail(text: str) -> None:
    print(paint("error:", "bad", sys.stderr) + " " + neutralise(text), file=sys.stderr)


def print_json(value: Any) -> None:
    """One JSON document on stdout; characters that a terminal might obey are escaped."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    print(_JSON_UNSAFE.sub(lambda match: f"\\u{ord(match.group()):04x}", text))


def print_json_line(value: Any) -> None:
    """One JSON document on a line of its own, at once: somebody follows."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    print(_JSON_UNSAFE.sub(lambda match: f"\\u{ord(match.group()):04x}", text), flush=True)


def table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Sequence[str] = (),
    flexible: str | None = None,
    groups: Mapping[int, str] | None = None,
) -> None:
    """Rows under dim headings, without lines around them. On a terminal the `flexible` column (the last) is cut to fit; pipes get all of it.

    `groups`: number of a row -> the heading of the group that begins with it.
    """
    from rich.cells import cell_len, set_cell_size

    cells = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(cell_len(column), *(cell_len(row[i]) for row in cells), 0) for i, column in enumerate(columns)]
    if is_terminal(sys.stdout):
        import shutil

        give = columns.index(flexible) if flexible else len(columns) - 1
        spare = sum(widths) + 2 * (len(columns) - 1) - shutil.get_terminal_size().columns
        if spare > 0:
            widths[give] = max(len(columns[give]), 8, widths[give] - spare)

    def fit(text: str, i: int) -> str:
        if cell_len(text) > widths[i]:
            text = set_cell_size(text, widths[i] - 1).rstrip() + "…"
        gap = " " * (widths[i] - cell_len(text))
        return gap + text if columns[i] in right else text + gap

    print(paint("  ".join(fit(column, i) for i, column in enumerate(columns)).rstrip(), "quiet"))
    for number, row in enumerate(cells):
        if groups and number in groups:
            print("\n" * (number > 0) + paint(one_line(groups[number]), "strong"))
        print("  ".join(fit(cell, i) for i, cell in enumerate(row)).rstrip())


def size(count: float) -> str:
    """Bytes for people, in the binary units that memory is sold in."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < 1024:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def age(seconds: float) -> str:
    """A span of time for people: "3 minutes"."""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            count = round(seconds / length)
            return f"{count} {unit}{'s' if count != 1 else ''}"
    count = max(0, int(seconds))
    return f"{count} second{'s' if count != 1 else ''}"


def ago(seconds: float) -> str:
    """How long it is since something happened: "3 minutes ago"."""
    return f"{age(seconds)} ago" if seconds >= 1 else "just now"

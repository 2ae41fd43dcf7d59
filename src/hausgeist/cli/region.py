"""The lines at the bottom of the terminal that still change, redrawn from the first line that differs, so that nothing flickers.

What is `commit`ted stands above them for good and scrolls away like any other output. Knows nothing of Markdown or models.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import TextIO

from rich.cells import cell_len

__all__ = ["Line", "Region"]

_BEGIN, _END = "\x1b[?2026h", "\x1b[?2026l"
"""Synchronised output: terminals that know it draw what is between at once, others ignore it."""

Line = tuple[str, int]
"""A line as it is written, escape sequences included, and its width in cells."""


class Region:
    """Lines that can still change. Use as a context manager: at the end they are taken away unless committed."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._shown: list[Line] = []

    @property
    def columns(self) -> int:
        return max(20, shutil.get_terminal_size().columns)

    @property
    def rows(self) -> int:
        """How many lines may change at most: what has left the screen cannot be redrawn."""
        return max(4, shutil.get_terminal_size().lines - 2)

    def __enter__(self) -> Region:
        self._stream.write("\x1b[?25l")
        return self

    def __exit__(self, *exc: object) -> None:
        self.show([])
        self._stream.write("\x1b[?25h")
        self._stream.flush()

    def commit(self, lines: Sequence[Line], rest: Sequence[Line] = ()) -> None:
        """Put lines above for good, and show `rest` below them."""
        self._draw([*lines, *rest])
        self._shown = list(rest)

    def show(self, lines: Sequence[Line]) -> None:
        """Show these lines instead of the ones before."""
        if list(lines) != self._shown:
            self._draw(lines)
            self._shown = list(lines)

    def _draw(self, lines: Sequence[Line]) -> None:
        same = 0
        while same < min(len(lines), len(self._shown)) and lines[same] == self._shown[same]:
            same += 1
        up = sum(self._height(line) for line in self._shown[same:])
        left = max(0, up - len(lines[same:]))
        # Line by line: erasing "to the end of the screen" from its top makes some terminals keep the erased in their history.
        text = (f"\x1b[{up}A" if up else "") + "\r" + "".join(line + "\x1b[K\n" for line, _ in lines[same:])
        text += "\x1b[K\n" * left + (f"\x1b[{left}A" if left else "")
        self._stream.write(_BEGIN + text + _END)
        self._stream.flush()

    def _height(self, line: Line) -> int:
        """Rows that a drawn line takes now; more than one after the window became narrower."""
        return max(1, -(-line[1] // self.columns))


def plain(text: str) -> Line:
    """A line without escape sequences."""
    return text, cell_len(text)

"""Text that arrives in pieces on a terminal: lines end between words rather than within one."""

from __future__ import annotations

import re
import shutil
from typing import TextIO

from hausgeist.cli.console import Tone, paint

__all__ = ["Edge"]

_PIECES = re.compile(r"\n|[^\S\n]+|\S+")
_LEAST = 20
"""Columns below which nothing is gained."""


class Edge:
    """Holds a word back until it is whole; `close` writes what is held."""

    def __init__(self, stream: TextIO, width: int | None = None) -> None:
        """`width`: columns; None: those of the terminal, asked for when a line begins."""
        self._stream = stream
        self._given = width
        self._width = width or _columns()
        self._at = 0
        self._space = ""
        self._word: list[tuple[str, Tone]] = []

    def write(self, text: str, tone: Tone = "") -> None:
        for piece in _PIECES.findall(text):
            if piece == "\n":
                self.close()
                self._break()
            elif piece.isspace():
                self.close()
                self._space += piece
            else:
                self._word.append((piece, tone))

    def close(self) -> None:
        from rich.cells import cell_len

        if not self._word:
            return
        length = sum(cell_len(piece) for piece, _ in self._word)
        if self._at and self._at + len(self._space) + length >= self._width > _LEAST:
            self._break()
        self._stream.write(self._space)
        self._at += len(self._space) + length
        self._space = ""
        for piece, tone in self._word:
            self._stream.write(paint(piece, tone, self._stream))
        self._word = []

    def _break(self) -> None:
        self._stream.write("\n")
        self._at, self._space = 0, ""
        self._width = self._given or _columns()


def _columns() -> int:
    return shutil.get_terminal_size().columns

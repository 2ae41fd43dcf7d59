"""Markdown while it arrives: finished blocks are printed for good, only the last one is still drawn anew.

A block that grows beyond the screen is printed from its top on, so that an answer of any length costs the same per token and scrolls back whole.
What a model writes stays what it wrote: HTML is shown as text, links show their address, code keeps its indentation and nothing is added to it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import pairwise
from typing import Any, ClassVar

from markdown_it import MarkdownIt
from rich import markdown as rich_markdown
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.syntax import Syntax
from rich.text import Text
from rich.theme import Theme

from hausgeist.cli.region import Line, Region
from hausgeist.cli.terminal import neutralise

__all__ = ["Markdown", "MarkdownStream", "split_blocks"]

_FRAME = 1 / 15
_BUSY_SHARE = 8
"""Drawing may take one part in so many of the time."""
_WIDEST = 100
"""Columns; longer lines are hard to read."""
_THEME = Theme(
    {
        "markdown.h1": "bold underline",
        "markdown.h2": "bold",
        "markdown.h3": "bold",
        "markdown.h4": "bold",
        "markdown.h5": "bold",
        "markdown.h6": "bold",
        "markdown.code": "cyan",
        "markdown.block_quote": "dim",
        "markdown.item.bullet": "dim",
        "markdown.item.number": "dim",
        "markdown.table.header": "bold",
        "markdown.table.border": "dim",
        "markdown.link": "default",
        "markdown.link_url": "dim underline",
    }
)


@cache
def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}).enable(["strikethrough", "table"])


class _Code(rich_markdown.CodeBlock):
    """Code as it will be pasted: coloured in the terminal's own palette, without a frame or an indent."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Syntax(str(self.text).rstrip(), self.lexer_name, theme="ansi_dark", word_wrap=True, background_color="default")


class _Heading(rich_markdown.Heading):
    LEVEL_ALIGN: ClassVar[dict[str, Any]] = dict.fromkeys(("h1", "h2", "h3", "h4", "h5", "h6"), "left")


class _Rule(rich_markdown.HorizontalRule):
    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text("─" * 12, style="dim")


class Markdown(rich_markdown.Markdown):
    """A piece of Markdown for the terminal."""

    elements: ClassVar[dict[str, type[rich_markdown.MarkdownElement]]] = {
        **rich_markdown.Markdown.elements,
        "fence": _Code,
        "code_block": _Code,
        "heading_open": _Heading,
        "hr": _Rule,
    }

    def __init__(self, text: str) -> None:
        super().__init__("", hyperlinks=False)
        self.markup = text
        self.parsed = _parser().parse(text)


class MarkdownStream:
    """Takes text as it arrives and draws it in a region. `finish` prints what is left."""

    def __init__(self, region: Region, console: Console, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._region = region
        self._console = console
        self._clock = clock
        self._pending = ""
        """Text of the block (or blocks) not yet printed for good."""
        self._printed = 0
        """Lines of the pending block that are printed already, because it is taller than the screen."""
        self._next_frame = 0.0
        self._undrawn = False
        self._first = True

    def add(self, text: str) -> None:
        self._pending += neutralise(text)
        self._undrawn = True
        self.refresh()

    def refresh(self) -> None:
        """Draw what has come since the last frame, if it is time for one."""
        now = self._clock()
        if not self._undrawn or now < self._next_frame:
            return
        self._undrawn = False
        self._draw()
        self._next_frame = self._clock() + max(_FRAME, (self._clock() - now) * _BUSY_SHARE)

    def finish(self) -> None:
        """Everything is there, or the answer was stopped: print it."""
        done, last = split_blocks(self._pending)
        self._pending = ""
        self._region.commit(self._settle([*done, last]))

    def _draw(self) -> None:
        done, self._pending = split_blocks(self._pending)
        lines = self._settle(done)
        rest = self._render(self._pending)[self._printed :]
        too_many = max(0, len(rest) - self._region.rows)
        self._printed += too_many
        self._region.commit([*lines, *rest[:too_many]], rest[too_many:])

    def _settle(self, blocks: Iterable[str]) -> list[Line]:
        """The lines of finished blocks, less those of the first that are printed already."""
        lines: list[Line] = []
        for block in blocks:
            if rendered := self._render(block):
                lines += rendered[self._printed :]
                self._printed = 0
                self._first = False
        return lines

    def _render(self, block: str) -> list[Line]:
        """The block as lines for this terminal, with an empty line before it unless it is the first."""
        options = self._console.options.update(width=min(self._region.columns - 1, _WIDEST))
        with self._console.use_theme(_THEME):
            lines = [self._line(segments) for segments in self._console.render_lines(Markdown(block), options, pad=False)]
        while lines and not lines[0][0]:
            lines.pop(0)
        while lines and not lines[-1][0]:
            lines.pop()
        return lines if self._first or not lines else [("", 0), *lines]

    def _line(self, segments: Sequence[Segment]) -> Line:
        """A rendered line without the blanks at its end."""
        colours = None if self._console.no_color else self._console._color_system
        kept = [segment for segment in Segment.simplify(segments) if not segment.control]
        while kept and not kept[-1].text.rstrip():
            kept.pop()
        if not kept:
            return "", 0
        kept[-1] = Segment(kept[-1].text.rstrip(), kept[-1].style)
        text = "".join(segment.style.render(segment.text, color_system=colours) if segment.style else segment.text for segment in kept)
        return text, sum(segment.cell_length for segment in kept)


def split_blocks(text: str) -> tuple[Sequence[str], str]:
    """The top-level blocks that no later text can change, and the rest: the last block, which may still grow."""
    lines = text.splitlines(keepends=True)
    starts = [token.map[0] for token in _parser().parse(text) if token.level == 0 and token.map and token.nesting >= 0]
    if len(starts) < 2:
        return [], text
    bounds = [0, *starts[1:], len(lines)]
    blocks = ["".join(lines[a:b]) for a, b in pairwise(bounds)]
    return blocks[:-1], blocks[-1]

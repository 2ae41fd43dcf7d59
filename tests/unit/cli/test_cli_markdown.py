"""Markdown that arrives piece by piece ends up on the screen as if it had come at once."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from hausgeist.cli.markdown import MarkdownStream, split_blocks
from hausgeist.cli.region import Region

DOCUMENT = """# A heading

Some *text* with `code` and a [link](https://example.org/x).

- one
- two
  - nested

```python
def f(x):
    return {"a": x}
```

| a | b |
|---|--:|
| 1 | 2 |

<div>html stays</div>

last
"""


class Screen:
    """A terminal of a given height, as far as regions use one: lines, cursor up, erase to the end of the line."""

    def __init__(self, height: int) -> None:
        self.height = height
        self.lines: list[str] = [""]
        self.row = 0
        self.column = 0

    def feed(self, text: str) -> None:
        for part in re.findall(r"\x1b\[[?0-9;]*[A-Za-z]|\n|\r|[^\x1b\n\r]+", text):
            if part == "\n":
                self.row += 1
                self.column = 0
                if self.row == len(self.lines):
                    self.lines.append("")
            elif part == "\r":
                self.column = 0
            elif part.endswith("A") and part.startswith("\x1b"):
                up = int(part[2:-1])
                assert up < self.height, "what has left the screen cannot be reached"
                self.row = max(0, self.row - up)
            elif part == "\x1b[K":
                self.lines[self.row] = self.lines[self.row][: self.column]
            elif not part.startswith("\x1b"):
                line = self.lines[self.row]
                self.lines[self.row] = line[: self.column] + part + line[self.column + len(part) :]
                self.column += len(part)

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.lines).rstrip()


def show(pieces: Iterator[str] | list[str], monkeypatch: pytest.MonkeyPatch, *, width: int = 60, height: int = 24) -> str:
    monkeypatch.setattr("shutil.get_terminal_size", lambda *_: __import__("os").terminal_size((width, height)))
    clock = iter(range(10**9))
    stream = io.StringIO()
    screen = Screen(height)
    with Region(stream) as region:
        console = Console(file=stream, width=width, force_terminal=True, color_system=None, highlight=False, legacy_windows=False)
        markdown = MarkdownStream(region, console, clock=lambda: float(next(clock)))
        for piece in pieces:
            markdown.add(piece)
            screen.feed(stream.getvalue())
            stream.seek(0)
            stream.truncate()
        markdown.finish()
    screen.feed(stream.getvalue())
    return screen.text


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50])
@pytest.mark.parametrize("height", [8, 24])
def test_pieces_of_any_size_look_the_same(size: int, height: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = show([DOCUMENT], monkeypatch, height=height)
    pieces = [DOCUMENT[i : i + size] for i in range(0, len(DOCUMENT), size)]
    assert show(pieces, monkeypatch, height=height) == whole
    assert "A heading" in whole
    assert "html stays" in whole
    assert "(https://example.org/x)" in whole
    assert 'def f(x):\n    return {"a": x}' in whole


def test_a_block_taller_than_the_screen_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    code = "```\n" + "\n".join(f"line {i}" for i in range(200)) + "\n```\n\nend\n"
    shown = show([code[i : i + 11] for i in range(0, len(code), 11)], monkeypatch, height=10)
    assert shown.splitlines() == [*(f"line {i}" for i in range(200)), "", "end"]


def test_an_unfinished_answer_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    assert show(["one\n\n```python\nx =", " 1"], monkeypatch) == "one\n\nx = 1"


def test_hostile_sequences_are_shown_not_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = show(["a\x1b", "[2Jb `\x1b[31m`\n\n```\n\x1b]0;x\x07\n```\n"], monkeypatch)
    assert shown == "a␛[2Jb ␛[31m\n\n␛]0;x␇"


@given(st.text(alphabet="ab \n`#*-|>1.", max_size=80))
@settings(max_examples=200)
def test_blocks_are_the_text(text: str) -> None:
    blocks, rest = split_blocks(text)
    assert "".join([*blocks, rest]) == text

"""The picture of a terminal in the README and docs/documents.md: what `hausgeist demo` prints, as an SVG that loads nothing.

`python -m benchmarks.terminal_picture docs/demo-terminal.svg`; with a second path, what was printed is read from there instead.
"""

from __future__ import annotations

import os
import pty
import re
import sys
import tempfile
from pathlib import Path

_COLUMNS = 100
_QUESTION = "Which grease is used for the drum bearings?"
_COMMAND = f'hausgeist demo "{_QUESTION}"'


def main(arguments: list[str]) -> int:
    if not 1 <= len(arguments) <= 2:
        print(__doc__, file=sys.stderr)
        return 2
    printed = Path(arguments[1]).read_bytes() if len(arguments) == 2 else _run()
    Path(arguments[0]).write_text(_drawn(_settled(printed.decode(errors="replace"))), encoding="utf-8")
    return 0


def _run() -> bytes:
    """On a terminal of its own, in a home of its own."""
    printed = bytearray()

    def read(descriptor: int) -> bytes:
        piece = os.read(descriptor, 65536)
        printed.extend(piece)
        return piece

    with tempfile.TemporaryDirectory() as home:
        # Rich takes the width from COLUMNS, and so do the commands.
        os.environ |= {"HAUSGEIST_HOME": home, "COLUMNS": str(_COLUMNS), "TERM": "xterm-256color"}
        os.environ.pop("NO_COLOR", None)
        pty.spawn([sys.executable, "-m", "hausgeist", "demo", _QUESTION], read)
    return bytes(printed)


def _settled(text: str) -> str:
    """What stays on the screen: after the last bar was taken away."""
    text = text.rpartition("\x1b[?25h")[2].partition("\nScript done")[0]
    return re.sub(r"^(\r|\x1b\[1A|\x1b\[2K)+", "", text).replace("\r\n", "\n").strip("\n")


def _drawn(text: str) -> str:
    from rich.console import Console
    from rich.text import Text

    with open(os.devnull, "w") as nowhere:
        console = Console(record=True, width=_COLUMNS, file=nowhere, force_terminal=True, color_system="truecolor")
        console.print(Text.assemble(("$ ", "dim"), (_COMMAND, "bold")))
        console.print(Text.from_ansi(text), soft_wrap=False)
    picture = console.export_svg(title="hausgeist", unique_id="demo")
    # Rich's picture asks a server for its font; this one takes what is there.
    picture = re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL)
    picture = picture.replace("Fira Code, monospace", "ui-monospace, Menlo, Consolas, monospace")
    return re.sub(r"[ \t]+$", "", picture, flags=re.MULTILINE)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

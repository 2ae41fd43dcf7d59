"""Reading what the system tells about itself: small files under /proc and /sys, and programs that print and end.

Nothing here fails: what is not there, or may not be read, is empty.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

__all__ = ["ask", "fields", "number", "text"]

_SECONDS = 5
_MOST = 4 << 20
"""Bytes of a file, or characters of an answer. Lists of PCI devices are the longest, at 1.5 MB."""


def text(path: Path) -> str:
    """A file without the space around it. Device trees end their strings with a zero byte."""
    try:
        with path.open("rb") as stream:
            return stream.read(_MOST).decode(errors="replace").strip(" \t\r\n\0")
    except OSError:
        return ""


def number(path: Path) -> int | None:
    """A file that holds one decimal number."""
    try:
        return int(text(path))
    except ValueError:
        return None


def fields(lines: str, separator: str) -> dict[str, str]:
    """Lines of "name<separator>value"; of a name that comes again, the first."""
    found: dict[str, str] = {}
    for line in lines.splitlines():
        name, parted, value = line.partition(separator)
        if parted:
            found.setdefault(name.strip(), value.strip())
    return found


def ask(*command: str) -> str:
    """What a program prints; empty when it is not there or does not answer within seconds."""
    try:
        answer = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_SECONDS, check=False, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout[:_MOST].strip()

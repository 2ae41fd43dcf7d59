"""How help pages look: plain text in the voice of the other messages, headings in bold on a terminal, examples as they are typed."""

from __future__ import annotations

import re
import sys
from typing import Any

from typer.core import TyperCommand, TyperGroup

from hausgeist.cli.console import paint

__all__ = ["Command", "Group", "examples"]

_HEADING = re.compile(r"^(?:  )?(usage|commands|options|arguments|examples|exit codes):", re.IGNORECASE | re.MULTILINE)
_REPLACED = {
    "Show this message and exit.": "show this page.",
    "Install completion for the current shell.": "set up completion for your shell.",
    "Show completion for the current shell, to copy it or customize the installation.": "print the completion script of your shell.",
}
"""What Typer says, in our voice."""
_REQUIRED = re.compile(r"\{([A-Z|]+)\}")
_DEFAULT = re.compile(r"\[default:(\s+)\(([^)]*)\)\]")
_TYPE = re.compile(r" <(str|path|Path|list\[\w+\])>")


def examples(*lines: str) -> str:
    """The epilog of a help page; each line stays on its own."""
    return "\b\nexamples:\n" + "\n".join(f"  {line}" for line in lines)


def _tidy(page: str) -> str:
    """Lower-case headings, in bold on a terminal."""
    for theirs, ours in _REPLACED.items():
        page = re.sub(r"\s+".join(map(re.escape, theirs.split())), ours, page)  # it may be broken into lines
    page = _DEFAULT.sub(r"[default:\1\2]", page)
    page = _REQUIRED.sub(r"\1", page, count=8)
    page = _TYPE.sub(lambda match: " " * len(match.group()), page)  # the name of an argument says it better
    return _HEADING.sub(lambda match: paint(f"{match.group(1).lower()}:", "strong", sys.stdout), page)


class Command(TyperCommand):
    """A command with such a page."""

    def get_help(self, ctx: Any) -> str:
        return _tidy(super().get_help(ctx))


class Group(TyperGroup):
    """A group of commands with such a page."""

    def get_help(self, ctx: Any) -> str:
        return _tidy(super().get_help(ctx))

"""How help pages look: plain text in the voice of the other messages, headings in bold on a terminal, examples as they are typed."""

from __future__ import annotations

import re
import sys
from typing import Any

from typer.core import TyperCommand, TyperGroup

from hausgeist.cli.console import paint

__all__ = ["Command", "Group", "examples"]

_HEADING = re.compile(r"^(usage|commands|options|arguments|examples|exit codes):", re.IGNORECASE | re.MULTILINE)


def examples(*lines: str) -> str:
    """The epilog of a help page; each line stays on its own."""
    return "\b\nexamples:\n" + "\n".join(f"  {line}" for line in lines)


def _tidy(page: str) -> str:
    """Lower-case headings, in bold on a terminal."""
    return _HEADING.sub(lambda match: paint(match.group().lower(), "strong", sys.stdout), page)


class Command(TyperCommand):
    """A command with such a page."""

    def get_help(self, ctx: Any) -> str:
        return _tidy(super().get_help(ctx))


class Group(TyperGroup):
    """A group of commands with such a page."""

    def get_help(self, ctx: Any) -> str:
        return _tidy(super().get_help(ctx))

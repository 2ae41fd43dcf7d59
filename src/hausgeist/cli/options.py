"""Options that several commands share, so that they are spelled and explained the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["Address", "Force", "Home", "Json"]

Home = Annotated[Path | None, typer.Option("--home", metavar="DIR", help="folder of all state (HAUSGEIST_HOME).", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="print JSON.")]
Address = Annotated[
    str | None,
    typer.Option(
        "--host", metavar="ADDRESS", help="server to talk to, such as https://ai.example.org; default: the one of this home.", show_default=False
    ),
]
Force = Annotated[bool, typer.Option("--yes", "-y", help="do not ask.")]

"""Options that several commands share, so that they are spelled and explained the same everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from glob import escape, glob
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["Address", "Filters", "Force", "Home", "InProject", "InStore", "Json", "complete_file_or_model", "complete_model"]

Home = Annotated[Path | None, typer.Option("--home", metavar="DIR", help="folder of all state (HAUSGEIST_HOME).", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="print JSON.")]
Address = Annotated[
    str | None,
    typer.Option(
        "--host", metavar="ADDRESS", help="server to talk to, such as https://ai.example.org; default: the one of this home.", show_default=False
    ),
]
Force = Annotated[bool, typer.Option("--yes", "-y", help="do not ask.")]

InProject = Annotated[
    str | None, typer.Option("--project", metavar="PROJECT", help="name or id of a project; default: the key's own.", show_default=False)
]
InStore = Annotated[str, typer.Option("--store", metavar="STORE", help="name or id of a store; default: 'documents'.", show_default=False)]
Filters = Annotated[
    list[str] | None,
    typer.Option("--filter", metavar="NAME=VALUE", help="only files with this attribute; also !=, <, <=, >, >=. may be given several times."),
]


def complete_model(incomplete: str) -> Iterator[str]:
    """Names of models for the shell's completion, from the server that runs here; none where none does, and never an error."""
    from hausgeist.cli.client import local_client
    from hausgeist.cli.running import find
    from hausgeist.errors import HausgeistError
    from hausgeist.settings import default_home

    try:
        if (running := find(default_home())) is None:
            return
        with local_client(running) as client:
            models = client.ask("GET", "/api/tags").get("models", [])
    except (HausgeistError, OSError):
        return
    for model in models:
        name = str(model.get("name", "")).removesuffix(":latest")
        if name.startswith(incomplete):
            yield name


def complete_file_or_model(incomplete: str) -> Iterator[str]:
    """The same, and model files."""
    yield from complete_model(incomplete)
    for path in sorted(glob(escape(incomplete) + "*")):
        if Path(path).is_dir():
            yield path + "/"
        elif path.lower().endswith(".gguf"):
            yield path

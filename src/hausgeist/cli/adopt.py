"""`hausgeist adopt`: models that Ollama, the hub's tools, llama.cpp or LM Studio have on this machine already."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from hausgeist.cli.console import hint, note, print_json, print_json_line, size, table, warn
from hausgeist.cli.elsewhere import TOOLS
from hausgeist.cli.exits import FAILED, INTERRUPTED
from hausgeist.cli.help import Command, examples
from hausgeist.cli.options import Address, Home
from hausgeist.cli.terminal import one_line
from hausgeist.errors import HausgeistError, InvalidRequest

if TYPE_CHECKING:
    from hausgeist.cli.client import Client

__all__ = ["register"]

_PATH: Final = "/house/v1/models"


def register(app: typer.Typer) -> None:
    lines = ("hausgeist adopt                 what there is", "hausgeist adopt gemma3:4b", "hausgeist adopt --all")
    app.command("adopt", cls=Command, short_help="use models that other tools have on this machine.", epilog=examples(*lines))(adopt)


def adopt(
    models: Annotated[list[str] | None, typer.Argument(metavar="MODEL", help="names of models, as the list shows them.", show_default=False)] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="all that are not installed yet.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print the list as JSON, or what happens as lines of JSON.")] = False,
    host: Address = None,
    home: Home = None,
) -> int:
    """use models that Ollama, Hugging Face's tools, llama.cpp or LM Studio have on this machine: no download, and where possible no copy.

    without a name, they are listed. files that are named by their sha256 are verified and shared, all others are used where they lie.
    """
    from hausgeist.cli.client import client_for
    from hausgeist.settings import load_settings

    if models and everything:
        raise InvalidRequest("name models, or say --all.")
    with client_for(load_settings(home=home), host) as client:
        if models:
            return _take(client, models, as_json=as_json)
        there = client.ask("GET", f"{_PATH}/adoptable")["data"]
        if everything:
            wanted = list(dict.fromkeys(one["model"] for one in there if not one["installed"]))
            if not wanted:
                note("all of them are installed" if there else "no other tool has a model on this machine")
            return _take(client, wanted, as_json=as_json, on=True)
    if as_json:
        print_json({"models": there})
    elif there:
        _print(there)
    else:
        note("no other tool has a model on this machine")
        hint("looked for those of Ollama (ollama_models), Hugging Face (hf_home), llama.cpp and LM Studio")
    return 0


def _print(there: list[dict[str, Any]]) -> None:
    rows = [
        [one["model"], TOOLS.get(one["tool"], one["tool"]), size(one["size"]), "yes" if one["installed"] else "", str(Path(one["files"][0]).parent)]
        for one in there
    ]
    table(["name", "of", "size", "installed", "where"], rows, right=["size"], flexible="where")
    if not all(one["installed"] for one in there):
        hint("'hausgeist adopt MODEL' or 'hausgeist adopt --all' installs them with no download")


def _take(client: Client, models: list[str], *, as_json: bool, on: bool = False) -> int:
    """`on`: one that cannot be had does not keep the others from being installed."""
    failed = False
    for model in models:
        try:
            _take_one(client, model, as_json=as_json)
        except KeyboardInterrupt:
            hint("stopped")
            return INTERRUPTED
        except HausgeistError as error:
            if not on:
                raise
            warn(f"{one_line(model)}: {error.message}")
            failed = True
    return FAILED if failed else 0


def _take_one(client: Client, model: str, *, as_json: bool) -> None:
    from hausgeist.cli.pull import bars

    with client.stream(f"{_PATH}/adopt", {"model": model}) as events:
        for event in events if as_json else bars(events, model):
            if as_json:
                print_json_line(event)
            elif event.get("stage") == "done":
                how = "used where it lies" if event["in_place"] else "shared, verified"
                note(f"adopted {one_line(event['name'])}: {size(event['size'])}, {how}")

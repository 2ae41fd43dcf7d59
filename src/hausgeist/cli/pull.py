"""`hausgeist pull`, and what other commands need of it: a model from its source, with a bar for each file while that lasts."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hausgeist.cli.console import err, hint, is_terminal, note, print_json_line, size
from hausgeist.cli.exits import INTERRUPTED
from hausgeist.cli.help import Command, examples
from hausgeist.cli.options import Address, Home
from hausgeist.cli.terminal import one_line
from hausgeist.errors import EgressRefused, HausgeistError, InvalidRequest, Unavailable

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from hausgeist.cli.client import Client
    from hausgeist.settings import Settings

__all__ = ["advise", "bars", "fetch", "misfit", "outlook", "register"]

_PULL = "/house/v1/models/pull"


def register(app: typer.Typer) -> None:
    lines = (
        "hausgeist pull gemma3:4b                            from Ollama's registry",
        "hausgeist pull hf.co/owner/repo:Q5_K_M              a GGUF repository on Hugging Face",
        "hausgeist pull https://example.org/m.gguf#sha256=…  a file, by its address",
    )
    app.command("pull", cls=Command, short_help="install models from where they are published.", epilog=examples(*lines))(pull)


def pull(
    models: Annotated[list[str], typer.Argument(metavar="MODEL", help="names of models, or addresses.", show_default=False)],
    *,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="what to call it here.", show_default=False)] = "",
    as_json: Annotated[bool, typer.Option("--json", help="print what happens as lines of JSON.")] = False,
    host: Address = None,
    home: Home = None,
) -> int:
    """install models from where they are published. interrupted, it goes on where it was when it is given again."""
    from hausgeist.cli.client import client_for
    from hausgeist.settings import load_settings

    if name and len(models) > 1:
        raise InvalidRequest("--name goes with one model.")
    settings = load_settings(home=home)
    with client_for(settings, host) as client:
        for model in models:
            body = {"model": model, **({"name": name} if name else {})}
            if not as_json:
                for line in outlook(client, model):
                    hint(line)
            try:
                told = fetch(client, _PULL, body, model=model, as_json=as_json)
            except KeyboardInterrupt:
                hint(f"stopped; what has come is kept: 'hausgeist pull {model}' goes on from there")
                return INTERRUPTED
            except HausgeistError as error:
                raise advise(error, settings, host) from error.__cause__
            if not as_json:
                note(f"{one_line(model)} is up to date" if not told else f"pulled {one_line(model)}: {size(told)}")
    return 0


def fetch(client: Client, path: str, body: Mapping[str, Any], *, model: str, as_json: bool = False) -> int:
    """Follow a pull to its end; returns the bytes of its files, 0 where all was there already. Leaving it early stops it."""
    sizes: dict[str, int] = {}
    with client.stream(path, body) as events:
        if as_json:
            for event in events:
                print_json_line(event)
                _count(event, sizes)
        else:
            for event in bars(events, model):
                if event.get("note"):
                    hint(str(event["note"]))
                _count(event, sizes)
    return sum(sizes.values())


def outlook(client: Client, model: str) -> list[str]:
    """How a model of the catalogue would do on the server's machine, and if it cannot hold it, which one it can; empty where nobody knows."""
    told = _planned(client, model)
    return _lines(told) if told.get("fits") is False else _lines(told)[:1]


def misfit(client: Client, model: str) -> list[str]:
    """The same, only where it cannot."""
    told = _planned(client, model)
    return _lines(told) if told.get("fits") is False else []


def _lines(told: Mapping[str, Any]) -> list[str]:
    return [str(told[name]) for name in ("says", "next") if told.get(name)]


def _planned(client: Client, model: str) -> Mapping[str, Any]:
    from urllib.parse import urlencode

    try:
        return client.ask("GET", f"/house/v1/plan?{urlencode({'model': model})}")
    except HausgeistError:
        return {}


def advise(error: HausgeistError, settings: Settings, host: str | None) -> HausgeistError:
    """Add what is possible when a source cannot be reached; it is said after the error."""
    from hausgeist.cli.elsewhere import mention

    if not any(isinstance(one, EgressRefused | Unavailable) for one in (error, error.__cause__)):
        return error
    lines = (
        "without a way out, a model comes in like this:",
        "  hausgeist run FILE.gguf     a model file that was copied here",
        "  hausgeist import FILE       models that 'hausgeist export' wrote on another machine",
        "  HTTPS_PROXY=...             through a proxy; HAUSGEIST_ALLOW=... lets a mirror be asked",
        mention(settings, host),
    )
    for line in filter(None, lines):
        error.add_note(line)
    return error


def _count(event: Mapping[str, Any], sizes: dict[str, int]) -> None:
    if event.get("stage") == "downloading":
        sizes[str(event.get("name"))] = int(event.get("total") or 0)


def bars(events: Iterator[dict[str, Any]], model: str) -> Iterator[dict[str, Any]]:
    """The events, drawn as bars on a terminal."""
    if not is_terminal(sys.stderr):
        yield from events
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(binary_units=True), TransferSpeedColumn(), TimeRemainingColumn())
    looking = err().status(f"looking for {one_line(model)}")
    progress = Progress(*columns, console=err(), transient=True)
    rows: dict[str, TaskID] = {}
    looking.start()
    try:
        for event in events:
            if event.get("stage") in {"downloading", "uploading", "verifying"}:
                if not rows:
                    looking.stop()
                    progress.start()
                _draw(progress, rows, event)
            if noted := bool(event.get("note")) and not rows:
                looking.stop()  # what is said now would be drawn over
            yield event
            if noted:
                looking.start()
    finally:
        looking.stop()
        progress.stop()


def _draw(progress: Progress, rows: dict[str, TaskID], event: Mapping[str, Any]) -> None:
    name, verb = one_line(str(event.get("name") or event.get("digest") or "file")), "verifying " if event["stage"] == "verifying" else ""
    total = int(event.get("total") or 0) or None
    if name not in rows:
        rows[name] = progress.add_task(name, total=total)
    progress.update(rows[name], description=f"{verb}{name}", completed=int(event.get("done") or 0), total=total)

"""`hausgeist outdated, upgrade, rollback, pin, unpin, verify, gc`: models over time."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hausgeist.cli.console import err, fail, hint, is_terminal, note, print_json, print_json_line, size, table, warn
from hausgeist.cli.exits import FAILED, INTERRUPTED
from hausgeist.cli.help import Command, examples
from hausgeist.cli.options import Address, Home, Json, complete_model
from hausgeist.cli.terminal import one_line
from hausgeist.errors import HausgeistError, InvalidRequest

if TYPE_CHECKING:
    from hausgeist.cli.client import Client

__all__ = ["register"]

_PATH = "/house/v1/models"

Names = Annotated[list[str] | None, typer.Argument(metavar="MODEL", help="names of models.", show_default=False, autocompletion=complete_model)]
One = Annotated[str, typer.Argument(metavar="MODEL", help="name of a model.", show_default=False, autocompletion=complete_model)]


def register(app: typer.Typer) -> None:
    app.command("outdated", cls=Command, short_help="ask whether there are newer versions.", epilog=examples("hausgeist outdated"))(outdated)
    lines = ("hausgeist upgrade gemma3:4b", "hausgeist upgrade --all")
    app.command("upgrade", cls=Command, short_help="install newer versions of models.", epilog=examples(*lines))(upgrade)
    app.command("rollback", cls=Command, short_help="go back to the version before.", epilog=examples("hausgeist rollback gemma3:4b"))(rollback)
    app.command("pin", cls=Command, short_help="keep a model at its version.", epilog=examples("hausgeist pin gemma3:4b"))(pin)
    app.command("unpin", cls=Command, short_help="let a model be upgraded again.", epilog=examples("hausgeist unpin gemma3:4b"))(unpin)
    lines = ("hausgeist verify --all", "hausgeist verify gemma3:4b --repair")
    app.command("verify", cls=Command, short_help="read the files of models again: are they sound?", epilog=examples(*lines))(verify)
    app.command("gc", cls=Command, short_help="remove files that no model needs.", epilog=examples("hausgeist gc --dry-run"))(gc)


def outdated(models: Names = None, *, as_json: Json = False, host: Address = None, home: Home = None) -> int:
    """ask where models came from whether there are newer versions. nothing is asked without this command."""
    with _client(host, home) as client, err().status("asking"):
        found = client.ask("POST", f"{_PATH}/outdated", {"models": models or []})["data"]
    if as_json:
        print_json({"models": found})
        return 0
    newer = [one for one in found if one["outdated"]]
    if newer:
        rows = [[one["model"], _short(one["version"]), _short(one["latest"]), size(one["size"]), "pinned" if one["pinned"] else ""] for one in newer]
        table(["name", "installed", "newest", "to fetch", ""], rows, right=["to fetch"], flexible="name")
    failed = [one for one in found if one["error"]]
    for one in failed:
        warn(f"{one['model']}: {one['error']}")
    if not newer and not failed:
        note("all models are as their sources have them" if found else "no model here was installed from a source")
    elif newer:
        hint("'hausgeist upgrade MODEL' or 'hausgeist upgrade --all' installs them")
    return FAILED if failed and len(failed) == len(found) else 0


def upgrade(
    models: Names = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="all that are not pinned.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print what happens as lines of JSON.")] = False,
    host: Address = None,
    home: Home = None,
) -> int:
    """install what the sources of models have now. the version before is kept until the new one has answered."""
    from hausgeist.cli.pull import advise, fetch
    from hausgeist.settings import load_settings

    if bool(models) == everything:
        raise InvalidRequest("name a model, or say --all.")
    failed = False
    with _client(host, home) as client:
        for name in models or _upgradable(client):
            try:
                told = fetch(client, f"{_PATH}/upgrade", {"model": name}, model=name, as_json=as_json)
            except KeyboardInterrupt:
                hint(f"stopped; what has come is kept: 'hausgeist upgrade {name}' goes on from there")
                return INTERRUPTED
            except HausgeistError as error:
                if not everything:
                    raise advise(error, load_settings(home=home), host) from error.__cause__
                fail(f"{name}: {error.message}")
                failed = True
                continue
            if not as_json:
                note(f"upgraded {one_line(name)}: {size(told)}" if told else f"{one_line(name)} is up to date")
    return FAILED if failed else 0


def rollback(model: One, *, as_json: Json = False, host: Address = None, home: Home = None) -> None:
    """go back to the version before. it is pinned then, and 'rollback' again goes forward."""
    with _client(host, home) as client:
        made = client.ask("POST", f"{_PATH}/rollback", {"model": model})
    if as_json:
        print_json(made)
        return
    note(f"{model} is what it was before ({_short(made['version'] or made['digest'])}), and pinned")
    hint(f"'hausgeist unpin {model}' lets it be upgraded again")


def pin(models: Names = None, *, host: Address = None, home: Home = None) -> None:
    """keep models at their version: upgrades of all leave them alone, and what they replaced is kept."""
    _set_pins(models, host, home, pinned=True)


def unpin(models: Names = None, *, host: Address = None, home: Home = None) -> None:
    """let models be upgraded again."""
    _set_pins(models, host, home, pinned=False)


def verify(
    models: Names = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="all that are stored here.")] = False,
    repair: Annotated[bool, typer.Option("--repair", help="fetch damaged files anew.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print what happens as lines of JSON.")] = False,
    host: Address = None,
    home: Home = None,
) -> int:
    """read all files of models again and compare them with their digests."""
    if bool(models) == everything:
        raise InvalidRequest("name a model, or say --all.")
    sound = True
    with _client(host, home) as client:
        for name in models or [one["id"] for one in client.ask("GET", _PATH)["data"] if one["engine"] == "llamacpp" and one["stored"]]:
            verdict = _verify(client, name, repair=repair, as_json=as_json)
            sound = sound and bool(verdict.get("sound"))
    return 0 if sound else FAILED


def gc(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would be removed.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="also downloads that could be gone on with, and files of a moment ago.")] = False,
    as_json: Json = False,
    host: Address = None,
    home: Home = None,
) -> None:
    """remove files that no model needs: versions that were replaced by ones that work, downloads that were given up."""
    with _client(host, home) as client:
        found = client.ask("POST", f"{_PATH}/gc", {"dry_run": dry_run, "all": everything})
    if as_json:
        print_json(found)
        return
    for version in found["versions"]:
        note(f"{version['model']}: the version {_short(version['digest'])}")
    if not found["size"] and not found["versions"]:
        note("there is nothing to remove")
        return
    partials = f", of which {size(found['partials'])} are downloads that were given up" if found["partials"] else ""
    note(f"{'would free' if dry_run else 'freed'} {size(found['size'])}{partials}")


def _upgradable(client: Client) -> list[str]:
    models = client.ask("GET", _PATH)["data"]
    for one in models:
        if one["pinned"]:
            note(f"{one['id']} is pinned and left alone")
    return [one["id"] for one in models if one["reference"] and one["stored"] and not one["pinned"]]


def _set_pins(models: list[str] | None, host: str | None, home: Path | None, *, pinned: bool) -> None:
    if not models:
        raise InvalidRequest("name a model.")
    with _client(host, home) as client:
        for model in models:
            client.ask("POST", f"{_PATH}/pin", {"model": model, "pinned": pinned})
            note(f"{model} stays at its version" if pinned else f"{model} may be upgraded")


def _verify(client: Client, name: str, *, repair: bool, as_json: bool) -> dict[str, Any]:
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    verdict: dict[str, Any] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(binary_units=True), TimeRemainingColumn())
    drawing = is_terminal(sys.stderr) and not as_json
    with Progress(*columns, console=err(), transient=True, disable=not drawing) as progress:
        task = progress.add_task(f"reading {one_line(name)}", total=None)
        with client.stream(f"{_PATH}/verify", {"model": name, "repair": repair}) as events:
            for event in events:
                if as_json:
                    print_json_line(event)
                if event.get("stage") == "done":
                    verdict = event
                else:
                    what = f"reading {one_line(name)}: {one_line(str(event.get('name')))}"
                    progress.update(task, description=what, completed=event.get("done"), total=event.get("total") or None)
    if not as_json:
        _report(name, verdict, repair=repair)
    return verdict


def _report(name: str, verdict: dict[str, Any], *, repair: bool) -> None:
    damages = verdict.get("damages") or []
    if not damages:
        note(f"{name} is sound: {verdict.get('files')} file{'s' if verdict.get('files') != 1 else ''}")
    for damage in damages:
        if damage["repaired"]:
            note(f"{name}: {damage['file']} was damaged and fetched anew")
        else:
            fail(f"{name}: {damage['file']}: {damage['reason']}")
    if damages and not repair:
        hint(f"'hausgeist verify {name} --repair' fetches damaged files anew")


def _short(version: str) -> str:
    return version[:12] or "-"


def _client(host: str | None, home: Path | None) -> Client:
    from hausgeist.cli.client import client_for
    from hausgeist.settings import load_settings

    return client_for(load_settings(home=home), host)

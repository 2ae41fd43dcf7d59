"""`hausgeist list, show, ps, stop, rm`: the models that are there, and those that are loaded."""

from __future__ import annotations

import datetime
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hausgeist.cli.console import age, ago, hint, note, paint, print_json, say, size, table
from hausgeist.cli.help import Command, examples
from hausgeist.cli.options import Address, Force, Home, Json, complete_model
from hausgeist.errors import InvalidRequest

if TYPE_CHECKING:
    from hausgeist.cli.client import Client

__all__ = ["offer_file", "print_model", "register"]

Names = Annotated[list[str], typer.Argument(metavar="MODEL", help="names of models.", show_default=False, autocompletion=complete_model)]


def register(app: typer.Typer) -> None:
    app.command("list", cls=Command, epilog=examples("hausgeist list", "hausgeist list --json"))(list_models)
    app.command("ls", cls=Command, hidden=True, epilog=examples("hausgeist ls"))(list_models)
    app.command("show", cls=Command, epilog=examples("hausgeist show gemma-3-4b", "hausgeist show gemma-3-4b --template"))(show)
    app.command("ps", cls=Command, epilog=examples("hausgeist ps", "hausgeist ps --json"))(ps)
    app.command("stop", cls=Command, epilog=examples("hausgeist stop gemma-3-4b", "hausgeist stop --all"))(stop)
    app.command("rm", cls=Command, epilog=examples("hausgeist rm gemma-3-4b"))(rm)


def list_models(*, as_json: Json = False, host: Address = None, home: Home = None) -> None:
    """show the models that can be asked for. 'ls' is the same."""
    from hausgeist.library.guide import is_guide

    with _client(host, home) as client:
        models = client.ask("GET", "/api/tags").get("models", [])
        known = _known(client)
    for model in models:
        model.update(known.get(_bare(model.get("name")), {}))
    if as_json:
        print_json({"models": models})
        return
    if not models:
        note("no models yet")
    rows = []
    for model in models:
        details = model.get("details") or {}
        rows.append(
            [
                str(model.get("name", "")),
                str(details.get("parameter_size") or "-"),
                str(details.get("quantization_level") or "-"),
                size(model.get("size") or 0) if model.get("size") else "-",
                _since(model.get("modified_at")),
                _origin(model),
            ]
        )
    if rows:
        table(["name", "parameters", "precision", "size", "changed", "version"], rows, right=["size", "parameters"], flexible="name")
    if all(is_guide(str(model.get("name"))) for model in models):
        hint("'hausgeist run gemma3:4b' brings a model here and talks to it, 'hausgeist run FILE.gguf' takes one from a file")
        _mention(host, home)


def _known(client: Client) -> dict[str, dict[str, Any]]:
    """What the house knows of models besides, by their names: where from, which version, whether it is pinned."""
    wanted = ("digest", "source", "reference", "version", "pinned", "answered", "before")
    return {_bare(one["id"]): {name: one[name] for name in wanted} for one in client.ask("GET", "/house/v1/models")["data"]}


def _bare(name: Any) -> str:
    return str(name or "").removesuffix(":latest").lower()


def _origin(model: dict[str, Any]) -> str:
    """Its version in a word, and what keeps it there."""
    parts = [str(model.get("version") or "")[:12], "pinned" if model.get("pinned") else ""]
    if before := len(model.get("before") or []):
        parts.append(f"{before} before")
    return ", ".join(part for part in parts if part) or "-"


def show(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="name of a model.", show_default=False, autocompletion=complete_model)],
    *,
    template: Annotated[bool, typer.Option("--template", help="print the chat template only.")] = False,
    system: Annotated[bool, typer.Option("--system", help="print the system message only.")] = False,
    licence: Annotated[bool, typer.Option("--license", help="print the licence only.")] = False,
    parameters: Annotated[bool, typer.Option("--parameters", help="print the parameters only.")] = False,
    modelfile: Annotated[bool, typer.Option("--modelfile", help="print it as a Modelfile.")] = False,
    as_json: Json = False,
    host: Address = None,
    home: Home = None,
) -> None:
    """show what is known about a model."""
    with _client(host, home) as client:
        shown = client.show(model)
        shown.update(_known(client).get(_bare(model), {}))
    asked = {"template": template, "system": system, "license": licence, "parameters": parameters, "modelfile": modelfile}
    wanted = [name for name, given in asked.items() if given]
    if as_json:
        print_json({name: shown.get(name) for name in wanted} if wanted else shown)
    elif wanted:
        for name in wanted:
            say(str(shown.get(name) or ""))
    else:
        print_model(model, shown)


def print_model(model: str, shown: dict[str, Any]) -> None:
    """What /api/show says, for people."""
    details, info = shown.get("details") or {}, shown.get("model_info") or {}
    architecture = str(info.get("general.architecture") or details.get("family") or "")
    facts = {
        "architecture": architecture,
        "parameters": details.get("parameter_size"),
        "precision": details.get("quantization_level"),
        "context": info.get(f"{architecture}.context_length"),
        "embedding": info.get(f"{architecture}.embedding_length"),
        "can": ", ".join(str(ability) for ability in shown.get("capabilities") or []),
        "layers": info.get(f"{architecture}.block_count"),
        "template": _lines(shown.get("template")),
        "changed": _since(shown.get("modified_at")),
        "digest": shown.get("digest"),
        "from": shown.get("reference") or shown.get("source"),
        "version": _origin(shown) if "before" in shown else "",
        "licence": str(shown.get("license") or "").strip().partition("\n")[0],
        "system": str(shown.get("system") or "").strip().partition("\n")[0],
    }
    say(model, "strong")
    for name, value in facts.items():
        if value:
            print(f"  {paint(f'{name:<13}', 'quiet')} ", end="")
            say(" ".join(str(value).split()))
    for line in str(shown.get("parameters") or "").splitlines():
        name, _, value = line.strip().partition(" ")
        print(f"  {paint(f'{name:<13}', 'quiet')} ", end="")
        say(value.strip())
    if notice := shown.get("notice"):
        say(f"  {notice}", "careful")


def _lines(text: Any) -> str:
    count = len(str(text or "").splitlines())
    return f"{count} line{'s' if count != 1 else ''}; --template prints it" if count else ""


def ps(*, as_json: Json = False, host: Address = None, home: Home = None) -> None:
    """show the models that are loaded, and how long they stay."""
    with _client(host, home) as client:
        inside = not host and client.running is None and client.address == "http://localhost"
        models = [] if inside else client.ask("GET", "/api/ps").get("models", [])
    if as_json:
        print_json({"models": models})
        return
    if not models:
        note("no server runs, so no model is loaded; 'hausgeist serve' starts one" if inside else "no model is loaded; the first question loads one")
        return
    rows = []
    for model in models:
        total, device = int(model.get("size") or 0), int(model.get("size_vram") or 0)
        share = round(100 * device / total) if total else 0
        where = "CPU" if share == 0 else "GPU" if share >= 100 else f"{share} % GPU"
        rows.append([str(model.get("name", "")), size(total), where, str(model.get("context_length") or "-"), _until(model.get("expires_at"))])
    table(["name", "memory", "on", "context", "until"], rows, right=["memory", "context"], flexible="name")


def stop(
    models: Annotated[
        list[str] | None, typer.Argument(metavar="MODEL", help="names of loaded models.", show_default=False, autocompletion=complete_model)
    ] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="all that are loaded.")] = False,
    host: Address = None,
    home: Home = None,
) -> None:
    """take models out of memory. they are loaded again when they are asked for."""
    if bool(models) == everything:
        raise InvalidRequest("name a model, or say --all. (Ctrl-C, or your service manager, ends the server itself.)")
    with _client(host, home) as client:
        loaded = [str(model["name"]) for model in client.ask("GET", "/api/ps").get("models", [])]
        names = loaded if everything else models or []
        for name in names:
            if not everything and name.removesuffix(":latest") not in {other.removesuffix(":latest") for other in loaded}:
                client.show(name)  # raises when there is no such model
                note(f"{name} is not loaded")
                continue
            client.ask("POST", "/api/generate", {"model": name, "keep_alive": 0, "stream": False})
            note(f"stopped {name}")
        if not names:
            note("no model is loaded")


def rm(models: Names, *, yes: Force = False, host: Address = None, home: Home = None) -> None:
    """remove models. files that were offered from where they lie are left there."""
    with _client(host, home) as client:
        for name in models:
            client.show(name)  # before asking anything, see that it is there
        if not yes and not _confirmed(f"remove {', '.join(models)}?"):
            note("nothing removed")
            return
        for name in models:
            client.ask("DELETE", "/api/delete", {"model": name})
            note(f"removed {name}")


def offer_file(client: Client, file: Path) -> str:
    """Hand a model file to a server that runs already, which keeps it under the file's stem. Returns the name."""
    from hausgeist.cli.making import hand_over_all
    from hausgeist.library.gguf.contents import stem

    name = stem(file)
    client.ask("POST", "/api/create", {"model": name, "files": hand_over_all(client, file), "stream": False})
    return name


def _client(host: str | None, home: Path | None) -> Client:
    from hausgeist.cli.client import client_for
    from hausgeist.settings import load_settings

    return client_for(load_settings(home=home), host)


def _mention(host: str | None, home: Path | None) -> None:
    from hausgeist.cli.elsewhere import mention
    from hausgeist.settings import load_settings

    if said := mention(load_settings(home=home), host):
        hint(said)


def _confirmed(question: str) -> bool:
    """Ask, where there is somebody to ask. Raises `InvalidRequest` where there is not."""
    import sys

    if not sys.stdin.isatty():
        raise InvalidRequest(f"{question} Nobody can answer here: say --yes.")
    return typer.confirm(question)


def _time(stamp: Any) -> float | None:
    try:
        return datetime.datetime.fromisoformat(str(stamp)).timestamp()
    except ValueError:
        return None


def _since(stamp: Any) -> str:
    when = _time(stamp)
    return ago(time.time() - when) if when else "-"


def _until(stamp: Any) -> str:
    when = _time(stamp)
    if when is None or when - time.time() > 10 * 365 * 86400:
        return "for ever"
    return f"in {age(when - time.time() + 0.5)}" if when > time.time() else "now"

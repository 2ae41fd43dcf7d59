"""`hausgeist create` and `cp`: models made from others, from files, or from a Modelfile."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hausgeist.cli.console import err, note
from hausgeist.cli.help import Command, examples
from hausgeist.cli.options import Address, Home, complete_model
from hausgeist.cli.terminal import one_line
from hausgeist.errors import InvalidRequest, ModelNotFound, NotFound

if TYPE_CHECKING:
    from hausgeist.cli.client import Client

__all__ = ["hand_over_all", "register"]

_CHUNK = 1 << 20


def register(app: typer.Typer) -> None:
    app.command(
        "create",
        cls=Command,
        short_help="make a model from a Modelfile, another model or a file.",
        epilog=examples("hausgeist create mario -f Modelfile", 'hausgeist create mario --from gemma3:4b --system "You are Mario."'),
    )(create)
    app.command("cp", cls=Command, short_help="give a model a second name.", epilog=examples("hausgeist cp gemma3:4b chat"))(cp)


def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="what to call it.", show_default=False)],
    *,
    file: Annotated[Path | None, typer.Option("--file", "-f", metavar="FILE", help="a Modelfile.", show_default=False)] = None,
    source: Annotated[str, typer.Option("--from", metavar="MODEL|FILE", help="what to make it from, without a Modelfile.", show_default=False)] = "",
    system: Annotated[str, typer.Option("--system", metavar="TEXT", help="how the model shall behave.", show_default=False)] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="look for a model that is not here without asking, whatever its name.")] = False,
    host: Address = None,
    home: Home = None,
) -> None:
    """make a model from a Modelfile, another model or a file. one that has this name is replaced."""
    from hausgeist.cli.client import client_for
    from hausgeist.cli.looking import agree_to_look
    from hausgeist.settings import load_settings

    if (file is None) == (not source):
        raise InvalidRequest("say what to make it from: a Modelfile with -f, or a model or file with --from.")
    settings = load_settings(home=home)
    with client_for(settings, host) as client:
        body = _of_modelfile(client, file) if file is not None else _from(client, [source], Path())
        if system:
            body["system"] = system
        if base := body.get("from"):
            try:
                client.show(base)
            except ModelNotFound:
                agree_to_look(client, base, settings, yes=yes)
        with client.stream("/api/create", {"model": name, **body}) as events:
            for event in events:
                if str(event.get("status", "")).startswith("pulling manifest"):
                    note(f"{one_line(str(body.get('from')))} is not installed; pulling it")
    note(f"created {name}")


def cp(
    source: Annotated[str, typer.Argument(metavar="MODEL", help="name of a model.", show_default=False, autocompletion=complete_model)],
    destination: Annotated[str, typer.Argument(metavar="NAME", help="its second name.", show_default=False)],
    *,
    host: Address = None,
    home: Home = None,
) -> None:
    """give a model a second name. its files are shared and take no more space."""
    from hausgeist.cli.client import client_for
    from hausgeist.settings import load_settings

    with client_for(load_settings(home=home), host) as client:
        client.ask("POST", "/api/copy", {"source": source, "destination": destination})
    note(f"copied {source} to {destination}")


def hand_over(client: Client, file: Path) -> str:
    """Give a file to the server, unless it has it; returns its digest as `sha256:...`.

    Only what is a GGUF file: a Modelfile from somebody else could name any file of its reader's, and the server may be another machine."""
    from hausgeist.library.gguf import read_header

    read_header(file)
    with err().status(f"reading {one_line(file.name)}"):
        digest = hashlib.sha256()
        try:
            with file.open("rb") as content:
                for chunk in iter(lambda: content.read(_CHUNK), b""):
                    digest.update(chunk)
        except OSError as error:
            raise NotFound(f"{file} cannot be read: {error.strerror}.") from error
    blob = f"sha256:{digest.hexdigest()}"
    if not client.exists(f"/api/blobs/{blob}"):
        _upload(client, file, blob)
    return blob


def hand_over_all(client: Client, file: Path) -> dict[str, str]:
    """The same with the further parts of a split model, by file name. What is wrong with the file is for the server to say."""
    from hausgeist.library.gguf.contents import inspect

    try:
        files = inspect(file).parts
    except InvalidRequest:
        files = (file,)
    return {one.name: hand_over(client, one) for one in files}


def _upload(client: Client, file: Path, blob: str) -> None:
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("handing {task.description} to the server"), BarColumn(), DownloadColumn(binary_units=True), TimeRemainingColumn())
    with Progress(*columns, console=err(), transient=True) as progress, file.open("rb") as source:
        task = progress.add_task(one_line(file.name), total=file.stat().st_size)

        def chunks() -> Iterator[bytes]:
            while chunk := source.read(_CHUNK):
                yield chunk
                progress.advance(task, len(chunk))

        client.upload(f"/api/blobs/{blob}", chunks(), size=file.stat().st_size)


def _of_modelfile(client: Client, path: Path) -> dict[str, Any]:
    """The body of `create` for it, its files handed over. Paths are meant from where the Modelfile lies."""
    from hausgeist.library.modelfile import parse

    try:
        text = path.expanduser().read_text("utf-8")
    except OSError as error:
        raise NotFound(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{path} is not text (UTF-8).") from error
    file = parse(text)
    folder = path.expanduser().absolute().parent
    body = _from(client, file.sources, folder)
    if file.adapters:
        found = [_file(adapter, folder) for adapter in file.adapters]
        if None in found:
            raise NotFound(f"there is no file {file.adapters[found.index(None)]}, which the Modelfile names as ADAPTER.")
        body["adapters"] = {adapter.name: hand_over(client, adapter) for adapter in found if adapter is not None}
    for name, value in (("template", file.template), ("system", file.system)):
        if value is not None:
            body[name] = value
    if file.parameters:
        body["parameters"] = dict(file.parameters)
    if file.messages:
        body["messages"] = [dict(message) for message in file.messages]
    if file.licences:
        body["license"] = list(file.licences)
    return body


def _from(client: Client, sources: Sequence[str], folder: Path) -> dict[str, Any]:
    """A name, or files that are handed over. Further sources can only be files: a projector."""
    names: list[str] = []
    files: dict[str, str] = {}
    for source in sources:
        if (file := _file(source, folder)) is not None:
            files |= hand_over_all(client, file)
        else:
            names.append(source)
    if len(names) > 1:
        raise InvalidRequest(f"a model is made from one other: {' or '.join(names)}?")
    return {**({"from": names[0]} if names else {}), **({"files": files} if files else {})}


def _file(text: str, folder: Path) -> Path | None:
    """The file that this means, if it means one. Raises `NotFound` for a path where nothing is."""
    path = folder / Path(text).expanduser()
    if path.is_file():
        return path
    if text.startswith(("./", "../", "~/", "/")) or text.lower().endswith(".gguf"):
        raise NotFound(f"there is no file {path}.")
    return None

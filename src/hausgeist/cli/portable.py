"""`hausgeist export` and `import`: models as one file, carried to machines that reach nothing."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hausgeist.cli.console import err, hint, note, print_json, size
from hausgeist.cli.help import Command, examples
from hausgeist.cli.options import Address, Home, Json
from hausgeist.cli.terminal import one_line
from hausgeist.errors import Conflict, HausgeistError, InvalidRequest, NotFound

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

__all__ = ["register"]

_CHUNK = 1 << 20


def register(app: typer.Typer) -> None:
    lines = ("hausgeist export gemma3:4b gemma3.tar", "hausgeist export gemma3:4b nomic-embed-text models.tar")
    app.command("export", cls=Command, short_help="write models to one file.", epilog=examples(*lines))(export)
    app.command("import", cls=Command, short_help="install the models of such a file.", epilog=examples("hausgeist import gemma3.tar"))(bring)


def export(
    models: Annotated[list[str], typer.Argument(metavar="MODEL... FILE", help="names of models, then the file to write.", show_default=False)],
    *,
    force: Annotated[bool, typer.Option("--force", help="replace a file that is there already.")] = False,
    host: Address = None,
    home: Home = None,
) -> None:
    """write models to one file (an OCI image layout in a tar archive) that 'hausgeist import' installs on another machine."""
    from hausgeist.cli.client import client_for
    from hausgeist.settings import load_settings

    *names, last = models
    if not names:
        raise InvalidRequest("name the models, and then the file to write.")
    file = Path(last).expanduser()
    if file.exists() and not force:
        raise Conflict(f"{file} is there already; --force replaces it.")
    partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
    try:
        with (
            client_for(load_settings(home=home), host) as client,
            client.download("/house/v1/models/export", {"models": names}) as (total, chunks),
            _progress("writing", file, total) as (progress, task),
            partial.open("xb") as target,
        ):
            for chunk in chunks:
                target.write(chunk)
                progress.advance(task, len(chunk))
            target.flush()
            os.fsync(target.fileno())
            if total and target.tell() != total:
                raise HausgeistError(f"the archive should have {total} bytes, but {target.tell()} came; the server's log says why.")
        partial.replace(file)
    except OSError as error:
        raise HausgeistError(f"{file} cannot be written: {error.strerror}.") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
    note(f"wrote {', '.join(names)} to {file}: {size(file.stat().st_size)}")
    hint(f"on the other machine: hausgeist import {file.name}")


def bring(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="a file that 'hausgeist export' wrote.", show_default=False)],
    *,
    as_json: Json = False,
    host: Address = None,
    home: Home = None,
) -> None:
    """install the models of a file that 'hausgeist export' wrote. all of it is verified; a damaged file installs nothing."""
    from hausgeist.cli.client import client_for
    from hausgeist.settings import load_settings

    file = file.expanduser()
    try:
        source = file.open("rb")
    except OSError as error:
        raise NotFound(f"{file} cannot be read: {error.strerror}.") from error
    _check(source, file)
    with source, client_for(load_settings(home=home), host) as client, _progress("reading", file, file.stat().st_size) as (progress, task):

        def chunks() -> Iterator[bytes]:
            while chunk := source.read1(_CHUNK):  # as it comes, also from a pipe
                yield chunk
                progress.advance(task, len(chunk))

        made = client.upload("/house/v1/models/import", chunks())["data"]
    if as_json:
        print_json({"models": made})
        return
    for model in made:
        licence = str(model.get("licence") or "").strip().partition("\n")[0]
        note(f"installed {model['id']}: {size(model['size'])}" + (f", licence: {licence[:80]}" if licence else ""))


def _check(source: BufferedReader, file: Path) -> None:
    """A model's own file is the likeliest mistake; the server would call it a damaged archive."""
    if source.peek(4)[:4] == b"GGUF":
        source.close()
        error = InvalidRequest(f"{one_line(str(file))} is a model file (GGUF), and none that 'hausgeist export' wrote.")
        for line in (
            "a model file is used as it is:",
            "  hausgeist run FILE                   talks to it",
            "  hausgeist serve FILE                 offers it to your tools",
            "  hausgeist create NAME --from FILE    installs it under a name",
        ):
            error.add_note(line)
        raise error


@contextlib.contextmanager
def _progress(verb: str, file: Path, total: int) -> Iterator[tuple[Progress, TaskID]]:
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(binary_units=True), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err(), transient=True) as progress:
        yield progress, progress.add_task(f"{verb} {one_line(file.name)}", total=total or None)

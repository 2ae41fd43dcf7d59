"""`hausgeist backup` and `hausgeist restore`: the home folder in one file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from hausgeist.cli.console import ago, err, hint, note, print_json, size
from hausgeist.cli.help import Command, examples
from hausgeist.cli.options import Home, Json
from hausgeist.cli.running import find
from hausgeist.errors import Conflict

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    app.command("backup", cls=Command, short_help="write the home folder to one file.", epilog=examples("hausgeist backup hausgeist-2026-11-21.tar"))(
        backup
    )
    app.command(
        "restore", cls=Command, short_help="bring a backup back.", epilog=examples("hausgeist restore hausgeist-2026-11-21.tar --home /srv/hausgeist")
    )(restore)


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="file to write (tar).", show_default=False)],
    *,
    as_json: Json = False,
    home: Home = None,
) -> None:
    """write everything in the home folder to one file. the server may go on meanwhile.

    the file holds private keys: keep it as safe as the home folder. engines built on this machine, logs and caches are left out.
    """
    from hausgeist.settings import load_settings
    from hausgeist.store.backup import backup as write

    with _progress("backing up") as progress:
        summary = write(load_settings(home=home).home, file.expanduser(), progress=progress)
    if as_json:
        print_json({"path": str(summary.path), "files": summary.files, "size": summary.size, "schema": summary.schema, "created": summary.created})
        return
    note(f"wrote {summary.path}: {summary.files} files, {size(summary.size)}")
    hint("it holds private keys and everything else; keep it safe")


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="a file that 'hausgeist backup' wrote.", show_default=False)],
    *,
    force: Annotated[bool, typer.Option("--force", help="move a home folder that is there already aside.")] = False,
    as_json: Json = False,
    home: Home = None,
) -> None:
    """bring a backup back. everything is checked before the home folder is touched."""
    from hausgeist.settings import load_settings
    from hausgeist.store.restore import restore as bring_back

    folder = load_settings(home=home).home
    if (running := find(folder)) is not None:
        raise Conflict(f"a server runs on {folder} (process {running.pid}). Stop it, then restore.")
    with _progress("restoring") as progress:
        restored = bring_back(file.expanduser(), folder, force=force, progress=progress)
    if as_json:
        previous = str(restored.previous) if restored.previous else None
        print_json({"home": str(restored.home), "files": restored.files, "size": restored.size, "created": restored.created, "previous": previous})
        return
    note(f"restored {restored.files} files ({size(restored.size)}) to {restored.home}, as they were {ago(time.time() - restored.created)}")
    if restored.previous:
        hint(f"what was there before is in {restored.previous}; remove it when you do not miss it")


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int, int], None]]:
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(binary_units=True), TimeRemainingColumn())
    with Progress(*columns, console=err(), transient=True, disable=not err().is_terminal) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)

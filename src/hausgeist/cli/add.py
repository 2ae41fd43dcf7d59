"""`hausgeist add`: documents into a project."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hausgeist.cli.console import hint, note, print_json
from hausgeist.cli.exits import FAILED, INTERRUPTED, OK
from hausgeist.cli.help import Command, examples
from hausgeist.cli.options import Address, Home, InProject, InStore

if TYPE_CHECKING:
    from hausgeist.cli.documents.gathering import Found
    from hausgeist.cli.documents.shelf import Shelf
    from hausgeist.cli.documents.step import Outcome

__all__ = ["bring", "register"]


def register(app: typer.Typer) -> None:
    lines = (
        "hausgeist add ~/contracts                         a folder, with all that is below it",
        "hausgeist add lease.pdf minutes.docx --project office",
        "hausgeist add ~/offers --attribute customer=Miller   found with 'hausgeist search --filter customer=Miller'",
    )
    app.command("add", cls=Command, short_help="add documents, so that they can be searched and asked.", epilog=examples(*lines))(add)


def add(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH", help="files and folders.", show_default=False)],
    *,
    project: InProject = None,
    store: InStore = "",
    attribute: Annotated[
        list[str] | None, typer.Option("--attribute", metavar="NAME=VALUE", help="note this of each file; may be given several times.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="wait until everything is read.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="print what was done as one JSON object.")] = False,
    host: Address = None,
    home: Home = None,
) -> int:
    """add documents to a project. what is there unchanged is skipped, what has changed is replaced; hidden files and what is no document are left
    out. interrupted, it goes on where it was when it is given again. exits with 1 if a document could not be read."""
    from hausgeist.cli.answering import Link
    from hausgeist.cli.console import err
    from hausgeist.cli.documents.conditions import read_attributes
    from hausgeist.cli.documents.gathering import gather
    from hausgeist.cli.documents.shelf import Shelf
    from hausgeist.cli.documents.showing import outcome_as_json, say_left_out, say_outcome
    from hausgeist.settings import load_settings

    attributes = read_attributes(attribute or [])
    gathering = gather(paths)
    if not as_json:
        say_left_out(gathering)
    if not gathering.found and not gathering.unreached and not as_json:
        note("there is no document to add")
        return OK
    link = Link(load_settings(home=home), host, project=project)
    try:
        with err().status("starting"):
            shelf = Shelf.open(link.client(), store)
        try:
            outcome, unchanged = bring(shelf, gathering.found, attributes=attributes, quiet=as_json, wait=wait)
        except KeyboardInterrupt:
            hint("stopped; what was sent is kept and will be read. give the same line again to go on")
            return INTERRUPTED
        if as_json:
            print_json(outcome_as_json(outcome, unchanged, gathering, shelf.id))
        else:
            say_outcome(outcome, unchanged, shelf.name)
            if not wait and link.own:
                hint("no server runs: they are read as soon as one does ('hausgeist serve')")
            elif outcome.ready:
                hint("ask them: 'hausgeist ask QUESTION', or look for something: 'hausgeist search WORDS'")
    finally:
        link.close()
    return FAILED if outcome.failures or gathering.unreached else OK


def bring(shelf: Shelf, found: Sequence[Found], *, attributes: dict[str, object], quiet: bool, wait: bool = True) -> tuple[Outcome, int]:
    """Put these files in, and see them read; what was done, and how many needed nothing."""
    from hausgeist.cli.documents.showing import showing
    from hausgeist.cli.documents.step import Step, compare

    kept = list(shelf.kept())
    plan = compare(found, kept, again=True)
    with showing(quiet=quiet) as told:
        return Step(shelf, told, attributes=attributes).run(plan, kept, wait=wait), plan.unchanged

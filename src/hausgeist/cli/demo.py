"""`hausgeist demo`: the documents of a small company that does not exist, and a question about them. No download."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

import hausgeist
from hausgeist.cli.console import hint, note
from hausgeist.cli.exits import FAILED, INTERRUPTED
from hausgeist.cli.help import Command, examples
from hausgeist.cli.options import Address, Home, InProject, Json

__all__ = ["PAPERS", "QUESTIONS", "STORE", "register"]

PAPERS: Final = Path(hausgeist.__file__).parent / "demo" / "papers"
QUESTIONS: Final = PAPERS.parent / "questions.json"
STORE: Final = "demo"
_FIRST: Final = "Which grease is used for the drum bearings?"


def register(app: typer.Typer) -> None:
    lines = (
        "hausgeist demo",
        'hausgeist demo "Wann endet der Mietvertrag?"',
        "hausgeist docs list --store demo                     what there is to ask about",
    )
    app.command("demo", cls=Command, short_help="try questions on documents that come along.", epilog=examples(*lines))(demo)


def demo(
    question: Annotated[list[str] | None, typer.Argument(metavar="QUESTION", help="default: one about a manual.", show_default=False)] = None,
    *,
    project: InProject = None,
    quote: Annotated[bool, typer.Option("--quote", help="only quote the documents, without a model.")] = False,
    as_json: Json = False,
    host: Address = None,
    home: Home = None,
) -> int:
    """add the papers of an invented coffee roastery, in English and German, to a store called 'demo', and answer a question from them."""
    from hausgeist.cli.add import bring
    from hausgeist.cli.answering import Link
    from hausgeist.cli.ask import answer, usual
    from hausgeist.cli.console import err
    from hausgeist.cli.documents.gathering import gather
    from hausgeist.cli.documents.shelf import Shelf
    from hausgeist.cli.documents.showing import say_outcome
    from hausgeist.settings import load_settings

    text = " ".join(question or []).strip()
    link = Link(load_settings(home=home), host, project=project)
    try:
        with err().status("starting"):
            client = link.client()
            shelf = Shelf.open(client, STORE)
        outcome, unchanged = bring(shelf, gather([PAPERS]).found, attributes={}, quiet=as_json)
        if not as_json and (outcome.done or outcome.failures):
            say_outcome(outcome, unchanged, shelf.name)
        if not outcome.ready and not unchanged:
            return FAILED
        if not text and not as_json:
            note(_FIRST)
        code = answer(client, text or _FIRST, [shelf.id], model=usual(client), quote=quote, as_json=as_json)
        if not as_json:
            hint("your own: 'hausgeist add FOLDER', then 'hausgeist ask QUESTION'")
        return code
    except KeyboardInterrupt:
        hint("stopped")
        return INTERRUPTED
    finally:
        link.close()

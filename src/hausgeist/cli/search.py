"""`hausgeist search`: passages of documents, with their places."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from hausgeist.cli.console import coloured, hint, is_terminal, note, paint, print_json
from hausgeist.cli.exits import NOT_FOUND, OK
from hausgeist.cli.help import Command, examples
from hausgeist.cli.options import Address, Filters, Home, InProject, InStore, Json
from hausgeist.cli.terminal import neutralise, one_line
from hausgeist.errors import InvalidRequest

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    lines = (
        'hausgeist search "notice period"',
        "hausgeist search '\"Harbour Blend\"' --limit 3           these words, in this order",
        "hausgeist search lease --filter customer=Miller --filter 'year>=2024'",
    )
    app.command("search", cls=Command, short_help="find passages in documents.", epilog=examples(*lines))(search)


def search(
    question: Annotated[list[str], typer.Argument(metavar="QUESTION", help='a question, words, or "an exact phrase".', show_default=False)],
    *,
    project: InProject = None,
    store: InStore = "",
    limit: Annotated[int, typer.Option(min=1, max=50, metavar="NUMBER", help="passages at most.")] = 5,
    filters: Filters = None,
    as_json: Json = False,
    host: Address = None,
    home: Home = None,
) -> int:
    """find passages in the documents of a project. exits with 3 if there is none."""
    from hausgeist.cli.answering import Link
    from hausgeist.cli.console import err
    from hausgeist.cli.documents.conditions import filters_of
    from hausgeist.cli.documents.shelf import store_ids
    from hausgeist.settings import load_settings

    text = " ".join(question).strip()
    if not text:
        raise InvalidRequest("say what to look for.")
    wanted = filters_of(filters or [])
    link = Link(load_settings(home=home), host, project=project)
    try:
        with err().status("looking"):
            client = link.client()
            body: dict[str, Any] = {"query": text, "stores": store_ids(client, store), "limit": limit}
            found = client.ask("POST", "/house/v1/search", {**body, **({"filters": wanted} if wanted else {})})["data"]
    finally:
        link.close()
    if as_json:
        print_json({"hits": found})
    elif found:
        for number, hit in enumerate(found, 1):
            _print(number, hit, text)
    else:
        note("nothing found")
        hint("'hausgeist docs list' shows what there is")
    return OK if found else NOT_FOUND


def _print(number: int, hit: Mapping[str, Any], question: str) -> None:
    """A line that says where, then the text with the words marked."""
    place = [one_line(str(hit["filename"])), f"page {hit['page']}"]
    if heading := one_line(str(hit.get("heading") or "")):
        place.append(heading)
    score = f"{float(hit['score']):.2f}"
    print(f"{paint(str(number), 'accent')}  {paint(' · '.join(place), 'strong')}  {paint(score, 'quiet')}")
    language = str(hit.get("language") or "und")
    for line in _lines(neutralise(str(hit["text"]).strip())):
        print(f"   {_marked(line, question, language) if coloured(sys.stdout) else line}".rstrip())
    print()


def _lines(text: str) -> Iterator[str]:
    """On a terminal lines end between words, below one another."""
    width = shutil.get_terminal_size().columns - 4 if is_terminal(sys.stdout) else 0
    for line in text.splitlines():
        if width > 20:
            yield from textwrap.wrap(line.replace("\t", "  "), width, break_on_hyphens=False) or [""]
        else:
            yield line


def _marked(text: str, question: str, language: str) -> str:
    """The words of the question, also in other forms, in colour."""
    from hausgeist.cli.documents.marking import places

    out, end = [], 0
    for start, stop in places(text, question, language):
        out += [text[end:start], paint(text[start:stop], "accent")]
        end = stop
    return "".join([*out, text[end:]])

"""`hausgeist search`: passages of documents, with their places."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hausgeist.cli.console import coloured, hint, is_terminal, note, paint, print_json
from hausgeist.cli.exits import NOT_FOUND, OK
from hausgeist.cli.help import Command, examples
from hausgeist.cli.options import Address, Home, InProject, InStore, Json
from hausgeist.cli.terminal import neutralise, one_line
from hausgeist.errors import InvalidRequest

if TYPE_CHECKING:
    from hausgeist.cli.client import Client

__all__ = ["filters_of", "register", "store_ids"]


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
    filters: Annotated[
        list[str] | None,
        typer.Option("--filter", metavar="NAME=VALUE", help="only files with this attribute; also !=, <, <=, >, >=. may be given several times."),
    ] = None,
    as_json: Json = False,
    host: Address = None,
    home: Home = None,
) -> int:
    """find passages in the documents of a project. exits with 3 if there is none."""
    from hausgeist.cli.answering import Link
    from hausgeist.cli.console import err
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


def store_ids(client: Client, store: str) -> list[str]:
    """The store of this name or id; raises `NotFound`."""
    from hausgeist.cli.documents.shelf import STORE, find_store

    return [str(find_store(client, store or STORE)["id"])]


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


_COMPARISONS = (("!=", "ne"), (">=", "gte"), ("<=", "lte"), (">", "gt"), ("<", "lt"), ("=", "eq"))


def filters_of(given: Sequence[str]) -> dict[str, Any] | None:
    """Conditions as the API has them, all of which must hold. Raises `InvalidRequest`."""
    from hausgeist.cli.add import read_value

    conditions: list[dict[str, Any]] = []
    for one in given:
        signs = [(one.index(sign), sign, kind) for sign, kind in _COMPARISONS if sign in one]
        place, sign, kind = min(signs, default=(0, "", ""), key=lambda at: at[0])
        name, value = one[:place].strip(), one[place + len(sign) :].strip()
        if not sign or not name:
            raise InvalidRequest(f"'{one}' should be NAME=VALUE, or with !=, <, <=, > or >= instead.")
        conditions.append({"type": kind, "key": name, "value": read_value(value)})
    if not conditions:
        return None
    return conditions[0] if len(conditions) == 1 else {"type": "and", "filters": conditions}

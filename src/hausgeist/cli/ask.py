"""`hausgeist ask`: an answer from the documents of a project, with citations that were checked."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from hausgeist.cli.console import Tone, coloured, hint, is_terminal, note, paint, print_json
from hausgeist.cli.documents.edge import Edge
from hausgeist.cli.exits import INTERRUPTED, OK
from hausgeist.cli.help import Command, examples
from hausgeist.cli.options import Address, Filters, Home, InProject, InStore, Json, complete_model
from hausgeist.cli.terminal import neutralise, one_line
from hausgeist.errors import HausgeistError, InvalidRequest, NotFound

if TYPE_CHECKING:
    from hausgeist.cli.client import Client

__all__ = ["answer", "register", "usual"]

_WORD: Final = re.compile(r"\w+")
_MODES: Final = {
    "extractive": "these are sentences of the documents themselves",
    "whole": "the whole document was read",
    "counted": "all documents were read",
}


def register(app: typer.Typer) -> None:
    lines = (
        'hausgeist ask "when does the lease end?"',
        'hausgeist ask "when does the lease end?" --quote      sentences of the documents, no model',
        'hausgeist ask "how many contracts end in 2026?" --json',
    )
    app.command("ask", cls=Command, short_help="have a question answered from documents.", epilog=examples(*lines))(ask)


def ask(
    question: Annotated[list[str], typer.Argument(metavar="QUESTION", help="what you want to know.", show_default=False)],
    *,
    project: InProject = None,
    store: InStore = "",
    model: Annotated[
        str,
        typer.Option(metavar="MODEL", help="who answers; default: the one installed last.", show_default=False, autocompletion=complete_model),
    ] = "",
    quote: Annotated[bool, typer.Option("--quote", help="only quote the documents, without a model.")] = False,
    filters: Filters = None,
    as_json: Json = False,
    host: Address = None,
    home: Home = None,
) -> int:
    """have a question answered from the documents of a project. each quotation is compared with the document that it is from; below the answer stand
    the places. where no model is installed that can answer, the documents' own sentences are the answer."""
    from hausgeist.cli.answering import Link
    from hausgeist.cli.console import err
    from hausgeist.cli.documents.conditions import filters_of
    from hausgeist.cli.documents.shelf import store_ids
    from hausgeist.settings import load_settings

    text = " ".join(question).strip()
    if not text:
        raise InvalidRequest("say what you want to know.")
    wanted = filters_of(filters or [])
    link = Link(load_settings(home=home), host, project=project)
    try:
        with err().status("starting"):
            client = link.client()
            stores = store_ids(client, store)
            chosen = model or usual(client)
        return answer(client, text, stores, model=chosen, quote=quote, filters=wanted, as_json=as_json)
    except KeyboardInterrupt:
        hint("stopped")
        return INTERRUPTED
    finally:
        link.close()


def answer(
    client: Client, question: str, stores: list[str], *, model: str, quote: bool = False, filters: Mapping[str, Any] | None = None,
    as_json: bool = False,
) -> int:  # fmt: skip
    """Ask, print the answer as it comes and the places below it. Nothing of it is kept on the server."""
    tool = {"type": "file_search", "vector_store_ids": stores, **({"filters": filters} if filters else {})}
    body: dict[str, Any] = {"model": model, "input": question, "tools": [tool], "stream": True}
    if quote:
        body["metadata"] = {"mode": "extractive"}
    shown = _Shown(quiet=as_json)
    made: dict[str, Any] = {}
    try:
        with client.events("/v1/responses", body) as events:
            made = _follow(events, shown)
        facts = client.ask("GET", f"/house/v1/responses/{made['id']}/citations")
    finally:
        if identifier := shown.response or made.get("id"):
            with suppress(HausgeistError):
                client.ask("DELETE", f"/v1/responses/{identifier}")
    citations = [one for one in facts.get("data", []) if one.get("file_id")]
    mode = str(facts.get("mode") or (made.get("metadata") or {}).get("mode") or "model")
    if as_json:
        fields = ("file_id", "filename", "page", "start", "end", "quote", "boxes", "verified")
        print_json({"answer": shown.text, "mode": mode, "model": model, "citations": [{name: one.get(name) for name in fields} for one in citations]})
        return OK
    shown.end()
    _print_places(citations, shown.text)
    if said := _MODES.get(mode):
        note(said)
    if mode == "extractive" and not quote:
        hint("for answers in whole sentences install a model: 'hausgeist run gemma3:4b'")
    return OK


def _follow(events: Iterator[dict[str, Any]], shown: _Shown) -> dict[str, Any]:
    """Show what is told; the response in the end. Raises `HausgeistError` where it failed."""
    for event in events:
        match event.get("type"):
            case "response.created":
                shown.response = str(event["response"]["id"])
            case "response.output_text.delta":
                shown.add(str(event["delta"]))
            case "response.output_text.annotation.added" if (event.get("annotation") or {}).get("type") == "file_citation":
                shown.cite()
            case "response.completed" | "response.incomplete":
                return dict(event["response"])
            case "response.failed" | "error":
                error = (event.get("response") or event).get("error") or event
                shown.end()
                raise HausgeistError(str(error.get("message") or "the answer failed") if isinstance(error, dict) else str(error))
    shown.end()
    raise HausgeistError("the server ended in the middle of the answer; its log says why.")


class _Shown:
    """The answer on stdout, with the numbers of its citations."""

    def __init__(self, *, quiet: bool) -> None:
        self._edge = Edge(sys.stdout) if is_terminal(sys.stdout) else None
        self.text = ""
        self.response = ""
        self._quiet = quiet
        self._cited = 0
        self._open = False

    def add(self, text: str) -> None:
        self.text += text
        if not self._quiet and text:
            self._write(neutralise(text))
            self._open = True

    def cite(self) -> None:
        self._cited += 1
        if not self._quiet:
            self._write(f" [{self._cited}]", "accent")

    def end(self) -> None:
        if self._open:
            if self._edge is not None:
                self._edge.close()
            sys.stdout.write("\n")
            sys.stdout.flush()
            self._open = False

    def _write(self, text: str, tone: Tone = "") -> None:
        if self._edge is not None:
            self._edge.write(text, tone)
        else:
            sys.stdout.write(paint(text, tone))
        sys.stdout.flush()


def _print_places(citations: list[dict[str, Any]], answer: str) -> None:
    """Each citation: where it stands, whether it stands there, and its words where the answer does not say them itself."""
    said = " ".join(_WORD.findall(answer))  # rows of tables are told with bars between their cells
    for number, one in enumerate(citations, 1):
        if number == 1:
            print()
        mark = paint("✓ verified", "good") if one.get("verified") else paint("✗ not found there word for word", "careful")
        place = one_line(str(one.get("label") or one.get("filename")))
        print(f"{paint(f'[{number}]', 'accent')} {paint(place, 'strong')}  {mark}")
        words = one_line(str(one.get("quote") or ""))
        if words and " ".join(_WORD.findall(words)) not in said:
            shortened = words if len(words) <= 300 or not coloured(sys.stdout) else words[:299] + "…"
            print(f"    {shortened}")


def usual(client: Client) -> str:
    """The model installed last, or else the guide, with which the documents themselves are quoted. Raises `NotFound`."""
    from hausgeist.library.guide import NAME, is_guide

    listed = sorted(client.ask("GET", "/api/tags").get("models", []), key=lambda one: str(one.get("modified_at")), reverse=True)
    names = [str(one["name"]) for one in listed if not str(one["name"]).startswith("fake:")]
    for name in names:
        if not is_guide(name) and "completion" in client.show(name).get("capabilities", ()):
            return name.removesuffix(":latest")
    if any(map(is_guide, names)):
        return NAME
    raise NotFound("no model is installed, and the built-in guide is switched off; 'hausgeist run gemma3:4b' installs one.")

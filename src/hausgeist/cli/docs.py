"""`hausgeist docs`: what documents there are, what became of them, and away with them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from hausgeist.cli.console import Tone, ago, fail, hint, note, paint, print_json, say, size, table
from hausgeist.cli.exits import FAILED, OK
from hausgeist.cli.help import Command, Group, examples
from hausgeist.cli.options import Address, Force, Home, InProject, InStore, Json
from hausgeist.cli.terminal import one_line
from hausgeist.errors import InvalidRequest, NotFound

if TYPE_CHECKING:
    from hausgeist.cli.client import Client
    from hausgeist.cli.documents.shelf import Shelf

__all__ = ["register"]

Status = Literal["in_progress", "completed", "failed", "cancelled"]
_SAID: Final[dict[str, tuple[str, Tone]]] = {
    "completed": ("ready", "good"), "in_progress": ("reading", "accent"), "failed": ("failed", "bad"), "cancelled": ("cancelled", "careful"),
}  # fmt: skip


def register(app: typer.Typer) -> None:
    group = typer.Typer(cls=Group, no_args_is_help=True, rich_markup_mode=None)
    group.command("list", cls=Command, epilog=examples("hausgeist docs list", "hausgeist docs list --status failed"))(list_docs)
    group.command("show", cls=Command, epilog=examples("hausgeist docs show lease.pdf", "hausgeist docs show lease.pdf --text"))(show)
    group.command("status", cls=Command, epilog=examples("hausgeist docs status"))(status)
    group.command("stores", cls=Command, epilog=examples("hausgeist docs stores"))(stores)
    group.command("remove", cls=Command, epilog=examples("hausgeist docs remove lease.pdf", "hausgeist docs remove --all --store demo"))(remove)
    app.add_typer(group, name="docs", help="documents: what there is, what became of them, and away with them.")


def list_docs(
    *,
    which: Annotated[Status | None, typer.Option("--status", help="only these.", show_default=False)] = None,
    project: InProject = None,
    store: InStore = "",
    as_json: Json = False,
    host: Address = None,
    home: Home = None,
) -> int:
    """show the documents of a project, and why those that failed did."""
    with _client(home, host, project) as client:
        shelf = _shelf(client, store)
        listed = list(shelf.listed(which or ""))
    if as_json:
        print_json({"store": shelf.id, "documents": listed})
        return OK
    now = time.time()
    rows = [
        [str(one["filename"]), _SAID[str(one["status"])][0], _pages(one), size(_whole(one["text_bytes"])), ago(now - _whole(one["created_at"])),
         str(_noted(one).get("path", ""))]
        for one in listed
    ]  # fmt: skip
    if rows:
        table(["name", "status", "pages", "text", "added", "from"], rows, right=["pages", "text"], flexible="from")
    else:
        note("no documents" + (f" that are {_SAID[which][0]}" if which else ""))
    for one in listed:
        if why := _why(one):
            fail(f"{one_line(str(one['filename']))}: {one_line(why)}")
    return OK


def show(
    document: Annotated[str, typer.Argument(metavar="DOCUMENT", help="id, name or path of a document.", show_default=False)],
    *,
    text: Annotated[bool, typer.Option("--text", help="print what it says, as it was read.")] = False,
    project: InProject = None,
    store: InStore = "",
    as_json: Json = False,
    host: Address = None,
    home: Home = None,
) -> int:
    """show what is known about a document, or what it says."""
    from hausgeist.cli.documents.shelf import NOTED

    with _client(home, host, project) as client:
        [found] = _find(_shelf(client, store), [document])
        about: dict[str, Any] = {}
        if found["status"] != "failed":
            if text:
                say(client.text(f"/house/v1/files/{found['id']}/text"))
                return OK
            about = client.ask("GET", f"/house/v1/files/{found['id']}/pages")
    if as_json:
        print_json({**found, "document": about or None})
        return OK
    lines = {
        "name": found["filename"], "id": found["id"], "status": _SAID[str(found["status"])][0], "from": _noted(found).get("path", ""),
        "type": about.get("media_type", ""), "title": about.get("title", ""), "pages": len(about.get("pages", [])) or "",
        "characters": f"{about.get('characters', 0):,}" if about else "",
        "attributes": ", ".join(f"{name}={value}" for name, value in _noted(found).items() if name not in NOTED),
    }  # fmt: skip
    for name, value in lines.items():
        if value:
            say(f"{name:<11} {one_line(str(value))}")
    for warning in about.get("warnings", []):
        hint(one_line(str(warning)))
    if why := _why(found):
        fail(one_line(why))
        return FAILED
    return OK


def status(*, project: InProject = None, store: InStore = "", as_json: Json = False, host: Address = None, home: Home = None) -> int:
    """see how far the reading is. exits with 1 if documents have failed."""
    with _client(home, host, project) as client:
        shelf = _shelf(client, store)
        told = shelf.progress()
    counts = told["counts"]
    assert isinstance(counts, dict)
    if as_json:
        print_json({"store": shelf.id, **told})
    else:
        print(", ".join(f"{counts[name]:,} {paint(label, tone)}" for name, (label, tone) in _SAID.items() if counts.get(name)) or "no documents")
        if counts.get("in_progress"):
            left = told.get("seconds_left")
            hint(f"pages: {told['pages_done']} of {told['pages_total']}" + (f", {left:.0f} seconds left" if isinstance(left, int | float) else ""))
        if counts.get("failed"):
            hint("'hausgeist docs list --status failed' says why")
        if trouble := told.get("trouble"):
            fail(f"words are searched, meaning is not, or not in all: {one_line(str(trouble))}")
    return FAILED if counts.get("failed") else OK


def stores(*, project: InProject = None, as_json: Json = False, host: Address = None, home: Home = None) -> int:
    """show the stores of a project."""
    from hausgeist.cli.documents.shelf import stores_of

    with _client(home, host, project) as client:
        found = list(stores_of(client))
    if as_json:
        print_json({"stores": found})
        return OK
    if not found:
        note("no stores; 'hausgeist add FOLDER' makes one")
        return OK
    rows = []
    for one in found:
        counts: Mapping[str, int] = one["file_counts"]  # type: ignore[assignment]
        rows.append([str(one.get("name") or ""), str(one["id"]), str(counts["total"]), str(counts["failed"] or ""), size(_whole(one["usage_bytes"]))])
    table(["name", "id", "files", "failed", "text"], rows, right=["files", "failed", "text"], flexible="name")
    return OK


def remove(
    documents: Annotated[list[str] | None, typer.Argument(metavar="DOCUMENT", help="ids, names or paths of documents.", show_default=False)] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="all documents of the store, and the store.")] = False,
    yes: Force = False,
    project: InProject = None,
    store: InStore = "",
    as_json: Json = False,
    host: Address = None,
    home: Home = None,
) -> int:
    """remove documents from the server, with everything that was made of them. your own files stay where they are."""
    from hausgeist.cli.answering import Link
    from hausgeist.settings import load_settings

    if bool(documents) == everything:
        raise InvalidRequest("name documents, or say --all.")
    link = Link(load_settings(home=home), host, project=project)
    try:
        client = link.client()
        shelf = _shelf(client, store)
        found = list(shelf.listed()) if everything else _find(shelf, documents or [])
        if everything and not yes and not _confirmed(len(found), shelf.name):
            note("nothing removed")
            return OK
        for one in found:
            shelf.remove(str(one["id"]))
        if everything:
            client.ask("DELETE", f"/v1/vector_stores/{shelf.id}")
    finally:
        link.close()
    if as_json:
        print_json({"removed": [one["id"] for one in found]})
    else:
        names = ", ".join(one_line(str(one["filename"])) for one in found[:5])
        note(f"removed {names or 'the store'}" + (f" and {len(found) - 5:,} more" if len(found) > 5 else ""))
    return OK


def _client(home: Any, host: str | None, project: str | None) -> Client:
    from hausgeist.cli.client import client_for
    from hausgeist.settings import load_settings

    return client_for(load_settings(home=home), host).within(project)


def _shelf(client: Client, store: str) -> Shelf:
    """Raises `NotFound`: to look makes no store."""
    from hausgeist.cli.documents.shelf import STORE, Shelf, find_store

    found = find_store(client, store or STORE)
    return Shelf(client, str(found["id"]), str(found.get("name") or ""))


def _find(shelf: Shelf, named: Sequence[str]) -> list[dict[str, Any]]:
    """The documents of these ids, paths or names. Raises `NotFound`, and `InvalidRequest` for a name that several have."""
    import os

    listed = list(shelf.listed())
    found: dict[str, dict[str, Any]] = {}
    for name in named:
        path = os.path.abspath(os.path.expanduser(name))
        those = [one for one in listed if one["id"] == name] or [one for one in listed if _noted(one).get("path") in {name, path}]
        those = those or [one for one in listed if one["filename"] == name]
        if not those:
            raise NotFound(f"there is no document '{one_line(name)}' in the store '{shelf.name}'; 'hausgeist docs list' shows all.")
        if len(those) > 1:
            ids = ", ".join(str(one["id"]) for one in those)
            raise InvalidRequest(f"several documents are called '{one_line(name)}'; name one by its id: {ids}.")
        found[str(those[0]["id"])] = those[0]
    return list(found.values())


def _confirmed(number: int, store: str) -> bool:
    import sys

    question = f"this removes {number:,} document{'' if number == 1 else 's'} and the store '{one_line(store)}'. go on?"
    if not sys.stdin.isatty():
        raise InvalidRequest(f"{question} nobody can answer here: say --yes.")
    return typer.confirm(question)


def _pages(one: Mapping[str, Any]) -> str:
    done, total = one["pages_done"], one["pages_total"]
    return "" if not total else str(total) if done >= total or one["status"] == "completed" else f"{done}/{total}"


def _why(one: Mapping[str, Any]) -> str:
    error = one.get("last_error")
    return str(error.get("message", "")) if isinstance(error, dict) else ""


def _noted(one: Mapping[str, Any]) -> Mapping[str, Any]:
    attributes = one.get("attributes")
    return attributes if isinstance(attributes, dict) else {}


def _whole(value: Any) -> int:
    return int(value) if isinstance(value, int | float) else 0

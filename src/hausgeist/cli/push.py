"""`hausgeist push`: a model to a registry, after a question that says how much goes where."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from hausgeist.cli.console import hint, note, print_json_line, size, warn
from hausgeist.cli.exits import INTERRUPTED, OK
from hausgeist.cli.help import Command, examples
from hausgeist.cli.options import Address, Force, Home, complete_model
from hausgeist.cli.pull import bars
from hausgeist.cli.terminal import one_line
from hausgeist.errors import InvalidRequest

__all__ = ["register"]

_PUSH = "/house/v1/models/push"


def register(app: typer.Typer) -> None:
    lines = (
        "hausgeist push mario registry.example/team/mario:1   under this name",
        "hausgeist push registry.example/team/mario:1         a model that is called like that here",
    )
    app.command("push", cls=Command, short_help="send a model to a registry.", epilog=examples(*lines))(push)


def push(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="name of a model.", show_default=False, autocompletion=complete_model)],
    to: Annotated[str, typer.Argument(metavar="NAME", help="what to call it there: host/owner/name:tag; default: as here.", show_default=False)] = "",
    *,
    yes: Force = False,
    as_json: Annotated[bool, typer.Option("--json", help="print what happens as lines of JSON.")] = False,
    host: Address = None,
    home: Home = None,
) -> int:
    """send a model to a registry, from which Ollama and other Hausgeists pull it. what the registry has already is not sent; interrupted, it goes
    on where it was when it is given again."""
    from hausgeist.cli.client import client_for
    from hausgeist.settings import load_settings

    body = {"model": model, **({"to": to} if to else {})}
    with client_for(load_settings(home=home), host) as client:
        plan = client.ask("POST", _PUSH, {**body, "dry_run": True})
        if plan.get("notice"):
            warn(one_line(str(plan["notice"])))
        if not yes and not _confirmed(plan):
            note("nothing sent")
            return OK
        last: Mapping[str, Any] = {}
        try:
            with client.stream(_PUSH, body) as events:
                for last in events if as_json else bars(events, str(plan["registry"])):
                    if as_json:
                        print_json_line(last)
        except KeyboardInterrupt:
            hint(f"stopped; what has been sent is kept there for a while: 'hausgeist push {' '.join(filter(None, (model, to)))}' goes on from there")
            return INTERRUPTED
    if not as_json:
        sent = int(last.get("done") or 0)
        note(f"pushed {one_line(str(plan['reference']))} to {one_line(str(plan['registry']))}: {size(sent) if sent else 'it was all there'}")
    return OK


def _confirmed(plan: Mapping[str, Any]) -> bool:
    """Ask, where there is somebody to ask. Raises `InvalidRequest` where there is not."""
    question = f"this sends {size(plan['size'])} to {one_line(str(plan['registry']))}, as {one_line(str(plan['reference']))}. go on?"
    if not sys.stdin.isatty():
        raise InvalidRequest(f"{question} nobody can answer here: say --yes.")
    return typer.confirm(question)

"""Whether a name may leave the house: one that the catalogue does not know could be a slip, a customer's, a project's. `pull` never asks."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

import typer

from hausgeist.cli.console import hint, is_terminal
from hausgeist.cli.terminal import one_line
from hausgeist.errors import HausgeistError, NotFound

if TYPE_CHECKING:
    from hausgeist.settings import Settings

__all__ = ["agree_to_look", "near"]


class Asked(Protocol):
    """What is needed of a server."""

    def ask(self, method: str, path: str, body: Any = None) -> dict[str, Any]: ...


def agree_to_look(client: Asked, model: str, settings: Settings, *, yes: bool = False) -> None:
    """Ask before a registry is asked for a name that may be private. Not for what everybody knows, nor for a name with its host.

    Raises `InvalidRequest` for what is no name, `NotFound` where the answer is no or nobody can give one."""
    from hausgeist.library.catalog.naming import is_known
    from hausgeist.library.reference import Reference

    reference = Reference.parse(model)
    if yes or reference.kind != "registry" or reference.host or is_known(reference):
        return
    name, host = one_line(model), urlsplit(settings.registry).netloc
    meant = near(client, model, catalogue=True)
    asked = sys.stdin.isatty() and is_terminal(sys.stderr)
    if asked and meant:
        hint(meant)
    if asked and typer.confirm(f"'{name}' is not installed here. Look for it at {host}?", default=True, err=True):
        return
    why = "and was not looked for" if asked else f"and {host} was not asked for it: the catalogue does not know that name, which could be private"
    refusal = NotFound(f"the model '{name}' is not installed, {why}.")
    if meant and not asked:
        refusal.add_note(meant)
    refusal.add_note(f"'hausgeist pull {name}' looks for it, 'hausgeist list' shows what is installed")
    raise refusal


def near(client: Asked, name: str, *, catalogue: bool = False) -> str:
    """A question that offers what may have been meant: what is installed here and, if asked for, what the catalogue knows. Or nothing."""
    from hausgeist.library.catalog.naming import did_you_mean

    try:
        installed = [str(model.get("name", "")) for model in client.ask("GET", "/api/tags").get("models", [])]
    except HausgeistError:
        installed = []
    said = did_you_mean(name, installed, catalogue=catalogue).strip()
    return said[:1].lower() + said[1:]

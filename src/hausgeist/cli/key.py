"""`hausgeist key`: API keys for tools and people."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Annotated

import typer

from hausgeist.cli.console import ago, hint, note, print_json, say, table
from hausgeist.cli.help import Command, Group, examples
from hausgeist.cli.house import House, in_house
from hausgeist.cli.options import Home, Json
from hausgeist.cli.user import Role
from hausgeist.identity import LOCAL_OWNER

__all__ = ["register"]

_EXAMPLES = examples(
    "hausgeist key create --project default --role member --name editor",
    "export OPENAI_API_KEY=$(hausgeist key create --name notebook)",
)


def register(app: typer.Typer) -> None:
    group = typer.Typer(cls=Group, no_args_is_help=True, rich_markup_mode=None)
    group.command("create", cls=Command, epilog=_EXAMPLES)(create)
    group.command("list", cls=Command, epilog=examples("hausgeist key list", "hausgeist key list --project contracts --json"))(list_keys)
    group.command("rm", cls=Command, epilog=examples("hausgeist key rm key_1a2b3c"))(rm)
    app.add_typer(group, name="key", help="API keys for tools and people.")


def create(
    *,
    project: Annotated[
        str | None,
        typer.Option(metavar="PROJECT", help="project that the key is for; without one the request names it (OpenAI-Project).", show_default=False),
    ] = None,
    role: Annotated[Role, typer.Option(help="what the key may do there.")] = "member",
    name: Annotated[str, typer.Option(metavar="TEXT", help="what it is for.", show_default="the day")] = "",
    user: Annotated[str, typer.Option(metavar="USER", help="person who the key acts for.", show_default="the local owner")] = "",
    as_json: Json = False,
    home: Home = None,
) -> None:
    """make a key. it is shown once."""

    async def work(house: House) -> None:
        workspace = house.workspace
        owner = workspace.user(user).id if user else LOCAL_OWNER.id
        where = workspace.project(project).id if project else None
        label = name or time.strftime("made %Y-%m-%d")
        key, secret = await house.change("key.create", where or "", workspace.create_key(project=where, name=label, role=role, user=owner))
        if as_json:
            print_json({"id": key.id, "key": secret})
            return
        note(f"created key {key.id} ({key.role}{' of ' + project if project else ''})")
        say(secret)
        hint("keep it now: it is not shown again")

    in_house(home, work)


def list_keys(
    *,
    project: Annotated[str | None, typer.Option(metavar="PROJECT", help="keys of this project only.", show_default=False)] = None,
    revoked: Annotated[bool, typer.Option("--revoked", help="those that were taken back, too.")] = False,
    as_json: Json = False,
    home: Home = None,
) -> None:
    """show the keys, without their secrets."""

    async def work(house: House) -> None:
        workspace = house.workspace
        keys = workspace.keys(workspace.project(project).id if project else None, revoked=revoked)
        if as_json:
            print_json({"keys": [asdict(key) for key in keys]})
            return
        if not keys:
            note("no keys")
            hint("'hausgeist key create' makes one")
            return
        projects = {found.id: found.name for found in workspace.projects()}
        people = {found.id: found.name for found in workspace.users()}
        now = time.time()
        rows = [
            [
                key.id,
                key.prefix + "…",
                projects.get(key.project, key.project) if key.project else "any",
                key.role,
                people.get(key.user, key.user),
                "revoked" if key.revoked else ago(now - key.last_used) if key.last_used else "never",
                key.name,
            ]
            for key in keys
        ]
        table(["id", "key", "project", "role", "user", "last used", "name"], rows, flexible="name")

    in_house(home, work)


def rm(
    keys: Annotated[list[str], typer.Argument(metavar="KEY", help="ids of keys.", show_default=False)],
    *,
    home: Home = None,
) -> None:
    """take keys back: they open nothing from now on."""

    async def work(house: House) -> None:
        for key in keys:
            gone = await house.change("key.delete", key, house.workspace.revoke_key(key))
            note(f"revoked {gone.id} ({gone.name})")

    in_house(home, work)

"""`hausgeist user`: the people who may sign in."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Annotated, Literal

import typer

from hausgeist.cli.console import ago, hint, note, print_json, say, table
from hausgeist.cli.help import Command, Group, examples
from hausgeist.cli.house import House, choose_password, in_house, tell_receipt
from hausgeist.cli.options import Home, Json
from hausgeist.cli.running import find

__all__ = ["Role", "register"]

Role = Literal["owner", "member", "reader"]
Name = Annotated[str, typer.Argument(metavar="USER", help="name or id of a user.", show_default=False)]
HouseRole = Annotated[Role, typer.Option(help="owners administer, members use and change, readers look and ask.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(cls=Group, no_args_is_help=True, rich_markup_mode=None)
    group.command("create", cls=Command, epilog=examples("hausgeist user create ada --invite", "hausgeist user create bob --role reader"))(create)
    group.command("list", cls=Command, epilog=examples("hausgeist user list", "hausgeist user list --json"))(list_users)
    group.command("rm", cls=Command, epilog=examples("hausgeist user rm ada", "hausgeist user rm ada --json > receipt.json"))(rm)
    group.command("invite", cls=Command, epilog=examples("hausgeist user invite ada"))(invite)
    group.command("passwd", cls=Command, epilog=examples("hausgeist user passwd ada", "pass show ada | hausgeist user passwd ada"))(passwd)
    group.command("role", cls=Command, epilog=examples("hausgeist user role ada owner"))(role)
    app.add_typer(group, name="user", help="the people who may sign in.")


def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="name of the new user.", show_default=False)],
    *,
    role: HouseRole = "member",
    invite: Annotated[bool, typer.Option("--invite", help="print a one-time link as well, for choosing a password.")] = False,
    as_json: Json = False,
    home: Home = None,
) -> None:
    """add a person."""

    async def work(house: House) -> None:
        user = await house.change("user.create", name, house.workspace.create_user(name, role=role))
        link = _link(house, await house.change("user.create", user.id, house.workspace.invite(user.id))) if invite else None
        if as_json:
            print_json({**asdict(user), **({"link": link} if link else {})})
            return
        note(f"created {user.role} {user.name}")
        if link:
            say(link)
            hint("works once, within a week")
        else:
            hint(f"'hausgeist user invite {user.name}' makes a link to sign in with, 'hausgeist user passwd {user.name}' sets a password")

    in_house(home, work)


def list_users(*, as_json: Json = False, home: Home = None) -> None:
    """show who is here."""

    async def work(house: House) -> None:
        users = house.workspace.users()
        if as_json:
            print_json({"users": [asdict(user) for user in users]})
            return
        now = time.time()
        rows = [
            [user.name, user.role, user.id, ago(now - user.last_seen) if user.last_seen else "invited" if user.invited else "never"] for user in users
        ]
        table(["name", "role", "id", "last seen"], rows, flexible="name")

    in_house(home, work)


def rm(user: Name, *, as_json: Json = False, home: Home = None) -> None:
    """remove a person, with their keys, sessions, memberships and all that they have said."""

    async def work(house: House) -> None:
        gone = await house.change("user.delete", user, house.workspace.remove_user(user))
        receipt = await house.forget(user=gone.id)
        note(f"removed {gone.name}")
        tell_receipt(receipt, as_json=as_json)

    in_house(home, work)


def invite(user: Name, *, as_json: Json = False, home: Home = None) -> None:
    """make a one-time link that lets a person in and choose a password."""

    async def work(house: House) -> None:
        found = house.workspace.user(user)
        link = _link(house, await house.change("user.create", found.id, house.workspace.invite(found.id)))
        if as_json:
            print_json({"user": found.id, "link": link})
            return
        say(link)
        hint("works once, within a week; the link made before it is void")

    in_house(home, work)


def passwd(user: Name, *, home: Home = None) -> None:
    """set the password of a person; ends the sessions they have."""

    async def work(house: House) -> None:
        found = house.workspace.user(user)
        password = choose_password()
        await house.change("user.create", found.id, house.workspace.set_password(found.id, password))
        note(f"{found.name} signs in with the new password from now on")

    in_house(home, work)


def role(user: Name, role: Annotated[Role, typer.Argument(help="owner, member or reader.", show_default=False)], *, home: Home = None) -> None:
    """change what a person may do on the whole server."""

    async def work(house: House) -> None:
        found = await house.change("user.create", user, house.workspace.set_role(user, role))
        note(f"{found.name} is {found.role} now")

    in_house(home, work)


def _link(house: House, token: str) -> str:
    """The one-time link of a token, at the address where the server runs; the path alone where none does."""
    running = find(house.home)
    return f"{(running.network or running.address) if running else ''}/sign-in#{token}"

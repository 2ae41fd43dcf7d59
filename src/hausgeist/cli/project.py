"""`hausgeist project`: projects, and who works in them."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Annotated

import typer

from hausgeist.cli.console import ago, hint, note, print_json, table
from hausgeist.cli.help import Command, Group, examples
from hausgeist.cli.house import House, in_house, tell_receipt
from hausgeist.cli.options import Home, Json
from hausgeist.cli.user import Role

__all__ = ["register"]

Which = Annotated[str, typer.Argument(metavar="PROJECT", help="name or id of a project.", show_default=False)]
Who = Annotated[str, typer.Argument(metavar="USER", help="name or id of a user.", show_default=False)]


def register(app: typer.Typer) -> None:
    group = typer.Typer(cls=Group, no_args_is_help=True, rich_markup_mode=None)
    group.command("create", cls=Command, epilog=examples("hausgeist project create contracts"))(create)
    group.command("list", cls=Command, epilog=examples("hausgeist project list", "hausgeist project list --json"))(list_projects)
    group.command("rename", cls=Command, epilog=examples("hausgeist project rename contracts deeds"))(rename)
    group.command("rm", cls=Command, epilog=examples("hausgeist project rm contracts"))(rm)
    member = typer.Typer(cls=Group, no_args_is_help=True, rich_markup_mode=None)
    member.command("add", cls=Command, epilog=examples("hausgeist project member add contracts ada --role reader"))(add_member)
    member.command("list", cls=Command, epilog=examples("hausgeist project member list contracts"))(list_members)
    member.command("rm", cls=Command, epilog=examples("hausgeist project member rm contracts ada"))(rm_member)
    group.add_typer(member, name="member", help="who works in a project.")
    app.add_typer(group, name="project", help="projects, and who works in them.")


def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="name of the new project.", show_default=False)],
    *,
    as_json: Json = False,
    home: Home = None,
) -> None:
    """make a project."""

    async def work(house: House) -> None:
        project = await house.change("project.create", name, house.workspace.create_project(name))
        if as_json:
            print_json(asdict(project))
            return
        note(f"created project {project.name} ({project.id})")
        hint(f"'hausgeist key create --project {project.name}' makes a key for it")

    in_house(home, work)


def list_projects(*, as_json: Json = False, home: Home = None) -> None:
    """show the projects."""

    async def work(house: House) -> None:
        projects = house.workspace.projects()
        if as_json:
            print_json({"projects": [asdict(project) for project in projects]})
            return
        now = time.time()
        rows = [
            [
                project.name,
                project.id,
                str(len(house.workspace.members(project.id))),
                str(len(house.workspace.keys(project.id))),
                ago(now - project.created),
            ]
            for project in projects
        ]
        table(["name", "id", "members", "keys", "created"], rows, right=["members", "keys"], flexible="name")

    in_house(home, work)


def rename(
    project: Which, name: Annotated[str, typer.Argument(metavar="NAME", help="the new name.", show_default=False)], *, home: Home = None
) -> None:
    """rename a project; its id and keys stay."""

    async def work(house: House) -> None:
        found = await house.change("project.update", project, house.workspace.rename_project(project, name))
        note(f"the project is called {found.name} now")

    in_house(home, work)


def rm(project: Which, *, as_json: Json = False, home: Home = None) -> None:
    """remove a project, with its keys, memberships and all that was said in it."""

    async def work(house: House) -> None:
        gone = await house.change("project.delete", project, house.workspace.remove_project(project))
        receipt = await house.forget(project=gone.id)
        note(f"removed project {gone.name}")
        tell_receipt(receipt, as_json=as_json)

    in_house(home, work)


def add_member(
    project: Which, user: Who, *, role: Annotated[Role, typer.Option(help="what they may do there.")] = "member", home: Home = None
) -> None:
    """let a person into a project, or change what they may do there."""

    async def work(house: House) -> None:
        member = await house.change("project.update", project, house.workspace.set_member(project, user, role))
        note(f"{member.name} is {member.role} of {project} now")

    in_house(home, work)


def list_members(project: Which, *, as_json: Json = False, home: Home = None) -> None:
    """show who works in a project."""

    async def work(house: House) -> None:
        members = house.workspace.members(project)
        if as_json:
            print_json({"members": [asdict(member) for member in members]})
            return
        if not members:
            note("no members; owners of the house may work here all the same")
            return
        table(["name", "role", "id"], [[member.name, member.role, member.user] for member in members], flexible="name")

    in_house(home, work)


def rm_member(project: Which, user: Who, *, home: Home = None) -> None:
    """take a person out of a project."""

    async def work(house: House) -> None:
        await house.change("project.update", project, house.workspace.remove_member(project, user))
        note(f"{user} works in {project} no more")

    in_house(home, work)

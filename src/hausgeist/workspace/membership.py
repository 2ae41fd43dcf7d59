"""SQL about projects and who works in them."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, insert, literal, or_, select, update

from hausgeist.errors import Conflict, NotFound, shown
from hausgeist.identity import DEFAULT_PROJECT, Principal, Role
from hausgeist.workspace.names import fold, new_id
from hausgeist.workspace.people import find_user
from hausgeist.workspace.records import Member, Membership, Project, User, api_keys, project_members, projects, users

__all__ = [
    "add_project",
    "delete_member",
    "delete_project",
    "demand_removable",
    "find_member_role",
    "find_project",
    "find_visible_project",
    "members_of",
    "memberships",
    "name_project",
    "projects_of",
    "put_member",
]

_PROJECTS = select(projects.c.id, projects.c.name, projects.c.created)
_ALL = _PROJECTS.order_by(projects.c.created, projects.c.id)
_BY_ID = _PROJECTS.where(projects.c.id == bindparam("which"))
_BY_NAME = _PROJECTS.where(projects.c.name_key == bindparam("which"))
_OF_USER = _PROJECTS.join(project_members).where(project_members.c.user == bindparam("who")).order_by(projects.c.created, projects.c.id)
_OF_KEY = _PROJECTS.join(api_keys, api_keys.c.project == projects.c.id).where(api_keys.c.id == bindparam("key"))
_ROLE = select(project_members.c.role).where(project_members.c.project == bindparam("which"), project_members.c.user == bindparam("who"))
_MEMBERSHIPS = (
    select(project_members.c.user, projects.c.id, projects.c.name, project_members.c.role).join(projects).order_by(projects.c.created, projects.c.id)
)
_MEMBERS = (
    select(users.c.id, users.c.name, project_members.c.role, project_members.c.created)
    .join(project_members)
    .where(project_members.c.project == bindparam("which"))
    .order_by(project_members.c.created, users.c.id)
)


def projects_of(connection: Connection, who: Principal | None) -> list[Project]:
    """All of them, or those that a caller may work in."""
    if who is None or who.kind == "local":
        return [_project(row) for row in connection.execute(_ALL)]
    if who.kind == "key" and (bound := connection.execute(_OF_KEY, {"key": who.id}).first()) is not None:
        return [_project(bound)]
    owner = connection.execute(select(users.c.role).where(users.c.id == who.user)).scalar() == "owner"
    return [_project(row) for row in (connection.execute(_ALL) if owner else connection.execute(_OF_USER, {"who": who.user}))]


def find_project(connection: Connection, which: str) -> Project:
    """By id or name. Raises `NotFound`."""
    row = connection.execute(_BY_ID, {"which": which}).first() or connection.execute(_BY_NAME, {"which": fold(which)}).first()
    if row is None:
        raise _no_project(which)
    return _project(row)


def find_visible_project(connection: Connection, which: str, who: Principal) -> Project:
    """A project that a caller may work in, by id or name; any other looks like one that is not there. Raises `NotFound`."""
    project = find_project(connection, which)
    if project not in projects_of(connection, who):
        raise _no_project(which)
    return project


def add_project(connection: Connection, name: str, owner: str | None) -> Project:
    """Raises `Conflict`."""
    _name_is_free(connection, name, None)
    project = Project(id=new_id("proj_"), name=name, created=time.time())
    connection.execute(insert(projects).values(id=project.id, name=name, name_key=fold(name), created=project.created))
    if owner is not None:
        put_member(connection, project.id, owner, "owner")
    return project


def name_project(connection: Connection, which: str, name: str) -> Project:
    project = find_project(connection, which)
    _name_is_free(connection, name, project.id)
    connection.execute(update(projects).where(projects.c.id == project.id).values(name=name, name_key=fold(name)))
    return Project(id=project.id, name=name, created=project.created)


def delete_project(connection: Connection, which: str) -> Project:
    """With its memberships, keys and their sessions."""
    project = find_project(connection, which)
    demand_removable(project)
    connection.execute(delete(projects).where(projects.c.id == project.id))
    return project


def demand_removable(project: Project) -> None:
    """Raises `Conflict`."""
    if project.id == DEFAULT_PROJECT:
        raise Conflict("The default project cannot be removed: it is where callers work who name none.")


def members_of(connection: Connection, which: str) -> list[Member]:
    rows = connection.execute(_MEMBERS, {"which": find_project(connection, which).id})
    return [Member(user=row.id, name=row.name, role=row.role, created=row.created) for row in rows]


def find_member_role(connection: Connection, project: str, user: User) -> Role | None:
    """What a user may do in a project, by its id; owners of the house own every project."""
    if user.role == "owner":
        return "owner"
    role: Role | None = connection.execute(_ROLE, {"which": project, "who": user.id}).scalar()
    return role


def memberships(connection: Connection) -> list[Membership]:
    """Of everybody, in the order of projects."""
    return [Membership(user=row.user, project=row.id, name=row.name, role=row.role) for row in connection.execute(_MEMBERSHIPS)]


def put_member(connection: Connection, which: str, who: str, role: Role) -> Member:
    project, user = find_project(connection, which), find_user(connection, who)
    if role != "owner":
        _keep_an_owner(connection, project, user)
    changed = update(project_members).where(project_members.c.project == project.id, project_members.c.user == user.id).values(role=role)
    if connection.execute(changed).rowcount == 0:
        connection.execute(insert(project_members).values(project=project.id, user=user.id, role=role, created=time.time()))
    return next(member for member in members_of(connection, project.id) if member.user == user.id)


def delete_member(connection: Connection, which: str, who: str) -> None:
    """The keys that the user has for this project are revoked with it."""
    project, user = find_project(connection, which), find_user(connection, who)
    _keep_an_owner(connection, project, user)
    gone = delete(project_members).where(project_members.c.project == project.id, project_members.c.user == user.id)
    if connection.execute(gone).rowcount == 0:
        raise NotFound(f"'{user.name}' is not a member of the project '{project.name}'.")
    theirs = (api_keys.c.project == project.id, api_keys.c.user == user.id, api_keys.c.revoked.is_(None))
    connection.execute(update(api_keys).where(*theirs).values(revoked=time.time()))


def _keep_an_owner(connection: Connection, project: Project, user: User) -> None:
    owners = [member.user for member in members_of(connection, project.id) if member.role == "owner"]
    if owners == [user.id]:
        raise Conflict(f"'{user.name}' is the last owner of the project '{project.name}'. Make another member its owner first.")


def _name_is_free(connection: Connection, name: str, but: str | None) -> None:
    taken = select(func.count()).select_from(projects)
    # An id that is nobody's name: the default project answers to "default" however it is called.
    same = or_(projects.c.name_key == fold(name), projects.c.id == fold(name))
    if connection.execute(taken.where(same, projects.c.id != literal(but or ""))).scalar_one():
        raise Conflict(f"There is a project '{name}' already; names that differ only in case count as one.")


def _no_project(which: str) -> NotFound:
    return NotFound(f"There is no project '{shown(which, 64)}'. 'hausgeist project list' shows those there are.")


def _project(row: Any) -> Project:
    return Project(id=row.id, name=row.name, created=row.created)

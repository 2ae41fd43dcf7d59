"""SQL about keys and sessions, and the principal that each stands for.

Rights of a key. In a project it may do the lesser of its own role and its user's role there, looked up anew with each request: who is made a
reader has only readers' keys from then on, who leaves has none. On the house it may do the lesser of its role and its user's house role, and a
key that names a project is never an owner of the house, whoever made it: "owner" in such a key means owner of that project, and a key handed to
the people of one project must not open the others. A key for administering the house from afar names no project.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from hausgeist.errors import NotAllowed, NotAuthenticated, NotFound
from hausgeist.identity import DEFAULT_PROJECT, Principal, Role
from hausgeist.workspace import secret
from hausgeist.workspace.membership import find_member_role, find_project
from hausgeist.workspace.names import fold, new_id, weaker
from hausgeist.workspace.people import find_user
from hausgeist.workspace.records import Key, api_keys, project_members, projects, sessions, users

__all__ = [
    "SESSION_SECONDS",
    "Found",
    "add_key",
    "add_session",
    "all_keys",
    "delete_session",
    "find_again",
    "find_key",
    "find_session",
    "revoke",
    "touch_key",
    "touch_session",
]

SESSION_SECONDS = 30 * 24 * 3600.0
"""Counted from the last use."""

_PERSON = (users.c.id.label("user_id"), users.c.name.label("user_name"), users.c.role.label("house_role"))
_KEY = (
    api_keys.c.id.label("key_id"),
    api_keys.c.digest.label("key_digest"),
    api_keys.c.name.label("key_name"),
    api_keys.c.project,
    api_keys.c.role.label("key_role"),
    api_keys.c.last_used,
    api_keys.c.revoked,
)
_BY_KEY = select(*_PERSON, *_KEY).join_from(api_keys, users).where(api_keys.c.digest == bindparam("digest"))
_BY_KEY_ID = select(*_PERSON, *_KEY).join_from(api_keys, users).where(api_keys.c.id == bindparam("id"))
_BY_USER = select(*_PERSON).where(users.c.id == bindparam("id"))
_BY_SESSION = (
    select(*_PERSON, *_KEY, sessions.c.digest, sessions.c.last_seen, sessions.c.expires)
    .join_from(sessions, users, users.c.id == sessions.c.user)
    .outerjoin(api_keys, api_keys.c.id == sessions.c.key_id)
    .where(sessions.c.digest == bindparam("digest"))
)
_PLACE = select(projects.c.id, project_members.c.role).outerjoin(
    project_members, (project_members.c.project == projects.c.id) & (project_members.c.user == bindparam("who"))
)
_PLACE_BY_ID = _PLACE.where(projects.c.id == bindparam("which"))
_PLACE_BY_NAME = _PLACE.where(projects.c.name_key == bindparam("which"))
_FIRST_PLACE = _PLACE.where(project_members.c.user.is_not(None)).order_by(project_members.c.created).limit(1)
_KEYS = select(api_keys).order_by(api_keys.c.created, api_keys.c.id)


@dataclass(frozen=True, slots=True)
class Found:
    """A principal, and when it was last seen."""

    principal: Principal
    last_seen: float | None


def find_key(connection: Connection, key: str, project: str | None, *, anywhere: bool = False) -> Found:
    """Raises `NotAuthenticated`, `NotAllowed`. `anywhere`: a key without a project works in any that its user may use, if not in `default`."""
    digest = secret.digest(key)
    row = connection.execute(_BY_KEY, {"digest": digest}).first() if secret.is_key(key) else None
    if row is None or not secret.same(row.key_digest, digest):
        raise NotAuthenticated
    _not_revoked(row)
    return Found(_key_principal(connection, row, project, anywhere=anywhere), row.last_used)


def find_session(connection: Connection, token: str, project: str | None) -> Found:
    """Raises `NotAuthenticated`, `NotAllowed`."""
    digest = secret.digest(token)
    row = connection.execute(_BY_SESSION, {"digest": digest}).first()
    if row is None or not secret.same(row.digest, digest) or row.expires <= time.time():
        raise NotAuthenticated("You are not signed in, or were signed out. Sign in again.")
    if row.key_id is not None:
        _not_revoked(row)
        return Found(_key_principal(connection, row, project, anywhere=True), row.last_seen)
    place, role = _place(connection, row, project, anywhere=True)
    who = Principal(kind="user", id=row.user_id, name=row.user_name, user=row.user_id, role=role, house_role=row.house_role, project=place)
    return Found(who, row.last_seen)


def find_again(connection: Connection, who: Principal) -> Principal:
    """Who somebody is by now that was let in before: for work that goes on when they have left. Raises `NotAuthenticated`, `NotAllowed`."""
    if who.kind == "local":
        return who
    if who.kind == "key":
        row = connection.execute(_BY_KEY_ID, {"id": who.id}).first()
        if row is None:
            raise NotAuthenticated
        _not_revoked(row)
        return _key_principal(connection, row, who.project, anywhere=False)
    person = connection.execute(_BY_USER, {"id": who.id}).first()
    if person is None:
        raise NotAuthenticated("There is no such user any more.")
    place, role = _place(connection, person, who.project, anywhere=False)
    return Principal(
        kind="user", id=person.user_id, name=person.user_name, user=person.user_id, role=role, house_role=person.house_role, project=place
    )


def add_session(connection: Connection, token: str, user: str, key: str | None) -> None:
    now = time.time()
    connection.execute(delete(sessions).where(sessions.c.expires < now))
    values = {"digest": secret.digest(token), "user": user, "key_id": key, "created": now, "last_seen": now, "expires": now + SESSION_SECONDS}
    connection.execute(insert(sessions).values(**values))
    connection.execute(update(users).where(users.c.id == user).values(last_seen=now))


def delete_session(connection: Connection, token: str) -> None:
    connection.execute(delete(sessions).where(sessions.c.digest == secret.digest(token)))


def touch_session(connection: Connection, token: str, user: str) -> None:
    """It was used: it lasts longer."""
    now = time.time()
    connection.execute(update(sessions).where(sessions.c.digest == secret.digest(token)).values(last_seen=now, expires=now + SESSION_SECONDS))
    connection.execute(update(users).where(users.c.id == user).values(last_seen=now))


def touch_key(connection: Connection, key: str, user: str) -> None:
    now = time.time()
    connection.execute(update(api_keys).where(api_keys.c.id == key).values(last_used=now))
    connection.execute(update(users).where(users.c.id == user).values(last_seen=now))


def add_key(connection: Connection, *, text: str, prefix: str, name: str, project: str | None, role: Role, who: str) -> Key:
    user = find_user(connection, who)
    place = find_project(connection, project) if project is not None else None
    if place is not None:
        theirs = find_member_role(connection, place.id, user)
        if theirs is None:
            raise NotAllowed(
                f"'{user.name}' is not a member of the project '{place.name}', so a key of theirs would open nothing there. "
                f"'hausgeist project member add {place.name} {user.name}' lets them in."
            )
        if weaker(theirs, role) != role:
            raise NotAllowed(f"'{user.name}' is {theirs} in the project '{place.name}', so a key of theirs cannot be {role} there.")
    key = Key(
        id=new_id("key_"),
        name=name,
        prefix=prefix,
        project=place.id if place is not None else None,
        role=role,
        user=user.id,
        created=time.time(),
        last_used=None,
        revoked=None,
    )
    values = {"id": key.id, "name": name, "prefix": prefix, "project": key.project, "role": role, "user": user.id, "created": key.created}
    connection.execute(insert(api_keys).values(digest=secret.digest(text), **values))
    return key


def all_keys(connection: Connection, project: str | None, *, revoked: bool) -> list[Key]:
    query = _KEYS if revoked else _KEYS.where(api_keys.c.revoked.is_(None))
    if project is not None:
        query = query.where(api_keys.c.project == find_project(connection, project).id)
    return [_key(row) for row in connection.execute(query)]


def revoke(connection: Connection, key: str) -> Key:
    """From this commit on the key and the sessions opened with it are refused."""
    row = connection.execute(select(api_keys).where(api_keys.c.id == key)).first()
    if row is None:
        raise NotFound("There is no key with this id. 'hausgeist key list' shows those there are.")
    if row.revoked is None:
        connection.execute(update(api_keys).where(api_keys.c.id == key).values(revoked=time.time()))
        connection.execute(delete(sessions).where(sessions.c.key_id == key))
        row = connection.execute(select(api_keys).where(api_keys.c.id == key)).one()
    return _key(row)


def _key_principal(connection: Connection, row: Any, project: str | None, *, anywhere: bool) -> Principal:
    bound: str | None = row.project
    if bound is not None and project is not None and project != bound and _id_of(connection, project) != bound:
        raise NotAllowed(
            "This key belongs to another project than the one named in OpenAI-Project. Leave the header out, or use a key of that project."
        )
    place, role = _place(connection, row, bound if bound is not None else project, anywhere=anywhere and bound is None)
    return Principal(
        kind="key",
        id=row.key_id,
        name=row.key_name,
        user=row.user_id,
        role=weaker(role, row.key_role),
        house_role=weaker(row.house_role, row.key_role, "member" if bound is not None else "owner"),
        project=place,
    )


def _id_of(connection: Connection, project: str) -> str | None:
    """The id of a project that goes by this name."""
    return connection.execute(select(projects.c.id).where(projects.c.name_key == fold(project))).scalar()


def _place(connection: Connection, row: Any, project: str | None, *, anywhere: bool) -> tuple[str, Role]:
    """The project that is worked in, and the user's role there. A project that one may not use looks like one that is not there."""
    which = DEFAULT_PROJECT if project is None else project
    found = connection.execute(_PLACE_BY_ID, {"which": which, "who": row.user_id}).first()
    if found is None:
        found = connection.execute(_PLACE_BY_NAME, {"which": fold(which), "who": row.user_id}).first()
    if found is not None and row.house_role == "owner":
        return found.id, "owner"
    if (found is None or found.role is None) and project is None and anywhere:
        found = connection.execute(_FIRST_PLACE, {"who": row.user_id}).first()
    if found is None or found.role is None:
        if project is None:
            raise NotAllowed("You are not a member of the default project. Name yours in the header OpenAI-Project, or ask an owner to add you.")
        raise NotAllowed("There is no such project, or you are not a member of it. Ask one of its owners to add you.")
    return found.id, found.role


def _not_revoked(row: Any) -> None:
    if row.revoked is not None:
        raise NotAuthenticated("This API key was revoked. Ask an owner of the project for a new one.")


def _key(row: Any) -> Key:
    return Key(
        id=row.id,
        name=row.name,
        prefix=row.prefix,
        project=row.project,
        role=row.role,
        user=row.user,
        created=row.created,
        last_used=row.last_used,
        revoked=row.revoked,
    )

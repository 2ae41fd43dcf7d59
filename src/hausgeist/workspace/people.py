"""SQL about users and the one-time links that let them in."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import Connection, bindparam, delete, exists, func, insert, select, update

from hausgeist.errors import Conflict, NotAuthenticated, NotFound, shown
from hausgeist.identity import LOCAL_OWNER, Role
from hausgeist.workspace.names import fold, new_id
from hausgeist.workspace.records import User, links, sessions, users

__all__ = [
    "add_link",
    "add_user",
    "all_users",
    "delete_user",
    "find_user",
    "keep_an_owner",
    "redeem_link",
    "replace_hash",
    "set_hash",
    "set_house_role",
    "stored_hash",
]

_INVITED = exists().where(links.c.user == users.c.id, links.c.used.is_(None), links.c.expires > bindparam("now"))
_USERS = select(
    users.c.id,
    users.c.name,
    users.c.role,
    users.c.created,
    users.c.last_seen,
    users.c.password.is_not(None).label("has_password"),
    _INVITED.label("invited"),
)
_ALL = _USERS.order_by(users.c.created, users.c.id)
_BY_ID = _USERS.where(users.c.id == bindparam("who"))
_BY_NAME = _USERS.where(users.c.name_key == bindparam("who"))
_HASH = select(users.c.id, users.c.password).where(users.c.name_key == bindparam("who"))


def all_users(connection: Connection) -> list[User]:
    return [_user(row) for row in connection.execute(_ALL, {"now": time.time()})]


def find_user(connection: Connection, who: str) -> User:
    """By id or name. Raises `NotFound`."""
    row = (
        connection.execute(_BY_ID, {"now": time.time(), "who": who}).first()
        or connection.execute(_BY_NAME, {"now": time.time(), "who": fold(who)}).first()
    )
    if row is None:
        raise NotFound(f"There is no user '{shown(who, 64)}'. 'hausgeist user list' shows who is here.")
    return _user(row)


def add_user(connection: Connection, name: str, role: Role, password: str | None) -> User:
    """Raises `Conflict`."""
    if connection.execute(_BY_NAME, {"now": 0.0, "who": fold(name)}).first():
        raise Conflict(f"There is a user '{name}' already; names that differ only in case count as one.")
    user = User(id=new_id("user_"), name=name, role=role, created=time.time(), last_seen=None, invited=False, has_password=password is not None)
    connection.execute(
        insert(users).values(id=user.id, name=name, name_key=fold(name), role=role, password=password, created=user.created),
    )
    return user


def delete_user(connection: Connection, who: str, *, from_afar: bool = False) -> User:
    """With everything that hangs on the user: memberships, keys, sessions, links."""
    user = find_user(connection, who)
    keep_an_owner(connection, user, from_afar=from_afar)
    connection.execute(delete(users).where(users.c.id == user.id))
    return user


def set_house_role(connection: Connection, who: str, role: Role, *, from_afar: bool = False) -> User:
    user = find_user(connection, who)
    if role != "owner":
        keep_an_owner(connection, user, from_afar=from_afar)
    connection.execute(update(users).where(users.c.id == user.id).values(role=role))
    return find_user(connection, user.id)


def stored_hash(connection: Connection, name: str) -> tuple[str, str | None] | None:
    """Id and password hash of the user with this name."""
    row = connection.execute(_HASH, {"who": fold(name)}).first()
    return (row.id, row.password) if row is not None else None


def set_hash(connection: Connection, user: str, password: str) -> None:
    """A new password: who was signed in with the old one is so no more, and links that are out are void."""
    connection.execute(update(users).where(users.c.id == user).values(password=password))
    connection.execute(delete(sessions).where(sessions.c.user == user))
    connection.execute(delete(links).where(links.c.user == user, links.c.used.is_(None)))


def replace_hash(connection: Connection, user: str, password: str) -> None:
    """The same password, hashed with newer parameters."""
    connection.execute(update(users).where(users.c.id == user).values(password=password))


def add_link(connection: Connection, who: str, token: str, lifetime: float) -> None:
    """A new link takes the place of one that was not used."""
    user = find_user(connection, who)
    now = time.time()
    connection.execute(delete(links).where(links.c.user == user.id, links.c.used.is_(None)))
    connection.execute(delete(links).where(links.c.expires < now - lifetime))
    connection.execute(insert(links).values(digest=token, user=user.id, created=now, expires=now + lifetime))


def redeem_link(connection: Connection, token: str, *, use: bool) -> tuple[str, bool]:
    """The user that a link is for, and whether they have a password. `use` it up: of two at once, one wins. Raises `NotAuthenticated`."""
    now = time.time()
    where = (links.c.digest == token, links.c.used.is_(None), links.c.expires > now)
    row = connection.execute(select(users.c.id, users.c.password).join(links, links.c.user == users.c.id).where(*where)).first()
    if row is None or (use and connection.execute(update(links).where(*where).values(used=now)).rowcount != 1):
        raise NotAuthenticated("This link was used already, has expired or was never valid. Ask for a new one.")
    return row.id, row.password is not None


def keep_an_owner(connection: Connection, user: User, *, from_afar: bool = False) -> None:
    """Raises `Conflict` for the last owner. `from_afar`: whoever asks for it is not the local owner, and would leave only that one behind."""
    if user.id == LOCAL_OWNER.id:
        raise Conflict("The local owner, who administers this machine, can neither be removed nor be made less than an owner.")
    others = connection.execute(select(func.count()).select_from(users).where(users.c.role == "owner", users.c.id != user.id)).scalar_one()
    if user.role == "owner" and not others:
        raise Conflict("The last owner cannot be removed. Make somebody else an owner first.")
    far = select(func.count()).select_from(users).where(users.c.role == "owner", users.c.id.not_in((user.id, LOCAL_OWNER.id)))
    if user.role == "owner" and from_afar and not connection.execute(far).scalar_one():
        raise Conflict(
            f"'{user.name}' is the last owner who can sign in: without one, this server could be administered only at the machine itself. "
            "Make somebody else an owner first."
        )


def _user(row: Any) -> User:
    return User(
        id=row.id,
        name=row.name,
        role=row.role,
        created=row.created,
        last_seen=row.last_seen,
        invited=bool(row.invited),
        has_password=bool(row.has_password),
    )

"""Who works together: the verbs. Reads happen at once, writes are coroutines that return when the change is there to stay.

Whether a caller may do these things is decided at the door (`governance`), not here; here is only what would make no sense for anybody.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from sqlalchemy import Connection

from hausgeist.errors import Busy, Conflict, InvalidRequest, NotAllowed, NotAuthenticated
from hausgeist.identity import DEFAULT_PROJECT, LOCAL_OWNER, Principal, Role
from hausgeist.store.database import Database
from hausgeist.workspace import access, membership, people, secret
from hausgeist.workspace.access import Found
from hausgeist.workspace.names import fold, parse_name, parse_role, weaker
from hausgeist.workspace.passwords import Passwords
from hausgeist.workspace.records import Key, Member, Membership, Project, User
from hausgeist.workspace.throttle import Throttle

__all__ = ["LINK_SECONDS", "Leaving", "Workspace"]

LINK_SECONDS = 7 * 24 * 3600.0
_FREE_TRIES = 8
"""Wrong passwords for one name, from wherever they come, before the next one has to wait."""
_TOUCH_SECONDS = 60.0
"""How exactly "last used" is known: a write with every request would cost more than it tells."""

Leaving = Callable[[Connection, str | None, str | None], object]
"""Removes, within the transaction, what is kept of a user (the first id) or of a project (the second)."""


class Workspace:
    """Users, projects, keys and sessions of one home. Users and projects are named by id or by name; an id comes first."""

    def __init__(self, database: Database, *, leaving: Sequence[Leaving] = ()) -> None:
        """`leaving`: who keeps what belongs to a user or a project, and removes it together with them."""
        self._database = database
        self._leaving = leaving
        self._passwords = Passwords()
        self._throttle = Throttle(longest=60.0, forget=900.0, most=10_000)
        self._touched: dict[str, float] = {}

    # Users

    def users(self) -> list[User]:
        return self._database.read(people.all_users)

    def memberships(self) -> list[Membership]:
        """Who works in which projects. Owners of the house own every project without being listed."""
        return self._database.read(membership.memberships)

    def user(self, id_or_name: str) -> User:
        """Raises `NotFound`."""
        return self._database.read(lambda connection: people.find_user(connection, id_or_name))

    async def create_user(self, name: str, *, role: Role = "member", password: str | None = None) -> User:
        """A new person, who works in the default project, as a member or a reader. Raises `Conflict`, `InvalidRequest`.

        An owner of the house owns that project like every other; not saying so there leaves nothing behind when the role is taken back.
        """
        name, role = parse_name(name, "user"), parse_role(role)
        hashed = await self._passwords.hash(password) if password is not None else None

        def create(connection: Connection) -> User:
            user = people.add_user(connection, name, role, hashed)
            membership.put_member(connection, DEFAULT_PROJECT, user.id, weaker(role, "member"))
            return user

        return await self._database.write(create)

    def demand_removable(self, id_or_name: str, *, from_afar: bool = False) -> User:
        """A user who could be removed, as `remove_user` would. Raises what that raises."""

        def look(connection: Connection) -> User:
            user = people.find_user(connection, id_or_name)
            people.keep_an_owner(connection, user, from_afar=from_afar)
            return user

        return self._database.read(look)

    async def remove_user(self, id_or_name: str, *, from_afar: bool = False) -> User:
        """With memberships, keys, sessions and links, and all that others keep of them. Raises `NotFound`, `Conflict` for the last owner.

        `from_afar`: the one who asks is not the local owner, who is an owner whatever happens; then somebody else has to stay one, too."""

        def remove(connection: Connection) -> User:
            user = people.delete_user(connection, id_or_name, from_afar=from_afar)
            for leave in self._leaving:
                leave(connection, user.id, None)
            return user

        return await self._database.write(remove)

    async def set_role(self, id_or_name: str, role: Role, *, from_afar: bool = False) -> User:
        """What a person may do on the whole server; memberships in projects stay as they are. Raises `NotFound`, `Conflict` for the last owner.
        `from_afar`: as with `remove_user`."""
        role = parse_role(role)
        return await self._database.write(lambda connection: people.set_house_role(connection, id_or_name, role, from_afar=from_afar))

    async def set_password(self, id_or_name: str, password: str) -> None:
        """Ends the sessions that the user has. Raises `NotFound`, `InvalidRequest`."""
        user = self.user(id_or_name)
        hashed = await self._passwords.hash(password)
        await self._database.write(lambda connection: people.set_hash(connection, user.id, hashed))

    async def change_password(self, user_id: str, current: str, password: str) -> tuple[str, Principal]:
        """For oneself: ends the sessions that there are, and begins a new one, which is returned as by `sign_in`.

        Raises `NotFound`, `InvalidRequest`, `NotAllowed` where there is none so far, `Busy` after many that were wrong."""
        user = self.user(user_id)
        label = fold(user.name)
        if (wait := self._throttle.wait(label, free=_FREE_TRIES)) > 0:
            raise Busy(f"Too many failed tries for this name; try again in {wait:.0f} seconds.", retry_after=wait)
        _, hashed = self._database.read(lambda connection: people.stored_hash(connection, user.name)) or (None, None)
        if hashed is None:
            raise NotAllowed("You have no password so far. Ask an owner of the server for a link to sign in with, and choose one there.")
        right, _ = await self._passwords.verify(hashed, current)
        if not right:
            self._throttle.failed(label)
            raise InvalidRequest("The current password is wrong; nothing was changed.", param="current")
        self._throttle.succeeded(label)
        new = await self._passwords.hash(password)

        def change(connection: Connection, token: str) -> None:
            # It may have been changed by somebody else while the hashes were computed.
            if people.stored_hash(connection, user.name) != (user.id, hashed):
                raise Conflict("The password was changed by somebody else a moment ago; nothing was changed.")
            people.set_hash(connection, user.id, new)
            access.add_session(connection, token, user.id, None)

        return await self._begin(change)

    async def invite(self, id_or_name: str, *, seconds: float = LINK_SECONDS) -> str:
        """The token of a one-time link that lets a user in and choose a password; the link sent before it is void."""
        token = secret.new_token()
        await self._database.write(lambda connection: people.add_link(connection, id_or_name, secret.digest(token), seconds))
        return token

    # Projects

    def projects(self, who: Principal | None = None) -> list[Project]:
        """All, or those that a caller may work in."""
        return self._database.read(lambda connection: membership.projects_of(connection, who))

    def project(self, id_or_name: str) -> Project:
        """Raises `NotFound`."""
        return self._database.read(lambda connection: membership.find_project(connection, id_or_name))

    def visible_project(self, id_or_name: str, who: Principal) -> Project:
        """One that a caller may work in; any other looks like one that is not there. Raises `NotFound`."""
        return self._database.read(lambda connection: membership.find_visible_project(connection, id_or_name, who))

    async def create_project(self, name: str, *, owner: str | None = None) -> Project:
        """Raises `Conflict`, `InvalidRequest`. Owners of the house own it anyway; `owner` is a user who shall own it besides."""
        name = parse_name(name, "project")
        return await self._database.write(lambda connection: membership.add_project(connection, name, owner))

    async def rename_project(self, id_or_name: str, name: str) -> Project:
        name = parse_name(name, "project")
        return await self._database.write(lambda connection: membership.name_project(connection, id_or_name, name))

    async def remove_project(self, id_or_name: str) -> Project:
        """With its memberships and keys, and all that others keep of it. Raises `NotFound`, `Conflict` for the default project."""

        def remove(connection: Connection) -> Project:
            project = membership.find_project(connection, id_or_name)
            membership.demand_removable(project)
            for leave in self._leaving:
                leave(connection, None, project.id)
            return membership.delete_project(connection, project.id)

        return await self._database.write(remove)

    def members(self, project: str) -> list[Member]:
        return self._database.read(lambda connection: membership.members_of(connection, project))

    async def set_member(self, project: str, user: str, role: Role) -> Member:
        """Add a member, or change what one may do. Raises `NotFound`, `Conflict` for the last owner."""
        role = parse_role(role)
        return await self._database.write(lambda connection: membership.put_member(connection, project, user, role))

    async def remove_member(self, project: str, user: str) -> None:
        """Raises `NotFound`, `Conflict` for the last owner."""
        await self._database.write(lambda connection: membership.delete_member(connection, project, user))

    # Keys

    def keys(self, project: str | None = None, *, revoked: bool = False) -> list[Key]:
        """Keys of all projects or one; those that were `revoked` only when asked for."""
        return self._database.read(lambda connection: access.all_keys(connection, project, revoked=revoked))

    async def create_key(self, *, project: str | None, name: str, role: Role, user: str = LOCAL_OWNER.id) -> tuple[Key, str]:
        """A key and its secret, which nobody can look up later. No project: the request chooses one that the user may use.

        Raises `NotFound`, `InvalidRequest`, and `NotAllowed` where the key would be more than its user is in the project.
        """
        name, role = parse_name(name, "key"), parse_role(role)
        text, prefix = secret.new_key()
        key = await self._database.write(
            lambda connection: access.add_key(connection, text=text, prefix=prefix, name=name, project=project, role=role, who=user)
        )
        return key, text

    async def revoke_key(self, key_id: str) -> Key:
        """Raises `NotFound`."""
        return await self._database.write(lambda connection: access.revoke(connection, key_id))

    def authenticate_key(self, text: str, *, project: str | None = None) -> Principal:
        """Who a key stands for, in its own project, in the one named, or in `default`. Raises `NotAuthenticated`, `NotAllowed`."""
        found = self._database.read(lambda connection: access.find_key(connection, text, project))
        who = found.principal
        self._touch(found, who.id, lambda connection: access.touch_key(connection, who.id, who.user))
        return who

    def still(self, who: Principal) -> Principal:
        """Who somebody is by now, for work that goes on when they have left. Raises `NotAuthenticated`, `NotAllowed`."""
        return self._database.read(lambda connection: access.find_again(connection, who))

    # Sessions

    async def sign_in(self, name: str, password: str) -> tuple[str, Principal]:
        """A session token, and who it stands for. Raises `NotAuthenticated`, `Busy` after many failures."""
        label = fold(name[:256])
        if (wait := self._throttle.wait(label, free=_FREE_TRIES)) > 0:
            raise Busy(f"Too many failed tries for this name; try again in {wait:.0f} seconds.", retry_after=wait)
        stored = self._database.read(lambda connection: people.stored_hash(connection, name[:256]))
        user, hashed = stored or (None, None)
        right, better = await self._passwords.verify(hashed, password)
        if user is None or not right:
            self._throttle.failed(label)
            raise NotAuthenticated("The name or the password is wrong.")
        self._throttle.succeeded(label)

        def sign_in(connection: Connection, token: str) -> None:
            # The password may have been changed while the hash was computed.
            if people.stored_hash(connection, name) != (user, hashed):
                raise NotAuthenticated("The name or the password is wrong.")
            if better is not None:
                people.replace_hash(connection, user, better)
            access.add_session(connection, token, user, None)

        return await self._begin(sign_in)

    async def sign_in_link(self, token: str, password: str | None = None) -> tuple[str, Principal]:
        """Use up a one-time link; the password becomes the user's. Raises `NotAuthenticated`, and `InvalidRequest` where one must be chosen."""
        link = secret.digest(token)
        user, has_password = self._database.read(lambda connection: people.redeem_link(connection, link, use=False))
        if password is None and not has_password and user != LOCAL_OWNER.id:
            raise InvalidRequest("Choose a password, to sign in with from now on.", param="password")
        hashed = await self._passwords.hash(password) if password is not None else None

        def sign_in(connection: Connection, session: str) -> None:
            people.redeem_link(connection, link, use=True)
            if hashed is not None:
                people.set_hash(connection, user, hashed)
            access.add_session(connection, session, user, None)

        return await self._begin(sign_in)

    async def sign_in_key(self, text: str) -> tuple[str, Principal]:
        """A session that may do what the key may, for as long as the key is good. Raises `NotAuthenticated`, `NotAllowed`."""

        def sign_in(connection: Connection, token: str) -> None:
            who = access.find_key(connection, text, None, anywhere=True).principal
            access.add_session(connection, token, who.user, who.id)
            access.touch_key(connection, who.id, who.user)

        return await self._begin(sign_in)

    def authenticate_session(self, token: str, *, project: str | None = None) -> Principal:
        """Raises `NotAuthenticated`, `NotAllowed`."""
        found = self._database.read(lambda connection: access.find_session(connection, token, project))
        user = found.principal.user
        self._touch(found, secret.digest(token), lambda connection: access.touch_session(connection, token, user))
        return found.principal

    async def sign_out(self, token: str) -> None:
        """End a session; nothing happens if there is none."""
        await self._database.write(lambda connection: access.delete_session(connection, token))

    async def _begin(self, sign_in: Callable[[Connection, str], None]) -> tuple[str, Principal]:
        token = secret.new_token()

        def begin(connection: Connection) -> Principal:
            sign_in(connection, token)
            return access.find_session(connection, token, None).principal

        return token, await self._database.write(begin)

    def _touch(self, found: Found, what: str, write: Callable[[Connection], None]) -> None:
        """Note the use, at most once a minute."""
        now = time.time()
        if now - (found.last_seen or 0.0) < _TOUCH_SECONDS or now - self._touched.get(what, 0.0) < _TOUCH_SECONDS:
            return
        if len(self._touched) > 10_000:
            self._touched.clear()
        self._touched[what] = now
        self._database.post(write)

"""The database of the home folder for commands that need no server: users, projects and keys, each change audited as the local owner's."""

from __future__ import annotations

import asyncio
import getpass
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from hausgeist.errors import HausgeistError, InvalidRequest
from hausgeist.identity import LOCAL_OWNER, Origin

if TYPE_CHECKING:
    from hausgeist.governance.service import Governor
    from hausgeist.store.database import Database
    from hausgeist.workspace.service import Workspace

__all__ = ["House", "choose_password", "in_house"]

T = TypeVar("T")


class House:
    """The workspace of a home, and the audit table that its changes go to."""

    def __init__(self, home: Path, database: Database, workspace: Workspace, governor: Governor) -> None:
        self.home = home
        self.workspace = workspace
        self._database = database
        self._governor = governor

    async def change(self, action: str, target: str, verb: Awaitable[T]) -> T:
        """Do `verb` after the row that says so is on disk; a failure gets a row, too."""
        origin = Origin(address="terminal", agent="hausgeist")
        try:
            await self._governor.demand(LOCAL_OWNER, action, target=target, origin=origin)
            return await verb
        except HausgeistError as error:
            with suppress(HausgeistError):
                await self._governor.record(LOCAL_OWNER, action, target=target, origin=origin, outcome="failed", detail=error.message)
            raise
        finally:
            if asyncio.iscoroutine(verb):
                verb.close()

    async def forget(self, *, user: str | None = None, project: str | None = None) -> None:
        """What a user or a project that was removed has said has left the tables with them; now it leaves the files of the database, their
        uploads the disk, and their prompts the memory of the engines, by way of the server that runs, if one does."""
        from hausgeist.conversations.erasure import scrub
        from hausgeist.files import Files
        from hausgeist.files.folder import Folder
        from hausgeist.serving.caches import JOB
        from hausgeist.store.jobs import Jobs
        from hausgeist.store.space import Space

        await Files(self._database, Folder(self.home, space=Space(self.home)), quota=0, limit=0).collect()
        await scrub(self._database)
        await Jobs(self._database).enqueue(JOB, {"user": user, "project": project})


def in_house(home: Path | None, work: Callable[[House], Awaitable[T]]) -> T:
    """Open the home folder, do the work, close it."""

    async def run() -> T:
        async with _open(home) as house:
            return await work(house)

    return asyncio.run(run())


@asynccontextmanager
async def _open(home: Path | None) -> AsyncIterator[House]:
    from hausgeist.conversations.erasure import leave
    from hausgeist.governance.service import Governor
    from hausgeist.settings import load_settings
    from hausgeist.store.database import Database
    from hausgeist.workspace.service import Workspace

    settings = load_settings(home=home)
    database = Database.open(settings.home)
    governor = Governor(database)
    try:
        yield House(settings.home, database, Workspace(database, leaving=[leave]), governor)
        await governor.flush()
    finally:
        database.close()


def choose_password() -> str:
    """Typed twice without showing it, or the first line of a pipe. Raises `InvalidRequest`."""
    if not sys.stdin.isatty():
        password = sys.stdin.readline().rstrip("\r\n")
        if not password:
            raise InvalidRequest("there is no password: type it here, or pipe it in as one line.")
        return password
    password = getpass.getpass("password: ")
    if getpass.getpass("again: ") != password:
        raise InvalidRequest("the two are not the same; nothing was changed.")
    return password

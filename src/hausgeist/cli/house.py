"""The database of the home folder for commands that need no server: users, projects and keys, each change audited as the local owner's.

What goes with a user or a project that is removed has a receipt, as with the server.
"""

from __future__ import annotations

import asyncio
import getpass
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from hausgeist.cli.console import hint, note, print_json
from hausgeist.errors import HausgeistError, InvalidRequest
from hausgeist.identity import LOCAL_OWNER, Origin

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from hausgeist.governance.erasure import Receipt
    from hausgeist.governance.service import Governor
    from hausgeist.store.database import Database
    from hausgeist.workspace.service import Workspace

__all__ = ["House", "choose_password", "in_house", "tell_receipt"]

T = TypeVar("T")
_ORIGIN = Origin(address="terminal", agent="hausgeist")
_LATER = "What was made of their documents leaves the disk, and their prompts the memory of the models, when the server runs next; now, if it does."


class House:
    """The workspace of a home, and the audit table that its changes go to."""

    def __init__(self, home: Path, database: Database, governor: Governor) -> None:
        from hausgeist.workspace.service import Workspace

        self.home = home
        self.workspace: Workspace = Workspace(database, leaving=[self._leave])
        self._database = database
        self._governor = governor
        self._gone: dict[str, int] = {}

    def _leave(self, connection: Connection, user: str | None, project: str | None) -> None:
        from hausgeist.conversations.erasure import leave

        # They go with the row of their project.
        counted = "SELECT count(*) FROM vector_stores WHERE project = ? AND gone = 0"
        stores = {"vector_stores": int(connection.exec_driver_sql(counted, (project,)).scalar_one())} if project is not None else {}
        self._gone = {**leave(connection, user, project), **stores}

    async def change(self, action: str, target: str, verb: Awaitable[T]) -> T:
        """Do `verb` after the row that says so is on disk; a failure gets a row, too."""
        try:
            await self._governor.demand(LOCAL_OWNER, action, target=target, origin=_ORIGIN)
            return await verb
        except HausgeistError as error:
            with suppress(HausgeistError):
                await self._governor.record(LOCAL_OWNER, action, target=target, origin=_ORIGIN, outcome="failed", detail=error.message)
            raise
        finally:
            if asyncio.iscoroutine(verb):
                verb.close()

    async def forget(self, *, user: str | None = None, project: str | None = None) -> Receipt:
        """What a user or a project that was just removed has said has left the tables with them; now it leaves the files of the database, their
        uploads the disk, and their prompts the memory of the engines, by way of the server that runs, if one does. The receipt is in the audit
        table when this returns."""
        from hausgeist.conversations.erasure import scrub
        from hausgeist.files import Files
        from hausgeist.files.folder import Folder
        from hausgeist.governance import copies
        from hausgeist.governance.erasure import Receipt, Subject, new_receipt, write_down
        from hausgeist.serving.caches import JOB
        from hausgeist.store.jobs import Jobs
        from hausgeist.store.space import Space

        began, subject = time.monotonic(), Subject(user=user, project=project)
        await Files(self._database, Folder(self.home, space=Space(self.home)), quota=0, limit=0).collect()
        await scrub(self._database)
        await Jobs(self._database).enqueue(JOB, {"user": user, "project": project})
        remains = [*(await copies.eraser(self.home)(subject)).remains, _LATER]
        receipt = Receipt(
            id=new_receipt(), subject=subject, at=time.time(), seconds=time.monotonic() - began, counts=self._gone, remains=remains, failed={}
        )  # fmt: skip
        await write_down(self._governor, LOCAL_OWNER, "erasure.create", receipt, origin=_ORIGIN)
        return receipt


def tell_receipt(receipt: Receipt, *, as_json: bool) -> None:
    """What went, what remains, and under which id the audit table has it."""
    if as_json:
        print_json({
            "id": receipt.id, "user": receipt.subject.user, "project": receipt.subject.project, "at": receipt.at,
            "seconds": round(receipt.seconds, 3), "erased": dict(receipt.counts), "remains": list(receipt.remains),
        })  # fmt: skip
        return
    went = [f"{kind.replace('_', ' ')}: {count}" for kind, count in receipt.counts.items() if count]
    note(f"erased {', '.join(went)}" if went else "nothing had been said or brought")
    for sentence in receipt.remains:
        note(sentence)
    hint(f"receipt {receipt.id}; the audit table has it")


def in_house(home: Path | None, work: Callable[[House], Awaitable[T]]) -> T:
    """Open the home folder, do the work, close it."""

    async def run() -> T:
        async with _open(home) as house:
            return await work(house)

    return asyncio.run(run())


@asynccontextmanager
async def _open(home: Path | None) -> AsyncIterator[House]:
    from hausgeist.governance.service import Governor
    from hausgeist.settings import load_settings
    from hausgeist.store.database import Database

    settings = load_settings(home=home)
    database = Database.open(settings.home)
    governor = Governor(database)
    try:
        yield House(settings.home, database, governor)
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

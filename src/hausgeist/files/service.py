"""Files of projects: brought, read, listed and removed, within what a project may keep and for as long as each is to be kept.

Every member of a project sees its files, as on OpenAI's platform, but for the answers to somebody else's batch; files of other projects are not
found. Whether a caller may do these things at all is decided at the door.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, Connection, and_, bindparam, delete, func, or_, select, tuple_, update

from hausgeist.errors import HausgeistError, NotFound, TooLarge, shown
from hausgeist.files.arrivals import BATCH_SECONDS, Arrival, Arrivals, file_of
from hausgeist.files.folder import Folder
from hausgeist.files.records import File, as_file, files, upload_parts, uploads
from hausgeist.identity import Principal
from hausgeist.store.database import Database
from hausgeist.store.drafts import Draft
from hausgeist.store.prepared import Insert, Prepared
from hausgeist.store.writer import driver_of, undone

__all__ = ["ANSWERS", "BATCH_SECONDS", "SEEN", "Files", "Page", "demand_files", "forget_files", "gigabytes", "seeing", "seen_by"]

log = logging.getLogger(__name__)

ANSWERS: Final = "batch_output"
"""The purpose of files that hold what a batch was answered."""
_MOST_FILES: Final = 100_000
"""Of one project: each takes a row and a name on the disk, however small it is."""
_LATELY: Final = 1.0
"""Seconds for which it is taken for granted that there is as much room as there was."""
_ADD: Final = Insert(files, [column.name for column in files.columns])
_values: Final = attrgetter(*(column.name for column in files.columns))
"""Of a file, as they are written."""
_SWEEP_SECONDS: Final = 60.0
_COLLECT_EVERY: Final = 10
"""Sweeps between two looks at names without rows."""
_UPLOADS_KEPT: Final = 86400.0
"""Seconds for which a finished upload can be asked about."""


class Page(list[File]):
    """Some of a list. `more`: others come after it."""

    more: bool = False


class Files:
    """Everything raises `NotFound` for a file that is not there, has expired or belongs to another project."""

    def __init__(self, database: Database, folder: Folder, *, quota: int, limit: int) -> None:
        """`quota`: bytes that each project may keep; `limit`: bytes of one file that comes in one piece."""
        self.folder = folder
        self.limit = limit
        self._database = database
        self._quota = quota
        self._known = _Taken()
        self._arrivals = Arrivals(database, self._keep)
        self._lately: dict[str, tuple[float, int]] = {}
        """Of each project, when it was last looked how many bytes it has."""
        self._coming: Counter[str] = Counter()
        """Bytes of each project that are being written."""
        self._sweeping: asyncio.Task[None] | None = None
        self.gone: Callable[[], object] = lambda: None
        """Called when files have gone, for those who keep something that was made of them."""

    # Bringing

    @asynccontextmanager
    async def receive(self, who: Principal, chunks: AsyncIterator[bytes], *, size: int = 0, limit: int | None = None) -> AsyncIterator[Draft]:
        """Within the block, what came in as a draft, for `keep`. `size`: bytes announced; 0: none were. Raises `TooLarge`, `DiskFull`."""
        self.demand_room(who.project, size)
        counted = 0

        def coming(more: int) -> None:
            nonlocal counted
            counted += more
            self._coming[who.project] += more
            self.demand_room(who.project, 0)

        try:
            async with self.folder.receive(chunks, size=size, limit=self.limit if limit is None else limit, coming=coming) as draft:
                yield draft
        finally:
            self._coming[who.project] -= counted
            if not self._coming[who.project]:
                del self._coming[who.project]

    async def keep(self, who: Principal, draft: Draft, *, filename: str, purpose: str, media_type: str = "", seconds: int | None = None) -> File:
        """Make a file of a draft. `seconds`: how long to keep it. Raises `TooLarge` where the project has no room left."""

        file = file_of(
            project=who.project, user=who.user, filename=filename, purpose=purpose, media_type=media_type, size=draft.size, digest=draft.digest,
            seconds=seconds,
        )  # fmt: skip
        made = await self._arrivals.keep(file, draft)
        self.noticed(who.project, made.bytes)
        return made

    def noticed(self, project: str, size: int) -> None:
        """So many bytes of a project have come, or have been announced."""
        if (lately := self._lately.get(project)) is not None:
            self._lately[project] = (lately[0], lately[1] + size)

    async def create(
        self, who: Principal, chunks: AsyncIterator[bytes], *, filename: str, purpose: str, media_type: str = "", seconds: int | None = None,
        size: int = 0,
    ) -> File:  # fmt: skip
        """A file of a stream of bytes: `receive` and `keep`."""
        async with self.receive(who, chunks, size=size) as draft:
            return await self.keep(who, draft, filename=filename, purpose=purpose, media_type=media_type, seconds=seconds)

    def adopt(
        self, connection: Connection, source: Path, *, project: str, user: str, filename: str, purpose: str, size: int, digest: str,
        media_type: str = "", seconds: int | None = None,
    ) -> File:  # fmt: skip
        """Make a file of one that is on the disk, whole and flushed, within a transaction of the caller's, who removes `source` after it."""
        made = file_of(
            project=project, user=user, filename=filename, purpose=purpose, media_type=media_type, size=size, digest=digest, seconds=seconds
        )  # fmt: skip
        _ADD.many(connection, [_values(made)])
        self.folder.name(connection, source, made.id)
        self._known.grown(connection, {project: (1, size)})
        return made

    def _keep(self, connection: Connection, arrivals: Sequence[Arrival]) -> list[File | Exception | None]:
        """See `Arrivals`."""
        made: list[File | Exception | None] = []
        named: list[File] = []
        try:
            grown: dict[str, tuple[int, int]] = {}
            there = {project: self._known.taken(connection, project) for project in {one.file.project for one in arrivals}}
            for one in arrivals:
                file, (number, size), (before, taken) = one.file, grown.get(one.file.project, (0, 0)), there[one.file.project]
                try:
                    if one.future.cancelled():
                        made.append(None)
                        continue
                    self._demand(before + number, taken + size, file.bytes)
                    self.folder.name(connection, one.draft.path, file.id)
                except Exception as error:
                    made.append(error)
                    continue
                made.append(file)
                named.append(file)
                grown[file.project] = (number + 1, size + file.bytes)
            _ADD.many(connection, map(_values, named))
            self._known.grown(connection, grown)
        except BaseException:
            self.folder.unname([file.id for file in named])
            raise
        return made

    # Reading

    def get(self, who: Principal, file: str) -> File:
        return self._database.read(lambda connection: read_file(connection, who, file))

    def open(self, who: Principal, file: str) -> Path:
        """Where its bytes are; who has it open goes on reading it when it is removed."""
        return self.folder.path(self.get(who, file).id)

    async def read(self, who: Principal, file: str, limit: int) -> tuple[str, bytes]:
        """Its name and all of its bytes. Raises `TooLarge` where there are more than `limit`."""
        found = self.get(who, file)
        if found.bytes > limit:
            raise TooLarge(f"The file '{found.id}' has {found.bytes:,} bytes; here at most {limit:,} are read.")
        return found.filename, await asyncio.to_thread(self.folder.path(found.id).read_bytes)

    def list(
        self, who: Principal, *, purpose: str | None = None, after: str | None = None, limit: int = 10_000, order: Literal["asc", "desc"] = "desc"
    ) -> Page:
        """Those that follow `after` in that order of time."""

        def read(connection: Connection) -> Page:
            place = tuple_(files.c.created, files.c.id)
            query = select(files).where(seen_by(who))
            if purpose is not None:
                query = query.where(files.c.purpose == purpose)
            if after is not None:
                last = read_file(connection, who, after)
                query = query.where(place > (last.created, last.id) if order == "asc" else place < (last.created, last.id))
            ways = (files.c.created, files.c.id) if order == "asc" else (files.c.created.desc(), files.c.id.desc())
            rows = connection.execute(query.order_by(*ways).limit(limit + 1)).all()
            page = Page(as_file(row) for row in rows[:limit])
            page.more = len(rows) > limit
            return page

        return self._database.read(read)

    def demand_room(self, project: str, size: int) -> None:
        """Raises `TooLarge` where a project cannot keep so many bytes more, beside those that it has and those that are coming."""
        coming, lately = size + self._coming[project], self._lately.get(project)
        if lately is not None and time.monotonic() - lately[0] < _LATELY and lately[1] + coming < self._quota:
            return  # Whether there is room is asked again when the file gets its row.
        number, taken = self._database.read(lambda connection: _taken(connection, project))
        self._demand(number, taken, coming)
        self._lately[project] = (time.monotonic(), taken)

    def demand_room_within(self, connection: Connection, project: str, size: int) -> None:
        """The same within a transaction of the caller's that writes, and but for those that are coming."""
        self._demand(*self._known.taken(connection, project), size)

    def _demand(self, number: int, taken: int, size: int) -> None:
        if number >= _MOST_FILES:
            raise TooLarge(f"The project has {number:,} files, the most that one may have. Remove some, then try again.")
        if taken + size > self._quota:
            raise TooLarge(
                f"The files of this project may take {gigabytes(self._quota)} (project_files), of which {gigabytes(taken)} are taken. "
                "Remove some, then try again."
            )

    # Removing

    async def delete(self, who: Principal, file: str) -> None:
        """The bytes as well: when this returns they are gone from the disk."""

        def write(connection: Connection) -> None:
            read_file(connection, who, file)
            connection.execute(delete(files).where(files.c.id == file))

        await self._database.write(write)
        await self.folder.remove([file])
        self.gone()

    async def erase(self, *, project: str | None = None, user: str | None = None) -> int:
        """All files and uploads of a project, of a person, or of a person in a project. Returns how many files there were. Bytes are gone, too,
        when this returns; also those whose rows went with their project."""
        count, names = await self._database.write(lambda connection: forget_files(connection, project=project, user=user))
        await self.folder.remove(names)
        await self.collect()
        self.gone()
        return count

    # Upkeep

    def start(self) -> None:
        """Begin to look after what expires. Needs a running event loop."""
        if self._sweeping is None:
            self._sweeping = asyncio.create_task(self._run(), name="files")

    async def stop(self) -> None:
        sweeping, self._sweeping = self._sweeping, None
        if sweeping is not None:
            sweeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await sweeping

    async def _run(self) -> None:
        round_ = 0
        while True:
            try:
                await self.sweep()
                if round_ % _COLLECT_EVERY == 0:
                    await self.collect()
            except HausgeistError as error:
                log.warning("expired files could not be removed: %s", error.message)
            round_ += 1
            await asyncio.sleep(_SWEEP_SECONDS)

    async def sweep(self) -> None:
        """Remove what has expired."""
        now = time.time()
        lost = and_(uploads.c.status == "pending", uploads.c.expires <= now)
        done = and_(uploads.c.status != "pending", uploads.c.created < now - _UPLOADS_KEPT)
        if not self._database.read(lambda connection: _any(connection, files.c.expires <= now) or _any(connection, or_(lost, done))):
            return

        def write(connection: Connection) -> list[str]:
            gone = list(connection.execute(select(files.c.id).where(files.c.expires <= now)).scalars())
            parts = list(connection.execute(select(upload_parts.c.id).where(upload_parts.c.upload.in_(select(uploads.c.id).where(lost)))).scalars())
            connection.execute(delete(upload_parts).where(upload_parts.c.id.in_(parts)))
            connection.execute(update(uploads).where(lost).values(status="expired"))
            connection.execute(delete(uploads).where(done))
            connection.execute(delete(files).where(files.c.expires <= now))
            return [*gone, *parts]

        await self.folder.remove(await self._database.write(write))
        self.gone()

    async def collect(self) -> None:
        """Remove names without rows: what a crash left, and what went with its project."""
        known = await asyncio.to_thread(self._database.read, _known)
        found = [name for name in await asyncio.to_thread(self.folder.names) if name not in known]
        if not found:
            return

        def write(connection: Connection) -> list[str]:
            # A name that was given since then has its row by now: nobody else is within a transaction that writes.
            known = _known(connection)
            return [name for name in found if name not in known]

        await self.folder.remove(await self._database.write(write, flush=False))


def forget_files(connection: Connection, *, project: str | None = None, user: str | None = None) -> tuple[int, Sequence[str]]:
    """Within a transaction: the rows of all files and uploads of a project, of a person, or of a person in a project. How many files there were, and
    the names whose bytes may go after it; `collect` finds those, too."""
    if project is None and user is None:
        raise ValueError("say whose")
    named = [(name, value) for name, value in (("project", project), ("user", user)) if value is not None]
    which = [and_(*(table.c[name] == value for name, value in named)) for table in (files, uploads)]
    gone = list(connection.execute(select(files.c.id).where(which[0])).scalars())
    brought = select(uploads.c.id).where(which[1])
    parts = list(connection.execute(select(upload_parts.c.id).where(upload_parts.c.upload.in_(brought))).scalars())
    connection.execute(delete(uploads).where(which[1]))
    connection.execute(delete(files).where(which[0]))
    return len(gone), [*gone, *parts]


def read_file(connection: Connection, who: Principal, file: str) -> File:
    """Raises `NotFound`."""
    row = connection.execute(select(files).where(files.c.id == file, seen_by(who))).one_or_none()
    if row is None:
        raise NotFound(f"There is no file '{shown(file)}'.")
    return as_file(row)


def demand_files(connection: Connection, who: Principal, wanted: Sequence[str]) -> None:
    """Raises `NotFound` for the first that is not there."""
    there = {file for (file,) in _SEEN_AMONG.rows(connection, {"wanted": json.dumps(list(wanted)), **seeing(who)})}
    for one in wanted:
        if one not in there:
            raise NotFound(f"There is no file '{shown(one)}'.")


def gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 100_000_000 else f"{size / 1e6:.1f} MB"


class _Taken:
    """How many files a project has, and their bytes with those that unfinished uploads have announced. To count them takes the longer the more there
    are; so what was counted is remembered for as long as files and uploads stay as they are but for `grown`. Asked within writes only."""

    def __init__(self) -> None:
        self._state = _State(0, 0, 0)
        self._counted: dict[str, tuple[int, int]] = {}

    def taken(self, connection: Connection, project: str) -> tuple[int, int]:
        if (state := _State.of(connection)) != self._state:
            self._state, self._counted = state, {}
        if project not in self._counted:
            self._counted[project] = _taken(connection, project)
        return self._counted[project]

    def grown(self, connection: Connection, by: Mapping[str, tuple[int, int]]) -> None:
        """Files have just been added, by one statement: of each project how many, and their bytes."""
        state, number = _State.of(connection), sum(number for number, _ in by.values())
        if state == replace(self._state, changes=self._state.changes + number):
            self._state = state
            for project, (more, size) in by.items():
                if (found := self._counted.get(project)) is not None:
                    self._counted[project] = (found[0] + more, found[1] + size)


@dataclass(frozen=True, slots=True)
class _State:
    """Differs whenever files or uploads have changed: `version` where another connection has written anything, `changes` for each row that this one
    has added, changed or removed, `undone` where that was taken back; and now and then, as uploads end by themselves."""

    version: int
    changes: int
    undone: int
    turn: int = -1

    @classmethod
    def of(cls, connection: Connection) -> _State:
        raw = driver_of(connection)
        version = int(raw.execute("PRAGMA data_version").fetchone()[0])
        return cls(version, _changes(raw), undone(connection), int(time.monotonic() / _NOW_AND_THEN))


def _changes(raw: sqlite3.Connection) -> int:
    """Counted by triggers of this connection alone, which the database does not keep; they begin when they are asked for the first time."""
    try:
        return int(raw.execute(_CHANGES).fetchone()[0])
    except sqlite3.OperationalError:
        for statement in _COUNTING:
            raw.execute(statement)
        return int(raw.execute(_CHANGES).fetchone()[0])


_NOW_AND_THEN: Final = 60.0
"""Seconds."""
_CHANGES: Final = "SELECT number FROM temp.changed_files"
_COUNTING: Final = (
    "CREATE TEMP TABLE changed_files (number INTEGER NOT NULL)",
    "INSERT INTO temp.changed_files VALUES (abs(random() / 2))",
    *(
        f"CREATE TEMP TRIGGER {what}_{table} AFTER {what} ON main.{table} BEGIN UPDATE changed_files SET number = number + 1; END"  # noqa: S608
        for table in (files.name, uploads.name)
        for what in ("insert", "update", "delete")
    ),
)
"""They begin anywhere: should their own making be taken back, what is counted after it is never what was counted before."""


def _taken(connection: Connection, project: str) -> tuple[int, int]:
    number, kept = connection.execute(select(func.count(), func.coalesce(func.sum(files.c.bytes), 0)).where(files.c.project == project)).one()
    pending = (uploads.c.project == project, uploads.c.status == "pending", uploads.c.expires > time.time())
    announced = connection.execute(select(func.coalesce(func.sum(uploads.c.bytes), 0)).where(*pending)).scalar_one()
    return number, kept + announced


def seen_by(who: Principal) -> ColumnElement[bool]:
    """What batches have answered belongs to who asked, as the batches do."""
    return _seen(**seeing(who))


def seeing(who: Principal) -> dict[str, Any]:
    """The values of `SEEN`, at this moment."""
    return {"seen_project": who.project, "seen_user": who.user, "seen_now": time.time()}


def _seen(*, seen_project: Any, seen_user: Any, seen_now: Any) -> ColumnElement[bool]:
    shared = or_(files.c.purpose != ANSWERS, files.c.user == seen_user)
    return and_(files.c.project == seen_project, shared, or_(files.c.expires.is_(None), files.c.expires > seen_now))


SEEN: Final = _seen(**{name: bindparam(name) for name in ("seen_project", "seen_user", "seen_now")})
"""`seen_by` of a statement that is made once and used by everyone: with the values of `seeing`."""
_WANTED: Final = func.json_each(bindparam("wanted")).table_valued("value")
"""As JSON: one value however many they are."""
_SEEN_AMONG: Final = Prepared(select(files.c.id).where(files.c.id.in_(select(_WANTED.c.value)), SEEN))


def _any(connection: Connection, which: ColumnElement[bool]) -> bool:
    return connection.execute(select(1).where(which).limit(1)).first() is not None


def _known(connection: Connection) -> Collection[str]:
    return {*connection.execute(select(files.c.id)).scalars(), *connection.execute(select(upload_parts.c.id)).scalars()}

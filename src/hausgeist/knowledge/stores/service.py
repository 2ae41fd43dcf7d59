"""The verbs of vector stores: made, filled, changed, removed, by the members of the project that they belong to.

Whether a caller may do these things at all is decided at the door (`governance`). A store of another project is not found.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from hausgeist.errors import InvalidRequest, TooLarge
from hausgeist.files.service import demand_files
from hausgeist.identity import Principal
from hausgeist.knowledge.records import file_batches, new_id, store_files, vector_stores
from hausgeist.knowledge.stores import rows
from hausgeist.knowledge.stores.ingest import Ingest
from hausgeist.knowledge.stores.rows import Order
from hausgeist.knowledge.stores.values import Attachment, Batch, Counts, FileStatus, Page, Progress, Store, StoreFile
from hausgeist.store.database import Database
from hausgeist.store.prepared import Change, Insert

__all__ = ["MOST_IN_BATCH", "Stores", "Unset"]

MOST_IN_BATCH: Final = 2000
_MOST_STORES: Final = 10_000
"""Of one project: each takes a row and, once there is something in it, a folder."""
_MOST_FILED: Final = 1_000_000
"""Files in all stores of one project: each is passages, vectors and words of its own, also where it is the same file."""
_MOST_WAITING: Final = 100_000
"""Files of one project that may wait to be read."""
_TOUCH_SECONDS: Final = 60.0
"""How exactly "last active" is known."""
_READING: Final = 32
"""Files that are told of as being read."""


_ADD_FILES: Final = Insert(store_files, [column.name for column in store_files.columns])
_ROW: Final = itemgetter(*(column.name for column in store_files.columns))
_KEPT: Final = ("store", "file", "created")
_ACTIVE: Final = Change(update(vector_stores).where(vector_stores.c.id == bindparam("which")).values(active=bindparam("now")))


class Unset:
    """What a change leaves as it is."""


_UNSET: Final = Unset()


class Stores:
    """Everything raises `NotFound` for a store, a file or a batch that is not the project's."""

    def __init__(self, database: Database, ingest: Ingest, *, changed: Callable[[], object] = lambda: None) -> None:
        """`changed`: called when something has left a store, and there is something to clear away."""
        self._database = database
        self._ingest = ingest
        self._changed = changed
        self._touched: dict[str, float] = {}

    # Stores

    async def create(
        self, who: Principal, *, name: str = "", description: str = "", metadata: Mapping[str, str] | None = None, expires_days: int | None = None,
        files: Sequence[Attachment] = (),
    ) -> Store:  # fmt: skip
        """A store with these files, which are taken in from now on. Raises `TooLarge` where the project has too many stores."""
        now, store = time.time(), new_id("vs_")

        def write(connection: Connection) -> Store:
            count = connection.execute(select(func.count()).select_from(vector_stores).where(vector_stores.c.project == who.project)).scalar_one()
            if count >= _MOST_STORES:
                raise TooLarge(f"The project has {count:,} vector stores, the most that one may have. Remove some, then try again.")
            connection.execute(
                insert(vector_stores).values(
                    id=store,
                    project=who.project,
                    user=who.user,
                    created=now,
                    active=now,
                    name=name,
                    description=description,
                    metadata=json.dumps(dict(metadata or {})),
                    expires_days=expires_days,
                    embedder="",
                    mark=0,
                    gone=0,
                )
            )
            self._attach(connection, who, store, files, batch=None)
            return rows.find_store(connection, who, store)

        made = await self._database.write(write)
        self._ingest.jobs.wake()
        return made

    def get(self, who: Principal, store: str) -> Store:
        return self._database.read(lambda connection: rows.find_store(connection, who, store))

    def list(
        self, who: Principal, *, after: str | None = None, before: str | None = None, limit: int = 20, order: Order = "desc"
    ) -> Page[Store]:  # fmt: skip
        """Those that follow `after` in that order of time."""
        return self._database.read(lambda connection: rows.list_stores(connection, who, after=after, before=before, limit=limit, order=order))

    async def update(
        self, who: Principal, store: str, *, name: str | Unset = _UNSET, metadata: Mapping[str, str] | Unset | None = _UNSET,
        expires_days: int | Unset | None = _UNSET,
    ) -> Store:  # fmt: skip
        """What is not given stays as it is."""
        values: dict[str, Any] = {"active": time.time()}
        if not isinstance(name, Unset):
            values["name"] = name
        if not isinstance(metadata, Unset):
            values["metadata"] = json.dumps(dict(metadata or {}))
        if not isinstance(expires_days, Unset):
            values["expires_days"] = expires_days

        def write(connection: Connection) -> Store:
            rows.demand_alive(rows.find_store(connection, who, store))
            connection.execute(update(vector_stores).where(vector_stores.c.id == store).values(values))
            return rows.find_store(connection, who, store)

        return await self._database.write(write)

    async def erase(self, *, project: str | None = None, user: str | None = None) -> int:
        """All stores of a project; of a person (in a project, or in all) those that they made and in which nothing is. How many. After the files."""
        if project is None and user is None:
            raise ValueError("say whose")
        which = [vector_stores.c[name] == value for name, value in (("project", project), ("user", user)) if value is not None]
        if user is not None:
            which.append(vector_stores.c.id.not_in(select(store_files.c.store)))
        blank = update(vector_stores).where(*which, vector_stores.c.gone == 0).values(gone=1, name="", description="", metadata="{}")
        count = await self._database.write(lambda connection: connection.execute(blank).rowcount)
        self._changed()
        return count

    async def delete(self, who: Principal, store: str) -> None:
        """It is not found any more; what was in it is cleared away at once, in the background. The files themselves stay."""

        def write(connection: Connection) -> None:
            rows.demand_store(connection, who, store)
            connection.execute(update(vector_stores).where(vector_stores.c.id == store).values(gone=1, name="", description="", metadata="{}"))

        await self._database.write(write)
        self._changed()

    def touch(self, store: str) -> None:
        """It was searched: so it is active. Known to a minute."""
        now = time.time()
        if now - self._touched.get(store, 0.0) < _TOUCH_SECONDS:
            return
        if len(self._touched) > _MOST_STORES:
            self._touched.clear()
        self._touched[store] = now
        self._database.post(lambda connection: connection.execute(update(vector_stores).where(vector_stores.c.id == store).values(active=now)))

    # Files

    async def attach(self, who: Principal, store: str, wanted: Attachment) -> StoreFile:
        """Put a file into a store; it is taken in from now on. Said again, it changes the attributes, and tries again what has failed."""

        def write(connection: Connection) -> StoreFile:
            rows.demand_alive(rows.demand_store(connection, who, store))
            self._attach(connection, who, store, [wanted], batch=None)
            self._active(connection, store)
            return rows.find_file(connection, who, store, wanted.file)

        found = await self._database.write(write)
        self._ingest.jobs.wake()
        return found

    def file(self, who: Principal, store: str, file: str) -> StoreFile:
        return self._database.read(lambda connection: rows.find_file(connection, who, store, file))

    def files(
        self, who: Principal, store: str, *, batch: str | None = None, status: FileStatus | None = None, after: str | None = None,
        before: str | None = None, limit: int = 20, order: Order = "desc",
    ) -> Page[StoreFile]:  # fmt: skip
        """Those that follow `after` in that order of time."""
        return self._database.read(
            lambda connection: rows.list_files(
                connection, who, store, batch=batch, status=status, after=after, before=before, limit=limit, order=order
            )
        )

    async def set_attributes(self, who: Principal, store: str, file: str, attributes: Mapping[str, Any]) -> StoreFile:
        """All of them anew."""

        def write(connection: Connection) -> StoreFile:
            rows.demand_alive(rows.demand_store(connection, who, store))
            rows.find_file(connection, who, store, file)
            connection.execute(_one(store, file).values(attributes=json.dumps(dict(attributes))))
            self._active(connection, store)
            return rows.find_file(connection, who, store, file)

        return await self._database.write(write)

    async def detach(self, who: Principal, store: str, file: str) -> None:
        """Take a file out of a store. It is not found any more; what was cut from it is cleared away at once, in the background."""

        def write(connection: Connection) -> None:
            rows.find_file(connection, who, store, file)
            connection.execute(delete(store_files).where(store_files.c.store == store, store_files.c.file == file))
            self._active(connection, store)

        await self._database.write(write)
        self._ingest.stop(store, file)
        self._changed()

    # Batches

    async def create_batch(self, who: Principal, store: str, wanted: Sequence[Attachment]) -> Batch:
        """Put files into a store together. Raises `InvalidRequest` for none, and for too many."""
        if not 1 <= len(wanted) <= MOST_IN_BATCH:
            raise InvalidRequest(f"A batch has 1 to {MOST_IN_BATCH:,} files; this one has {len(wanted):,}.", param="file_ids")
        batch, now = new_id("vsfb_"), time.time()

        def write(connection: Connection) -> Batch:
            rows.demand_alive(rows.demand_store(connection, who, store))
            connection.execute(insert(file_batches).values(id=batch, store=store, created=now, cancelled=0))
            self._attach(connection, who, store, wanted, batch=batch)
            self._active(connection, store)
            return rows.find_batch(connection, who, store, batch)

        made = await self._database.write(write)
        self._ingest.jobs.wake()
        return made

    def batch(self, who: Principal, store: str, batch: str) -> Batch:
        return self._database.read(lambda connection: rows.find_batch(connection, who, store, batch))

    async def cancel_batch(self, who: Principal, store: str, batch: str) -> Batch:
        """What is not finished is not begun, or broken off; what is, stays. Said again, it changes nothing."""

        def write(connection: Connection) -> tuple[Sequence[str], Batch]:
            found = rows.find_batch(connection, who, store, batch)
            mine = (store_files.c.store == store, store_files.c.batch == batch, store_files.c.status == "in_progress")
            stopped = list(connection.execute(select(store_files.c.file).where(*mine)).scalars())
            if found.counts.in_progress:
                connection.execute(update(store_files).where(*mine).values(status="cancelled", entry=None))
                connection.execute(update(file_batches).where(file_batches.c.id == batch).values(cancelled=1))
            return stopped, rows.find_batch(connection, who, store, batch)

        stopped, found = await self._database.write(write)
        for file in stopped:
            self._ingest.stop(store, file)
        if stopped:
            self._changed()
        return found

    # How far it is

    def progress(self, who: Principal, store: str) -> Progress:
        """Of the files that are being taken in."""

        def read(connection: Connection) -> tuple[Counts, int, int]:
            found = rows.find_store(connection, who, store)
            sums = select(func.coalesce(func.sum(store_files.c.done), 0), func.coalesce(func.sum(store_files.c.total), 0))
            done, total = connection.execute(sums.where(store_files.c.store == store, store_files.c.status == "in_progress")).one()
            return found.counts, int(done), int(total)

        counts, done, total = self._database.read(read)
        begun = [one for one in self.files(who, store, status="in_progress", limit=1000, order="asc") if one.started is not None]
        rate = self._ingest.rate(store) if counts.in_progress else 0.0
        left = counts.in_progress / rate if rate else None if counts.in_progress else 0.0
        return Progress(
            counts=counts, pages_done=done, pages_total=total, files_per_second=rate, seconds_left=left, reading=tuple(begun[:_READING]),
            trouble=self._ingest.trouble(store),
        )  # fmt: skip

    def _attach(self, connection: Connection, who: Principal, store: str, wanted: Sequence[Attachment], *, batch: str | None) -> None:
        """Raises `TooLarge` where the project has too many files in its stores."""
        if not wanted:
            return
        numbers = rows.count_filed(connection, who.project)
        filed, waiting = sum(numbers.values()), numbers.get("in_progress", 0)
        if filed + len(wanted) > _MOST_FILED:
            raise TooLarge(f"The vector stores of this project have {filed:,} files; {_MOST_FILED:,} are the most. Remove some, then try again.")
        if waiting + len(wanted) > _MOST_WAITING:
            raise TooLarge(f"{waiting:,} files of this project wait to be read; {_MOST_WAITING:,} are the most. Try again when some are ready.")
        files = list(dict.fromkeys(one.file for one in wanted))
        demand_files(connection, who, files)
        there = rows.filed(connection, store, files)
        added: list[dict[str, Any]] = []
        begun: list[str] = []
        for one in {one.file: one for one in wanted}.values():
            values = self._values(connection, who, store, one, batch=batch)
            if (old := there.get(one.file)) is None:
                added.append(values)
            elif old[0] in ("completed", "in_progress") and old[1] == str(one.chunking) and one.replaces is None:
                connection.execute(_one(store, one.file).values(attributes=values["attributes"], batch=batch))
                continue
            else:
                connection.execute(_one(store, one.file).values({name: value for name, value in values.items() if name not in _KEPT}))
            begun.append(one.file)
        _ADD_FILES.many(connection, map(_ROW, added))
        self._ingest.add(connection, store, begun, waiting=waiting)

    def _values(
        self, connection: Connection, who: Principal, store: str, wanted: Attachment, *, batch: str | None
    ) -> dict[str, Any]:  # fmt: skip
        """The row of a file that is to be taken in."""
        if wanted.replaces is not None:
            rows.find_file(connection, who, store, wanted.replaces)
            if wanted.replaces == wanted.file:
                raise InvalidRequest("A file cannot take the place of itself.", param="replaces")
        return {
            "store": store, "file": wanted.file, "created": time.time(), "attributes": json.dumps(dict(wanted.attributes)), "batch": batch,
            "status": "in_progress", "error": None, "chunking": str(wanted.chunking), "replaces": wanted.replaces, "entry": None, "started": None,
            "done": 0, "total": 0,
        }  # fmt: skip

    def _active(self, connection: Connection, store: str) -> None:
        _ACTIVE.many(connection, [{"which": store, "now": time.time()}])


def _one(store: str, file: str) -> Any:
    return update(store_files).where(store_files.c.store == store, store_files.c.file == file)

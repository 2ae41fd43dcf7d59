"""What the verbs of stores read: SQL that always says whose store it is."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, Connection, Row, and_, bindparam, func, select, tuple_

from hausgeist.errors import InvalidRequest, NotFound, shown
from hausgeist.files.records import files
from hausgeist.identity import Principal
from hausgeist.knowledge.records import entries, file_batches, store_files, vector_stores
from hausgeist.knowledge.stores.values import Batch, Chunking, Counts, FileStatus, Page, Store, StoreFile, Trouble
from hausgeist.store.prepared import Prepared

__all__ = [
    "Order",
    "count_filed",
    "demand_alive",
    "demand_store",
    "filed",
    "find_batch",
    "find_file",
    "find_store",
    "list_files",
    "list_stores",
    "of_stores",
]

Order = Literal["asc", "desc"]


def find_store(connection: Connection, who: Principal, store: str) -> Store:
    """Raises `NotFound`."""
    return _filled(connection, [demand_store(connection, who, store)])[0]


def demand_alive(store: Store) -> Store:
    """Raises `InvalidRequest` for one that has expired."""
    if store.expired:
        raise InvalidRequest(f"The vector store '{store.id}' has expired: it was not used for {store.expires_days} days. Make a new one.")
    return store


def demand_store(connection: Connection, who: Principal, store: str) -> Store:
    """The store, but for what would have to be counted. Raises `NotFound`."""
    return _named(connection, who, [store])[store]


def of_stores(connection: Connection, who: Principal, stores: Sequence[str]) -> list[Store]:
    """Each of these, without counts. Raises `NotFound` for the first that is not the project's, `InvalidRequest` for one that has expired."""
    known = _named(connection, who, stores)
    return [demand_alive(known[store]) for store in dict.fromkeys(stores)]


def _named(connection: Connection, who: Principal, stores: Sequence[str]) -> Mapping[str, Store]:
    rows = _NAMED.rows(connection, {"project": who.project, "wanted": json.dumps(list(stores))})
    known = {store.id: store for store in (_store(dict(zip(vector_stores.columns.keys(), row, strict=True))) for row in rows)}
    for store in stores:
        if store not in known:
            raise NotFound(f"There is no vector store '{shown(store)}'.")
    return known


def list_stores(
    connection: Connection, who: Principal, *, after: str | None, before: str | None, limit: int, order: Order
) -> Page[Store]:  # fmt: skip
    def place(store: str) -> tuple[float, str]:
        found = find_store(connection, who, store)
        return found.created, found.id

    query = select(vector_stores).where(_ours(who))
    rows = _page(connection, query, (vector_stores.c.created, vector_stores.c.id), place, after=after, before=before, limit=limit, order=order)
    page = Page(_filled(connection, [_store(row._asdict()) for row in rows[:limit]]))
    page.more = len(rows) > limit
    return page


def find_file(connection: Connection, who: Principal, store: str, file: str) -> StoreFile:
    """Raises `NotFound`."""
    find = _files_query().where(_ours(who), vector_stores.c.id == store, store_files.c.file == file)
    row = connection.execute(find).one_or_none()
    if row is None:
        demand_store(connection, who, store)
        raise NotFound(f"There is no file '{shown(file)}' in the vector store '{shown(store)}'.")
    return _file(row)


def list_files(
    connection: Connection, who: Principal, store: str, *, batch: str | None, status: FileStatus | None, after: str | None, before: str | None,
    limit: int, order: Order,
) -> Page[StoreFile]:  # fmt: skip
    demand_store(connection, who, store)
    query = _files_query().where(_ours(who), vector_stores.c.id == store)
    if batch is not None:
        find_batch(connection, who, store, batch)
        query = query.where(store_files.c.batch == batch)
    if status is not None:
        query = query.where(store_files.c.status == status)

    def place(file: str) -> tuple[float, str]:
        found = find_file(connection, who, store, file)
        return found.created, found.file

    rows = _page(connection, query, (store_files.c.created, store_files.c.file), place, after=after, before=before, limit=limit, order=order)
    page = Page(_file(row) for row in rows[:limit])
    page.more = len(rows) > limit
    return page


def find_batch(connection: Connection, who: Principal, store: str, batch: str) -> Batch:
    """Raises `NotFound`."""
    demand_store(connection, who, store)
    row = connection.execute(select(file_batches).where(file_batches.c.id == batch, file_batches.c.store == store)).one_or_none()
    if row is None:
        raise NotFound(f"There is no file batch '{shown(batch)}' in the vector store '{shown(store)}'.")
    counts = dict(_OF_BATCH.rows(connection, {"batch": batch, "store": store}))
    return Batch(id=row.id, store=row.store, created=row.created, cancelled=bool(row.cancelled), counts=Counts(**counts))


def filed(connection: Connection, store: str, ids: Sequence[str]) -> dict[str, tuple[FileStatus, str]]:
    """Of these files, those that are in the store: their status and how they are cut."""
    rows = _FILED.rows(connection, {"store": store, "wanted": json.dumps(list(ids))})
    return {file: (status, chunking) for file, status, chunking in rows}


def count_filed(connection: Connection, project: str) -> dict[FileStatus, int]:
    """Files in all stores of a project."""
    numbers: Counter[FileStatus] = Counter()
    for status, number in _COUNTED.rows(connection, {"project": project}):
        numbers[status] += number
    return numbers


def _ours(who: Principal) -> ColumnElement[bool]:
    return _of_project(who.project)


def _of_project(project: Any) -> ColumnElement[bool]:
    return and_(vector_stores.c.project == project, vector_stores.c.gone == 0)


_WANTED: Final = func.json_each(bindparam("wanted")).table_valued("value")
"""As JSON: one value however many they are."""
_NAMED: Final = Prepared(select(vector_stores).where(_of_project(bindparam("project")), vector_stores.c.id.in_(select(_WANTED.c.value))))
_COUNTS: Final = Prepared(
    select(store_files.c.store, store_files.c.status, func.count())
    .where(store_files.c.store.in_(select(_WANTED.c.value)))
    .group_by(store_files.c.store, store_files.c.status)
)
_SIZES: Final = Prepared(
    select(entries.c.store, func.sum(entries.c.bytes)).where(entries.c.store.in_(select(_WANTED.c.value))).group_by(entries.c.store)
)
_OF_BATCH: Final = Prepared(
    select(store_files.c.status, func.count())
    .where(store_files.c.batch == bindparam("batch"), store_files.c.store == bindparam("store"))
    .group_by(store_files.c.status)
)
_FILED: Final = Prepared(
    select(store_files.c.file, store_files.c.status, store_files.c.chunking).where(
        store_files.c.store == bindparam("store"), store_files.c.file.in_(select(_WANTED.c.value))
    )
)
_COUNTED: Final = Prepared(
    select(store_files.c.status, func.count())
    .where(store_files.c.store.in_(select(vector_stores.c.id).where(vector_stores.c.project == bindparam("project"))))
    # In the order of their index; without the store it would be sorted.
    .group_by(store_files.c.store, store_files.c.status)
)


def _files_query() -> Any:
    names = (files.c.filename, func.coalesce(entries.c.bytes, 0).label("bytes"))
    joined = store_files.join(vector_stores, vector_stores.c.id == store_files.c.store).join(files, files.c.id == store_files.c.file)
    return select(store_files, *names).select_from(joined.outerjoin(entries, entries.c.id == store_files.c.entry))


def _page(
    connection: Connection, query: Any, columns: Sequence[Any], place: Any, *, after: str | None, before: str | None, limit: int, order: Order
) -> Sequence[Row[Any]]:
    """Rows that follow `after` and come ahead of `before`, in that order; one more than `limit` where there are more. Of `before` alone the page is
    the one that ends there."""
    at, up = tuple_(*columns), order == "asc"
    backwards = before is not None and after is None
    if after is not None:
        query = query.where(at > place(after) if up else at < place(after))
    if before is not None:
        query = query.where(at < place(before) if up else at > place(before))
    ways = columns if up != backwards else [column.desc() for column in columns]
    rows = list(connection.execute(query.order_by(*ways).limit(limit + 1)).all())
    if backwards:
        kept = rows[:limit][::-1]
        return [*kept, *rows[limit:]]
    return rows


def _filled(connection: Connection, stores: Sequence[Store]) -> list[Store]:
    """With how many files each has, and how large they are."""
    if not stores:
        return []
    wanted = {"wanted": json.dumps([one.id for one in stores])}
    counts: dict[str, dict[str, int]] = {}
    for store, status, number in _COUNTS.rows(connection, wanted):
        counts.setdefault(store, {})[status] = number
    sizes = dict(_SIZES.rows(connection, wanted))
    return [replace(one, counts=Counts(**counts.get(one.id, {})), bytes=int(sizes.get(one.id) or 0)) for one in stores]


def _store(row: Mapping[str, Any]) -> Store:
    values = {name: value for name, value in row.items() if name != "gone"}
    return Store(**{**values, "metadata": json.loads(row["metadata"]), "counts": Counts(), "bytes": 0})


def _file(row: Row[Any]) -> StoreFile:
    error = json.loads(row.error) if row.error else None
    return StoreFile(
        store=row.store, file=row.file, filename=row.filename, created=row.created, status=row.status,
        error=Trouble(error["code"], error["message"]) if error else None, attributes=json.loads(row.attributes),
        chunking=Chunking.parse(row.chunking), batch=row.batch, bytes=row.bytes, done=row.done, total=row.total, started=row.started,
    )  # fmt: skip

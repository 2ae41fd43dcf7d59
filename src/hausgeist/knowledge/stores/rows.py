"""What the verbs of stores read: SQL that always says whose store it is."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, Connection, Row, and_, bindparam, func, select, tuple_

from hausgeist.errors import InvalidRequest, NotFound, shown
from hausgeist.files.records import files
from hausgeist.identity import Principal
from hausgeist.knowledge.records import entries, file_batches, store_files, vector_stores
from hausgeist.knowledge.stores.values import Batch, Chunking, Counts, FileStatus, Page, Store, StoreFile, Trouble
from hausgeist.store.prepared import Prepared

__all__ = ["Order", "demand_alive", "demand_store", "filed", "find_batch", "find_file", "find_store", "list_files", "list_stores", "of_stores"]

Order = Literal["asc", "desc"]
_SOME = 500


def find_store(connection: Connection, who: Principal, store: str) -> Store:
    """Raises `NotFound`."""
    row = connection.execute(select(vector_stores).where(_ours(who), vector_stores.c.id == store)).one_or_none()
    if row is None:
        raise NotFound(f"There is no vector store '{shown(store)}'.")
    return _filled(connection, [row])[0]


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
    page = Page(_filled(connection, rows[:limit]))
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
    counted = connection.execute(
        select(store_files.c.status, func.count().label("n"))
        .where(store_files.c.batch == batch, store_files.c.store == store)
        .group_by(store_files.c.status)
    )
    counts = {row.status: int(row.n) for row in counted}
    return Batch(id=row.id, store=row.store, created=row.created, cancelled=bool(row.cancelled), counts=Counts(**counts))


def filed(connection: Connection, store: str, ids: Sequence[str]) -> dict[str, Row[Any]]:
    """Of these files, those that are in the store: their status and how they are cut."""
    found: dict[str, Row[Any]] = {}
    for at in range(0, len(ids), _SOME):
        query = select(store_files.c.file, store_files.c.status, store_files.c.chunking)
        query = query.where(store_files.c.store == store, store_files.c.file.in_(ids[at : at + _SOME]))
        found.update({row.file: row for row in connection.execute(query)})
    return found


def _ours(who: Principal) -> ColumnElement[bool]:
    return _of_project(who.project)


def _of_project(project: Any) -> ColumnElement[bool]:
    return and_(vector_stores.c.project == project, vector_stores.c.gone == 0)


_WANTED: Final = func.json_each(bindparam("wanted")).table_valued("value")
"""As JSON: one value however many they are."""
_NAMED: Final = Prepared(select(vector_stores).where(_of_project(bindparam("project")), vector_stores.c.id.in_(select(_WANTED.c.value))))


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


def _filled(connection: Connection, rows: Sequence[Row[Any]]) -> list[Store]:
    """With how many files each has, and how large they are."""
    ids = [row.id for row in rows]
    counts: dict[str, dict[str, int]] = {}
    if not ids:
        return []
    counted = (
        select(store_files.c.store, store_files.c.status, func.count().label("n"))
        .where(store_files.c.store.in_(ids))
        .group_by(store_files.c.store, store_files.c.status)
    )
    for row in connection.execute(counted):
        counts.setdefault(row.store, {})[row.status] = row.n
    summed = select(entries.c.store, func.sum(entries.c.bytes)).where(entries.c.store.in_(ids)).group_by(entries.c.store)
    sizes = {store: int(size) for store, size in connection.execute(summed)}
    return [_store(row._asdict(), Counts(**counts.get(row.id, {})), sizes.get(row.id, 0)) for row in rows]


def _store(row: Mapping[str, Any], counts: Counts = Counts(), size: int = 0) -> Store:  # noqa: B008
    values = {name: value for name, value in row.items() if name != "gone"}
    return Store(**{**values, "metadata": json.loads(row["metadata"]), "counts": counts, "bytes": size})


def _file(row: Row[Any]) -> StoreFile:
    error = json.loads(row.error) if row.error else None
    return StoreFile(
        store=row.store, file=row.file, filename=row.filename, created=row.created, status=row.status,
        error=Trouble(error["code"], error["message"]) if error else None, attributes=json.loads(row.attributes),
        chunking=Chunking.parse(row.chunking), batch=row.batch, bytes=row.bytes, done=row.done, total=row.total, started=row.started,
    )  # fmt: skip

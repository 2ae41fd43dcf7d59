"""The rows of the table `jobs`, and all SQL about them. A running job is changed only by the worker that holds its lease."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Column, Connection, Float, Integer, MetaData, Table, Text, bindparam, delete, select, update

from hausgeist.errors import NotFound
from hausgeist.store.prepared import Change, Insert, Prepared
from hausgeist.store.writer import driver_of

__all__ = [
    "Job",
    "Status",
    "add",
    "add_all",
    "cancel",
    "cancelling",
    "claim",
    "expire",
    "finish",
    "finish_all",
    "get",
    "is_due",
    "jobs",
    "metadata",
    "prune",
    "put_back",
    "recent",
    "renew",
    "retry",
    "save_progress",
    "workers",
]

Status = Literal["queued", "running", "done", "failed", "cancelled"]
_KEPT_TEXT = 4000
"""Messages and errors are for people; more of them would only fill the database."""

metadata = MetaData()
jobs = Table(
    "jobs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("key", Text),
    Column("payload", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("max_attempts", Integer, nullable=False),
    Column("run_at", Float, nullable=False),
    Column("worker", Text),
    Column("lease_until", Float),
    Column("cancelling", Integer, nullable=False),
    Column("done", Float, nullable=False),
    Column("total", Float),
    Column("message", Text, nullable=False),
    Column("result", Text),
    Column("error", Text),
    Column("created", Float, nullable=False),
    Column("started", Float),
    Column("finished", Float),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Something to do, being done, or done. Times are Unix times."""

    id: str
    kind: str
    key: str | None
    payload: Mapping[str, Any]
    priority: int
    status: Status
    attempts: int
    max_attempts: int
    cancelling: bool
    """Asked to stop, but still running."""
    done: float
    total: float | None
    message: str
    result: Mapping[str, Any] | None
    error: str | None
    """Of the last attempt that failed."""
    created: float
    started: float | None
    finished: float | None


_COLUMNS = tuple(column.name for column in jobs.columns)
_ALL = ", ".join(f'"{name}"' for name in _COLUMNS)
_OURS_TO_DO = "kind IN (SELECT value FROM json_each(:kinds))"
_WAITING = f"status = 'queued' AND run_at <= :now AND {_OURS_TO_DO}"
_LOST = f"status = 'running' AND lease_until < :now AND {_OURS_TO_DO}"
_IS_DUE = f"SELECT EXISTS (SELECT 1 FROM jobs WHERE {_WAITING}) OR EXISTS (SELECT 1 FROM jobs WHERE {_LOST})"  # noqa: S608
# By hand, and those that wait by themselves: along their index, so that of a hundred thousand only the first are looked at.
_NEXT = f"""
    SELECT {_ALL} FROM (
        SELECT * FROM (SELECT {_ALL}, run_at AS free FROM jobs WHERE {_WAITING} ORDER BY priority DESC, run_at, created, id LIMIT :most)
        UNION ALL
        SELECT * FROM (SELECT {_ALL}, lease_until AS free FROM jobs WHERE {_LOST} ORDER BY priority DESC, lease_until, created, id LIMIT :most)
    ) ORDER BY priority DESC, free, created, id LIMIT :most
"""  # noqa: S608
# By hand: the index of keys serves only who names its statuses in the text; with values beside it all that wait would be read.
_SAME = """
    SELECT id, key FROM jobs
    WHERE kind = :kind AND key IN (SELECT value FROM json_each(:keys)) AND key IS NOT NULL AND status IN ('queued', 'running')
"""
_NEW = (
    "id", "kind", "key", "payload", "priority", "status", "attempts", "max_attempts", "run_at", "cancelling", "done", "message", "created",
)  # fmt: skip
_ADD = Insert(jobs, _NEW)
_OURS = update(jobs).where(jobs.c.id == bindparam("ours"), jobs.c.status == "running", jobs.c.worker == bindparam("who"))
_HERE = update(jobs).where(jobs.c.id == bindparam("here"))
_TAKE = Change(
    _HERE.values(status="running", attempts=jobs.c.attempts + 1, started=bindparam("begun"), worker=bindparam("who"), lease_until=bindparam("until"))
)
_DONE = Change(_OURS.values(status="done", finished=bindparam("now"), result=None, worker=None, lease_until=None))
_CANCELLING = Prepared(select(jobs.c.id).where(jobs.c.status == "running", jobs.c.worker == bindparam("who"), jobs.c.cancelling == 1))


def add(connection: Connection, *, kind: str, payload: str, key: str | None, priority: int, run_at: float, max_attempts: int) -> str:
    if key is not None and (same := _same(connection, kind, [key]).get(key)) is not None:
        return same
    row = _row(kind, payload, key, priority, run_at, max_attempts)
    _ADD.many(connection, [row])
    return row[0]


def add_all(
    connection: Connection, *, kind: str, wanted: Sequence[tuple[str, str, int]], run_at: float, max_attempts: int
) -> None:  # fmt: skip
    """Many of a kind at once: key, payload and priority of each. One whose key is waiting or running is not added."""
    there = _same(connection, kind, [key for key, _, _ in wanted])
    added = {key: _row(kind, payload, key, priority, run_at, max_attempts) for key, payload, priority in wanted if key not in there}
    _ADD.many(connection, added.values())


def _same(connection: Connection, kind: str, keys: Sequence[str]) -> dict[str, str]:
    """Of these keys, those of jobs that are waiting or running, and which those are."""
    found = driver_of(connection).execute(_SAME, {"kind": kind, "keys": json.dumps(keys)})
    return {key: job for job, key in found}


def _row(kind: str, payload: str, key: str | None, priority: int, run_at: float, max_attempts: int) -> tuple[str, *tuple[Any, ...]]:
    """See `_NEW`."""
    return f"job_{secrets.token_hex(12)}", kind, key, payload, priority, "queued", 0, max_attempts, run_at, 0, 0.0, "", time.time()


def get(connection: Connection, job: str) -> Job:
    row = connection.execute(select(jobs).where(jobs.c.id == job)).first()
    if row is None:
        raise NotFound("There is no such job (any more).")
    return _job(row._asdict())


def recent(connection: Connection, *, kind: str | None, statuses: Collection[Status], limit: int | None) -> list[Job]:
    query = select(jobs).order_by(jobs.c.created.desc(), jobs.c.id).limit(limit)
    if kind is not None:
        query = query.where(jobs.c.kind == kind)
    if statuses:
        query = query.where(jobs.c.status.in_(statuses))
    return [_job(row._asdict()) for row in connection.execute(query)]


def is_due(connection: Connection, kinds: Sequence[str]) -> bool:
    return bool(driver_of(connection).execute(_IS_DUE, {"kinds": json.dumps(list(kinds)), "now": time.time()}).fetchone()[0])


def claim(connection: Connection, *, kinds: Sequence[str], worker: str, until: float, most: int = 1) -> list[Job]:
    """Take the next jobs, up to so many; none: nothing is due. One whose runners died with every attempt fails here: it may be what kills them."""
    now = time.time()
    taken: list[Job] = []
    begun: list[dict[str, Any]] = []
    asked = {"kinds": json.dumps(list(kinds)), "now": now, "most": most}
    while not taken and (rows := driver_of(connection).execute(_NEXT, asked).fetchall()):
        for values in rows:
            row = dict(zip(_COLUMNS, values, strict=True))
            ended = {"here": row["id"], "finished": now, "worker": None, "lease_until": None}
            if row["cancelling"]:
                connection.execute(_HERE, {**ended, "status": "cancelled"})
            elif row["attempts"] >= row["max_attempts"]:
                connection.execute(_HERE, {**ended, "status": "failed", "error": f"The process that ran it was killed, {row['attempts']} times."})
            else:
                row |= {"status": "running", "attempts": row["attempts"] + 1, "started": row["started"] or now, "cancelling": 0}
                begun.append({"here": row["id"], "begun": row["started"], "who": worker, "until": until})
                taken.append(_job(row))
    _TAKE.many(connection, begun)
    return taken


def renew(connection: Connection, *, ids: Sequence[str], worker: str, until: float) -> set[str]:
    """Returns which of the jobs are still this worker's."""
    ours = (jobs.c.id.in_(ids), jobs.c.status == "running", jobs.c.worker == worker)
    connection.execute(update(jobs).where(*ours).values(lease_until=until))
    return set(connection.execute(select(jobs.c.id).where(*ours)).scalars())


def cancelling(connection: Connection, worker: str) -> list[str]:
    """Jobs of this worker that somebody, perhaps in another process, asked to stop."""
    return [job for (job,) in _CANCELLING.rows(connection, {"who": worker})]


def cancel(connection: Connection, job: str) -> Job:
    now = time.time()
    connection.execute(update(jobs).where(jobs.c.id == job, jobs.c.status == "queued").values(status="cancelled", cancelling=1, finished=now))
    connection.execute(update(jobs).where(jobs.c.id == job, jobs.c.status == "running").values(cancelling=1))
    return get(connection, job)


def save_progress(connection: Connection, job: str, worker: str, *, done: float, total: float | None, message: str) -> bool:
    return _change(connection, job, worker, {"done": done, "total": total, "message": message[:_KEPT_TEXT]})


def finish(connection: Connection, job: str, worker: str, status: Status, *, result: str | None = None, error: str | None = None) -> bool:
    """Returns whether the job was still this worker's; if not, nothing was changed. So do the following."""
    ended = {"status": status, "finished": time.time(), "result": result, "worker": None, "lease_until": None}
    if error is not None:
        ended["error"] = error[:_KEPT_TEXT]
    return _change(connection, job, worker, ended)


def finish_all(connection: Connection, ours: Sequence[str], worker: str) -> int:
    """Many that are done at once, without a result; how many of them were still this worker's."""
    now = time.time()
    return _DONE.many(connection, [{"ours": job, "who": worker, "now": now} for job in ours])


def retry(connection: Connection, job: str, worker: str, *, run_at: float, error: str) -> bool:
    """Wait for the next attempt; a job that was asked to stop meanwhile has stopped."""
    if get(connection, job).cancelling:
        return finish(connection, job, worker, "cancelled", error=error)
    later = {"status": "queued", "run_at": run_at, "error": error[:_KEPT_TEXT], "worker": None, "lease_until": None}
    return _change(connection, job, worker, later)


def put_back(connection: Connection, job: str, worker: str) -> bool:
    """As if it had not been taken: the attempt does not count. One that was done in this moment, in a transaction of its handler, stays done."""
    there = get(connection, job)
    if there.finished:
        return True
    if there.cancelling:
        return finish(connection, job, worker, "cancelled")
    again = {"status": "queued", "run_at": time.time(), "attempts": jobs.c.attempts - 1, "worker": None, "lease_until": None}
    return _change(connection, job, worker, again)


def prune(connection: Connection, before: float) -> None:
    """Forget what was finished before that time."""
    connection.execute(delete(jobs).where(jobs.c.status.in_(("done", "failed", "cancelled")), jobs.c.finished < before))


def workers(connection: Connection) -> list[str]:
    """Who runs something, or did so when it was killed."""
    return list(connection.execute(select(jobs.c.worker).distinct().where(jobs.c.status == "running", jobs.c.worker.is_not(None))).scalars())


def expire(connection: Connection, dead: Sequence[str]) -> None:
    """End the leases of workers that are known to be dead."""
    connection.execute(update(jobs).where(jobs.c.status == "running", jobs.c.worker.in_(dead)).values(lease_until=0.0))


def _change(connection: Connection, job: str, worker: str, values: Mapping[str, Any]) -> bool:
    return connection.execute(_OURS.values(dict(values)), {"ours": job, "who": worker}).rowcount == 1


def _job(row: Mapping[str, Any]) -> Job:
    return Job(
        id=row["id"],
        kind=row["kind"],
        key=row["key"],
        payload=json.loads(row["payload"]),
        priority=row["priority"],
        status=row["status"],
        attempts=row["attempts"],
        max_attempts=row["max_attempts"],
        cancelling=bool(row["cancelling"]) and row["status"] == "running",
        done=row["done"],
        total=row["total"],
        message=row["message"],
        result=json.loads(row["result"]) if row["result"] is not None else None,
        error=row["error"],
        created=row["created"],
        started=row["started"],
        finished=row["finished"],
    )

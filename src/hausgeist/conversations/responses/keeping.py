"""Rows of responses: how one is accepted, told of as it goes on, taken by a process, finished, and found again. Within transactions.

Events are kept in batches: a row has some in a row, and the number of the first.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, func, insert, or_, select, text, update

from hausgeist.conversations.records import conversations, items, owned, response_events, response_figures, response_items, responses
from hausgeist.conversations.responses.ask import kept
from hausgeist.conversations.responses.run import Run
from hausgeist.conversations.service import HEAD, add_items, all_items, path_of, read_conversation, scrub_soon
from hausgeist.errors import Locked, NotFound, shown
from hausgeist.identity import Principal
from hausgeist.store.processes import is_dead

__all__ = [
    "GOING",
    "Batch",
    "accept",
    "cancel",
    "claim",
    "demand_free",
    "events_of",
    "find",
    "find_all_busy",
    "find_busy",
    "finish",
    "orphans",
    "put_back",
    "rebuilt",
    "remove",
    "renew",
    "write_events",
]

GOING: Final = ("queued", "in_progress")
_IS_GOING: Final = text("responses.status IN ('queued', 'in_progress')")
"""Spelled out, as the partial index has it: with parameters, all responses would be read."""
_SEPARATOR: Final = "\n\n"


@dataclass(frozen=True, slots=True)
class Batch:
    """Events of a response that follow one another."""

    response: str
    first: int
    events: Sequence[bytes]


def accept(connection: Connection, run: Run, worker: str | None, until: float | None) -> None:
    """Write down that it is asked, with its input. Raises `Locked` where another response is being made in the conversation, `NotFound` where
    that was deleted meanwhile."""
    ask, response = run.ask, run.response
    if ask.conversation is not None:
        demand_free(connection, run.who, ask.conversation)
    connection.execute(
        insert(responses).values(
            id=run.id, project=run.who.project, user=run.who.user, created=time.time(), status=response["status"], background=int(ask.background),
            model=ask.model, conversation=ask.conversation, previous=ask.previous, request=kept(ask, run.who, run.origin),
            input=json.dumps(list(ask.input), ensure_ascii=False), body=json.dumps({**response, "output": []}, ensure_ascii=False), worker=worker,
            lease_until=until, cancelling=0, attempts=0,
        )
    )  # fmt: skip
    _note(connection, run.id, ask.input)
    if ask.conversation is not None:
        add_items(connection, read_conversation(connection, run.who, ask.conversation), ask.input, response=run.id)


def demand_free(connection: Connection, who: Principal, conversation: str) -> None:
    """Raise `Locked` while a response is being made in this conversation, `NotFound` where there is none."""
    read_conversation(connection, who, conversation)
    if find_busy(connection, conversation):
        raise Locked(f"Another response is being made in the conversation '{conversation}'; wait until it has ended, or cancel it.")


def find_busy(connection: Connection, conversation: str) -> str | None:
    """The response that is being made in a conversation."""
    return connection.execute(select(responses.c.id).where(_IS_GOING, responses.c.conversation == conversation)).scalar()


def find_all_busy(connection: Connection, who: Principal) -> dict[str, str]:
    """By the conversation, the response that is being made in it."""
    busy = select(responses.c.conversation, responses.c.id).where(_IS_GOING, owned(responses, who), responses.c.conversation.is_not(None))
    return {row.conversation: row.id for row in connection.execute(busy)}


def finish(connection: Connection, run: Run, batch: Batch, worker: str) -> None:
    """Write down how it ended, with all that was said. Nothing is written of a response that was deleted, or taken over by another process."""
    now = time.time()
    changed = connection.execute(
        update(responses)
        .where(responses.c.id == run.id, responses.c.status.in_(GOING), or_(responses.c.worker == worker, responses.c.worker.is_(None)))
        .values(
            status=run.response["status"],
            finished=now,
            body=json.dumps(run.response, ensure_ascii=False),
            worker=None,
            lease_until=None,
            facts=json.dumps(run.facts, ensure_ascii=False) if run.facts else None,
        )
    )
    if not changed.rowcount:
        return
    if run.ask.conversation is not None and not _is_there(connection, run.ask.conversation):
        # It was removed meanwhile, and with it all that was said in it.
        connection.execute(delete(responses).where(responses.c.id == run.id))
        scrub_soon(connection)
        return
    if run.ask.background:
        write_events(connection, [batch])
    else:
        connection.execute(delete(response_events).where(response_events.c.response == run.id))
    output = run.output.items
    _note(connection, run.id, output)
    if run.ask.conversation is not None and output:
        _append(connection, run, output)
    if run.ask.conversation is not None:
        figures = {"conversation": run.ask.conversation, "response": run.id, "body": json.dumps(_figures(run, now), ensure_ascii=False)}
        connection.execute(insert(response_figures).prefix_with("OR REPLACE").values(figures))


def _figures(run: Run, completed: float) -> dict[str, Any]:
    """What making it took: Unix times, tokens, milliseconds; `None` where that is not known."""
    response = run.response
    usage, error = response.get("usage") or {}, response.get("error")
    return {
        "model": run.ask.model,
        "created": run.started,
        "completed": completed,
        "status": response["status"],
        "background": run.ask.background,
        "input_tokens": usage.get("input_tokens"),
        "output_tokens": usage.get("output_tokens"),
        "cached_tokens": (usage.get("input_tokens_details") or {}).get("cached_tokens"),
        "first_token_ms": None if run.first_token_ms is None else round(run.first_token_ms),
        "mode": (response.get("metadata") or {}).get("mode"),
        "error": {"code": error["code"], "message": error["message"]} if error else None,
    }


def _is_there(connection: Connection, conversation: str) -> bool:
    return connection.execute(select(conversations.c.id).where(conversations.c.id == conversation)).first() is not None


def _append(connection: Connection, run: Run, output: Sequence[Mapping[str, Any]]) -> None:
    """Behind the input, or behind what was added after it meanwhile; not where another branch is shown by now."""
    conversation = read_conversation(connection, run.who, str(run.ask.conversation))
    last = connection.execute(select(func.max(items.c.seq)).where(items.c.conversation == conversation.id, items.c.response == run.id)).scalar()
    there = last in (None, conversation.head) or any(item.seq == last for item in path_of(all_items(connection, conversation.id), conversation.head))
    add_items(connection, conversation, output, after=HEAD if there else last, response=run.id)


def _note(connection: Connection, response: str, bodies: Iterable[Mapping[str, Any]]) -> None:
    rows = [{"id": item, "response": response} for item in dict.fromkeys(str(body["id"]) for body in bodies)]
    if rows:
        connection.execute(insert(response_items).prefix_with("OR IGNORE"), rows)


def write_events(connection: Connection, batches: Sequence[Batch]) -> None:
    """Those of responses that were deleted meanwhile are left out."""
    there = set(connection.execute(select(responses.c.id).where(responses.c.id.in_([batch.response for batch in batches]))).scalars())
    rows = [
        {"response": batch.response, "number": batch.first, "body": b"".join(batch.events).decode()}
        for batch in batches
        if batch.events and batch.response in there
    ]
    if rows:
        connection.execute(insert(response_events).prefix_with("OR REPLACE"), rows)


def events_of(connection: Connection, response: str, after: int = -1) -> list[bytes]:
    """The events that are kept of a response, those with a number above `after`."""
    begin = select(func.max(response_events.c.number)).where(response_events.c.response == response, response_events.c.number <= after + 1)
    query = (
        select(response_events.c.number, response_events.c.body)
        .where(response_events.c.response == response, response_events.c.number >= func.coalesce(begin.scalar_subquery(), 0))
        .order_by(response_events.c.number)
    )
    found: list[bytes] = []
    for row in connection.execute(query):
        events = [f"{event}{_SEPARATOR}".encode() for event in row.body.split(_SEPARATOR) if event]
        found += events[max(0, after + 1 - row.number) :]
    return found


def rebuilt(events: Iterable[bytes]) -> list[dict[str, Any]]:
    """The output that these events told of; what was still being said is marked as not whole."""
    output: dict[int, dict[str, Any]] = {}
    for event in events:
        data = json.loads(event.split(b"\ndata: ", 1)[1])
        item = output.get(data.get("output_index", -1))
        match data["type"]:
            case "response.output_item.added" | "response.output_item.done":
                output[data["output_index"]] = data["item"]
            case "response.content_part.added" if item is not None:
                item["content"].append(data["part"])
            case "response.output_text.delta" | "response.reasoning_text.delta" if item is not None:
                item["content"][data["content_index"]]["text"] += data["delta"]
            case "response.output_text.annotation.added" if item is not None:
                item["content"][data["content_index"]]["annotations"].append(data["annotation"])
            case "response.refusal.delta" if item is not None:
                item["content"][data["content_index"]]["refusal"] += data["delta"]
            case "response.function_call_arguments.delta" | "response.mcp_call_arguments.delta" if item is not None:
                item["arguments"] += data["delta"]
    for item in output.values():
        if item.get("status") == "in_progress":
            item["status"] = "incomplete"
    return [output[index] for index in sorted(output)]


def find(connection: Connection, who: Principal, response: str) -> Row[Any]:
    """Raises `NotFound`."""
    row = connection.execute(select(responses).where(responses.c.id == response, owned(responses, who))).one_or_none()
    if row is None:
        raise NotFound(f"There is no response '{shown(response)}'. It may have been deleted, or made with 'store': false.")
    return row


def remove(connection: Connection, who: Principal, response: str) -> None:
    """With its events. What it said in a conversation stays there. Raises `NotFound`."""
    find(connection, who, response)
    connection.execute(delete(responses).where(responses.c.id == response))
    scrub_soon(connection)


def cancel(connection: Connection, who: Principal, response: str) -> Row[Any]:
    """Note that it shall end, for the process that makes it. Raises `NotFound`."""
    find(connection, who, response)
    connection.execute(update(responses).where(responses.c.id == response, responses.c.status.in_(GOING)).values(cancelling=1))
    return find(connection, who, response)


def renew(connection: Connection, ids: Sequence[str], worker: str, until: float) -> tuple[set[str], set[str]]:
    """Keep the leases of running ones; returns those that are still this process's, and those of them that shall end."""
    mine = (responses.c.id.in_(ids), responses.c.worker == worker, responses.c.status.in_(GOING))
    connection.execute(update(responses).where(*mine).values(lease_until=until))
    rows = connection.execute(select(responses.c.id, responses.c.cancelling).where(*mine)).all()
    return {row.id for row in rows}, {row.id for row in rows if row.cancelling}


def orphans(connection: Connection) -> list[Row[Any]]:
    """Responses that are not finished and that nobody makes: never taken, or taken by a process that has ended or not been heard of for long."""
    now = time.time()
    rows = connection.execute(select(responses).where(_IS_GOING))
    return [row for row in rows if row.worker is None or (row.lease_until or 0.0) < now or is_dead(row.worker)]


def claim(connection: Connection, row: Row[Any], worker: str, until: float) -> bool:
    """Take one of them, unless another process was faster."""
    same = responses.c.worker.is_(None) if row.worker is None else responses.c.worker == row.worker
    changed = connection.execute(
        update(responses)
        .where(responses.c.id == row.id, responses.c.status == row.status, same)
        .values(worker=worker, lease_until=until, attempts=responses.c.attempts + 1)
    )
    return bool(changed.rowcount)


def put_back(connection: Connection, run: Run, batch: Batch, worker: str) -> None:
    """Whoever starts next makes it."""
    write_events(connection, [batch])
    mine = (responses.c.id == run.id, responses.c.worker == worker)
    connection.execute(update(responses).where(*mine).values(status="queued", worker=None, lease_until=None, attempts=responses.c.attempts - 1))

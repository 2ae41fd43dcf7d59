"""What was said before: the items that a response follows, by the chain of responses or in a conversation, and items that are named by their id.

Read within a transaction, and only what belongs to who asks.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, bindparam, func, select, text

from hausgeist.conversations.records import conversations, items, owned, response_items, responses
from hausgeist.conversations.service import all_items, path_of, read_conversation, read_path
from hausgeist.errors import Conflict, InvalidRequest, NotFound, TooLarge, shown
from hausgeist.identity import Principal

__all__ = ["before", "chained", "demand_answers", "referred", "turns", "weight"]

_LONGEST: Final = 20_000
"""Responses in one chain."""
_MOST_BYTES: Final = 256 * 2**20
"""Of what was said before, as JSON: it is read whole."""
_CHAINED: Final = """
    WITH RECURSIVE chain (id, previous, conversation, depth) AS (
      SELECT id, previous, conversation, 0 FROM responses WHERE id = :id AND project = :project AND "user" = :user
      UNION ALL
      SELECT r.id, r.previous, r.conversation, depth + 1 FROM chain JOIN responses r ON r.id = chain.previous
      WHERE chain.conversation IS NULL AND depth < :longest AND r.project = :project AND r."user" = :user
    )
    """
_CHAIN = text(
    f"""{_CHAINED}
    SELECT r.id, r.status, r.previous, r.conversation, r.input, json_extract(r.body, '$.output') AS output
    FROM chain JOIN responses r ON r.id = chain.id ORDER BY depth DESC
    """  # noqa: S608
)
_CHAIN_SIZE = text(
    f"{_CHAINED} SELECT coalesce(sum(length(r.input) + length(r.body)), 0) FROM chain JOIN responses r ON r.id = chain.id"  # noqa: S608
)
_OF_RESPONSES = (
    select(responses.c.id, (func.length(responses.c.input) + func.length(responses.c.body)).label("size"))
    .join_from(response_items, responses, responses.c.id == response_items.c.response)
    .where(response_items.c.id == bindparam("item"))
    .order_by(responses.c.created.desc())
    .limit(1)
)
_OF_CONVERSATIONS = select(items.c.body).join_from(items, conversations, conversations.c.id == items.c.conversation)


def before(
    connection: Connection, who: Principal, *, previous: str | None, conversation: str | None, without: str | None = None
) -> list[Mapping[str, Any]]:
    """The items that came before; in a conversation, those of the response `without` are left out.

    Raises `NotFound`, and `Conflict` where the previous response is still being made.
    """
    if conversation is not None:
        found = read_conversation(connection, who, conversation)
        _demand_bearable(_size_of(connection, found.id))
        path = read_path(connection, found)
        return [item.body for item in path if without is None or item.response != without]
    return chained(connection, who, previous) if previous is not None else []


def chained(connection: Connection, who: Principal, previous: str) -> list[Mapping[str, Any]]:
    """All that was said in a response and those before it. Raises as `before` does."""
    asked = {"id": previous, "project": who.project, "user": who.user, "longest": _LONGEST}
    _demand_bearable(connection.execute(_CHAIN_SIZE, asked).scalar_one())
    rows = connection.execute(_CHAIN, asked).all()
    if not rows:
        raise NotFound(f"There is no response '{shown(previous)}'. It may have been deleted, or made with 'store': false.")
    if rows[-1].status in ("queued", "in_progress"):
        raise Conflict(f"The response '{previous}' is still being made; wait until it has ended, or cancel it.")
    first = rows[0]
    found: list[Mapping[str, Any]] = []
    if first.conversation is not None:
        found, rows = _until(connection, who, first.conversation, first.id), rows[1:]
    elif first.previous is not None:
        raise NotFound(f"The response '{first.previous}', which came before '{previous}', was deleted, so what was said cannot be gone on with.")
    for row in rows:
        found += json.loads(row.input)
        found += json.loads(row.output)
    return found


def _until(connection: Connection, who: Principal, conversation: str, response: str) -> list[Mapping[str, Any]]:
    """The conversation up to the end of a response in it. Raises `NotFound` where it, or what the response said, was deleted."""
    _demand_bearable(_size_of(connection, read_conversation(connection, who, conversation).id))
    tree = all_items(connection, conversation)
    last = max((item.seq for item in tree if item.response == response), default=None)
    if last is None:
        raise NotFound(f"What was said in the response '{response}' was deleted from its conversation, so it cannot be gone on with.")
    return [item.body for item in path_of(tree, last)]


def referred(connection: Connection, who: Principal, ids: Iterable[str]) -> dict[str, Mapping[str, Any]]:
    """Items by their ids, from responses and conversations. Raises `NotFound` naming the first that is not there."""
    found: dict[str, Mapping[str, Any]] = {}
    places: dict[str, list[str]] = {}
    sizes: dict[str, int] = {}
    for item in dict.fromkeys(ids):
        row = connection.execute(_OF_RESPONSES.where(owned(responses, who)), {"item": item}).first()
        if row is not None:
            places.setdefault(row.id, []).append(item)
            sizes[row.id] = row.size
        else:
            found[item] = _of_conversation(connection, who, item) or _missing(item)
            sizes[item] = weight(found[item])
        _demand_bearable(sum(sizes.values()))
    # Each response is read once, however many of its items are named.
    for response, named in places.items():
        row = connection.execute(select(responses.c.input, responses.c.body).where(responses.c.id == response)).one()
        bodies = {body["id"]: body for body in [*json.loads(row.input), *json.loads(row.body)["output"]]}
        found |= {item: bodies.get(item) or _of_conversation(connection, who, item) or _missing(item) for item in named}
    return found


def _size_of(connection: Connection, conversation: str) -> int:
    query = select(func.coalesce(func.sum(func.length(items.c.body)), 0)).where(items.c.conversation == conversation)
    return int(connection.execute(query).scalar_one())


def _demand_bearable(size: int) -> None:
    """Raise `TooLarge` for more text than is taken into memory for one request: no context holds so much."""
    if size > _MOST_BYTES:
        raise TooLarge(f"What was said before has more than {_MOST_BYTES >> 20} MiB, the limit for one request. Begin a new conversation.")


def _of_conversation(connection: Connection, who: Principal, item: str) -> Mapping[str, Any] | None:
    row = connection.execute(_OF_CONVERSATIONS.where(items.c.id == item, owned(conversations, who)).limit(1)).first()
    return json.loads(row.body) if row is not None else None


def _missing(item: str) -> Mapping[str, Any]:
    raise NotFound(f"There is no item '{shown(item)}'. Items of responses with 'store': false are not kept; send them whole.")


def weight(value: Any) -> int:
    """Characters in all texts of a JSON value: about what it takes in memory, where it is large."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(map(weight, value.values()))
    return sum(map(weight, value)) if isinstance(value, Sequence) else 1


def demand_answers(context: Sequence[Mapping[str, Any]]) -> None:
    """Raise `InvalidRequest` unless every call of a function has its output, and every output its call."""
    called: dict[str, bool] = {}
    for item in context:
        if item.get("type") == "function_call" and item.get("status") != "incomplete":
            called[str(item["call_id"])] = False
        elif item.get("type") == "function_call_output":
            call = str(item["call_id"])
            if call not in called:
                raise InvalidRequest(f"No tool call found for function call output with call_id {shown(call)}.", param="input")
            called[call] = True
    if missing := next((call for call, answered in called.items() if not answered), None):
        raise InvalidRequest(f"No tool output found for function call {shown(missing)}.", param="input")


def turns(context: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """The items by turns: each begins with what the user said; the first may be instructions alone, which never go."""
    found: list[list[Mapping[str, Any]]] = [[]]
    user = False
    for item in context:
        is_user = item.get("type", "message") == "message" and item.get("role") == "user"
        if is_user and not user:
            found.append([])
        user = is_user
        found[-1].append(item)
    return found

"""Lists in OpenAI's shape: what may stand behind the question mark of the address, and how a page is said."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from starlette.requests import Request

from hausgeist.errors import InvalidRequest, shown

__all__ = ["PAGING", "Paging", "page_body", "read_paging"]

PAGING = ("after", "limit", "order")
_USUAL, _MOST = 20, 100


@dataclass(frozen=True, slots=True)
class Paging:
    """Which part of a list is wanted."""

    after: str | None
    limit: int
    order: Literal["asc", "desc"]
    filters: Mapping[str, str]
    """What else was asked for, by name; `metadata[colour]` is a name."""


def read_paging(request: Request, *, order: Literal["asc", "desc"], filters: Collection[str] = (), usual: int = _USUAL, most: int = _MOST) -> Paging:
    """`order`, and `usual` as the limit: the defaults. `filters`: further names that are known here, those with keys as `metadata[]`.

    Raises `InvalidRequest`."""
    given: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        kind = f"{name.partition('[')[0]}[]" if name.endswith("]") else name
        if kind not in filters and kind not in PAGING:
            raise InvalidRequest(f"{shown(name, 80)}: there is no such parameter; leave it out", param=shown(name, 80))
        if name in given:
            raise InvalidRequest(f"{shown(name, 80)}: was given more than once", param=shown(name, 80))
        given[name] = value
    wanted = given.pop("order", order)
    if wanted not in ("asc", "desc"):
        raise InvalidRequest("order: should be 'asc' or 'desc'", param="order")
    limit = given.pop("limit", str(usual))
    if not (limit.isascii() and limit.isdecimal() and len(limit) <= 5 and 1 <= int(limit) <= most):
        raise InvalidRequest(f"limit: should be a number from 1 to {most}", param="limit")
    return Paging(given.pop("after", None), int(limit), cast("Literal['asc', 'desc']", wanted), given)


def page_body(data: Sequence[Mapping[str, Any]], *, more: bool) -> dict[str, Any]:
    """A page of things that have ids."""
    first, last = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return {"object": "list", "data": list(data), "first_id": first, "last_id": last, "has_more": more}

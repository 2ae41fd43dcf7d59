"""Filters on the attributes of files, as the API has them, become conditions of SQL: what may be found is decided before an index is asked.

A comparison holds for a value of the same kind only: a number is never equal to a text. `ne` and `nin` hold for files without the attribute, too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, bindparam, exists, func, literal, literal_column, or_, select, true

from hausgeist.errors import InvalidRequest, shown
from hausgeist.knowledge.records import store_files

__all__ = ["attributes_of", "condition"]

_DEEPEST: Final = 8
_LARGEST: Final = 2**63
_MOST: Final = 512
"""Comparisons, with all values of lists, in one filter."""
_COMPARED: Final = ("eq", "ne", "gt", "gte", "lt", "lte", "in", "nin")
_KINDS: Final[Mapping[type, tuple[str, ...]]] = {bool: ("true", "false"), int: ("integer", "real"), float: ("integer", "real"), str: ("text",)}


def condition(filters: Mapping[str, Any] | None) -> ColumnElement[bool]:
    """Of rows of `store_files`. Raises `InvalidRequest` naming what is wrong."""
    if filters is None:
        return true()
    left = [_MOST]
    return _condition(filters, "filters", 1, left)


def attributes_of(text: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(text)
    return found


def _condition(asked: Any, place: str, depth: int, left: list[int]) -> ColumnElement[bool]:
    if not isinstance(asked, Mapping):
        raise InvalidRequest(f"{place}: should be an object with a 'type'", param=place)
    kind = asked.get("type")
    if kind in ("and", "or"):
        parts = asked.get("filters")
        if set(asked) != {"type", "filters"} or not isinstance(parts, Sequence) or isinstance(parts, str) or not parts:
            raise InvalidRequest(f"{place}: '{kind}' takes a list of 'filters', at least one, and nothing else", param=place)
        if depth >= _DEEPEST:
            raise InvalidRequest(f"{place}: filters may be within each other {_DEEPEST} deep", param=place)
        found = [_condition(part, f"{place}.filters.{number}", depth + 1, left) for number, part in enumerate(parts)]
        return and_(*found) if kind == "and" else or_(*found)
    if kind not in _COMPARED:
        names = ", ".join((*_COMPARED, "and", "or"))
        raise InvalidRequest(f"{place}.type: there is no filter '{shown(str(kind), 40)}'; there are {names}", param=f"{place}.type")
    if set(asked) != {"type", "key", "value"} or not isinstance(asked["key"], str):
        raise InvalidRequest(f"{place}: '{kind}' takes a 'key', which is a text, a 'value', and nothing else", param=place)
    return _comparison(kind, asked["key"], asked["value"], place, left)


def _comparison(kind: str, key: str, value: Any, place: str, left: list[int]) -> ColumnElement[bool]:
    several = kind in ("in", "nin")
    listed = isinstance(value, Sequence) and not isinstance(value, str)
    if several and not listed:
        raise InvalidRequest(f"{place}.value: '{kind}' takes a list", param=f"{place}.value")
    values = list(value) if several else [value]
    if any(type(one) not in _KINDS for one in values):
        raise InvalidRequest(f"{place}.value: should be text, a number, or true or false", param=f"{place}.value")
    left[0] -= max(1, len(values))
    if left[0] < 0:
        raise InvalidRequest(f"filters: {_MOST} values are the most that a filter may compare with", param="filters")
    if kind in ("ne", "nin"):
        return ~_any("eq", key, values)
    return _any("eq" if kind == "in" else kind, key, values)


def _bound(value: Any) -> Any:
    """As SQLite compares it: true is 1, and whole numbers have 64 bits."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int) and abs(value) >= _LARGEST:
        return float(max(-(10**300), min(10**300, value)))
    return value


def _any(kind: str, key: str, values: Sequence[Any]) -> ColumnElement[bool]:
    """Whether the attribute compares so with one of these."""
    each = func.json_each(store_files.c.attributes).table_valued("key", "value", "type")
    tests: list[ColumnElement[bool]] = []
    for own in (bool, str, float):
        some = [value for value in values if (type(value) in (int, float) if own is float else type(value) is own)]
        if not some:
            continue
        right = [_bound(value) for value in some]
        kinds = each.c.type.in_(_KINDS[own])
        if kind == "eq":
            tests.append(and_(kinds, each.c.value.in_(right)))
        else:
            operator = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}[kind]
            tests += [and_(kinds, each.c.value.op(operator, is_comparison=True)(bindparam(None, one))) for one in right]
    if not tests:
        return literal(False)
    return exists(select(literal_column("1")).select_from(each).where(each.c.key == key, or_(*tests)).correlate(store_files))

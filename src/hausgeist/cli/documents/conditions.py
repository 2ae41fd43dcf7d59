"""What the options `--attribute` and `--filter` say: what is noted of files, and which files are meant by it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from hausgeist.cli.documents.shelf import NOTED
from hausgeist.errors import InvalidRequest

__all__ = ["filters_of", "read_attributes", "read_value"]

_RESERVED: Final = (*NOTED, "replaces")
_MOST: Final = 16 - len(_RESERVED)
"""Of the attributes that the API allows a file."""
_COMPARISONS: Final = (("!=", "ne"), (">=", "gte"), ("<=", "lte"), (">", "gt"), ("<", "lt"), ("=", "eq"))


def read_attributes(given: Sequence[str]) -> dict[str, object]:
    """`name=value` pairs; numbers and true/false as such. Raises `InvalidRequest`."""
    read: dict[str, object] = {}
    for one in given:
        name, equals, text = one.partition("=")
        if not equals or not name.strip():
            raise InvalidRequest(f"'{one}' should be NAME=VALUE.")
        if name.strip() in _RESERVED:
            raise InvalidRequest(f"'{name}' is noted of each file anyway; choose another name.")
        read[name.strip()] = read_value(text)
    if len(read) > _MOST:
        raise InvalidRequest(f"at most {_MOST} attributes can be noted of a file besides those that are noted anyway.")
    return read


def read_value(text: str) -> str | float | bool:
    """What is written as a number or as true or false is one; quotation marks keep it text."""
    if len(text) > 1 and text[0] == text[-1] == '"':
        return text[1:-1]
    if text in {"true", "false"}:
        return text == "true"
    try:
        number = float(text)
    except ValueError:
        return text
    # What does not come back the same ("007", "1e5", "nan") is a code rather than a number.
    if text.isascii() and text.lstrip("-").isdigit() and str(int(text)) == text:
        return int(text)
    return number if repr(number) == text and math.isfinite(number) else text


def filters_of(given: Sequence[str]) -> dict[str, Any] | None:
    """Conditions as the API has them, all of which must hold. Raises `InvalidRequest`."""
    conditions: list[dict[str, Any]] = []
    for one in given:
        signs = [(one.index(sign), sign, kind) for sign, kind in _COMPARISONS if sign in one]
        place, sign, kind = min(signs, default=(0, "", ""), key=lambda at: at[0])
        name, value = one[:place].strip(), one[place + len(sign) :].strip()
        if not sign or not name:
            raise InvalidRequest(f"'{one}' should be NAME=VALUE, or with !=, <, <=, > or >= instead.")
        conditions.append({"type": kind, "key": name, "value": read_value(value)})
    if not conditions:
        return None
    return conditions[0] if len(conditions) == 1 else {"type": "and", "filters": conditions}

"""What stands behind the question mark, read strictly: nothing is accepted and then ignored."""

from __future__ import annotations

import re
import time
from typing import Final

from starlette.requests import Request

from hausgeist.errors import InvalidRequest, shown

__all__ = ["number_in", "only", "time_in"]

_TIME: Final = re.compile(r"[0-9]{1,11}(\.[0-9]{1,9})?")


def only(request: Request, *names: str) -> None:
    """Raises `InvalidRequest` for a parameter that is not one of these, or that is there twice."""
    given = [name for name, _ in request.query_params.multi_items()]
    for name in given:
        if name not in names:
            known = f"there {'is' if len(names) == 1 else 'are'} {', '.join(names)}" if names else "there are none"
            raise InvalidRequest(f"There is no parameter '{shown(name)}' here; {known}.", param=name[:64])
        if given.count(name) > 1:
            raise InvalidRequest(f"'{name}' is there more than once.", param=name)


def number_in(request: Request, name: str, usual: int, *, least: int, most: int) -> int:
    """A whole number of the query, `usual` where it is not there. Raises `InvalidRequest`."""
    text = request.query_params.get(name)
    if text is None:
        return usual
    if not (text.isascii() and text.isdigit() and len(text) < 17 and least <= int(text) <= most):
        bounds = f"from {least} to {most}" if most < 2**53 else f"of at least {least}"
        raise InvalidRequest(f"'{name}' should be a whole number {bounds}.", param=name)
    return int(text)


def time_in(request: Request, name: str) -> float | None:
    """A time of the query, in seconds since 1970; `None` where it is not there. Raises `InvalidRequest`."""
    text = request.query_params.get(name)
    if text is None:
        return None
    if not _TIME.fullmatch(text):
        raise InvalidRequest(f"'{name}' should be a time in seconds since 1970, such as {int(time.time())}.", param=name)
    return float(text)

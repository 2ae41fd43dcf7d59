"""Request bodies: bytes into a checked pydantic model, and what is wrong with them in a sentence that names the place.

Hostile JSON ends here: depth, NaN, lone surrogates and broken UTF-8 are refused by the parser, unknown fields by the models (`Body`), and so many
values that reading them would keep everybody else waiting before either. No message repeats what was sent, which may be a password.
"""

from __future__ import annotations

import re
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails, from_json
from starlette.requests import Request

from hausgeist.errors import InvalidRequest, TooLarge

__all__ = ["Body", "announced", "json_body", "parse"]

M = TypeVar("M", bound=BaseModel)

_MOST_VALUES = 400_000
"""Each takes microseconds in which this server does nothing else, and far more memory than its bytes; OpenAI takes 300,000 tokens to embed."""
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_NAME = re.compile(r"[\w$]{1,80}")
_BRANCHES = {"str", "int", "float", "bool", "none"}


class Body(BaseModel):
    """Base of request models: what it does not name is refused, numbers are finite."""

    # Built when the first request of its kind comes: dozens of schemas at once would be felt at every start.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=(), defer_build=True)


async def json_body(request: Request, model: type[M]) -> M:
    """The request's body as `model`. Raises InvalidRequest, whose `param` is the path of the first fault."""
    return parse(await request.body(), model)


def announced(request: Request) -> int:
    """Bytes of the body, as its header says; 0: it does not. The gate has seen that it is a number."""
    return int(request.headers.get("content-length") or 0)


def parse(body: bytes, model: type[M]) -> M:
    """The same for bytes in hand."""
    # What is cheap to count bounds the number of values from above; strings are left out only where that is too many.
    if _marks(body) > _MOST_VALUES and _marks(_STRING.sub(b"", body)) > _MOST_VALUES:
        raise TooLarge(f"The request body holds more than {_MOST_VALUES} values; send it in several requests.")
    try:
        data = from_json(body, allow_inf_nan=False, cache_strings="none")
    except ValueError as error:
        raise InvalidRequest(f"The request body is not valid JSON: {error}.") from error
    if not isinstance(data, dict):
        raise InvalidRequest("The request body should be a JSON object.")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        # Of a union, each branch complains; the complaint that got furthest is about what the caller meant.
        worst = max(error.errors(include_url=False, include_context=False, include_input=False), key=lambda item: len(item["loc"]))
        place = _place(worst)
        raise InvalidRequest(f"{place}: {_complaint(worst)}" if place else _complaint(worst), param=place or None) from error


def _marks(text: bytes) -> int:
    """At least as many as there are values in lists and objects."""
    return sum(text.count(mark) for mark in (b",", b"[", b"{"))


def _place(error: ErrorDetails) -> str:
    """`messages.0.content`: without the names of union branches and validators that pydantic puts between."""
    return ".".join(str(part) for part in error["loc"] if isinstance(part, int) or (_NAME.fullmatch(part) and part not in _BRANCHES))


def _complaint(error: ErrorDetails) -> str:
    if error["type"] == "extra_forbidden":
        return "there is no such parameter; leave it out"
    if error["type"] == "missing":
        return "this field is required"
    return error["msg"].removeprefix("Value error, ")

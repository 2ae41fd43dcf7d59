"""/house/v1/settings: what every setting is, what it was set to and where. What is secret is never among it, only whether it is set."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hausgeist.http.endpoint import Endpoint
from hausgeist.http.house import HOUSE
from hausgeist.settings import FOREIGN, Settings, takes
from hausgeist.web.house.queries import only
from hausgeist.web.parts import Parts

__all__ = ["endpoints", "rows"]

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_SAYABLE: Final = re.compile(r"[a-z0-9_]+")
"""A name that a variable can hold."""


def endpoints(parts: Parts) -> list[Endpoint]:
    """The route."""

    async def index(request: Request) -> Response:
        only(request)
        return JSONResponse({"file": str(parts.settings.file), "data": list(rows(parts.settings))})

    summary = "The settings: values, defaults, and where they were set"
    return [Endpoint(method="GET", path="/house/v1/settings", handle=index, dialect=HOUSE, summary=summary, action="settings.read")]


def rows(settings: Settings) -> Iterator[dict[str, Any]]:
    """One for each setting. A table has one with the names of its entries, and then one for each setting of each of them."""
    for name, field in Settings.model_fields.items():
        value = getattr(settings, name)
        if not isinstance(value, dict):
            yield _row(settings, (name,), field, value)
            continue
        yield {**_row(settings, (name,), field, [_place(entry) for entry in value]), "default": [], "type": "a table"}
        for entry, section in value.items():
            assert isinstance(section, BaseModel)
            for key, below in type(section).model_fields.items():
                yield _row(settings, (name, entry, key), below, getattr(section, key))


def _row(settings: Settings, path: tuple[str, ...], field: FieldInfo, value: Any) -> dict[str, Any]:
    secret = field.repr is False
    source = settings.said(*path)
    default = None if secret or field.is_required() else field.get_default(call_default_factory=True)
    return {
        "name": ".".join(part if _BARE.fullmatch(part) else json.dumps(part, ensure_ascii=False) for part in map(_place, path)),
        "value": None if secret else _address(value) if path[-1] == "url" else _plain(value),
        "default": _plain(default),
        "help": field.description or "",
        "type": takes(field),
        "source": source,
        "variable": _variable(path, foreign=source == "other tool"),
        "secret": secret,
        **({"set": bool(value)} if secret else {}),
    }


def _variable(path: tuple[str, ...], *, foreign: bool) -> str | None:
    """The one that sets it; of other tools' variables, the one that did. `None`: it has a name that variables cannot have."""
    if foreign:
        return next((name for name in FOREIGN.get(path[0], ()) if os.environ.get(name)), None)
    return "HAUSGEIST_" + "__".join(path).upper() if all(map(_SAYABLE.fullmatch, path)) else None


def _plain(value: Any) -> Any:
    match value:
        case Path():
            return str(value)
        case tuple() | list():
            return [_plain(one) for one in value]
        case dict():
            return {key: _plain(one) for key, one in value.items()}
        case str():
            return _address(value) if "://" in value else value
        case _:
            return value


def _address(text: str) -> str:
    """Without the user and what stands behind the question mark: some servers take their tokens there."""
    try:
        parts = urlsplit(text)
        if not parts.netloc:
            return _place(text.partition("?")[0])
        return urlunsplit((parts.scheme, _place(parts.netloc), parts.path, "…" if parts.query else "", ""))
    except ValueError:
        return "…"


def _place(text: str) -> str:
    return text.rpartition("@")[2]

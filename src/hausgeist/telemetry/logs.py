"""Log lines: text for people or JSON for machines, on standard error. Prompts and answers are never in them.

Whoever logs passes facts as `extra={"fields": {...}}`. An exception is logged by its type and frames: its message may quote what a caller sent,
so it is shown only where it is one of ours.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, TextIO

from hausgeist.errors import HausgeistError
from hausgeist.settings import Settings

__all__ = ["configure"]

_NAME = "hausgeist"
_FOREIGN_LEVEL = logging.WARNING

_Exception = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


def configure(settings: Settings, *, stream: TextIO | None = None) -> None:
    """Send the log lines of this process to `stream` (standard error) as the settings say. Called once, at the start; again, it replaces."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_Json() if settings.log_format == "json" else _Text())
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(_FOREIGN_LEVEL)
    logging.getLogger(_NAME).setLevel(settings.log_level.upper())
    # What uvicorn has to say about a connection is our own access line, or noise that any port scan can make.
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    # A closed standard error must not produce a traceback per line on it.
    logging.raiseExceptions = False


class _Formatter(logging.Formatter):
    def formatException(self, ei: _Exception) -> str:  # noqa: N802
        """Types and frames of the whole chain, messages only of our own errors."""
        parts: list[str] = []
        error, seen = ei[1], set[int]()
        while error is not None and id(error) not in seen:
            seen.add(id(error))
            said = f": {error.message}" if isinstance(error, HausgeistError) else ""
            parts.append("".join(traceback.format_tb(error.__traceback__)) + f"{type(error).__module__}.{type(error).__qualname__}{said}")
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        return "\ncaused by\n".join(parts)


class _Text(_Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = f"{_time(record)} {record.levelname.lower():<7} {record.name}: {_one_line(_message(record))}"
        if fields := _fields(record):
            line += "  " + " ".join(f"{name}={_value(value)}" for name, value in fields.items())
        if record.exc_info and record.exc_info[1] is not None:
            line += "\n" + self.formatException(record.exc_info)
        return line


class _Json(_Formatter):
    def format(self, record: logging.LogRecord) -> str:
        said: dict[str, Any] = {"time": _time(record), "level": record.levelname.lower(), "logger": record.name, "message": _message(record)}
        for name, value in _fields(record).items():
            said.setdefault(name, value)
        if record.exc_info and record.exc_info[1] is not None:
            said["exception"] = self.formatException(record.exc_info)
        return json.dumps(said, default=str)


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="milliseconds")


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError):
        return str(record.msg)


def _fields(record: logging.LogRecord) -> Mapping[str, Any]:
    fields = getattr(record, "fields", None)
    return fields if isinstance(fields, Mapping) else {}


def _value(value: object) -> str:
    text = _one_line(str(value))
    return text if text and not any(character in text for character in ' "=') else json.dumps(text, ensure_ascii=False)


def _one_line(text: str) -> str:
    """A foreign line break or escape sequence must not forge a line of its own."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else character.encode("unicode_escape").decode("ascii") for character in text)

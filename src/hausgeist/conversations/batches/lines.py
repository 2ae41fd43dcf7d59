"""The file of requests: checked line by line before anything is asked, then read again as it is needed. Never whole in memory."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

from pydantic_core import from_json

__all__ = ["MOST_BYTES", "MOST_LINES", "Checked", "check", "requests"]

MOST_LINES: Final = 50_000
MOST_BYTES: Final = 200 << 20
_MOST_ERRORS: Final = 100
_MOST_NAME: Final = 512
_BLOCK: Final = 1 << 20
_MOST_VALUES: Final = 400_000
"""Of one line, as of any request: each takes microseconds in which this server does nothing else, and far more memory than its bytes."""
_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_FIELDS: Final = frozenset({"custom_id", "method", "url", "body"})


@dataclass(slots=True)
class Checked:
    """What a look at every line found."""

    total: int = 0
    model: str | None = None
    errors: list[dict[str, Any]] = field(default_factory=list)
    """The first hundred."""

    def complain(self, code: str, message: str, *, line: int | None = None, param: str | None = None) -> None:
        if len(self.errors) < _MOST_ERRORS:
            self.errors.append({"code": code, "line": line, "message": message, "param": param})


def check(path: Path, endpoint: str, *, longest: int) -> Checked:
    """Every line. `longest`: bytes of one line at most. Takes seconds for a large file: for a thread."""
    found = Checked()
    names: set[bytes] = set()
    with path.open("rb") as file:
        number = 0
        while line := file.readline(longest + 1):
            number += 1
            if len(line) > longest:
                found.complain("line_too_long", f"This line is longer than {longest} bytes, the limit of a request here.", line=number)
                _skip(file, line)
            elif line.strip():
                _check_line(found, line, number, endpoint, names)
                if found.total > MOST_LINES:
                    found.complain("too_many_requests", f"A batch has at most {MOST_LINES} requests; make several files.", line=number)
                    break
    if not found.total and not found.errors:
        found.complain("empty_file", "The file holds no requests.")
    return found


async def requests(file: BinaryIO) -> AsyncIterator[tuple[int, dict[str, Any]]]:
    """The requests of a file that was checked, each with its number among them, from 0 on."""
    number = 0
    while lines := await asyncio.to_thread(file.readlines, _BLOCK):
        for line in lines:
            if line.strip():
                yield number, from_json(line, allow_inf_nan=False)
                number += 1


def _skip(file: BinaryIO, line: bytes) -> None:
    while line and not line.endswith(b"\n"):
        line = file.readline(_BLOCK)


def _marks(text: bytes) -> int:
    """At least as many as there are values in lists and objects."""
    return sum(text.count(mark) for mark in (b",", b"[", b"{"))


def _check_line(found: Checked, line: bytes, number: int, endpoint: str, names: set[bytes]) -> None:
    found.total += 1
    if _marks(line) > _MOST_VALUES and _marks(_STRING.sub(b"", line)) > _MOST_VALUES:
        found.complain("line_too_long", f"This line holds more than {_MOST_VALUES} values, the limit of a request here.", line=number)
        return
    try:
        data = from_json(line, allow_inf_nan=False, cache_strings="none")
    except ValueError:
        data = None
    if not isinstance(data, dict):
        found.complain("invalid_json_line", "This line is not a JSON object.", line=number)
        return
    for code, message, param in _faults(data, endpoint):
        found.complain(code, message, line=number, param=param)
    name = data.get("custom_id")
    if isinstance(name, str):
        # A digest in place of a name of any length: 50,000 of them are few megabytes.
        digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        if digest in names:
            found.complain("duplicate_custom_id", "Another line has this custom_id already.", line=number, param="custom_id")
        names.add(digest)
    body = data.get("body")
    model = body.get("model") if isinstance(body, dict) else None
    if isinstance(model, str):
        found.model = found.model or model
        if model != found.model:
            message = f"All requests of a batch ask one model; the first one asks '{found.model[:100]}'."
            found.complain("mismatched_model", message, line=number, param="body.model")


def _faults(data: Mapping[str, Any], endpoint: str) -> Iterator[tuple[str, str, str | None]]:
    missing = "missing_required_parameter"
    name, body = data.get("custom_id"), data.get("body")
    if not isinstance(name, str) or not 0 < len(name) <= _MOST_NAME:
        yield missing, f"'custom_id' should be a text of 1 to {_MOST_NAME} characters.", "custom_id"
    if data.get("method") != "POST":
        yield "invalid_method", "'method' should be 'POST'.", "method"
    if data.get("url") != endpoint:
        yield "invalid_url", f"'url' should be '{endpoint}', the endpoint of the batch.", "url"
    if not isinstance(body, dict):
        yield missing, "'body' should be the request, a JSON object.", "body"
    else:
        if not isinstance(body.get("model"), str) or not body["model"]:
            yield missing, "The request names no model.", "body.model"
        if body.get("stream"):
            yield "invalid_request", "Answers of a batch are not streamed; leave 'stream' out.", "body.stream"
    if unknown := sorted(data.keys() - _FIELDS):
        yield "unknown_parameter", f"There is no such parameter as '{unknown[0][:60]}'; leave it out.", unknown[0][:60]

"""What an upstream's answer to a request for bytes says, parsed and checked before a byte of it is believed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from hausgeist.errors import shown

__all__ = ["Answer", "Wrong", "retry_after", "understand"]

_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", re.ASCII)
_NOTHING = re.compile(r"bytes \*/(\d{1,18})", re.ASCII)
_LENGTH = re.compile(r"[0-9]{1,18}")
_LONGEST = 512
"""Characters of a validator that are kept; a longer one is none."""


class Wrong(Exception):
    """An answer that makes no sense. The message says what upstream did: "sends ...", to follow its name."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The body is bytes [start, end) of a file of `size` bytes; `end` and `size` are 0 where upstream does not say."""

    start: int
    end: int
    size: int
    etag: str
    modified: str
    ranged: bool


def understand(status: int, headers: Mapping[str, str], start: int, end: int) -> Answer:
    """The answer to a request for [start, end). Raises `Wrong`."""
    etag, modified = (value if len(value := headers.get(name, "")) <= _LONGEST else "" for name in ("ETag", "Last-Modified"))
    coding = headers.get("Content-Encoding", "identity").strip().lower()
    if coding not in {"", "identity"}:
        raise Wrong(f"sends the file compressed ({shown(coding, 20)}), though asked not to")
    kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind == "text/html":
        raise Wrong("sends a web page instead of the file")
    if kind == "multipart/byteranges":
        raise Wrong("sends several ranges where one was asked for")
    length = headers.get("Content-Length", "")
    if length and not _LENGTH.fullmatch(length):
        raise Wrong("sends a length that is no number")
    if status == 200:
        return Answer(0, int(length or 0), int(length or 0), etag, modified, False)
    if status == 416:
        beyond = _NOTHING.fullmatch(headers.get("Content-Range", "").strip())
        if beyond is None or not int(beyond[1]):
            raise Wrong("refuses the range and does not say how large the file is")
        return Answer(0, 0, int(beyond[1]), etag, modified, True)
    match = _RANGE.fullmatch(headers.get("Content-Range", "").strip())
    if match is None:
        raise Wrong("sends a part of the file and does not say which")
    first, last = int(match[1]), int(match[2])
    size = 0 if match[3] == "*" else int(match[3])
    if first != start or not first <= last < (min(end, size) if size else end):
        raise Wrong(f"sends bytes {first} to {last} where {start} to {end - 1} were asked for")
    if length and int(length) != last + 1 - first:
        raise Wrong("sends another length than the range that it names")
    return Answer(first, last + 1, size, etag, modified, True)


def retry_after(headers: Mapping[str, str], *, now: datetime | None = None) -> float | None:
    """The seconds that a `Retry-After` header asks for, given as seconds or as a date; None where there is none that makes sense."""
    text = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", text):
        return float(text)
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, IndexError, TypeError, OverflowError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - (now or datetime.now(tz=UTC))).total_seconds())

"""Times as Ollama has them: durations in Go's notation or in seconds, nanoseconds in replies, RFC 3339 with a Z."""

from __future__ import annotations

import math
import re
import time
from datetime import UTC, datetime

from hausgeist.errors import InvalidRequest

__all__ = ["LONGEST", "nanoseconds", "now", "seconds", "stamp"]

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_NUMBER = re.compile(r"[0-9]{1,18}(\.[0-9]{0,18})?")
LONGEST = 292 * 365 * 86400.0
"""Seconds; the longest time that fits into Go's Duration, which Ollama's clients take for "for ever"."""


def seconds(value: float | str | None, *, param: str = "keep_alive") -> float | None:
    """`keep_alive`: "5m", "1h30m", "-1", numbers are seconds; any negative one means for ever and comes back as -1. Raises InvalidRequest."""
    if value is None:
        return None
    length = value if isinstance(value, (int, float)) else _parse(value.strip(), param)
    if not math.isfinite(length):
        raise InvalidRequest(f"'{param}' must be a finite number of seconds, or -1 for ever.", param=param)
    return -1.0 if length < 0 else min(float(length), LONGEST)


def nanoseconds(milliseconds: float) -> int:
    return max(0, round(milliseconds * 1e6))


def now() -> str:
    return stamp(time.time())


def stamp(unix: float) -> str:
    """A moment in Unix time, in UTC."""
    return datetime.fromtimestamp(unix, UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def _parse(text: str, param: str) -> float:
    sign = -1.0 if text.startswith("-") else 1.0
    rest = text[1:] if text[:1] in ("-", "+") else text
    # Go wants a unit; so many clients send "-1" or "300" that these are read as the number they are.
    if _NUMBER.fullmatch(rest):
        return sign * float(rest)
    position, total = 0, 0.0
    while position < len(rest) and (part := _PART.match(rest, position)):
        total += float(part[1]) * _UNITS[part[2]]
        position = part.end()
    if not rest or len(rest) > 64 or position != len(rest):
        raise InvalidRequest(f"'{param}' is not a duration: write it as '5m', '1h30m', '90s', a number of seconds, or -1 for ever.", param=param)
    return sign * total

"""Source code and configuration: kept as it is, in parts that belong together."""

from __future__ import annotations

import re

from hausgeist.knowledge.parse.base import Draft, Limits, Source, content
from hausgeist.knowledge.parse.encoding import decode
from hausgeist.knowledge.parsed import Parsed

__all__ = ["read"]

MEDIA_TYPE = "text/x-source"

_LONGEST = 60
"""Lines of a part; a longer one is divided at the next empty line."""
_BEGINS = re.compile(
    r"(?:export |public |private |protected |static |async |pub |default )*(?:def|class|func|function|fn|interface|struct|enum|"
    r"impl|trait|type|module|namespace|object|sub|create)\b|@\w|\[[\w.\"-]+\]$",
    re.IGNORECASE,
)


def read(source: Source, filename: str, limits: Limits) -> Parsed:
    """The code, divided before definitions that begin in the first column."""
    draft = Draft(limits)
    lines = re.split(r"\r\n?|\n", decode(content(source, limits)).replace("\f", "\n"))
    part: list[str] = []
    for line in lines:
        if draft.full:
            break
        begins = _BEGINS.match(line) is not None and not (part and part[-1].startswith(("@", "#", "//", "/*", " *", "--")))
        if part and ((begins and any(one.strip() for one in part)) or (len(part) >= _LONGEST and not line.strip()) or len(part) >= 4 * _LONGEST):
            draft.code("\n".join(part))
            part = []
        part.append(line)
    draft.code("\n".join(part))
    return draft.parsed(MEDIA_TYPE)

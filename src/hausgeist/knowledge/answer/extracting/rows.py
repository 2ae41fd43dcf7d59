"""A row of a table as it is quoted: under the titles of its columns, cells divided by bars."""

from __future__ import annotations

import re

__all__ = ["with_titles"]

_TITLES = 400
"""Characters of titles that are shown."""
_REACH = 20_000
"""Characters above a row in which its titles are looked for."""


def with_titles(text: str, start: int, end: int) -> str:
    """`start` to `end`: the row in the text of its document, where cells are divided by tabs. The titles are the first row of its table, if that has
    no digits."""
    rows = [line for line in text[start:end].split("\n") if line.strip()]
    above = text[max(0, start - _REACH) : start].split("\n")[:-1]
    cut = start > _REACH  # Then the first of these lines may be any row, and half of one.
    width = rows[0].count("\t") if rows else 0
    titles = ""
    for line in reversed(above[1:] if cut else above):
        # A table that goes on over a page has an empty line in it.
        if line.strip() and line.count("\t") != width:
            break
        titles = line if line.strip() else titles
    else:
        titles = "" if cut else titles
    if not titles or re.search(r"\d", titles) or len(titles) > _TITLES:
        return "\n".join(_barred([cell for cell in row.split("\t") if cell.strip()]) for row in rows)
    return "\n".join(_barred(row.split("\t")) for row in (titles, *rows))


def _barred(cells: list[str]) -> str:
    return " | ".join(" ".join(cell.split()) or "–" for cell in cells)

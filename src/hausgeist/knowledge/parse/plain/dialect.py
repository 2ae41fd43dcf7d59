"""How a table in plain text divides its cells, found by trying: the divider that gives the same number of cells in most lines."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator

__all__ = ["divider_of", "looks_like_table", "rows_of"]

_SAMPLE = 1 << 15


def divider_of(text: str) -> str | None:
    """The character between cells; none where no character divides the lines evenly."""
    best, most = None, 0.0
    sample = text[:_SAMPLE]
    if len(text) > _SAMPLE:
        sample = sample[: sample.rfind("\n") + 1] or sample
    for divider in (",", ";", "\t", "|", ":"):
        if divider not in sample:
            continue
        widths = [len(row) for row in rows_of(sample, divider) if row]
        if not widths:
            continue
        (width, count), *_ = Counter(widths).most_common(1)
        if width < 2:
            continue
        # Even rows count most; more columns speak for a divider among those that divide evenly.
        score = count / len(widths) + min(width, 10) / 100
        if divider == ":":
            score -= 0.3
        if score > most:
            best, most = divider, score
    return best if most >= 0.5 else None


def looks_like_table(text: str) -> bool:
    """Whether text that nobody called a table is one; prose with commas is not."""
    sample = text[:_SAMPLE]
    for divider in ("\t", ";", "|", ","):
        if sample.count(divider) < 4 or (divider == "," and sample.count(", ") > 0.5 * sample.count(",")):
            continue
        widths = [len(row) for row in rows_of(sample, divider) if row]
        if len(widths) > 5:
            widths = widths[:-1]
        least = 3 if divider == "," else 2
        lines = [line for line in sample.splitlines() if line.strip()]
        if (
            len(widths) >= 3
            and min(widths) == max(widths) >= least
            and len(widths) >= 0.8 * (len(lines) - 1)
            and sum(map(len, lines)) < 300 * len(lines)
        ):
            return True
    return False


def rows_of(text: str, divider: str) -> Iterator[list[str]]:
    """Rows of cells. Text that breaks the rules of quoting is divided without them."""
    try:
        yield from csv.reader(io.StringIO(text, newline=""), delimiter=divider, skipinitialspace=divider != "\t")
    except csv.Error:
        # A cell above the reader's limit, or a quotation that never ends: what came so far was given, the rest is divided plainly.
        for line in text.splitlines():
            yield line.split(divider)

"""CSV and TSV: a table, its divider and its row of titles found in the content."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from hausgeist.knowledge.parse.base import Draft, Limits, Source, content
from hausgeist.knowledge.parse.encoding import decode
from hausgeist.knowledge.parse.plain.dialect import divider_of
from hausgeist.knowledge.parse.tables import has_header
from hausgeist.knowledge.parsed import Parsed

__all__ = ["read"]


def read(source: Source, filename: str, limits: Limits) -> Parsed:
    """The table."""
    draft = Draft(limits)
    text = decode(content(source, limits)).lstrip("\ufeff")
    divider = None
    first, _, rest = text.partition("\n")
    if first.lower().startswith("sep=") and len(first.strip()) == 5:
        divider, text = first.strip()[4], rest
    divider = divider or divider_of(text) or ("\t" if filename.lower().endswith((".tsv", ".tab")) else ",")
    rows = list(_rows(draft, text, divider))
    draft.table(rows, header=int(has_header([row for row in rows[:50] if any(cell.strip() for cell in row)])))
    return draft.parsed("text/tab-separated-values" if divider == "\t" else "text/csv")


def _rows(draft: Draft, text: str, divider: str) -> Iterator[list[str]]:
    left = draft.limits.cells
    reader = csv.reader(io.StringIO(text.replace("\x00", ""), newline=""), delimiter=divider, skipinitialspace=divider != "\t")
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error:
            draft.warn(f"Line {reader.line_num} could not be read as a row of a table and was left out.")
            continue
        left -= len(row)
        if left < 0:
            draft.warn(f"The table has more than {draft.limits.cells} cells; the rest of its rows were left out.")
            return
        yield row

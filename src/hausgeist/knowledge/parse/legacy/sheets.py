"""Old and binary Excel workbooks (XLS, XLSB), by python-calamine: each sheet is a page, hidden ones too and labelled so."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING

from hausgeist.knowledge.parse.archive import Archive
from hausgeist.knowledge.parse.base import Draft, Limits, Source, Unreadable, content
from hausgeist.knowledge.parse.tables import add_grid
from hausgeist.knowledge.parsed import Parsed

if TYPE_CHECKING:
    from python_calamine import CalamineWorkbook

__all__ = ["read"]


def read(source: Source, filename: str, limits: Limits) -> Parsed:
    """The text of a workbook."""
    from python_calamine import CalamineWorkbook

    data = content(source, limits)
    binary = data.startswith(b"PK")
    if binary:
        # Its limits hold for what calamine unpacks: sizes are checked here, before it is asked.
        with Archive(data, limits) as archive:
            for name in archive.names:
                archive.open(name).close()
    draft = Draft(limits)
    with _translated():
        _add(draft, CalamineWorkbook.from_filelike(io.BytesIO(data)))
    media_type = "application/vnd.ms-excel.sheet.binary.macroenabled.12" if binary else "application/vnd.ms-excel"
    return draft.parsed(media_type, guess=False)


def _add(draft: Draft, book: CalamineWorkbook) -> None:
    from python_calamine import CalamineError, SheetVisibleEnum

    budget = [draft.limits.cells]
    for sheet in book.sheets_metadata:
        hidden = sheet.visible != SheetVisibleEnum.Visible
        if not draft.page(f"{sheet.name} (hidden)" if hidden else sheet.name):
            break
        draft.heading(sheet.name, 1)
        try:
            rows = book.get_sheet_by_name(sheet.name)
        except CalamineError:
            draft.warn(f"The sheet '{sheet.name[:60]}' could not be read.")
            continue
        if rows.height and rows.width:
            add_grid(draft, _rows(draft, rows.iter_rows(), budget))


@contextmanager
def _translated() -> Iterator[None]:
    from python_calamine import CalamineError, PasswordError

    try:
        yield
    except PasswordError as error:
        raise Unreadable("The file is protected by a password; save it without one.") from error
    except CalamineError as error:
        why = str(error)[:120]
        raise Unreadable(f"The workbook is damaged, or older than Excel 97 ({why}). Open it in Excel or LibreOffice and save it as XLSX.") from error
    except BaseException as error:
        # Rust gives up on some broken files in a way that is not an `Exception`.
        if type(error).__name__ != "PanicException":
            raise
        raise Unreadable("The workbook is damaged. Open it in Excel or LibreOffice and save it as XLSX.") from error


def _rows(draft: Draft, rows: Iterable[Sequence[object]], budget: list[int]) -> Iterator[tuple[int, list[str]]]:
    for number, row in enumerate(rows):
        texts = [_shown(value) for value in row]
        while texts and not texts[-1]:
            texts.pop()
        if not texts:
            continue
        budget[0] -= sum(map(bool, texts))
        if budget[0] < 0:
            draft.warn(f"The workbook has more than {draft.limits.cells} cells; the rest of its rows were left out.")
            return
        yield number, texts


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else f"{value:.15g}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d}" if value.time() == time() else f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        seconds = int(value.total_seconds())
        return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    return str(value)

"""Opening a PDF file, and how its pages lie."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from hausgeist.knowledge.parse.base import Unreadable
from hausgeist.knowledge.parse.pdf.letters import Place

__all__ = ["opened", "placed"]

_FORMAT, _PASSWORD = 3, 4
"""FPDF_ERR_FORMAT, FPDF_ERR_PASSWORD."""
_MOST_MENDED = 256 << 20
_CATALOGUE = re.compile(rb"(\d{1,9})\s+(\d{1,5})\s+obj\s*<<(?:(?!endobj).){0,2000}?/Type\s*/Catalog\b", re.DOTALL)


@contextmanager
def opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """PDFium's functions and the document. Raises `Unreadable`."""
    pypdfium2: Any = import_module("pypdfium2")
    raw = import_module("pypdfium2.raw")
    try:
        try:
            document = pypdfium2.PdfDocument(path)
        except pypdfium2.PdfiumError as error:
            if error.err_code != _FORMAT or (mended := _mended(path)) is None:
                raise
            document = pypdfium2.PdfDocument(mended)
    except pypdfium2.PdfiumError as error:
        if error.err_code == _PASSWORD:
            raise Unreadable("The file is protected by a password; save a copy without one, and add that.") from error
        raise Unreadable("The file is damaged: it is no PDF that can be opened. Open it in a viewer, save it anew, and add that.") from error
    try:
        yield raw, document
    finally:
        document.close()


def _mended(path: Path) -> bytes | None:
    """A file whose end is missing, with an end that names its catalogue. PDFium finds the other objects itself."""
    if path.stat().st_size > _MOST_MENDED:
        return None
    data = path.read_bytes()
    catalogues = list(_CATALOGUE.finditer(data))
    if not catalogues:
        return None
    return data + b"\ntrailer<</Root %b %b R>>\nstartxref\n0\n%%%%EOF\n" % catalogues[-1].groups()


def placed(raw: Any, page: Any) -> tuple[Place, float, float]:
    """How places on a page become points from the top left of the page as it is shown, which may be turned; and how large it is then."""
    box = raw.FS_RECTF()
    raw.FPDF_GetPageBoundingBox(page, ctypes.byref(box))
    x, y, wide, high = box.left, box.bottom, box.right - box.left, box.top - box.bottom
    top, beyond = box.top, box.right
    turned = raw.FPDFPage_GetRotation(page)
    if turned == 1:
        return lambda left, up, right, down: (down - y, left - x, up - y, right - x), high, wide
    if turned == 2:
        return lambda left, up, right, down: (beyond - right, down - y, beyond - left, up - y), wide, high
    if turned == 3:
        return lambda left, up, right, down: (top - up, beyond - right, top - down, beyond - left), high, wide
    return lambda left, up, right, down: (left - x, top - up, right - x, top - down), wide, high

"""Pages of a PDF as pictures."""

from __future__ import annotations

import ctypes
import io
from pathlib import Path
from typing import Any

from hausgeist.errors import NotFound
from hausgeist.knowledge.parse.base import Limits, Unreadable
from hausgeist.knowledge.parse.pdf.opening import opened, placed

__all__ = ["drawn", "picture"]

_MOST_PIXELS = 16_000_000
_LEAST_WIDTH, _MOST_WIDTH = 16, 8192
_WITH_ANNOTATIONS = 0x01
_GREY, _BGRX = 1, 3
_WHITE = 0xFFFFFFFF


def picture(path: Path, page: int, width: int, limits: Limits) -> bytes:
    """A page as PNG, `width` pixels wide, fewer where it would have too many. Raises `NotFound` and `Unreadable`."""
    with opened(path) as (raw, document):
        if not 1 <= page <= min(len(document), limits.pages):
            raise NotFound(f"There is no page {page}; the file has {len(document)}.")
        handle = raw.FPDF_LoadPage(document.raw, page - 1)
        if not handle:
            raise Unreadable(f"Page {page} could not be drawn, because the file is damaged there.")
        document.init_forms()
        try:
            _, wide, high = placed(raw, handle)
            scale = min(max(_LEAST_WIDTH, min(width, _MOST_WIDTH)) / max(wide, 1.0), (_MOST_PIXELS / max(wide * high, 1.0)) ** 0.5)
            return drawn(raw, handle, scale, wide, high)
        finally:
            raw.FPDF_ClosePage(handle)


def drawn(raw: Any, page: Any, scale: float, width: float, height: float, *, grey: bool = False) -> bytes:
    """An opened page as PNG, `scale` pixels per point. Raises `Unreadable`."""
    from PIL import Image

    wide, high = max(1, int(width * scale + 1e-6)), max(1, int(height * scale + 1e-6))
    bitmap = raw.FPDFBitmap_CreateEx(wide, high, _GREY if grey else _BGRX, None, 0)
    if not bitmap:
        raise Unreadable("The page is too large to be drawn.")
    try:
        raw.FPDFBitmap_FillRect(bitmap, 0, 0, wide, high, _WHITE)
        raw.FPDF_RenderPageBitmap(bitmap, page, 0, 0, wide, high, 0, _WITH_ANNOTATIONS)
        stride = raw.FPDFBitmap_GetStride(bitmap)
        data = ctypes.string_at(raw.FPDFBitmap_GetBuffer(bitmap), stride * high)
    finally:
        raw.FPDFBitmap_Destroy(bitmap)
    shown = Image.frombuffer("L" if grey else "RGB", (wide, high), data, "raw", "L" if grey else "BGRX", stride, 1)
    out = io.BytesIO()
    shown.save(out, "PNG", compress_level=1 if grey else 6)
    return out.getvalue()

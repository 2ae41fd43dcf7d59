"""Pictures as documents: their text is read by OCR, each frame of a TIFF is a page. Pillow decodes them, as far as they are of a size to decode."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hausgeist.errors import NotFound
from hausgeist.knowledge.parse import ocr, progress
from hausgeist.knowledge.parse.base import Limits, Unreadable
from hausgeist.knowledge.parse.pdf.document import written
from hausgeist.knowledge.parse.pdf.recognised import rows
from hausgeist.knowledge.parse.pdf.rows import Sheet
from hausgeist.knowledge.parsed import Parsed

__all__ = ["MEDIA_TYPES", "picture", "read"]

MEDIA_TYPES = {
    "PNG": "image/png", "JPEG": "image/jpeg", "MPO": "image/jpeg", "TIFF": "image/tiff", "WEBP": "image/webp", "GIF": "image/gif", "BMP": "image/bmp",
}  # fmt: skip
"""Pillow's names of formats -> media types. A JPEG of several pictures calls itself MPO."""
_OPENED = ("PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP")
_MOST_PIXELS = 200_000_000
"""Of a frame; a page of A3 at 600 dots per inch has 70 million."""
_READ_PIXELS = 30_000_000
"""To which larger frames are made smaller for OCR."""
_SMALL = 1200
"""Pixels of width; a picture from a screen is enlarged, since OCR wants letters of some 30 pixels."""
_USUAL_DPI = 96.0
_MOST_FRAMES = 2000


def read(path: Path, filename: str, limits: Limits) -> Parsed:
    """The text in a picture. Raises `Unreadable`. `filename` is not needed: the content tells what it is."""
    sheets: list[Sheet] = []
    said: list[str] = []
    with _opened(path) as image:
        frames = min(getattr(image, "n_frames", 1) if image.format == "TIFF" else 1, limits.pages, _MOST_FRAMES)
        media_type = MEDIA_TYPES[str(image.format)]
        for index in range(frames):
            sheets.append(_sheet(image, index, said))
            progress.report(index + 1, frames)
    return written(sheets, limits, media_type=media_type, warnings=said)


def picture(path: Path, page: int, width: int) -> bytes:
    """A frame as PNG, `width` pixels wide at most. Raises `NotFound` and `Unreadable`."""
    with _opened(path) as image:
        frames = getattr(image, "n_frames", 1) if image.format == "TIFF" else 1
        if not 1 <= page <= frames:
            raise NotFound(f"There is no page {page}; the file has {frames}.")
        shown = _frame(image, page - 1)
        width = max(16, min(width, 8192, shown.width))
        if width < shown.width:
            shown = shown.resize((width, max(1, round(shown.height * width / shown.width))))
        return _png(shown)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    from PIL import Image, UnidentifiedImageError

    Image.init()  # all formats have to be known before some of them can be chosen
    Image.MAX_IMAGE_PIXELS = None  # the limit below is ours
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd tags in pictures
            with Image.open(path, formats=_OPENED) as image:
                yield image
    except UnidentifiedImageError as error:
        raise Unreadable("The picture is damaged, or of a kind that is not read here; save it as PNG or JPEG.") from error
    except (OSError, SyntaxError, ValueError, EOFError, ZeroDivisionError) as error:
        raise Unreadable("The picture is damaged; open it in a viewer, save it anew, and add that.") from error


def _frame(image: Any, index: int) -> Any:
    """One frame, turned as its camera says, on white."""
    from PIL import Image, ImageOps

    image.seek(index)
    wide, high = image.size
    if wide * high > _MOST_PIXELS:
        raise Unreadable(f"The picture has {wide} x {high} pixels, more than can be read; make it smaller.")
    image.draft("RGB", (wide, high))
    shown = ImageOps.exif_transpose(image)
    if "A" in shown.getbands() or "transparency" in shown.info:
        shown = shown.convert("RGBA")
        behind = Image.new("RGBA", shown.size, "white")
        behind.alpha_composite(shown)
        shown = behind
    return shown if shown.mode in {"L", "RGB"} else shown.convert("RGB")


def _sheet(image: Any, index: int, said: list[str]) -> Sheet:
    shown = _frame(image, index)
    points = 72.0 / _dpi(image)
    sheet = Sheet(index + 1, shown.width * points, shown.height * points, [], recognised=True)
    scale = min((_READ_PIXELS / (shown.width * shown.height)) ** 0.5, 1.0)
    if shown.width < _SMALL and shown.height < 4 * _SMALL:
        scale = min(3.0, 2 * _SMALL / shown.width)
    asked = shown.convert("L")
    if scale != 1.0:
        asked = asked.resize((max(1, round(shown.width * scale)), max(1, round(shown.height * scale))))
    try:
        words, sentences = ocr.recognise(_png(asked), dpi=0)
    except TimeoutError:
        sentences, words = [f"Page {index + 1} took too long to read."], []
    said += [sentence for sentence in sentences if sentence not in said]
    sheet.rows = rows(words, points / scale, index + 1)
    return sheet


def _dpi(image: Any) -> float:
    try:
        dpi = float(image.info.get("dpi", (_USUAL_DPI,))[0])
    except (TypeError, ValueError, IndexError, ZeroDivisionError):
        return _USUAL_DPI
    return dpi if 30 <= dpi <= 2400 else _USUAL_DPI


def _png(image: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=1)
    return out.getvalue()

"""Pages as pictures, for those who want to see what is quoted: of PDF files and of pictures, told by their first bytes."""

from __future__ import annotations

from pathlib import Path

from hausgeist.errors import NotSupported
from hausgeist.knowledge.parse.base import Limits

__all__ = ["picture"]

_HEAD = 1024
_PICTURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"GIF8", b"BM")


def picture(path: Path, page: int, width: int, limits: Limits) -> bytes:
    """A page as PNG, `width` pixels wide; pages count from 1.

    Raises `NotFound` for a page that is not there, `NotSupported` for files without pages to look at, `Unreadable` for damaged ones."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if b"%PDF-" in head:
        from hausgeist.knowledge.parse.pdf import drawing

        return drawing.picture(path, page, width, limits)
    if head.startswith(_PICTURES) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        from hausgeist.knowledge.parse import images

        return images.picture(path, page, width)
    raise NotSupported("Pages of this kind of file have no picture; there is its text.", param="page")

"""PDF files written by hand, so that what is in them is known: letters at places, lines, pictures, turned pages, forms, and broken ones."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ["Leaf", "columns", "pdf", "wrapped"]

_FONTS = {"F1": "Helvetica", "F2": "Helvetica-Bold", "F3": "Courier", "F4": "Times-Roman"}
_WIDTHS = {"F1": 0.5, "F2": 0.53, "F3": 0.6, "F4": 0.45}
"""Of a letter, about, in font sizes."""


@dataclass
class Leaf:
    """A page. Places are points from the top left, as readers count them."""

    width: float = 595.0
    height: float = 842.0
    rotate: int = 0
    drawn: list[str] = field(default_factory=list)
    extra: bytes = b""
    """Entries of the page's dictionary."""
    picture: tuple[int, int, bytes] | None = None
    """Width, height and grey pixels; fills the page."""

    filled: str = ""
    """What somebody has filled into a form field on the page."""

    def text(self, x: float, y: float, words: str, *, size: float = 11.0, font: str = "F1") -> Leaf:
        """One line, its base line `y` below the top."""
        escaped = words.encode("cp1252").replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)").decode("latin-1")
        self.drawn.append(f"BT /{font} {size} Tf {x} {self.height - y} Td ({escaped}) Tj ET")
        return self

    def lines(self, x: float, y: float, lines: Sequence[str], *, size: float = 11.0, step: float = 0.0, font: str = "F1") -> float:
        """Lines below one another; returns where the next one would stand."""
        for line in lines:
            self.text(x, y, line, size=size, font=font)
            y += step or size * 1.25
        return y


def wrapped(words: str, width: float, *, size: float = 11.0, font: str = "F1") -> list[str]:
    """Words in lines of about this width (points)."""
    most = int(width / size / _WIDTHS[font])
    lines = [""]
    for word in words.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > most:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def columns(left: Sequence[str], right: Sequence[str], *, by_row: bool) -> Leaf:
    """A page of two columns, drawn column by column or, as some programs do, line by line across both."""
    leaf = Leaf()
    both = [(50.0, index, line) for index, line in enumerate(left)] + [(310.0, index, line) for index, line in enumerate(right)]
    for x, index, line in sorted(both, key=lambda one: (one[1], one[0])) if by_row else both:
        leaf.text(x, 100 + index * 14, line)
    return leaf


def pdf(leaves: Sequence[Leaf], *, title: str = "", compress: bool = True, encrypt: bytes = b"") -> bytes:
    """The file. `encrypt`: an encryption dictionary that nobody can use, for a file that wants a password."""
    objects: list[bytes] = [b"<</Type/Catalog/Pages 2 0 R>>", b""]
    fonts = {}
    for name, base in _FONTS.items():
        objects.append(f"<</Type/Font/Subtype/Type1/BaseFont/{base}/Encoding/WinAnsiEncoding>>".encode())
        fonts[name] = len(objects)
    resources = "".join(f"/{name} {number} 0 R" for name, number in fonts.items())
    kids = []
    for leaf in leaves:
        drawn = "\n".join(leaf.drawn)
        images = ""
        if leaf.picture is not None:
            wide, high, pixels = leaf.picture
            head = f"/Type/XObject/Subtype/Image/Width {wide}/Height {high}/ColorSpace/DeviceGray/BitsPerComponent 8"
            objects.append(_stream(pixels, head))
            images = f"/XObject<</I {len(objects)} 0 R>>"
            drawn += f"\nq {leaf.width} 0 0 {leaf.height} 0 0 cm /I Do Q"
        fields = b""
        if leaf.filled:
            head = f"/Type/XObject/Subtype/Form/BBox[0 0 200 20]/Resources<</Font<<{resources}>>>>"
            objects.append(_stream(f"BT /F1 11 Tf 2 4 Td ({leaf.filled}) Tj ET".encode("latin-1"), head))
            appearance = f"/AP<</N {len(objects)} 0 R>>"
            fields = f"/Annots[<</Type/Annot/Subtype/Widget/FT/Tx/T(name)/V({leaf.filled})/Rect[100 600 300 620]/F 4{appearance}>>]".encode()
        objects.append(_stream(drawn.encode("latin-1"), "", compress=compress))
        content = len(objects)
        objects.append(
            f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 {leaf.width} {leaf.height}]/Rotate {leaf.rotate}/Contents {content} 0 R"
            f"/Resources<</Font<<{resources}>>{images}>>".encode()
            + fields
            + leaf.extra
            + b">>"
        )
        kids.append(f"{len(objects)} 0 R")
    objects[1] = f"<</Type/Pages/Count {len(kids)}/Kids[{' '.join(kids)}]>>".encode()
    info = b""
    if title:
        objects.append(b"<</Title(" + title.encode("cp1252") + b")/Author(Ada)/CreationDate(D:20240131120000Z)>>")
        info = f"/Info {len(objects)} 0 R".encode()
    return _file(objects, info + encrypt)


def _stream(data: bytes, head: str, *, compress: bool = True) -> bytes:
    if compress:
        data, head = zlib.compress(data), head + "/Filter/FlateDecode"
    return f"<</Length {len(data)}{head}>>stream\n".encode() + data + b"\nendstream"


def _file(objects: Sequence[bytes], trailer: bytes) -> bytes:
    out = bytearray(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
    places = []
    for number, body in enumerate(objects, start=1):
        places.append(len(out))
        out += f"{number} 0 obj\n".encode() + body + b"\nendobj\n"
    start = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode() + b"".join(f"{place:010d} 00000 n \n".encode() for place in places)
    out += f"trailer<</Size {len(objects) + 1}/Root 1 0 R".encode() + trailer + f">>\nstartxref\n{start}\n%%EOF\n".encode()
    return bytes(out)

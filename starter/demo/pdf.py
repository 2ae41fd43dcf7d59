"""A small writer of PDF: paragraphs in one or two columns, headings, tables, running headers, and pages that are pictures. Fonts are the standard ones."""

# ruff: noqa: E501

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

__all__ = ["Pdf", "picture_pdf"]

_HELVETICA = (
    "278 278 355 556 556 889 667 191 333 333 389 584 278 333 278 278 556 556 556 556 556 556 556 556 556 556 278 278 584 584 584 556 1015 667 667 722 "
    "722 667 611 778 722 278 500 667 556 833 722 778 667 778 722 667 611 722 667 944 667 667 611 278 278 278 469 556 333 556 556 500 556 556 278 556 "
    "556 222 222 500 222 833 556 556 556 556 333 500 278 556 500 722 500 500 500 334 260 334 584"
)
_WIDTHS = {chr(32 + number): int(width) for number, width in enumerate(_HELVETICA.split())} | {
    "Ä": 667, "Ö": 778, "Ü": 722, "ä": 556, "ö": 556, "ü": 556, "ß": 611, "§": 556, "€": 556, "°": 400, "–": 556, "„": 333, "“": 333, "”": 333,
    "é": 556, "·": 278, "×": 584, "²": 333, "½": 834, "’": 222,
}  # fmt: skip
"""Of Helvetica, in thousandths of the font's size."""
_BOLD = 1.07
A4 = (595, 842)


def measured(text: str, size: float, *, bold: bool = False) -> float:
    """Points that a text takes."""
    return sum(_WIDTHS.get(letter, 556) for letter in text) * size / 1000 * (_BOLD if bold else 1)


def wrapped(text: str, width: float, size: float, *, bold: bool = False) -> list[str]:
    """Lines of at most `width` points; a hyphen written as "\u00ad" divides a word where it has to be divided."""
    lines, line = [], ""
    for word in text.split():
        trial = f"{line} {word}".strip()
        if measured(trial.replace("\u00ad", ""), size, bold=bold) <= width:
            line = trial
            continue
        parts = word.split("\u00ad")
        for number in range(len(parts) - 1, 0, -1):
            head = f"{line} {''.join(parts[:number])}-".strip()
            if measured(head.replace("\u00ad", ""), size, bold=bold) <= width:
                lines.append(head.replace("\u00ad", ""))
                line = "\u00ad".join(parts[number:])
                break
        else:
            lines.append(line.replace("\u00ad", ""))
            line = word
    return [*lines, line.replace("\u00ad", "")]


@dataclass
class Pdf:
    """Text flows from column to column and page to page."""

    header: str
    footer: str
    columns: int = 1
    margin: float = 64
    size: float = 10.5
    title: str = ""
    _pages: list[list[str]] = field(default_factory=list)
    _column: int = 0
    _y: float = 0

    def __post_init__(self) -> None:
        self.gap = 24
        self.width = (A4[0] - 2 * self.margin - (self.columns - 1) * self.gap) / self.columns
        self._page()

    def heading(self, text: str, size: float = 12.5) -> None:
        self._need(size * 4)
        self._y -= size * 0.6
        for line in wrapped(text, self.width, size, bold=True):
            self._line(line, size, bold=True)
        self._y -= 2

    def paragraph(self, text: str) -> None:
        for line in wrapped(text, self.width, self.size):
            self._line(line, self.size)
        self._y -= self.size * 0.5

    def table(self, rows: list[list[str]], shares: list[float]) -> None:
        """`shares`: of the width, for each column. The first row is of titles."""
        self._need(self.size * 1.5 * min(len(rows), 4))
        for number, row in enumerate(rows):
            cells = [wrapped(cell, self.width * share - 6, self.size - 1, bold=not number) for cell, share in zip(row, shares, strict=True)]
            height = max(map(len, cells)) * (self.size + 1.5) + 4
            self._need(height)
            left = self._left
            for lines, share in zip(cells, shares, strict=True):
                for place, line in enumerate(lines):
                    self._text(line, left, self._y - (place + 1) * (self.size + 1), self.size - 1, bold=not number)
                left += self.width * share
            self._y -= height
            self._pages[-1].append(f"0.6 w 0.7 G {self._left:.1f} {self._y:.1f} m {self._left + self.width:.1f} {self._y:.1f} l S")
        self._y -= self.size * 0.6

    @property
    def _left(self) -> float:
        return self.margin + self._column * (self.width + self.gap)

    def _line(self, text: str, size: float, *, bold: bool = False) -> None:
        self._need(size * 1.35)
        self._y -= size * 1.35
        self._text(text, self._left, self._y, size, bold=bold)

    def _need(self, height: float) -> None:
        if self._y - height < self.margin + 10:
            if self._column + 1 < self.columns:
                self._column += 1
                self._y = A4[1] - self.margin - 20
            else:
                self._page()

    def _page(self) -> None:
        self._pages.append([])
        self._column, self._y = 0, A4[1] - self.margin - 20
        self._text(self.header, self.margin, A4[1] - 44, 8)

    def _text(self, text: str, x: float, y: float, size: float, *, bold: bool = False) -> None:
        escaped = b"".join(b"\\" + bytes([one]) if one in b"()\\" else bytes([one]) for one in text.encode("cp1252"))
        font = "F2" if bold else "F1"
        self._pages[-1].append(f"BT /{font} {size:g} Tf {x:.2f} {y:.2f} Td ({escaped.decode('latin-1')}) Tj ET")

    def bytes(self) -> bytes:
        for number, page in enumerate(self._pages, 1):
            self._pages, kept = [page], self._pages
            self._text(self.footer.format(page=number, pages=len(kept)), self.margin, 36, 8)
            self._pages = kept
        fonts = [
            b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
            b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica-Bold /Encoding /WinAnsiEncoding >>",
        ]
        resources = b"<< /Font << /F1 3 0 R /F2 4 0 R >> >>"
        return _document(fonts, [(resources, _stream("\n".join(page).encode("latin-1")), A4) for page in self._pages], self.title)


def picture_pdf(pictures: list[tuple[bytes, int, int, tuple[float, float]]], title: str) -> bytes:
    """Pages that are nothing but a picture: 1 bit a point, packed in rows, 1 is white; its width and height, and the page's size in points."""
    first, pages = [], []
    for number, (bits, width, height, size) in enumerate(pictures):
        first.append(
            _stream(bits, f"/Type /XObject /Subtype /Image /Width {width} /Height {height} /ColorSpace /DeviceGray /BitsPerComponent 1 ".encode())
        )
        resources = b"<< /XObject << /I %d 0 R >> >>" % (3 + number)
        pages.append((resources, _stream(f"q {size[0]} 0 0 {size[1]} 0 0 cm /I Do Q".encode()), size))
    return _document(first, pages, title)


def _stream(data: bytes, more: bytes = b"") -> bytes:
    packed = zlib.compress(data, 9)
    return b"<< " + more + b"/Length %d /Filter /FlateDecode >>\nstream\n" % len(packed) + packed + b"\nendstream"


def _document(shared: list[bytes], pages: list[tuple[bytes, bytes, tuple[float, float]]], title: str) -> bytes:
    """Objects 1 and 2 are the catalogue and the list of pages, then what they share, then each page and its content."""
    begin = 3 + len(shared)
    kids = b" ".join(b"%d 0 R" % (begin + 2 * number) for number in range(len(pages)))
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [" + kids + b"] /Count %d >>" % len(pages), *shared]
    for number, (resources, content, size) in enumerate(pages):
        box = b"[0 0 %d %d]" % (int(size[0]), int(size[1]))
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox " + box + b" /Resources " + resources + b" /Contents %d 0 R >>" % (begin + 2 * number + 1)
        )
        objects.append(content)
    encoded = "".join(f"{ord(letter):04x}" for letter in "\ufeff" + title)
    objects.append(f"<< /Title <{encoded}> >>".encode())
    out, places = bytearray(b"%PDF-1.5\n%\xe2\xe3\xcf\xd3\n"), []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n" % number + body + b"\nendobj\n"
    table = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1) + b"".join(b"%010d 00000 n \n" % place for place in places)
    out += b"trailer << /Size %d /Root 1 0 R /Info %d 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, len(objects), table)
    return bytes(out)

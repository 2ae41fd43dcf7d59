"""What a parser makes of a file: its text in reading order, what the parts of the text are, and where on its pages they stand.

All places are characters of `Parsed.text`, end exclusive; pages count from 1; boxes are points (1/72 inch) from the top left corner of the page.
Running headers, footers and page numbers stand at the end of the text, after everything else, as blocks of their own, so that a paragraph that
goes on over a page is one piece of text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

__all__ = ["Block", "Box", "Cut", "Kind", "Line", "Page", "Parsed", "Piece", "Small"]

Kind = Literal["title", "heading", "paragraph", "list", "table", "code", "caption", "note", "furniture"]


class Box(NamedTuple):
    """A rectangle on a page."""

    left: float
    top: float
    right: float
    bottom: float


class Line(NamedTuple):
    """A line of text as it stands on a page. A word that is divided at its end belongs to both lines: its first part here."""

    start: int
    end: int
    page: int
    box: Box


@dataclass(frozen=True, slots=True)
class Page:
    """A page, slide or sheet. `start` to `end`: its text without furniture."""

    number: int
    start: int
    end: int
    width: float = 0.0
    height: float = 0.0
    """Points; 0 for what has no paper (sheets, mails, HTML)."""
    label: str = ""
    """What it is called, where it has a name: a sheet, a mail of a mailbox."""
    recognised: bool = False
    """Its text was read from a picture, so letters may be wrong."""


@dataclass(frozen=True, slots=True)
class Block:
    """A part of the text that belongs together. Blocks follow one another and do not overlap; between them is only white space."""

    kind: Kind
    start: int
    end: int
    level: int = 0
    """Of a heading: 1 is the highest. Of others: 0."""
    rows: Sequence[tuple[int, int]] = ()
    """Of a table: each row; cells are divided by tabs, a first row of titles is `header` rows long."""
    header: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    text: str
    blocks: Sequence[Block] = ()
    pages: Sequence[Page] = ()
    lines: Sequence[Line] = ()
    """Where the text stands on its pages, in the order of the text; empty for what has none."""
    media_type: str = "text/plain"
    """As found in the content, not as the name says."""
    title: str = ""
    properties: Mapping[str, str] = field(default_factory=dict)
    """What the file says of itself: `author`, `created`, `subject`, `from`, `to`, `date`, ..."""
    warnings: Sequence[str] = ()
    """Sentences for people: what could not be read and what would help ("Page 3 is a picture; install tesseract-ocr-deu to read it.")."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A passage: `start` to `end` (exclusive) of the text."""

    start: int
    end: int
    page: int
    """On which it begins; 1 where the document has no pages."""
    kind: Kind
    """Of most of its text."""
    heading: str
    """The headings above it, from the highest, joined by " > "; then "columns: ..." for rows that stand without their table's first row."""
    tokens: int
    """As `tokens.count` estimates them."""
    language: str
    """ISO 639-1; "und" where it is not known."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A document with its passages."""

    parsed: Parsed
    pieces: Sequence[Piece]
    terms: Sequence[tuple[str, str]] = ()
    """Of each passage what the index of words takes of its text: search terms, and all words, with spaces between. Empty: nobody has made them."""


@dataclass(frozen=True, slots=True)
class Small:
    """A file that is read and cut together with others. `filename`: as its owner calls it; `most`, `overlap`: see `split`."""

    path: Path
    filename: str
    most: int
    overlap: int

"""What every reader of a format shares: how much it may read, the error for what cannot be read, and the draft that becomes a `Parsed`.

A reader feeds a `Draft` in reading order; the draft counts the characters, so no reader computes an offset.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hausgeist.errors import InvalidRequest
from hausgeist.knowledge.parsed import Block, Kind, Page, Parsed

__all__ = ["Draft", "Limits", "Source", "Unreadable", "content"]

Source = Path | bytes
"""Where a reader finds its file: on disk, or already in memory (an attachment)."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one file may cost. What is over a limit that cuts is left out with a warning; what is over one that refuses is `Unreadable`."""

    seconds: float = 300.0
    """Processor time for one file; refused above."""
    memory: int = 2 << 30
    """Bytes that the process of a parser may take; refused above."""
    file: int = 512 << 20
    """Bytes of the file itself; refused above."""
    pages: int = 20_000
    """Pages, slides, sheets, mails; cut."""
    characters: int = 20_000_000
    """Characters of text; cut."""
    cells: int = 2_000_000
    """Cells of all tables of a spreadsheet or of rows in data; cut."""
    entries: int = 20_000
    """Files in an archive, parts of a mail; refused above."""
    unpacked: int = 512 << 20
    """Bytes that an archive unpacks to, all parts that are read together; refused above."""
    ratio: int = 400
    """Times that a part of more than 32 MiB may be larger than it is packed; refused above."""
    depth: int = 4
    """Files within files (a mail attached to a mail); deeper ones are named, not read."""

    def within(self, *, characters: int) -> Limits:
        """The limits for a file within this one, with so many characters left."""
        return replace(self, depth=self.depth - 1, characters=max(0, characters))


class Unreadable(InvalidRequest):
    """This file cannot be read."""


def content(source: Source, limits: Limits) -> bytes:
    """All bytes of a file.

    Raises `Unreadable` for an empty one, one over the limit, and one that the disk does not give.
    """
    if isinstance(source, bytes):
        data = source
    else:
        try:
            if source.stat().st_size > limits.file:
                raise Unreadable(f"The file has more than {limits.file >> 20} MiB; split it into smaller ones.")
            data = source.read_bytes()
        except OSError as error:
            raise Unreadable(f"The file could not be read from disk: {error.strerror or error}.") from error
    if not data:
        raise Unreadable("The file is empty.")
    if len(data) > limits.file:
        raise Unreadable(f"The file has more than {limits.file >> 20} MiB; split it into smaller ones.")
    return data


_BREAKS = re.compile(r"\r\n?|[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_UNWANTED = re.compile("[\x00-\x08\x0e-\x1b\x1f\x7f\u00ad\ufeff\ufffe\uffff\ud800-\udfff]")
_TRAILING = re.compile(r"[^\S\n]+(?=\n)")
_MANY_BREAKS = re.compile(r"\n{3,}")


def _clean(text: str) -> str:
    """Text without what no reader sees: controls, soft hyphens, byte order marks, halves of characters, white space at ends of lines."""
    if not text.isprintable():
        text = _UNWANTED.sub("", _BREAKS.sub("\n", text))
        if "\n" in text:
            text = _MANY_BREAKS.sub("\n\n", _TRAILING.sub("", text))
    return text.strip()


class Draft:
    """A text that grows in reading order, and what its parts are.

    Paragraphs are divided by an empty line, items of a list and rows of a table by a line break, cells by a tab.
    Once the text has as many characters as allowed, `full` is true and everything more is left out, with one warning.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.full = False
        self.warnings: list[str] = []
        self._parts: list[str] = []
        self._length = 0
        self._blocks: list[Block] = []
        self._pages: list[Page] = []
        self._furniture: list[str] = []
        self._in_list = False

    @property
    def left(self) -> int:
        """Characters that may still come."""
        return 0 if self.full else self.limits.characters - self._length

    @property
    def empty(self) -> bool:
        return not self._blocks

    def warn(self, sentence: str) -> None:
        if sentence not in self.warnings and len(self.warnings) < 100:
            self.warnings.append(sentence)

    def page(self, label: str = "", *, width: float = 0.0, height: float = 0.0, recognised: bool = False) -> bool:
        """A new page begins; false when there are as many as allowed already, and the reader should stop."""
        if len(self._pages) >= self.limits.pages:
            self._fill(f"Only the first {self.limits.pages} pages were read.")
        if self.full:
            return False
        self._close_page()
        self._in_list = False
        start = self._length + (2 if self._parts else 0)
        self._pages.append(Page(len(self._pages) + 1, start, start, width, height, " ".join(_clean(label).split())[:200], recognised))
        return True

    def title(self, text: str) -> None:
        self._block("title", _one_line(text))

    def heading(self, text: str, level: int = 1) -> None:
        self._block("heading", _one_line(text), level=min(max(level, 1), 9))

    def paragraph(self, text: str) -> None:
        self._block("paragraph", _clean(text))

    def item(self, text: str) -> None:
        """One item of a list; items that follow one another are one list. The caller writes the bullet or number, when the file has one."""
        indent = " " * min(len(text) - len(text.lstrip(" ")), 40)
        text = _clean(text).replace("\n\n", "\n")
        if not text or self.full:
            return
        if not self._in_list:
            self._block("list", text)
            self._in_list = not self.full
        elif self._add(indent + text, "\n") is not None:
            self._blocks[-1] = replace(self._blocks[-1], end=self._length)

    def code(self, text: str) -> None:
        """Text whose white space matters."""
        text = _UNWANTED.sub("", _BREAKS.sub("\n", text)).rstrip()
        lines = text.split("\n")
        while lines and not lines[0].strip():
            del lines[0]
        self._block("code", "\n".join(lines))

    def caption(self, text: str) -> None:
        self._block("caption", _clean(text))

    def note(self, text: str) -> None:
        """A footnote, a comment, notes of a speaker."""
        self._block("note", _clean(text))

    def furniture(self, text: str) -> None:
        """A header or footer that stands on every page; it goes to the end of the text."""
        text = _clean(text)
        if text and len(self._furniture) < 20_000:
            self._furniture.append(text)

    def table(self, rows: Iterable[Sequence[str]], *, header: int = 0) -> None:
        """A table. Rows without text are left out, cells at the end of a row without text too; the first row is of titles when `header` is 1."""
        places: list[tuple[int, int]] = []
        headed = 0
        for number, row in enumerate(rows):
            if self.full:
                break
            line = "\t".join([" ".join(cell.split()) if not cell.isalnum() else cell for cell in row])
            line = _UNWANTED.sub("", line).rstrip()
            if not line.strip():
                continue
            start = self._add(line, "\n" if places else "\n\n")
            if start is None:
                break
            # A row that begins with empty cells begins with tabs; they belong to it.
            places.append((start, self._length))
            headed += number < header
        if places:
            self._in_list = False
            self._blocks.append(Block("table", places[0][0], places[-1][1], rows=tuple(places), header=headed))

    def embed(self, parsed: Parsed, label: str) -> None:
        """A file within this file, as pages of its own called `label` and, where it has pages, their own names."""
        names = [" – ".join(part for part in (label, page.label) if part) for page in parsed.pages]
        bounds = [(page.start, page.end, name, page) for page, name in zip(parsed.pages, names, strict=True)]
        position = 0
        if not bounds:
            self.page(label)
        for block in parsed.blocks:
            while position < len(bounds) and block.kind != "furniture" and block.start >= bounds[position][0]:
                _, _, name, page = bounds[position]
                if not self.page(name, width=page.width, height=page.height, recognised=page.recognised):
                    return
                position += 1
            self._copy(parsed.text, block)
        for sentence in parsed.warnings:
            self.warn(f"{label}: {sentence}")

    def _copy(self, text: str, block: Block) -> None:
        if block.kind == "furniture":
            self.furniture(text[block.start : block.end])
        elif block.kind == "table":
            self.table((text[start:end].split("\t") for start, end in block.rows), header=block.header)
        else:
            self._in_list = False
            self._block(block.kind, text[block.start : block.end], level=block.level)

    def parsed(self, media_type: str, *, title: str = "", guess: bool = True, properties: Mapping[str, str] | None = None) -> Parsed:
        """The draft is done. Without a `title` the first block that is one, or the first highest heading, gives it where that may be guessed."""
        self._close_page()
        full, self.full = self.full, False
        for text in self._furniture:
            self._in_list = False
            self._block("furniture", text, bounded=False)
        self.full = full
        text = "".join(self._parts)
        title = _one_line(title)
        if not title and guess:
            titles = [block for block in self._blocks if block.kind == "title"] or [block for block in self._blocks if block.level == 1]
            title = text[titles[0].start : titles[0].end] if titles else ""
        kept = {key: " ".join(_clean(value).split())[:1000] for key, value in (properties or {}).items()}
        return Parsed(
            text=text,
            blocks=tuple(self._blocks),
            pages=tuple(self._pages),
            media_type=media_type,
            title=title[:300],
            properties={key: value for key, value in kept.items() if value},
            warnings=tuple(self.warnings),
        )

    def _block(self, kind: Kind, text: str, *, level: int = 0, bounded: bool = True) -> None:
        self._in_list = False
        if not text or self.full:
            return
        start = self._add(text, "\n\n", bounded=bounded)
        if start is not None:
            self._blocks.append(Block(kind, start, self._length, level))

    def _add(self, text: str, joint: str, *, bounded: bool = True) -> int | None:
        """Where the text begins that now stands at the end; none where there is no room for it."""
        joint = joint if self._parts else ""
        if bounded and self._length + len(joint) + len(text) > self.limits.characters:
            text = text[: max(0, self.limits.characters - self._length - len(joint))].rstrip()
            self._fill(f"Only the first {self.limits.characters} characters were read.")
            if not text.strip():
                return None
        self._parts += (joint, text)
        start = self._length + len(joint)
        self._length = start + len(text)
        return start

    def _fill(self, sentence: str) -> None:
        if not self.full:
            self.full = True
            self.warn(sentence)

    def _close_page(self) -> None:
        if self._pages:
            last = self._pages[-1]
            start = min(last.start, self._length)
            self._pages[-1] = replace(last, start=start, end=max(start, self._length))


def _one_line(text: str) -> str:
    return " ".join(_clean(text).split())

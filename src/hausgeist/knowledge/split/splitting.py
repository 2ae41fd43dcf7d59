"""A document is cut into passages: along its structure first, at sentences where a paragraph is too long, never through a sentence or a row of a
table.

A passage is one stretch of the document's text. What stands above it (headings, the titles of a table's columns, the line that introduces a list) is
told in `heading` where it is not in the passage itself. Passages never cross a slide, sheet or mail; they may cross a page of paper. Furniture
(running headers, page numbers) is left out, everything else is in one of them.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from hausgeist.knowledge.language import detect
from hausgeist.knowledge.language.running import Running
from hausgeist.knowledge.parsed import Block, Kind, Page, Parsed, Piece
from hausgeist.knowledge.split.sentences import sentences
from hausgeist.knowledge.split.tokens import count, weigh

__all__ = ["Piece", "split"]

_BETWEEN = " > "
_SMALL = 8
"""A section of less than `most` through this many tokens is joined with the next."""
_GIANT = 10
"""A sentence or row of more than `most` times this many tokens is cut at white space."""
_TOLD = 300
"""Characters of a table's column titles or of a list's introducing line that are told in `heading`."""
_APART = ("presentation", "powerpoint", "spreadsheet", "excel", "message/", "mbox", "outlook")
"""Parts of the media types whose pages are documents of their own."""
_LEADING: frozenset[Kind] = frozenset(("heading", "title"))
_BLANK_LINES = re.compile(r"\n[^\S\n]*\n\s*")
_SPACE = re.compile(r"\s+")


@dataclass(slots=True)
class _Unit:
    """What stays together if it can: a paragraph, a row, a list item, a line of code."""

    start: int
    end: int
    tokens: int
    kind: Kind
    leads: bool = False
    """It says what follows it (a heading, a caption, a line that ends in a colon): it is not the last of a passage."""
    joined: bool = False
    """Rows, items, lines: they are cut between, not within."""
    told: str = ""
    """What `heading` says of it where its passage begins with it."""


@dataclass(slots=True)
class _Section:
    path: tuple[str, ...]
    units: list[_Unit] = field(default_factory=list)
    tokens: int = 0


def split(parsed: Parsed, *, most: int = 400, overlap: int = 0, detect: Callable[[str], str] = detect) -> list[Piece]:
    """In the order of the text.

    `most`: tokens of a passage, at least 1 (the API allows 100 to 4,096); a sentence or row of more stands alone. `overlap`: tokens of whole
    sentences or rows at the end of a passage that are repeated at the beginning of the next where a text had to be cut, at most half of `most`.
    `detect`: tells the language of a text (ISO 639-1) where its words alone do not, see `Running`.
    """
    cutter = _Cutter(parsed.text, most, min(overlap, most // 2), parsed.pages, detect)
    for section in _sections(parsed, most):
        cutter.cut(section)
    return cutter.pieces


def _sections(parsed: Parsed, most: int) -> Iterator[_Section]:
    """The text between two headings, slides, sheets or mails."""
    text = parsed.text
    pages = parsed.pages if _pages_apart(parsed) else ()
    page = -1
    path: list[tuple[int, str]] = []
    section = _Section(())
    for block in _blocks(parsed):
        if block.kind == "furniture":
            if section.units:
                yield section
                section = _Section(section.path)
            continue
        if pages:
            here = bisect_right(pages, block.start, key=lambda one: one.start)
            if here != page:
                if section.units:
                    yield section
                page, path, section = here, [], _Section(())
        if block.kind in _LEADING:
            level = block.level or 1
            while path and path[-1][0] >= level:
                path.pop()
            path.append((level, " ".join(text[block.start : block.end].split())[:_TOLD]))
            names = tuple(name for _, name in path)
            if section.units and section.tokens >= most // _SMALL and not section.units[-1].leads:
                yield section
                section = _Section(names)
            elif not section.units:
                section = _Section(names)
            else:
                # Headings in a row, and sections of a line or two: what they share is above them.
                section.path = names if all(unit.leads for unit in section.units) else _shared(section.path, names)
        for unit in _units(text, block, section.units[-1] if section.units else None):
            section.units.append(unit)
            section.tokens += unit.tokens
    if section.units:
        yield section


def _pages_apart(parsed: Parsed) -> bool:
    if parsed.media_type == "application/pdf":
        return False
    return any(page.label for page in parsed.pages) or any(part in parsed.media_type for part in _APART)


def _shared(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    length = 0
    while length < min(len(one), len(other)) and one[length] == other[length]:
        length += 1
    return one[:length]


def _blocks(parsed: Parsed) -> Iterator[Block]:
    """As the parser gave them; text that stands in none is paragraphs, divided by blank lines."""
    text = parsed.text
    done = 0
    for block in parsed.blocks:
        start, end = block.start, block.end
        if start > done and not text[done:start].isspace():
            yield from _loose(text, done, start)
        if end > done:
            if end > start:
                yield block
            done = end
    yield from _loose(text, done, len(text))


def _loose(text: str, start: int, end: int) -> Iterator[Block]:
    for first, last in _parted(text, start, end, _BLANK_LINES):
        yield Block("paragraph", first, last)


def _parted(text: str, start: int, end: int, divider: re.Pattern[str]) -> Iterator[tuple[int, int]]:
    """What stands between the dividers, without white space around it."""
    while start < end:
        match = divider.search(text, start, end)
        last, following = (match.start(), match.end()) if match else (end, end)
        trimmed = _trimmed(text, start, last)
        if trimmed:
            yield trimmed
        start = following


def _trimmed(text: str, start: int, end: int) -> tuple[int, int] | None:
    if start < end and not text[start].isspace() and not text[end - 1].isspace():
        return start, end
    part = text[start:end]
    bare = part.strip()
    if not bare:
        return None
    start += len(part) - len(part.lstrip())
    return start, start + len(bare)


def _units(text: str, block: Block, before: _Unit | None) -> Iterable[_Unit]:
    kind = block.kind
    if kind == "table" and block.rows:
        return _table(text, block)
    if kind in ("list", "code"):
        told = ""
        if kind == "list" and before is not None:
            introduced = before.leads and before.kind == "paragraph" and before.end - before.start <= _TOLD
            told = " ".join(text[before.start : before.end].split()) if introduced else before.told if before.kind == "list" else ""
        return [_Unit(start, end, count(text[start:end]), kind, joined=True, told=told) for start, end in _lines(text, block.start, block.end)]
    part = text[block.start : block.end]
    bare = part.strip()
    if not bare:
        return ()
    start = block.start if len(bare) == len(part) else block.start + len(part) - len(part.lstrip())
    leads = kind in _LEADING or (bare[-1] in ":：" and len(bare) < 600) or (kind == "caption" and len(bare) < 600)
    return (_Unit(start, start + len(bare), count(bare), kind, leads),)


def _lines(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Lines with something in them. White space before the first letter of a line belongs to it, as code needs."""
    while start < end:
        last = text.find("\n", start, end)
        last = end if last < 0 else last
        if text[start:last].strip():
            yield start, last
        start = last + 1


def _table(text: str, block: Block) -> Iterator[_Unit]:
    header = min(block.header, len(block.rows))
    told = ""
    if header:
        cells = text[block.rows[0][0] : block.rows[header - 1][1]].replace("\n", "\t").split("\t")
        titles = ", ".join(" ".join(cell.split()) for cell in cells if cell.strip())
        told = "columns: " + (titles if len(titles) <= _TOLD else titles[:_TOLD].rsplit(", ", 1)[0] + ", …") if titles else ""
    done = block.start
    for number, (start, end) in enumerate(block.rows):
        # What a parser left between its rows is part of the row before.
        place = _trimmed(text, min(done, start) if number == 0 else start, block.end if number == len(block.rows) - 1 else block.rows[number + 1][0])
        done = end
        if place:
            yield _Unit(*place, count(text[place[0] : place[1]]), "table", number < header, joined=True, told=told if number >= header else "")


class _Cutter:
    """Puts units together into passages of at most `most` tokens."""

    def __init__(self, text: str, most: int, overlap: int, pages: Sequence[Page], detect: Callable[[str], str]) -> None:
        self.text = text
        self.most = most
        self.overlap = overlap
        self._languages = Running(detect)
        self.pieces: list[Piece] = []
        self._page_starts = [page.start for page in pages]
        self._page_numbers = [page.number for page in pages]
        self._path: tuple[str, ...] = ()
        self._held: list[_Unit] = []
        self._size = 0

    def cut(self, section: _Section) -> None:
        self._path = section.path
        for unit in section.units:
            if self._held and (unit.kind == "table") != (self._held[-1].kind == "table") and not self._small():
                self._flush(carry=unit.kind == "table")
            if self._size + unit.tokens <= self.most:
                self._hold(unit)
            elif unit.tokens <= self.most:
                self._flush(carry=True, repeat=True)
                self._fit(unit)
            else:
                self._long(unit)
        self._flush()

    def _small(self) -> bool:
        return self._size < self.most // _SMALL or (self._held[-1].leads and len(self._held) == 1)

    def _hold(self, unit: _Unit) -> None:
        self._held.append(unit)
        self._size += unit.tokens

    def _fit(self, unit: _Unit) -> None:
        """The first of a passage, or the first after what was carried or repeated: as much of that as leaves room."""
        while self._held and self._size + unit.tokens > self.most:
            first = self._held[0]
            if not self.pieces or first.end > self.pieces[-1].end:
                self._flush()  # Carried, not repeated: it must not be lost.
                continue
            self._size -= first.tokens
            del self._held[0]
        self._hold(unit)

    def _long(self, unit: _Unit) -> None:
        """A paragraph, row or line of more than a passage. It is cut into passages of about the same length, so that no crumb is left over."""
        if self._held and not self._small():
            self._flush(carry=True, repeat=True)
        parts = self._parts(unit)
        rest = self._size + sum(part.tokens for part in parts)
        wanted = rest / -(-rest // self.most)
        for part in parts:
            over = self._size + part.tokens > self.most
            if self._held and not all(held.leads for held in self._held) and (over or self._size + part.tokens / 2 > wanted):
                rest -= self._size
                self._flush(repeat=True)
                rest += self._size
                wanted = rest / max(1, -(-rest // self.most))
                self._fit(part)
            elif over:
                self._fit(part)
            else:
                self._hold(part)

    def _parts(self, unit: _Unit) -> list[_Unit]:
        if unit.joined:
            places = [(unit.start, unit.end)]
        else:
            part = self.text[unit.start : unit.end]
            places = [(unit.start + start, unit.start + end) for start, end in sentences(part, self._languages.of(self.text, unit.start, unit.end))]
        parts: list[_Unit] = []
        for start, end in places:
            tokens = count(self.text[start:end])
            if tokens > self.most * _GIANT:
                parts.extend(self._giant(start, end, unit))
            else:
                parts.append(_Unit(start, end, tokens, unit.kind, joined=unit.joined, told=unit.told))
        return parts

    def _giant(self, start: int, end: int, unit: _Unit) -> Iterator[_Unit]:
        """Not language: base64, a line of a database dump. Cut at white space, and where there is none after `most` tokens anyway."""
        room = self.most  # Characters: none costs more than two tokens, and most words need fewer than their letters.
        while start < end:
            if (white := _SPACE.match(self.text, start, end)) is not None:
                start = white.end()  # A page of nothing else is passed over at once.
                continue
            last = min(end, start + room)
            weight = weigh(self.text[start:last])
            while last < end and (weight + 99) // 100 < self.most // 2:
                before, last = last, min(end, last + room)
                weight += weigh(self.text[before:last])
            if last < end:
                bare = self.text[start:last].rstrip()
                if len(bare) == last - start:
                    bare = bare.rsplit(None, 1)[0]
                last = start + len(bare)
            place = _trimmed(self.text, start, last)
            if place:
                yield _Unit(*place, count(self.text[place[0] : place[1]]), unit.kind, joined=True, told=unit.told)
            start = last

    def _flush(self, *, carry: bool = False, repeat: bool = False) -> None:
        """What is held becomes a passage. `carry`: what only leads to the next stays held; `repeat`: the last sentences as well."""
        held = self._held
        kept: list[_Unit] = []
        if carry:
            while len(held) > 1 and held[-1].leads and held[-1].tokens <= self.most // 2:
                kept.insert(0, held.pop())
        if held and not (self.pieces and held[-1].end <= self.pieces[-1].end):
            self._emit(held)
        if repeat and not kept and self.overlap and held:
            kept = self._repeated(held)
        self._held = kept
        self._size = sum(unit.tokens for unit in kept)

    def _repeated(self, held: Sequence[_Unit]) -> list[_Unit]:
        parts: list[_Unit] = []
        for unit in reversed(held):
            parts = ([unit] if unit.joined or unit.tokens <= self.overlap // 4 else self._parts(unit)) + parts
            if sum(part.tokens for part in parts) > self.overlap:
                break
        size = 0
        kept: list[_Unit] = []
        for part in reversed(parts):
            if size + part.tokens > self.overlap or part.start <= self.pieces[-1].start:
                break
            size += part.tokens
            kept.insert(0, part)
        return kept

    def _emit(self, held: Sequence[_Unit]) -> None:
        first = held[0]
        start, end = first.start, held[-1].end
        kind, tokens = first.kind, first.tokens
        if len(held) > 1:
            tokens = count(self.text[start:end])
            if any(unit.kind != kind for unit in held):
                sizes: dict[Kind, int] = {}
                for unit in held:
                    sizes[unit.kind] = sizes.get(unit.kind, 0) + unit.tokens
                kind = max(sizes, key=sizes.__getitem__)
        path = [*self._path, first.told] if first.told else self._path
        page = bisect_right(self._page_starts, start)
        number = self._page_numbers[max(0, page - 1)] if self._page_numbers else 1
        before = self.pieces[-1] if self.pieces else None
        if before and kind == before.kind == "table" and first.told and before.heading.startswith(_BETWEEN.join(self._path)):
            language = before.language  # One table is in one language.
        else:
            language = self._languages.of(self.text, start, end)
        self.pieces.append(Piece(start, end, number, kind, _BETWEEN.join(path), tokens, language))

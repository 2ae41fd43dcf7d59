"""PowerPoint presentations of before 2007 (PPT): each slide is a page, with its text and notes. [MS-PPT]"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from hausgeist.knowledge.parse.base import Draft, Limits, Source, Unreadable, content
from hausgeist.knowledge.parse.legacy.compound import Compound
from hausgeist.knowledge.parsed import Parsed

__all__ = ["read"]

MEDIA_TYPE = "application/vnd.ms-powerpoint"

_DOCUMENT, _SLIDE, _NOTES, _MASTER, _LIST, _PERSIST = 0x03E8, 0x03EE, 0x03F0, 0x03F8, 0x0FF0, 0x03F3
_HEADER, _CHARACTERS, _BYTES, _STRING = 0x0F9F, 0x0FA0, 0x0FA8, 0x0FBA
_TITLES = {0, 6}
_DEEPEST = 30
_ENCRYPTED = 0xF3D1C4DF


@dataclass(slots=True)
class _Text:
    kind: int
    text: str = ""


@dataclass(slots=True)
class _Sheet:
    texts: list[_Text] = field(default_factory=list)


def read(source: Source, filename: str, limits: Limits) -> Parsed:
    """The text of an old presentation."""
    streams = Compound(content(source, limits), limits)
    user = streams.read("Current User")
    if len(user) >= 16 and struct.unpack_from("<I", user, 12)[0] == _ENCRYPTED:
        raise Unreadable("The presentation is protected by a password; save it without one.")
    reader = _Slides(streams.read("PowerPoint Document"))
    draft = Draft(limits)
    for number, texts in enumerate(reader.slides(), 1):
        if not draft.page(f"Slide {number}"):
            break
        for one in sorted(texts, key=lambda text: text.kind not in _TITLES):
            lines = [line.replace("\x0b", " ").strip() for line in one.text.split("\r")]
            if one.kind in _TITLES:
                draft.heading(" ".join(lines), 1)
            elif one.kind == 2:
                draft.note("\n".join(lines))
            elif one.kind in {1, 7, 8} and sum(map(bool, lines)) > 1:
                for line in lines:
                    draft.item(f"• {line}" if line else "")
            else:
                for line in lines:
                    draft.paragraph(line)
    if any(name.startswith(("_VBA_PROJECT", "VBA/")) for name in streams.names):
        draft.warn("The presentation holds macros; they were neither read nor run.")
    return draft.parsed(MEDIA_TYPE)


class _Slides:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._outline: list[_Sheet] = []
        self._drawn: list[_Sheet] = []
        self._notes: list[_Sheet] = []
        self._top()

    def slides(self) -> list[list[_Text]]:
        """The texts of each slide: those of the outline, those that are only drawn, and the notes."""
        count = max(len(self._outline), len(self._drawn))
        found: list[list[_Text]] = []
        for number in range(count):
            texts = list(self._outline[number].texts) if number < len(self._outline) else []
            known = {one.text for one in texts}
            if number < len(self._drawn):
                texts += [one for one in self._drawn[number].texts if one.text not in known]
            if number < len(self._notes) and len(self._notes) == count:
                texts += [_Text(2, one.text) for one in self._notes[number].texts if one.text.strip() not in {"*", ""}]
            found.append(texts)
        return found

    def _records(self, start: int, end: int) -> Iterator[tuple[int, int, int, int, bool]]:
        """Kind, instance, start and end of the content, and whether it holds records."""
        while start + 8 <= end:
            version, kind, length = struct.unpack_from("<HHI", self._data, start)
            stop = min(start + 8 + length, end)
            yield kind, version >> 4, start + 8, stop, version & 15 == 15
            start = stop if stop > start else end

    def _top(self) -> None:
        for kind, _, start, end, holds in self._records(0, len(self._data)):
            if kind == _DOCUMENT and holds:
                self._document(start, end)
            elif kind == _SLIDE and holds:
                self._drawn.append(_Sheet(list(self._texts(start, end, 0))))
            elif kind == _NOTES and holds:
                self._notes.append(_Sheet(list(self._texts(start, end, 0))))

    def _document(self, start: int, end: int) -> None:
        for kind, instance, inner, stop, holds in self._records(start, end):
            if kind == _LIST and holds and instance == 0:
                # A file saved "fast" holds older versions of itself; the last list of slides is the one that counts.
                self._outline = []
                last = -1
                for place, (inside, _, first, final, _) in enumerate(self._records(inner, stop)):
                    if inside == _PERSIST:
                        self._outline.append(_Sheet())
                        last = place
                    elif self._outline and last >= 0:
                        self._atom(inside, first, final, self._outline[-1].texts)

    def _texts(self, start: int, end: int, depth: int) -> Iterator[_Text]:
        found: list[_Text] = []
        self._gather(start, end, depth, found)
        return iter([one for one in found if one.text.strip()])

    def _gather(self, start: int, end: int, depth: int, found: list[_Text]) -> None:
        for kind, _, inner, stop, holds in self._records(start, end):
            if holds and depth < _DEEPEST:
                self._gather(inner, stop, depth + 1, found)
            elif not holds:
                self._atom(kind, inner, stop, found)

    def _atom(self, kind: int, start: int, end: int, found: list[_Text]) -> None:
        if kind == _HEADER and end - start >= 4:
            found.append(_Text(struct.unpack_from("<I", self._data, start)[0]))
        elif kind in {_CHARACTERS, _BYTES}:
            raw = self._data[start:end]
            text = raw.decode("utf-16-le", "replace") if kind == _CHARACTERS else raw.decode("latin-1")
            if found and not found[-1].text:
                found[-1].text = text
            else:
                found.append(_Text(4, text))

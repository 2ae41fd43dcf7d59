"""What a parser process sends back: text, numbers and words of known kinds, never anything that could run.

The process may have been taken over by the file that it read, so `decode` believes nothing: every place must lie within the text, every kind be
known, every number be finite, and nothing be longer than it may.
"""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Sequence
from typing import Any, get_args

from hausgeist.knowledge.parsed import Block, Box, Cut, Kind, Line, Page, Parsed, Piece

__all__ = ["decode", "decode_cut", "encode", "encode_cut"]

_KINDS: tuple[Kind, ...] = get_args(Kind)
_HEAD = 4
"""Bytes that say how long the JSON is; after it come the text, which would be slower to read as JSON, and the lines: places as 64-bit whole numbers,
then boxes as 32-bit floats."""
_PLACES, _SIDES = 3, 4
_SHORT, _LONG = 300, 2000
_MOST_WARNINGS, _MOST_PROPERTIES = 200, 200
_MOST_OF_A_KIND = 20_000_000
_MOST_TERMS = 64 << 20
"""Bytes of the terms of a passage."""
_CODE = 8
"""Letters of the name of a language."""


def encode(parsed: Parsed) -> bytes:
    # Half of a surrogate pair cannot be written; a reader that lets one through shall not lose its file for it.
    text = parsed.text.encode("utf-8", "replace")
    body = {
        "text": len(text),
        "blocks": [
            [_KINDS.index(block.kind), block.start, block.end, block.level, block.header, [place for row in block.rows for place in row]]
            for block in parsed.blocks
        ],
        "pages": [[page.number, page.start, page.end, page.width, page.height, page.label, page.recognised] for page in parsed.pages],
        "lines": len(parsed.lines),
        "media_type": parsed.media_type,
        "title": parsed.title[:_SHORT],
        "properties": {name[:_SHORT]: value[:_LONG] for name, value in list(parsed.properties.items())[:_MOST_PROPERTIES]},
        "warnings": [sentence[:_LONG] for sentence in parsed.warnings[:_MOST_WARNINGS]],
    }
    places = array("q", [place for start, end, page, _ in parsed.lines for place in (start, end, page)])
    boxes = array("f", [side for *_, box in parsed.lines for side in box])
    head = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    return b"".join((len(head).to_bytes(_HEAD, "little"), head, text, places.tobytes(), boxes.tobytes()))


def decode(data: bytes, *, characters: int) -> Parsed:
    """Raises `ValueError` for what no reader of ours would say. `characters`: most that the text may have."""
    start = _HEAD + int.from_bytes(data[:_HEAD], "little")
    body = json.loads(data[_HEAD:start].decode("utf-8"))
    if not isinstance(body, dict):
        raise ValueError("no text")
    end = start + _whole(body.get("text"))
    if end > len(data):
        raise ValueError("the text is missing")
    text = data[start:end].decode("utf-8")
    if len(text) > characters:
        raise ValueError("too long a text")
    return Parsed(
        text=text,
        blocks=_blocks(_list(body, "blocks"), len(text)),
        pages=_pages(_list(body, "pages"), len(text)),
        lines=_lines(data[end:], _whole(body.get("lines")), len(text)),
        media_type=_words(body.get("media_type"), _SHORT),
        title=_words(body.get("title"), _SHORT),
        properties=_properties(body.get("properties")),
        warnings=tuple(_words(sentence, _LONG) for sentence in _list(body, "warnings")[:_MOST_WARNINGS]),
    )


def encode_cut(parsed: Parsed, pieces: Sequence[Piece], terms: Sequence[tuple[str, str]]) -> bytes:
    """What a file says, the passages of it, and the terms of each, which stand outside of the JSON: they are most of it, and need no marks."""
    written = [its.encode("utf-8", "replace") for both in terms for its in both]
    sizes = iter(map(len, written))
    listed = [
        [_KINDS.index(one.kind), one.start, one.end, one.page, one.heading, one.tokens, one.language, next(sizes), next(sizes)]
        for one, _ in zip(pieces, terms, strict=True)
    ]
    head = json.dumps(listed, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    return b"".join((len(head).to_bytes(_HEAD, "little"), head, *written, encode(parsed)))


def decode_cut(data: bytes, *, characters: int) -> Cut:
    """See `decode`."""
    place = _HEAD + int.from_bytes(data[:_HEAD], "little")
    listed = json.loads(data[_HEAD:place].decode("utf-8"))
    if not isinstance(listed, list) or len(listed) > characters:
        raise ValueError("no passages")
    terms = []
    for *_, sought, written in listed:
        between = place + _size(sought)
        end = between + _size(written)
        if end > len(data):
            raise ValueError("terms are missing")
        terms.append((data[place:between].decode("utf-8"), data[between:end].decode("utf-8")))
        place = end
    parsed = decode(data[place:], characters=characters)
    size = len(parsed.text)
    if len(listed) > size:
        raise ValueError("more passages than text")
    return Cut(parsed, tuple(_piece(one[:-2], size) for one in listed), tuple(terms))


def _size(value: object) -> int:
    if (size := _whole(value)) > _MOST_TERMS:
        raise ValueError("too many terms")
    return size


def _piece(listed: list[Any], size: int) -> Piece:
    kind, start, end, page, heading, tokens, language = listed
    start, end = _span(start, end, size)
    return Piece(start, end, _whole(page), _KINDS[_whole(kind)], _words(heading, size + _LONG), _whole(tokens), _words(language, _CODE))


def _blocks(listed: list[Any], size: int) -> tuple[Block, ...]:
    blocks = []
    before = 0
    for kind, start, end, level, header, rows in listed:
        start, end = _span(start, end, size)
        if start < before:
            raise ValueError("blocks overlap")
        before = end
        if not isinstance(rows, list) or len(rows) % 2:
            raise ValueError("rows without an end")
        spans = []
        last = start
        for place in range(0, len(rows), 2):
            first, beyond = _span(rows[place], rows[place + 1], size)
            if first < last or beyond > end:
                raise ValueError("a row outside of its table")
            spans.append((first, beyond))
            last = beyond
        blocks.append(Block(_KINDS[_whole(kind)], start, end, min(_whole(level), 9), tuple(spans), min(_whole(header), len(spans))))
    return tuple(blocks)


def _pages(listed: list[Any], size: int) -> tuple[Page, ...]:
    pages = []
    for position, (number, start, end, width, height, label, recognised) in enumerate(listed):
        if number != position + 1:
            raise ValueError("pages out of order")
        start, end = _span(start, end, size)
        pages.append(Page(number, start, end, _length(width), _length(height), _words(label, _SHORT), bool(recognised)))
    return tuple(pages)


def _lines(data: bytes, count: int, size: int) -> tuple[Line, ...]:
    places, boxes = array("q"), array("f")
    border = count * _PLACES * places.itemsize
    if len(data) != border + count * _SIDES * boxes.itemsize:
        raise ValueError("lines are missing")
    places.frombytes(data[:border])
    boxes.frombytes(data[border:])
    if not count:
        return ()
    starts, ends, pages = places[0::3], places[1::3], places[2::3]
    if min(starts) < 0 or max(ends) > size or min(pages) < 1 or not all(map(int.__le__, starts, ends)):
        raise ValueError("a line outside of the text")
    if not all(map(math.isfinite, boxes)):
        raise ValueError("a box without a place")
    sides = zip(boxes[0::4], boxes[1::4], boxes[2::4], boxes[3::4], strict=True)
    return tuple(map(Line._make, zip(starts, ends, pages, map(Box._make, sides), strict=True)))


def _list(body: dict[str, Any], name: str) -> list[Any]:
    value = body.get(name)
    if not isinstance(value, list) or len(value) > _MOST_OF_A_KIND:
        raise ValueError(f"{name} is not a list")
    return value


def _span(start: object, end: object, size: int) -> tuple[int, int]:
    first, beyond = _whole(start), _whole(end)
    if not first <= beyond <= size:
        raise ValueError("outside of the text")
    return first, beyond


def _whole(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError("not a whole number")
    return value


def _length(value: object) -> float:
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("not a length")
    return float(value)


def _words(value: object, most: int) -> str:
    if not isinstance(value, str) or len(value) > most:
        raise ValueError("not a few words")
    return value


def _properties(value: object) -> dict[str, str]:
    if not isinstance(value, dict) or len(value) > _MOST_PROPERTIES:
        raise ValueError("no properties")
    return {_words(name, _SHORT): _words(said, _LONG) for name, said in value.items()}

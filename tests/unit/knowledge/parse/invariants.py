"""What holds of every `Parsed`, whatever it was made of; every test of a reader ends with it."""

from __future__ import annotations

from hausgeist.knowledge.parsed import Parsed

__all__ = ["check"]

KINDS = {"title", "heading", "paragraph", "list", "table", "code", "caption", "note", "furniture"}


def check(parsed: Parsed) -> Parsed:
    text = parsed.text
    text.encode("utf-8")
    assert "\x00" not in text
    assert "\r" not in text
    place = 0
    furniture_from = None
    for block in parsed.blocks:
        assert block.kind in KINDS
        assert place <= block.start < block.end <= len(text)
        assert not text[place : block.start].strip(), "text between blocks"
        assert text[block.start : block.end].strip(), "an empty block"
        assert (block.level > 0) == (block.kind == "heading")
        if block.kind in {"title", "heading"}:
            assert "\n" not in text[block.start : block.end]
        if block.kind == "table":
            rows(text, block.start, block.end, block.rows)
            assert 0 <= block.header <= len(block.rows)
        else:
            assert not block.rows
            assert block.header == 0
        if block.kind == "furniture" and furniture_from is None:
            furniture_from = block.start
        assert furniture_from is None or block.kind == "furniture", "furniture stands at the end"
        place = block.end
    assert not text[place:].strip()
    pages(parsed, len(text) if furniture_from is None else furniture_from)
    for line in parsed.lines:
        assert 0 <= line.start < line.end <= len(text)
    for name, value in parsed.properties.items():
        assert name
        assert value
    assert all(sentence.strip() for sentence in parsed.warnings)
    assert "/" in parsed.media_type
    return parsed


def rows(text: str, start: int, end: int, places: object) -> None:
    assert isinstance(places, tuple)
    assert places
    assert places[0][0] == start
    assert places[-1][1] == end
    for (first, last), (following, _) in zip(places, [*places[1:], (end + 1, end)], strict=True):
        assert start <= first < last <= end
        assert "\n" not in text[first:last]
        assert following == last + 1


def pages(parsed: Parsed, end: int) -> None:
    if not parsed.pages:
        return
    place = 0
    for number, page in enumerate(parsed.pages, 1):
        assert page.number == number
        assert place <= page.start <= page.end <= end
        assert not parsed.text[place : page.start].strip(), "text between pages"
        place = page.end
    assert not parsed.text[place:end].strip(), "text after the last page"
    for block in parsed.blocks:
        if block.kind != "furniture":
            # It may go on over the end of its page, as paragraphs on paper do.
            assert any(page.start <= block.start < page.end for page in parsed.pages), "a block on no page"

"""Passages: in order, whole, nothing left out, nothing cut that belongs together."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hausgeist.knowledge.parsed import Block, Kind, Page, Parsed
from hausgeist.knowledge.split.sentences import sentences
from hausgeist.knowledge.split.splitting import Piece, split
from hausgeist.knowledge.split.tokens import count

PROSE = (
    "The tenant pays the rent by the third working day. Dr. Meyer signs for the landlord. Heating costs are not part of it! Who pays for repairs? "
    "The landlord does, e.g. for the roof. "
)


def document(*parts: tuple[Kind, str], media_type: str = "text/plain", pages: tuple[int, ...] = (), label: str = "") -> Parsed:
    """`parts`: kinds and texts; a table's rows are its lines, the first one its titles. `pages`: how many parts each page has."""
    text, blocks, starts = "", [], []
    for kind, part in parts:
        start = len(text)
        starts.append(start)
        rows, place = [], start
        if kind == "table":
            for line in part.split("\n"):
                rows.append((place, place + len(line)))
                place += len(line) + 1
        text += part + "\n\n"
        blocks.append(Block(kind, start, start + len(part), 1 if kind == "heading" else 0, tuple(rows), 1 if rows else 0))
    first, made = 0, []
    for number, size in enumerate(pages, 1):
        last = starts[first + size] if first + size < len(starts) else len(text)
        made.append(Page(number, starts[first], last, label=label))
        first += size
    return Parsed(text=text, blocks=blocks, pages=made, media_type=media_type)


def texts(parsed: Parsed, pieces: list[Piece]) -> list[str]:
    return [parsed.text[piece.start : piece.end] for piece in pieces]


def test_paragraphs_are_joined_up_to_the_limit_and_know_their_headings() -> None:
    parsed = document(("heading", "Rent"), *[("paragraph", PROSE.strip())] * 12, ("heading", "Notice"), ("paragraph", PROSE.strip() * 3))
    pieces = split(parsed)
    assert [piece.heading for piece in pieces] == ["Rent", "Rent", "Notice"]
    assert all(100 <= piece.tokens <= 400 for piece in pieces)
    assert texts(parsed, pieces)[2].startswith("Notice\n\nThe tenant")


def test_headings_of_different_levels_make_a_path() -> None:
    text = "Lease\n\nRent\n\n" + PROSE * 3 + "\n\nNotice\n\n" + PROSE * 3
    notice = text.index("Notice")
    blocks = [
        Block("title", 0, 5, 1), Block("heading", 7, 11, 2), Block("paragraph", 13, notice - 2),
        Block("heading", notice, notice + 6, 2), Block("paragraph", notice + 8, len(text)),
    ]  # fmt: skip
    assert [piece.heading for piece in split(Parsed(text=text, blocks=blocks))] == ["Lease > Rent", "Lease > Notice"]


def test_sections_of_a_line_are_joined_under_what_they_share() -> None:
    parsed = document(("heading", "One"), ("paragraph", "A line."), ("heading", "Two"), ("paragraph", "Another line."))
    assert [(piece.heading, piece.start, piece.end) for piece in split(parsed)] == [("", 0, len(parsed.text) - 2)]


def test_a_long_paragraph_is_cut_between_sentences_into_passages_of_similar_length() -> None:
    parsed = document(("paragraph", PROSE.strip() + (" " + PROSE.strip()) * 9))
    pieces = split(parsed, most=100)
    ends = {end for _, end in sentences(parsed.text, "en")}
    assert len(pieces) >= 4
    assert all(piece.end in ends for piece in pieces)
    assert max(piece.tokens for piece in pieces) <= 100
    assert min(piece.tokens for piece in pieces) >= 50


def test_a_table_is_cut_between_rows_and_each_passage_knows_the_titles() -> None:
    rows = "\n".join(["Article\tPrice", *(f"Screw M{number}\t{number},50" for number in range(200))])
    parsed = document(("heading", "Prices"), ("paragraph", PROSE * 2), ("table", rows))
    pieces = [piece for piece in split(parsed) if piece.kind == "table"]
    assert len(pieces) > 3
    assert pieces[0].heading == "Prices"
    assert texts(parsed, pieces)[0].startswith("Article\tPrice\nScrew M0")
    assert {piece.heading for piece in pieces[1:]} == {"Prices > columns: Article, Price"}
    assert all(re.fullmatch(r"(?:[^\t\n]+\t[^\t\n]+\n?)+", text) for text in texts(parsed, pieces))


def test_slides_are_not_mixed_and_pages_of_paper_are() -> None:
    parts: list[tuple[Kind, str]] = [("paragraph", "First page."), ("paragraph", "Second page."), ("paragraph", "Third page.")]
    slides = split(document(*parts, media_type="application/vnd.openxmlformats-officedocument.presentationml.presentation", pages=(1, 1, 1)))
    assert [piece.page for piece in slides] == [1, 2, 3]
    assert [piece.page for piece in split(document(*parts, media_type="application/pdf", pages=(1, 1, 1), label="iv"))] == [1]
    assert len(split(document(*parts, media_type="application/mbox", pages=(2, 1), label="Re: rent"))) == 2


def test_a_list_stays_with_the_line_that_introduces_it() -> None:
    items = "\n".join(f"- duty number {number} of the tenant" for number in range(60))
    parsed = document(("paragraph", PROSE.strip() * 4), ("paragraph", "The tenant must:"), ("list", items))
    pieces = split(parsed, most=200)
    introduced = next(text for text in texts(parsed, pieces) if "must:" in text)
    assert "- duty number 0" in introduced
    assert pieces[-1].heading == "The tenant must:"
    assert all(text.endswith("of the tenant") for text in texts(parsed, pieces)[1:])


def test_code_is_cut_between_lines_and_keeps_its_indentation() -> None:
    code = "\n".join(f"    value_{number} = compute({number})" for number in range(100))
    parsed = document(("code", code))
    pieces = split(parsed, most=100)
    assert len(pieces) > 5
    assert all(text.startswith("    value_") and text.endswith(")") for text in texts(parsed, pieces))


def test_overlap_repeats_whole_sentences() -> None:
    parsed = document(("paragraph", (PROSE * 12).strip()))
    pieces = split(parsed, most=100, overlap=50)
    starts = {start for start, _ in sentences(parsed.text, "en")}
    assert all(later.start < earlier.end and later.start in starts for earlier, later in pairwise(pieces))
    assert all(count(parsed.text[later.start : earlier.end]) <= 50 for earlier, later in pairwise(pieces))
    assert all(piece.tokens <= 100 for piece in pieces)


@pytest.mark.parametrize("giant", ["x" * 50_000, "word " * 10_000, "字" * 20_000, "1" * 30_000])
def test_what_is_no_language_is_cut_all_the_same(giant: str) -> None:
    pieces = split(document(("paragraph", giant)), most=100)
    assert len(pieces) > 50
    assert max(piece.tokens for piece in pieces) <= 200


def test_what_is_no_language_is_cut_at_white_space_where_there_is_some() -> None:
    random = Random(3)
    giant = "".join(
        random.choice(("abcdefgh", "0123456789", "日本語", "é")) + random.choice((" ", "  ", "\t", "\u00a0", "-")) for _ in range(6_000)
    ).strip()
    parsed = document(("paragraph", giant))
    pieces = split(parsed, most=50)
    assert len(pieces) > 100
    for earlier, later in pairwise(pieces):
        between = parsed.text[earlier.end : later.start]
        assert between
        assert between.isspace()


def test_text_without_blocks_is_paragraphs_and_nothing_gives_nothing() -> None:
    assert [(piece.start, piece.end) for piece in split(Parsed(text="  One.\n\nTwo.\n"))] == [(2, 12)]
    assert split(Parsed(text=" \n ")) == []


def test_languages_are_told_for_each_passage() -> None:
    parsed = document(("heading", "A"), ("paragraph", PROSE * 3), ("heading", "B"), ("paragraph", "Der Mieter zahlt. " * 20))
    assert [piece.language for piece in split(parsed, detect=lambda text: "de" if "Mieter" in text else "en")] == ["en", "de"]


def _any_parts(random: Random) -> list[tuple[Kind, str]]:
    """Quicker than strategies all the way down; the seed is what shrinks."""

    def words(most: int) -> str:
        some = ("rent", "Müller", "10.5", "z. B.", "price", "Haus", "und", "日本", "of", "x" * 90)
        return " ".join(random.choice(some) for _ in range(random.randint(1, most)))

    def sentence() -> str:
        return words(30).capitalize() + random.choice(".!?。:")

    def some(what: Callable[[], str], between: str, most: int) -> str:
        return between.join(what() for _ in range(random.randint(1, most)))

    def part() -> tuple[Kind, str]:
        kind: Kind = random.choice(("paragraph", "paragraph", "note", "caption", "heading", "title", "furniture", "list", "code", "table"))
        if kind in ("heading", "title", "furniture"):
            return kind, sentence()
        if kind in ("list", "code"):
            return kind, some(lambda: words(12), "\n", 12)
        if kind == "table":
            return kind, some(lambda: words(4) + "\t" + words(4), "\n", 20)
        return kind, some(sentence, " ", 12)

    return [part() for _ in range(random.randint(0, 14))]


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**9), st.integers(5, 120), st.integers(0, 60), st.booleans())
def test_any_document_is_covered_in_order_and_cut_only_where_it_may_be(seed: int, most: int, overlap: int, slides: bool) -> None:
    parts = _any_parts(Random(seed))
    media = "application/vnd.oasis.opendocument.presentation" if slides else "text/html"
    parsed = document(*parts, media_type=media, pages=(1,) * len(parts) if slides else ())
    pieces = split(parsed, most=most, overlap=overlap)
    covered = set[int]()
    for earlier, later in pairwise(pieces):
        assert earlier.start < later.start
        assert earlier.end < later.end
    furniture = {place for block in parsed.blocks if block.kind == "furniture" for place in range(block.start, block.end)}
    for piece in pieces:
        assert 0 <= piece.start < piece.end <= len(parsed.text)
        assert not parsed.text[piece.start].isspace() or piece.kind in ("code", "list")
        assert not furniture & set(range(piece.start, piece.end))
        covered |= set(range(piece.start, piece.end))
        if slides:
            assert sum(page.start < piece.end and piece.start < page.end for page in parsed.pages) == 1
    assert {place for place, letter in enumerate(parsed.text) if not letter.isspace()} - furniture <= covered
    edges = {place for piece in pieces for place in (piece.start, piece.end)}
    for block in parsed.blocks:
        whole = block.rows or []
        if block.kind in ("paragraph", "note", "caption"):
            whole = [(block.start + start, block.start + end) for start, end in sentences(parsed.text[block.start : block.end], "und")]
        for start, end in whole:
            if count(parsed.text[start:end]) <= most * 10:
                assert not any(start < edge < end for edge in edges)
    for piece in pieces:
        assert piece.tokens <= most or _indivisible(parsed, piece)


def _indivisible(parsed: Parsed, piece: Piece) -> bool:
    """One sentence, row, line or heading, with nothing but what leads to it."""
    inner = [block for block in parsed.blocks if block.start < piece.end and piece.start < block.end]
    body = parsed.text[piece.start : piece.end]
    return len(sentences(body)) == 1 or (len(inner) == 1 and "\n" not in body.strip())

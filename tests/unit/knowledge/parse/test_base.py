"""The draft that every reader feeds: offsets, limits, files within files."""

from __future__ import annotations

from pathlib import Path

import pytest

from hausgeist.knowledge.parse.base import Draft, Limits, Unreadable, content
from hausgeist.knowledge.parse.reading import PARSER, read
from tests.unit.knowledge.parse.invariants import check
from tests.unit.knowledge.parse.making import kinds


def test_blocks_rows_and_pages_are_counted() -> None:
    draft = Draft(Limits())
    draft.page("One", width=100)
    draft.heading("A\nheading", 12)
    draft.item("x")
    draft.item("  y")
    draft.paragraph(" \n ")
    draft.furniture("Page 1")
    draft.page("Two")
    draft.table([["a", "", ""], ["", ""], ["b\tc", "d"]], header=1)
    draft.page("Empty")
    one = check(draft.parsed("text/plain"))
    assert kinds(one) == [("heading", "A heading"), ("list", "x\n  y"), ("table", "a\nb c\td"), ("furniture", "Page 1")]
    assert one.blocks[0].level == 9
    assert [(page.label, one.text[page.start : page.end]) for page in one.pages] == [
        ("One", "A heading\n\nx\n  y"),
        ("Two", "a\nb c\td"),
        ("Empty", ""),
    ]


@pytest.mark.parametrize("most", range(0, 60, 3))
def test_more_than_allowed_is_left_out_with_one_warning(most: int) -> None:
    draft = Draft(Limits(characters=most))
    for _ in range(4):
        draft.page("x")
        draft.paragraph("some words")
        draft.item("an item")
        draft.table([["a", "b"], ["c", "d"]])
    draft.furniture("end")
    one = check(draft.parsed("text/plain"))
    assert len(one.text) <= most + len("\n\nend")
    assert draft.full
    assert draft.left == 0
    assert len(one.warnings) == 1


def test_pages_have_a_limit() -> None:
    draft = Draft(Limits(pages=2))
    assert [draft.page("x") for _ in range(3)] == [True, True, False]
    assert draft.warnings


def test_a_file_within_a_file_keeps_its_pages() -> None:
    inner = Draft(Limits())
    for name in ("A", "B"):
        inner.page(name)
        inner.table([[name, "1"]], header=1)
    inner.furniture("foot")
    inner.warn("Something is missing.")
    outer = Draft(Limits())
    outer.page("mail")
    outer.paragraph("hello")
    outer.embed(inner.parsed("x/y"), "book.xlsx")
    plain = Draft(Limits())
    plain.paragraph("no pages")
    outer.embed(plain.parsed("x/y"), "note.txt")
    one = check(outer.parsed("message/rfc822"))
    assert [page.label for page in one.pages] == ["mail", "book.xlsx – A", "book.xlsx – B", "note.txt"]
    assert kinds(one) == [("paragraph", "hello"), ("table", "A\t1"), ("table", "B\t1"), ("paragraph", "no pages"), ("furniture", "foot")]
    assert one.warnings == ("book.xlsx: Something is missing.",)


def test_files_that_are_empty_too_large_or_gone(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with pytest.raises(Unreadable, match="from disk"):
        content(path, Limits())
    path.write_bytes(b"")
    with pytest.raises(Unreadable, match="empty"):
        content(path, Limits())
    path.write_bytes(b"12345")
    with pytest.raises(Unreadable, match="split it"):
        content(path, Limits(file=4))
    with pytest.raises(Unreadable, match="split it"):
        content(b"12345", Limits(file=4))
    assert content(path, Limits()) == b"12345"


def test_reading_from_disk_and_a_file_without_text(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"<html><body></body></html>")
    one = check(read(path, "C:\\folder\\x.html", Limits()))
    assert one.warnings == ("There is no text in the file.",)
    assert PARSER

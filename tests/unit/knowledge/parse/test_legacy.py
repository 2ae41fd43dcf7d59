"""Office files of before 2007, built record by record."""

from __future__ import annotations

import struct

import pytest

from hausgeist.knowledge.parse.base import Limits, Unreadable
from hausgeist.knowledge.parse.legacy.compound import Compound
from hausgeist.knowledge.parse.reading import read
from tests.unit.knowledge.parse.making import compound, ends_well, kinds, parsed, texts


def document(text: str, *, flags: int = 0x0200, footnotes: str = "") -> bytes:
    """A Word document of one piece of wide characters, without formatting."""
    whole = text + footnotes
    longs = [0, 0, 0, len(text), len(footnotes)] + [0] * 17
    header = struct.pack("<HHHHHH", 0xA5EC, 0x00C1, 0, 0, 0, flags).ljust(32, b"\0")
    header += struct.pack("<H", 14) + b"\0" * 28 + struct.pack("<H", 22) + struct.pack("<22i", *longs)
    pairs = [(0, 0)] * 93
    clx = b"\x02" + struct.pack("<I", 16) + struct.pack("<II", 0, len(whole)) + struct.pack("<HIH", 0, 0x600, 0)
    pairs[33] = (0, len(clx))
    header += struct.pack("<H", 93) + b"".join(struct.pack("<II", *pair) for pair in pairs)
    return compound({"WordDocument": header.ljust(0x600, b"\0") + whole.encode("utf-16-le"), "1Table": clx})


def test_word_gives_paragraphs_and_the_results_of_fields() -> None:
    one = parsed(document("The lease\rSee \x13 HYPERLINK evil \x14the annex\x15 of 2026.\r", footnotes="\x02 A note\r"), "x.doc")
    assert kinds(one) == [("paragraph", "The lease"), ("paragraph", "See the annex of 2026."), ("note", "A note")]
    assert one.media_type == "application/msword"


def test_word_with_a_password_and_word_before_97() -> None:
    with pytest.raises(Unreadable, match="password"):
        read(document("x\r", flags=0x0300), "x.doc", Limits())
    with pytest.raises(Unreadable, match="older"):
        read(compound({"WordDocument": b"\xdb\xa5".ljust(0x600, b"\0")}), "x.doc", Limits())


def record(kind: int, data: bytes, *, holds: bool = False, instance: int = 0) -> bytes:
    return struct.pack("<HHI", (15 if holds else 0) | instance << 4, kind, len(data)) + data


def text_of(kind: int, text: str) -> bytes:
    return record(0x0F9F, struct.pack("<I", kind)) + record(0x0FA0, text.encode("utf-16-le"))


def test_slides_in_order_with_titles_first() -> None:
    listed = record(0x03F3, b"\0" * 20) + text_of(1, "One\rTwo") + text_of(0, "Plans") + record(0x03F3, b"\0" * 20) + text_of(0, "End")
    top = record(0x03E8, record(0x0FF0, listed, holds=True), holds=True)
    drawn = record(0x03EE, record(0x040C, text_of(4, "Beside"), holds=True), holds=True) + record(0x03EE, b"", holds=True)
    one = parsed(compound({"PowerPoint Document": top + drawn, "Current User": b"\0" * 20}), "x.ppt")
    assert kinds(one) == [("heading", "Plans"), ("list", "• One\n• Two"), ("paragraph", "Beside"), ("heading", "End")]
    assert [page.label for page in one.pages] == ["Slide 1", "Slide 2"]


def test_slides_with_a_password() -> None:
    with pytest.raises(Unreadable, match="password"):
        read(compound({"PowerPoint Document": b"", "Current User": b"\0" * 12 + struct.pack("<I", 0xF3D1C4DF)}), "x.ppt", Limits())


def test_office_files_with_a_password_and_foreign_ones() -> None:
    with pytest.raises(Unreadable, match="password"):
        read(compound({"EncryptedPackage": b"x" * 100, "EncryptionInfo": b"x"}), "x.docx", Limits())
    with pytest.raises(Unreadable, match="export it as PDF"):
        read(compound({"VisioDocument": b"x"}), "x.vsd", Limits())


def test_streams_are_found_by_their_paths() -> None:
    streams = Compound(compound({"a": b"1" * 600, "b/c": b"2", "b/d/e": b"3"}), Limits())
    assert {name: streams.read(name) for name in streams.names} == {"a": b"1" * 600, "b/c": b"2", "b/d/e": b"3"}
    assert streams.read("missing") == b""


@pytest.mark.parametrize("place", range(0, 1536, 7))
def test_broken_compound_files_end_in_text_or_in_a_reason(place: int) -> None:
    data = bytearray(document("The lease\r"))
    data[place : place + 4] = b"\xff\x01\x00\x00"
    ends_well(bytes(data), "x.doc")


RTF = rb"""{\rtf1\ansi\ansicpg1252{\fonttbl{\f0 Arial;}{\f1\fcharset204 Arial;}}{\stylesheet{\s1 heading 1;}}{\info{\title The Lease}{\author Ann}}
{\header House Ltd\par}\pard\s1 Scope\par\pard M\'fcller \u8364? 5 {\f1 \'cc\'e8\'f0}{\deleted gone}\~x{\*\unknown skipped}{\pict 00ff}\par
{\listtext 1.\tab}First\par{\listtext 2.\tab}Second\par
\trowd\cellx1\cellx2\intbl Name\cell Sum\cell\row\trowd\intbl Soap\cell 3\cell\row\pard After{\footnote A note}\line new\par
{\field{\*\fldinst HYPERLINK evil}{\fldrslt a link}}\par \u-10179?\u-8704?\bin3 }}}\par}"""


def test_rich_text() -> None:
    one = parsed(RTF, "x.rtf")
    assert kinds(one) == [
        ("heading", "Scope"),
        ("paragraph", "Müller € 5 Мир\xa0x"),
        ("list", "1. First\n2. Second"),
        ("table", "Name\tSum\nSoap\t3"),
        ("paragraph", "After\nnew"),
        ("note", "A note"),
        ("paragraph", "a link"),
        ("paragraph", "😀"),
        ("furniture", "House Ltd"),
    ]
    assert one.title == "The Lease"
    assert one.properties == {"author": "Ann"}
    assert texts(one, "table")


def test_rich_text_that_opens_groups_without_end() -> None:
    assert parsed(rb"{\rtf1 " + b"{" * 100_000 + b"deep").text == "deep"

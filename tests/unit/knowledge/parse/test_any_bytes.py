"""Whatever the bytes: a `Parsed` that keeps its promises, or `Unreadable`; nothing else, and not for long."""

from __future__ import annotations

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.knowledge.parse.making import book, compound, docx, ends_well, odf, pptx, xlsx

NAMES = st.sampled_from(
    ["x", "x.txt", "x.csv", "x.tsv", "x.json", "x.jsonl", "x.xml", "x.html", "x.md", "x.eml", "x.mbox", "x.rtf", "x.py", "x.doc", "x.docx"]
)
BEGINNINGS = st.sampled_from(
    [
        b"",
        b"<html>",
        b"<?xml version='1.0'?><a>",
        b"{\\rtf1 ",
        b"{",
        b"[",
        b"From a b\nFrom: x\n",
        b"From: a\nTo: b\nSubject: c\n\n",
        b"a,b\n",
        b"# x\n",
        b"\xff\xfe",
        b"\xfe\xff",
    ]
)
WHOLE = [
    docx("<w:p><w:r><w:t>some words</w:t></w:r></w:p>"),
    pptx([""]),
    xlsx({"A": "<sheetData/>"}),
    odf("text", ""),
    book({"a": "<html/>"}),
    compound({"__properties_version1.0": b"\0" * 64, "__substg1.0_1000001F": b"x\0" * 50}),
    compound({"WordDocument": b"\0" * 600, "1Table": b"x"}),
    compound({"PowerPoint Document": b"\x0f\0\xe8\x03\xff\0\0\0" * 20}),
    compound({"Workbook": b"\x09\x08\x10\0\0\x06\x05\0" * 9}),
]
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@QUICK
@given(BEGINNINGS, st.binary(max_size=400), NAMES)
def test_bytes(beginning: bytes, data: bytes, name: str) -> None:
    ends_well(beginning + data, name)


@QUICK
@given(BEGINNINGS, st.text(max_size=300), NAMES, st.sampled_from(["utf-8", "utf-16", "utf-16-le", "cp1252"]))
def test_text(beginning: bytes, text: str, name: str, encoding: str) -> None:
    ends_well((beginning.decode("latin-1") + text).encode(encoding, "replace"), name)


@QUICK
@given(st.lists(st.lists(st.text(max_size=12), min_size=1, max_size=5), min_size=1, max_size=8), st.sampled_from(",;\t|"))
def test_tables(rows: list[list[str]], divider: str) -> None:
    ends_well("\n".join(divider.join(row) for row in rows).encode("utf-8", "replace"), "x.csv")


VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
)


@QUICK
@given(VALUES)
def test_data(value: object) -> None:
    ends_well(json.dumps(value).encode(), "x.json")


@QUICK
@given(st.sampled_from(WHOLE), st.integers(0, 4000), st.binary(min_size=1, max_size=8), NAMES)
def test_damaged_files(whole: bytes, place: int, junk: bytes, name: str) -> None:
    place %= len(whole)
    ends_well(whole[:place] + junk + whole[place + len(junk) :], name)


WORDS = [
    r"\par ",
    r"\cell ",
    r"\row ",
    r"\intbl ",
    r"\pard ",
    "{",
    "}",
    r"{\*\x ",
    r"\u8364?",
    r"\'e4",
    "text ",
    r"{\footnote ",
    r"\bin99999999 ",
    r"\f9 ",
    r"\uc9 ",
    r"{\listtext ",
    r"\u-10179 ",
    r"\s1 ",
    r"{\header ",
    r"\deleted ",
]


@QUICK
@given(st.lists(st.sampled_from(WORDS), max_size=30))
def test_rich_text(words: list[str]) -> None:
    ends_well(("{\\rtf1 " + "".join(words)).encode(), "x.rtf")

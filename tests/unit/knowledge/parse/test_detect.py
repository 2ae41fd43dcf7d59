"""What a file is, by its content, and in which encoding its text is."""

from __future__ import annotations

from pathlib import Path

import pytest

from hausgeist.knowledge.parse.base import Limits, Unreadable
from hausgeist.knowledge.parse.detect import HEAD, detect
from hausgeist.knowledge.parse.encoding import decode
from hausgeist.knowledge.parse.formats import READERS, SUFFIXES
from hausgeist.knowledge.parse.reading import read
from tests.unit.knowledge.parse.making import docx, odf, pptx, xlsx, zipped

GERMAN = "Die Kündigung muss schriftlich erfolgen; sie wird zum Monatsende wirksam. Größere Änderungen bedürfen der Schriftform."


@pytest.mark.parametrize(
    ("data", "name", "wanted"),
    [
        (b"%PDF-1.7 ...", "x.txt", "application/pdf"),
        (b"\x89PNG\r\n\x1a\n....", "", "image/png"),
        (b"\xff\xd8\xff\xe0....", "x.pdf", "image/jpeg"),
        (b"RIFF....WEBPVP8 ", "", "image/webp"),
        (docx(""), "x.zip", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        (pptx([""]), "", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
        (xlsx({}), "", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        (odf("text", ""), "x.docx", "application/vnd.oasis.opendocument.text"),
        (b"{\\rtf1 x}", "x.doc", "application/rtf"),
        (b"<!DOCTYPE html><p>x", "x.txt", "text/html"),
        (b"<html><body>x", "", "text/html"),
        (b"<?xml version='1.0'?><a/>", "", "application/xml"),
        (b'{"a": 1}', "", "application/json"),
        (b'{"a": 1}\n{"a": 2}\n', "", "application/x-ndjson"),
        (b"[not json]", "", "text/plain"),
        (b"a,b,c\n1,2,3\n4,5,6\n", "", "text/csv"),
        (b"a,b\n1,2\n", "x.csv", "text/csv"),
        (b"Dear Ann, dear Bob,\nas you know, we met, and talked.\nYours, in haste, Carl\n", "", "text/plain"),
        (b"# Top\n\n- a\n- [b](c)\n\n**x**\n", "README", "text/markdown"),
        (b"# Not a heading in Python\nx = 1\n", "x.py", "text/x-source"),
        (b"#!/bin/sh\necho\n", "run", "text/x-source"),
        (b"From: a@b.c\nTo: d@e.f\nSubject: x\n\nHi", "", "message/rfc822"),
        (b"Subject: only one field\n\nHi", "", "text/plain"),
        (b"From a@b.c Sun Mar 1\nFrom: a@b.c\n\nHi", "", "application/mbox"),
        (b"From here on it is prose.\nYes.\n", "", "text/plain"),
        (b"just words", "x.unknown", "text/plain"),
    ],
)
def test_content_decides_and_names_only_break_ties(data: bytes, name: str, wanted: str, tmp_path: Path) -> None:
    path = tmp_path / "stored"
    path.write_bytes(data)
    assert detect(data, name, Limits()) == wanted
    assert detect(path, name, Limits()) == wanted


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty"),
        (b" \n\t\n", "white space"),
        (b"MZ\x90\x00\x03", "program"),
        (b"\x1f\x8b\x08\x00", "unpack"),
        (b"SQLite format 3\x00x", "SQLite"),
        (b"\x00\x00\x00 ftypmp42", "film"),
        (b"\x00\x00\x00 ftypheic", "HEIC"),
        (b"GGUF\x03\x00\x00\x00", "model"),
        (bytes(range(256)), "neither text"),
        (zipped({"a.txt": "x"}), "ZIP archive"),
        (b"PK\x03\x04 cut off", "damaged"),
        (zipped({"Index/Document.iwa": "x"}), "Apple"),
    ],
)
def test_what_is_not_read_says_what_it_is(data: bytes, said: str) -> None:
    with pytest.raises(Unreadable, match=said):
        detect(data, "x", Limits())


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be", "cp1252", "iso-8859-1"]
)
def test_german_in_any_encoding(encoding: str) -> None:
    assert decode(GERMAN.encode(encoding)).lstrip("\ufeff") == GERMAN


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Жители города требуют немедленного ответа от администрации. Это важно для всех.", "cp1251"),
        ("Zażółć gęślą jaźń, proszę bardzo. Wszystkie prawa zastrzeżone, świętość i miłość.", "cp1250"),
        ("吾輩は猫である。名前はまだ無い。どこで生れたか頓と見当がつかぬ。", "shift_jis"),
        ("吾輩は猫である。名前はまだ無い。どこで生れたか頓と見当がつかぬ。", "utf-16-le"),
        ("Price: 5 € – “good” value, isn’t it…", "cp1252"),
        ("Él dijo: ¿qué pasó? ¡Nada! El niño comió piña.", "cp1252"),
    ],
)
def test_other_scripts(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding)) == text


def test_a_declaration_counts_where_the_bytes_allow_it() -> None:
    assert decode("Ελλάδα".encode("iso-8859-7"), "iso-8859-7") == "Ελλάδα"
    assert decode("Ελλάδα".encode(), "iso-8859-7") == "Ελλάδα"
    assert decode(b"caf\xe9", "no-such-encoding") == "café"
    assert decode(b"\x93x\x94", "iso-8859-1") == "“x”", "what calls itself Latin-1 is Windows-1252 in practice"


def test_a_broken_byte_among_good_ones_does_not_change_the_encoding() -> None:
    assert decode((GERMAN * 20).encode() + b"\xff" + GERMAN.encode()).count("Kündigung") == 21


def test_every_suffix_leads_to_a_reader() -> None:
    assert set(SUFFIXES.values()) <= set(READERS)
    assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in SUFFIXES)


@pytest.mark.parametrize("size", [20, HEAD - 1, HEAD, HEAD + 1, 3 * HEAD])
def test_a_file_is_read_whole_whether_or_not_it_is_known_by_all_of_it(tmp_path: Path, size: int) -> None:
    path = tmp_path / "given"
    path.write_bytes(b"word " * ((size - 4) // 5) + b"x" * ((size - 4) % 5) + b" end")
    assert path.stat().st_size == size
    text = read(path, "notes.txt", Limits()).text
    assert len(text) == size
    assert text.endswith(" end")


def test_a_small_file_over_the_limit_is_refused_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "given"
    path.write_bytes(b"word " * 1_000)
    with pytest.raises(Unreadable, match="more than 0 MiB"):
        read(path, "notes.txt", Limits(file=4_000))


@pytest.mark.parametrize("last", [b"", b"\x01"])
def test_one_control_at_the_end_makes_no_other_encoding(last: bytes) -> None:
    assert decode(b"abcdefghijklmnop" + last) == "abcdefghijklmnop" + last.decode()

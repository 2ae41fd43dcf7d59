"""Files that were made to do harm."""

from __future__ import annotations

import contextlib
import io
import struct
import zipfile
from pathlib import Path

import pytest

from hausgeist.knowledge.parse.archive import Archive
from hausgeist.knowledge.parse.base import Limits, Unreadable
from hausgeist.knowledge.parse.reading import read
from tests.unit.knowledge.parse.making import S, W, docx, ends_well, odf, parsed, xlsx, zipped

LAUGHS = "<!DOCTYPE x [<!ENTITY a 'ha'>" + "".join(f"<!ENTITY {chr(98 + n)} '{f'&{chr(97 + n)};' * 10}'>" for n in range(9)) + "]>"


def test_what_unpacks_to_several_hundred_times_its_size() -> None:
    bomb = docx("", {"word/document.xml": f"<w:document {W}><w:body><w:p><w:r><w:t>{'0' * (40 << 20)}</w:t></w:r></w:p></w:body></w:document>"})
    assert len(bomb) < 1 << 20
    with pytest.raises(Unreadable, match="hostile"):
        read(bomb, "x.docx", Limits())
    with pytest.raises(Unreadable, match="unpacks to more"):
        read(bomb, "x.docx", Limits(unpacked=1 << 20, ratio=1 << 20))


def test_a_size_that_the_table_of_contents_hides() -> None:
    data = bytearray(zipped({"a": b"0" * 100_000}))
    place = data.rindex(b"PK\x01\x02")
    data[place + 24 : place + 28] = struct.pack("<I", 10)
    with Archive(bytes(data), Limits()) as archive, pytest.raises(Unreadable, match="damaged"):
        archive.read("a")


def test_archives_of_too_many_files_and_archives_in_archives() -> None:
    with pytest.raises(Unreadable, match="more than the 10"):
        read(zipped({str(n): "" for n in range(20)}), "x.docx", Limits(entries=10))
    inner = zipped({"a": b"0" * 1000})
    with pytest.raises(Unreadable, match="ZIP"):
        read(zipped({"inner.zip": inner}), "x.zip", Limits())


def test_names_with_paths_write_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    evil = docx(
        "<w:p><w:r><w:t>x</w:t></w:r></w:p>", {"../../evil": "x", "/etc/evil": "x", "C:\\evil": "x"}, {"i": ("image", "../../../../../../etc/passwd")}
    )
    assert parsed(evil).text == "x"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("place", ["docx", "xlsx", "odf", "xml"])
def test_entities_are_refused(place: str) -> None:
    laughing = {
        "docx": docx("", {"word/document.xml": f"{LAUGHS}<w:document {W}><w:body><w:p><w:r><w:t>&j;</w:t></w:r></w:p></w:body></w:document>"}),
        "xlsx": xlsx({"A": ""}, parts={"xl/workbook.xml": f"{LAUGHS}<workbook {S}><sheets/>&j;</workbook>"}),
        "odf": odf("text", "", parts={"content.xml": f"{LAUGHS}<x>&j;</x>"}),
        "xml": f"<?xml version='1.0'?>{LAUGHS}<x>&j;</x>".encode(),
    }[place]
    with pytest.raises(Unreadable, match="entities"):
        read(laughing, "x", Limits())


def test_entities_within_rows_are_not_expanded() -> None:
    row = "<sheetData><row r='1'><c r='A1' t='inlineStr'><is><t>before &j; after</t></is></c></row></sheetData>"
    data = xlsx({"A": ""}, parts={"xl/worksheets/sheet1.xml": f"{LAUGHS}<worksheet {S}>{row}</worksheet>"})
    ends_well(data)
    with contextlib.suppress(Unreadable):
        assert "haha" not in parsed(data).text


def test_files_outside_are_never_opened(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("the secret")
    for outside in (f"<!ENTITY x SYSTEM 'file://{secret}'>", f"<!ENTITY % x SYSTEM 'file://{secret}'> %x;"):
        with pytest.raises(Unreadable, match="entities"):
            read(f"<?xml version='1.0'?><!DOCTYPE a [{outside}]><a>&x;</a>".encode(), "x.xml", Limits())
    xinclude = f"<a xmlns:xi='http://www.w3.org/2001/XInclude'><xi:include href='file://{secret}' parse='text'/><b>seen</b></a>"
    assert "the secret" not in parsed(xinclude.encode(), "x.xml").text
    linked = docx(
        "<w:p><w:r><w:t>x</w:t></w:r></w:p>",
        {"word/_rels/document.xml.rels": f"<R><Relationship Id='a' Type='t/header' TargetMode='External' Target='file://{secret}'/></R>"},
    )
    assert parsed(linked).text == "x"


def test_entities_in_wide_characters() -> None:
    with pytest.raises(Unreadable):
        read(f"<?xml version='1.0' encoding='utf-16'?>{LAUGHS}<x>&j;</x>".encode("utf-16"), "x.xml", Limits())


def test_elements_nested_without_end() -> None:
    deep = "<w:p>" * 100_000
    ends_well(docx(deep))


def test_archives_with_a_password() -> None:
    data = bytearray(docx("<w:p/>"))
    place = data.index(b"PK\x01\x02")
    while place >= 0:
        data[place + 8] |= 1
        place = data.find(b"PK\x01\x02", place + 4)
    with pytest.raises(Unreadable, match="password"):
        read(bytes(data), "x.docx", Limits())


@pytest.mark.parametrize("kept", [50, 200, 500, 900])
def test_archives_that_were_cut_off(kept: int) -> None:
    with pytest.raises(Unreadable):
        read(docx("<w:p/>")[:kept], "x.docx", Limits())


def test_every_part_broken_in_turn() -> None:
    whole = xlsx({"A": "<sheetData><row r='1'><c r='A1'><v>1</v></c></row></sheetData>"}, ["<t>x</t>"])
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    for broken in parts:
        for junk in (b"", b"<", b"\x00\xff" * 50, b"<a><b></a>", b"<a/>"):
            ends_well(zipped({**parts, broken: junk}), "x.xlsx")

"""Workbooks: sheets as pages, cells as they are shown."""

from __future__ import annotations

import pytest

from hausgeist.knowledge.parse.base import Limits
from hausgeist.knowledge.parse.office.numbers import shape_of, shown
from hausgeist.knowledge.parse.tables import has_header
from tests.unit.knowledge.parse.making import S, kinds, parsed, texts, xlsx


def rows(*lines: list[str], start: int = 1) -> str:
    """Rows of inline strings; numbers where they are numbers."""
    found = ""
    for number, line in enumerate(lines, start):
        cells = ""
        for column, value in enumerate(line):
            place = f"{chr(65 + column)}{number}"
            if value.replace(".", "").isdigit():
                cells += f'<c r="{place}"><v>{value}</v></c>'
            elif value:
                cells += f'<c r="{place}" t="inlineStr"><is><t>{value}</t></is></c>'
        found += f'<row r="{number}">{cells}</row>'
    return f"<sheetData>{found}</sheetData>"


def test_each_sheet_is_a_page_with_its_name_and_hidden_ones_say_so() -> None:
    one = parsed(xlsx({"Prices": rows(["Item", "Price"], ["Soap", "2.5"]), "Old": rows(["x", "1"], ["y", "2"])}, hidden=("Old",)), "x.xlsx")
    assert [page.label for page in one.pages] == ["Prices", "Old (hidden)"]
    assert kinds(one) == [("heading", "Prices"), ("table", "Item\tPrice\nSoap\t2.5"), ("heading", "Old"), ("table", "x\t1\ny\t2")]
    assert [block.header for block in one.blocks] == [0, 1, 0, 0]
    assert one.title == ""


def test_shared_and_rich_strings_without_phonetic_hints() -> None:
    strings = ["<t>plain</t>", "<r><t>ri</t></r><r><t>ch</t></r><rPh><t>hint</t></rPh>", "<t>tab_x0009_bed</t>"]
    cells = "".join(f'<c r="{chr(65 + n)}1" t="s"><v>{n}</v></c>' for n in range(3)) + '<c r="D1" t="s"><v>99</v></c><c r="E1" t="b"><v>1</v></c>'
    assert texts(parsed(xlsx({"A": f"<sheetData><row>{cells}</row></sheetData>"}, strings)), "table") == ["plain\trich\ttab bed\t\tTRUE"]


def test_tables_are_divided_by_gaps_above_and_beside() -> None:
    sheet = rows(["Plan", ""], ["a", "b", "", "", ""], ["1", "2", "", "", ""], ["3", "4", "", "c", "d"], ["", "", "", "5", "6"])
    one = parsed(xlsx({"A": sheet + ""}))
    assert kinds(one)[1:] == [("paragraph", "Plan"), ("table", "a\tb\n1\t2\n3\t4"), ("table", "c\td\n5\t6")]


def test_a_cell_in_the_last_corner_costs_nothing() -> None:
    sheet = '<sheetData><row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"><v>7</v></c></row></sheetData>'
    one = parsed(xlsx({"A": sheet}))
    assert len(one.text) < 5_000
    assert "7" in one.text


def test_dates_percentages_and_currencies_as_they_are_shown() -> None:
    styles = (
        f'<styleSheet {S}><numFmts><numFmt numFmtId="164" formatCode="#,##0.00\\ &quot;€&quot;"/>'
        '<numFmt numFmtId="165" formatCode="dd.mm.yyyy"/></numFmts>'
    )
    styles += '<cellXfs><xf numFmtId="0"/><xf numFmtId="164"/><xf numFmtId="165"/><xf numFmtId="10"/></cellXfs></styleSheet>'
    cells = (
        '<c r="A1" s="1"><v>1234.5</v></c><c r="B1" s="2"><v>46082</v></c><c r="C1" s="3"><v>0.075</v></c><c r="D1"><v>0.30000000000000004</v></c>'
    )
    one = parsed(xlsx({"A": f'<sheetData><row r="1">{cells}</row></sheetData>'}, parts={"xl/styles.xml": styles}))
    assert texts(one, "table") == ["1234.50 €\t2026-03-01\t7.50%\t0.3"]


@pytest.mark.parametrize(
    ("value", "identifier", "code", "wanted"),
    [
        ("1", 0, None, "1"),
        ("1.50", 2, None, "1.50"),
        ("0.5", 9, None, "50%"),
        ("46082.75", 22, None, "2026-03-01 18:00"),
        ("0.5", 20, None, "12:00"),
        ("1.5", 46, None, "36:00:00"),
        ("12345678901234567890", 0, None, "12345678901234567890"),
        ("1E+20", 0, None, "1e+20"),
        ("inf", 2, None, "inf"),
        ("nan", 0, None, "nan"),
        ("x", 14, None, "x"),
        ("1e300", 14, None, "1e300"),
        ("42", 0, "[$-407]mmmm yyyy", "1900-02-11"),
        ("5", 0, '"Nr. "0', "5"),
        ("1234", 0, "[$€-407] #,##0", "1234 €"),
        ("7", 0, "0.00;[Red]-0.00", "7.00"),
        ("3", 0, "@", "3"),
        ("59", 14, None, "1900-02-28"),
    ],
)
def test_numbers(value: str, identifier: int, code: str | None, wanted: str) -> None:
    assert shown(value, shape_of(identifier, code)) == wanted


def test_years_may_begin_in_1904() -> None:
    assert shown("1", shape_of(14, None), from_1904=True) == "1904-01-02"


def test_comments_text_boxes_and_titles_of_charts() -> None:
    a = "xmlns:a='http://schemas.openxmlformats.org/drawingml/2006/main'"
    comments = (
        f"<comments {S}><authors><author>Ann</author></authors><commentList><comment ref='B2' authorId='0'>"
        "<text><t>Check</t></text></comment></commentList></comments>"
    )
    drawing = f"<d:wsDr xmlns:d='d' {a}><d:sp><d:txBody><a:p><a:r><a:t>Beside</a:t></a:r></a:p></d:txBody></d:sp></d:wsDr>"
    parts = {"xl/comments1.xml": comments, "xl/drawings/drawing1.xml": drawing}
    related = {1: {"c": ("comments", "../comments1.xml"), "d": ("drawing", "../drawings/drawing1.xml")}}
    one = parsed(xlsx({"A": rows(["x"])}, parts=parts, related=related))
    assert kinds(one)[1:] == [("paragraph", "x"), ("note", "Comment by Ann on B2: Check"), ("paragraph", "Beside")]


def test_a_gigantic_workbook_is_cut_with_a_warning() -> None:
    one = parsed(xlsx({"A": rows(*[["a", "b"]] * 50), "B": rows(["c", "d"])}), limits=Limits(cells=20))
    assert one.text.count("a\tb") == 10
    assert any("20 cells" in sentence for sentence in one.warnings)


def test_which_rows_are_titles() -> None:
    assert has_header([["Name", "Age"], ["Ann", "30"]])
    assert has_header([["Name", "City"], ["Ann", "Bonn"], ["Bob", "Ulm"]])
    assert not has_header([["Ann", "30"], ["Bob", "40"]])
    assert not has_header([["a", "a"], ["1", "2"]])
    assert not has_header([["Name", "Age"]])
    assert not has_header([["Title", ""], ["1", "2"]])

"""OpenDocument: texts, presentations, spreadsheets."""

from __future__ import annotations

from hausgeist.knowledge.parse.base import Limits
from tests.unit.knowledge.parse.making import kinds, odf, parsed, texts


def p(text: str, style: str = "") -> str:
    return f"<text:p text:style-name='{style}'>{text}</text:p>"


def cell(text: str, more: str = "") -> str:
    return f"<table:table-cell {more}>{p(text)}</table:table-cell>"


def repeated(times: int) -> str:
    return f"table:number-columns-repeated='{times}'"


def test_a_text_in_its_order() -> None:
    body = p("The Lease", "Title") + "<text:h text:outline-level='2'>Rent</text:h>" + p("Two<text:s text:c='2'/>words<text:line-break/>new")
    body += (
        "<text:list text:style-name='N'><text:list-item><text:p>one</text:p><text:list><text:list-item><text:p>"
        "deep</text:p></text:list-item></text:list></text:list-item></text:list>"
    )
    body += p("Claim<text:note><text:note-body><text:p>Proof</text:p></text:note-body></text:note> made")
    body += p("x<office:annotation><dc:creator>Ann</dc:creator><text:p>Why?</text:p></office:annotation>")
    styles = "<text:list-style style:name='N'><text:list-level-style-number text:level='1' style:num-format='1'/></text:list-style>"
    one = parsed(odf("text", body, styles), "x.odt")
    assert kinds(one) == [
        ("title", "The Lease"),
        ("heading", "Rent"),
        ("paragraph", "Two  words\nnew"),
        ("list", "1. one\n  • deep"),
        ("paragraph", "Claim made"),
        ("note", "Proof"),
        ("paragraph", "x"),
        ("note", "Comment by Ann: Why?"),
    ]
    assert one.blocks[1].level == 2


def test_deleted_text_is_left_out() -> None:
    changes = (
        "<text:tracked-changes><text:changed-region><text:deletion><text:p>gone</text:p></text:deletion></text:changed-region></text:tracked-changes>"
    )
    assert parsed(odf("text", changes + p("kept<text:change/>"))).text == "kept"


def test_frames_tables_and_page_furniture() -> None:
    frame = "<draw:frame><draw:text-box><text:p>boxed</text:p></draw:text-box></draw:frame>"
    head = f"<table:table-header-rows><table:table-row>{cell('A')}{cell('B')}</table:table-row></table:table-header-rows>"
    table = f"<table:table>{head}<table:table-row>{cell('1')}{cell('2')}</table:table-row></table:table>"
    styles = (
        "<s xmlns:style='urn:oasis:names:tc:opendocument:xmlns:style:1.0' xmlns:text='t'><style:header><text:p>House Ltd</text:p></style:header></s>"
    )
    one = parsed(odf("text", p(f"before{frame}") + table, parts={"styles.xml": styles}))
    assert kinds(one) == [("paragraph", "before"), ("paragraph", "boxed"), ("table", "A\tB\n1\t2"), ("furniture", "House Ltd")]
    assert one.blocks[2].header == 1


def test_slides_are_pages_with_their_notes() -> None:
    page = (
        "<draw:page><draw:frame><draw:text-box><text:p>Body</text:p></draw:text-box></draw:frame><draw:frame "
        "presentation:class='title'><draw:text-box><text:p>Top</text:p>"
    )
    page += (
        "</draw:text-box></draw:frame><presentation:notes><draw:frame><draw:text-box><text:p>Say it</text:p>"
        "</draw:text-box></draw:frame></presentation:notes></draw:page>"
    )
    one = parsed(odf("presentation", page * 2), "x.odp")
    assert kinds(one)[:3] == [("heading", "Top"), ("paragraph", "Body"), ("note", "Say it")]
    assert [page.label for page in one.pages] == ["Slide 1", "Slide 2"]


def test_sheets_with_repeated_cells_and_hidden_ones() -> None:
    empty = "<table:table-row table:number-rows-repeated='1048000'><table:table-cell table:number-columns-repeated='16384'/></table:table-row>"
    rows = f"<table:table-row>{cell('Name')}{cell('Sum')}</table:table-row><table:table-row>{cell('x', repeated(2))}</table:table-row>"
    styles = "<style:style style:name='h'><style:table-properties table:display='false'/></style:style>"
    body = f"<table:table table:name='Sums'>{rows}{empty}</table:table><table:table table:name='Old' table:style-name='h'>{rows}</table:table>"
    one = parsed(odf("spreadsheet", body, styles), "x.ods")
    assert [page.label for page in one.pages] == ["Sums", "Old (hidden)"]
    assert texts(one, "table")[0] == "Name\tSum\nx\tx"


def test_rows_said_to_be_there_a_million_times_are_not_written_out() -> None:
    bomb = f"<table:table-row table:number-rows-repeated='1000000'>{cell('boom', repeated(16384))}</table:table-row>"
    one = parsed(odf("spreadsheet", f"<table:table table:name='A'>{bomb * 50}</table:table>"), limits=Limits(cells=3000))
    assert len(one.text) < 100_000
    assert one.warnings

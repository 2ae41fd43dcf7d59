"""Word documents: what is in them in the order of reading, and what is left out."""

from __future__ import annotations

from tests.unit.knowledge.parse.making import W, docx, kinds, parsed, texts

STYLES = f"""<w:styles {W}>
<w:style w:type="paragraph" w:default="1" w:styleId="Standard"><w:name w:val="Normal"/></w:style>
<w:style w:type="paragraph" w:styleId="Titel"><w:name w:val="Title"/></w:style>
<w:style w:type="paragraph" w:styleId="berschrift1"><w:name w:val="heading 1"/>
<w:pPr><w:numPr><w:numId w:val="1"/></w:numPr><w:outlineLvl w:val="0"/></w:pPr></w:style>
<w:style w:type="paragraph" w:styleId="berschrift2"><w:name w:val="heading 2"/><w:basedOn w:val="berschrift1"/>
<w:pPr><w:numPr><w:ilvl w:val="1"/></w:numPr><w:outlineLvl w:val="1"/></w:pPr></w:style>
<w:style w:type="paragraph" w:styleId="Eigene"><w:name w:val="House heading"/><w:basedOn w:val="berschrift2"/></w:style></w:styles>"""
NUMBERING = f"""<w:numbering {W}>
<w:abstractNum w:abstractNumId="0"><w:lvl w:ilvl="0"><w:start w:val="1"/><w:numFmt w:val="decimal"/><w:lvlText w:val="§ %1"/></w:lvl>
<w:lvl w:ilvl="1"><w:start w:val="1"/><w:numFmt w:val="lowerLetter"/><w:lvlText w:val="%1.%2)"/></w:lvl></w:abstractNum>
<w:abstractNum w:abstractNumId="1"><w:lvl w:ilvl="0"><w:numFmt w:val="bullet"/><w:lvlText w:val="·"/></w:lvl></w:abstractNum>
<w:num w:numId="1"><w:abstractNumId w:val="0"/></w:num><w:num w:numId="2"><w:abstractNumId w:val="1"/></w:num></w:numbering>"""
PARTS = {"word/styles.xml": STYLES, "word/numbering.xml": NUMBERING}
RELATIONS = {"s": ("styles", "styles.xml"), "n": ("numbering", "numbering.xml")}


def paragraph(text: str, style: str = "", more: str = "") -> str:
    named = f'<w:pStyle w:val="{style}"/>' if style else ""
    return f"<w:p><w:pPr>{named}{more}</w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>"


def numbered(text: str, number: int) -> str:
    return paragraph(text, more=f'<w:numPr><w:ilvl w:val="0"/><w:numId w:val="{number}"/></w:numPr>')


def cell(text: str, more: str = "") -> str:
    return f"<w:tc><w:tcPr>{more}</w:tcPr>{paragraph(text)}</w:tc>"


def test_headings_carry_their_level_and_the_number_that_word_draws() -> None:
    body = (
        paragraph("Mietvertrag", "Titel")
        + paragraph("Gegenstand", "berschrift1")
        + paragraph("Wohnung", "berschrift2")
        + paragraph("Keller", "Eigene")
    )
    one = parsed(docx(body + paragraph("Dauer", "berschrift1") + paragraph("Unbefristet."), PARTS, RELATIONS), "x.docx")
    assert kinds(one) == [
        ("title", "Mietvertrag"),
        ("heading", "§ 1 Gegenstand"),
        ("heading", "1.a) Wohnung"),
        ("heading", "1.b) Keller"),
        ("heading", "§ 2 Dauer"),
        ("paragraph", "Unbefristet."),
    ]
    assert [block.level for block in one.blocks] == [0, 1, 2, 2, 1, 0]
    assert one.title == "Mietvertrag"


def test_items_that_follow_one_another_are_one_list() -> None:
    one = parsed(docx(numbered("Milk", 2) + numbered("Bread", 2) + paragraph("Then home."), PARTS, RELATIONS))
    assert kinds(one) == [("list", "• Milk\n• Bread"), ("paragraph", "Then home.")]


def test_tables_have_rows_and_a_row_of_titles() -> None:
    rows = f"<w:tr><w:trPr><w:tblHeader/></w:trPr>{cell('Item')}{cell('Price')}{cell('Note')}</w:tr>"
    wide = "<w:gridSpan w:val='2'/>"
    rows += f"<w:tr>{cell('Soap', wide)}{cell('new')}</w:tr>"
    rows += f"<w:tr>{cell('Hidden', '<w:vMerge/>')}{cell('2.50')}{cell('')}</w:tr>"
    one = parsed(docx(f"<w:tbl>{rows}</w:tbl>"))
    (table,) = one.blocks
    assert [one.text[start:end] for start, end in table.rows] == ["Item\tPrice\tNote", "Soap\t\tnew", "\t2.50"]
    assert table.header == 1


def test_a_table_of_one_cell_is_a_frame_and_nested_tables_stay_in_their_cell() -> None:
    inner = f"<w:tbl><w:tr>{cell('deep')}</w:tr></w:tbl>"
    one = parsed(docx(f"<w:tbl><w:tr>{cell('framed')}</w:tr></w:tbl><w:tbl><w:tr>{cell('a')}<w:tc>{paragraph('b')}{inner}</w:tc></w:tr></w:tbl>"))
    assert kinds(one) == [("paragraph", "framed"), ("table", "a\tb deep")]


def test_deleted_text_is_left_out_and_inserted_text_is_kept() -> None:
    body = (
        "<w:p><w:r><w:t xml:space='preserve'>The rent is </w:t></w:r><w:del><w:r><w:delText>"
        "500</w:delText></w:r></w:del><w:ins><w:r><w:t>600</w:t></w:r></w:ins>"
    )
    body += "<w:moveFrom><w:r><w:t>gone</w:t></w:r></w:moveFrom><w:r><w:t xml:space='preserve'> euros</w:t></w:r></w:p>"
    body += f"<w:tbl><w:tr><w:trPr><w:del/></w:trPr>{cell('old')}{cell('row')}</w:tr><w:tr>{cell('new')}{cell('row')}</w:tr></w:tbl>"
    assert parsed(docx(body)).text == "The rent is 600 euros\n\nnew\trow"


def test_fields_give_their_result_and_not_their_instruction() -> None:
    body = (
        "<w:p><w:r><w:fldChar w:fldCharType='begin'/></w:r><w:r><w:instrText>HYPERLINK evil</w:instrText>"
        "</w:r><w:r><w:fldChar w:fldCharType='separate'/></w:r>"
    )
    body += "<w:hyperlink><w:r><w:t>a link</w:t></w:r></w:hyperlink></w:p>"
    assert parsed(docx(body)).text == "a link"


def test_notes_and_comments_follow_the_paragraph_that_refers_to_them() -> None:
    notes = (
        f"<w:footnotes {W}><w:footnote w:type='separator' w:id='0'>{paragraph('x')}</w:footnote><w:footnote "
        f"w:id='2'>{paragraph('See annex.')}</w:footnote></w:footnotes>"
    )
    comments = f"<w:comments {W}><w:comment w:id='7' w:author='Ann'>{paragraph('Really?')}</w:comment></w:comments>"
    body = "<w:p><w:r><w:t>Claim</w:t><w:footnoteReference w:id='2'/><w:commentReference w:id='7'/></w:r></w:p>" + paragraph("Next")
    relations = {"f": ("footnotes", "footnotes.xml"), "c": ("comments", "comments.xml")}
    one = parsed(docx(body, {"word/footnotes.xml": notes, "word/comments.xml": comments}, relations))
    assert kinds(one) == [("paragraph", "Claim"), ("note", "See annex."), ("note", "Comment by Ann: Really?"), ("paragraph", "Next")]


def test_headers_and_footers_stand_once_at_the_end() -> None:
    body = (
        paragraph("One")
        + "<w:sectPr><w:headerReference r:id='h'/></w:sectPr>"
        + paragraph("Two")
        + "<w:sectPr><w:headerReference r:id='h'/></w:sectPr>"
    )
    one = parsed(docx(body, {"word/header1.xml": f"<w:hdr {W}>{paragraph('House Ltd')}</w:hdr>"}, {"h": ("header", "header1.xml")}))
    assert kinds(one) == [("paragraph", "One"), ("paragraph", "Two"), ("furniture", "House Ltd")]


def test_a_text_box_given_for_two_programs_is_read_once() -> None:
    box = f"<w:txbxContent>{paragraph('In the box')}</w:txbxContent>"
    mc = "xmlns:mc='http://schemas.openxmlformats.org/markup-compatibility/2006'"
    body = (
        f"<w:p><w:r><w:t>Before</w:t></w:r><w:r><mc:AlternateContent {mc}><mc:Choice><w:drawing>{box}</w:drawing>"
        f"</mc:Choice><mc:Fallback><w:pict>{box}</w:pict></mc:Fallback>"
    )
    assert kinds(parsed(docx(body + "</mc:AlternateContent></w:r></w:p>"))) == [("paragraph", "Before"), ("paragraph", "In the box")]


def test_pages_are_those_that_word_noted() -> None:
    body = paragraph("First") + (
        "<w:p><w:r><w:lastRenderedPageBreak/><w:t>Second</w:t></w:r></w:p><w:p><w:r><w:t>Long </w:t>"
        "<w:lastRenderedPageBreak/><w:t>one</w:t></w:r></w:p>"
    )
    one = parsed(docx(body + paragraph("Third") + "<w:sectPr><w:pgSz w:w='11906' w:h='16838'/></w:sectPr>"))
    assert [one.text[page.start : page.end] for page in one.pages] == ["First", "Second\n\nLong one", "Third"]
    assert round(one.pages[0].width) == 595
    assert not parsed(docx(paragraph("No notes"))).pages


def test_charts_give_title_and_values_and_pictures_what_was_written_of_them() -> None:
    c = "xmlns:c='http://schemas.openxmlformats.org/drawingml/2006/chart' xmlns:a='http://schemas.openxmlformats.org/drawingml/2006/main'"
    values = "".join(f"<c:pt idx='{n}'><c:v>{v}</c:v></c:pt>" for n, v in enumerate((3, 4)))
    names = "".join(f"<c:pt idx='{n}'><c:v>{v}</c:v></c:pt>" for n, v in enumerate(("May", "June")))
    series = f"<c:ser><c:tx><c:v>Sales</c:v></c:tx><c:cat>{names}</c:cat><c:val>{values}</c:val></c:ser>"
    chart = f"<c:chartSpace {c}><c:title><a:p><a:r><a:t>Spring</a:t></a:r></a:p></c:title>{series}</c:chartSpace>"
    body = f"<w:p><w:r><w:drawing><wp:docPr xmlns:wp='x' descr='A cat on a wall'/><c:chart {c} r:id='c1'/></w:drawing></w:r></w:p>"
    one = parsed(docx(body, {"word/charts/chart1.xml": chart}, {"c1": ("chart", "charts/chart1.xml")}))
    assert kinds(one) == [("caption", "Spring"), ("table", "\tSales\nMay\t3\nJune\t4"), ("caption", "A cat on a wall")]


def test_properties_and_macros() -> None:
    core = "<cp:coreProperties xmlns:cp='c' xmlns:dc='d'><dc:creator>Ann</dc:creator><dc:title>Lease</dc:title></cp:coreProperties>"
    one = parsed(docx(paragraph("x"), {"docProps/core.xml": core, "word/vbaProject.bin": b"evil"}, {"v": ("vbaProject", "vbaProject.bin")}))
    assert one.title == "Lease"
    assert one.properties == {"author": "Ann"}
    assert any("macros" in sentence for sentence in one.warnings)


def test_optional_hyphens_and_formulas() -> None:
    m = "xmlns:m='http://schemas.openxmlformats.org/officeDocument/2006/math'"
    body = "<w:p><w:r><w:t>Haus</w:t><w:softHyphen/><w:t>geist co\u00adop</w:t></w:r></w:p>"
    body += f"<w:p><m:oMath {m}><m:f><m:num><m:r><m:t>a+b</m:t></m:r></m:num><m:den><m:r><m:t>2</m:t></m:r></m:den></m:f></m:oMath></w:p>"
    assert texts(parsed(docx(body)), "paragraph") == ["Hausgeist coop", "(a+b)/2"]

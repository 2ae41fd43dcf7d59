"""Presentations: slides as pages, in the order of the presentation."""

from __future__ import annotations

from tests.unit.knowledge.parse.making import P, kinds, parsed, pptx


def shape(text: str, placeholder: str = "", name: str = "sp") -> str:
    held = f"<p:nvPr><p:ph type='{placeholder}'/></p:nvPr>" if placeholder else "<p:nvPr/>"
    lines = "".join(f"<a:p>{line}</a:p>" for line in text.split("|"))
    return f"<p:{name}><p:nvSpPr>{held}</p:nvSpPr><p:txBody>{lines}</p:txBody></p:{name}>"


def run(text: str, properties: str = "") -> str:
    return f"{properties}<a:r><a:t>{text}</a:t></a:r>"


def test_the_title_comes_first_and_each_slide_is_a_page() -> None:
    first = shape(run("Body")) + shape(run("Plans"), "title")
    second = shape(run("More"), "ctrTitle") + shape("|".join([run("One"), run("Deep", "<a:pPr lvl='1'/>")]), "body")
    one = parsed(pptx([first, second]), "x.pptx")
    assert kinds(one) == [("heading", "Plans"), ("paragraph", "Body"), ("heading", "More"), ("list", "• One\n  • Deep")]
    assert [(page.label, page.width, page.height) for page in one.pages] == [("Slide 1", 720.0, 540.0), ("Slide 2", 720.0, 540.0)]
    assert one.title == "Plans"


def test_hidden_slides_are_read_and_labelled() -> None:
    assert parsed(pptx([shape(run("Secret"))], attributes="show='0'")).pages[0].label == "Slide 1 (hidden)"


def test_tables_groups_bullets_and_footers() -> None:
    rows = "".join(
        f"<a:tr>{''.join(f'<a:tc><a:txBody><a:p>{run(cell)}</a:p></a:txBody></a:tc>' for cell in row)}</a:tr>" for row in (("A", "B"), ("1", "2"))
    )
    table = f"<p:graphicFrame><a:graphic><a:tbl><a:tblPr firstRow='1'/>{rows}</a:tbl></a:graphic></p:graphicFrame>"
    bullets = shape(f"{run('x', '<a:pPr><a:buAutoNum/></a:pPr>')}|{run('y', '<a:pPr><a:buAutoNum/></a:pPr>')}")
    one = parsed(pptx([f"<p:grpSp>{shape(run('grouped'))}</p:grpSp>{table}{bullets}{shape(run('House Ltd'), 'ftr')}"]))
    assert kinds(one) == [("paragraph", "grouped"), ("table", "A\tB\n1\t2"), ("list", "1. x\n2. y"), ("furniture", "House Ltd")]
    assert one.blocks[1].header == 1


def test_notes_of_the_speaker_and_comments() -> None:
    notes = f"<p:notes {P}><p:cSld><p:spTree>{shape(run('Say hello'), 'body')}{shape(run('1'), 'sldNum')}</p:spTree></p:cSld></p:notes>"
    comments = f"<p:cmLst {P}><p:cm authorId='0'><p:text>Too long</p:text></p:cm></p:cmLst>"
    related = {1: {"n": ("notesSlide", "../notesSlides/notesSlide1.xml"), "c": ("comments", "../comments/comment1.xml")}}
    one = parsed(pptx([shape(run("x"))], {"ppt/notesSlides/notesSlide1.xml": notes, "ppt/comments/comment1.xml": comments}, related=related))
    assert kinds(one) == [("paragraph", "x"), ("note", "Say hello"), ("note", "Comment: Too long"), ("furniture", "1")]


def test_a_damaged_slide_is_named_and_the_others_are_read() -> None:
    one = parsed(pptx([shape(run("x")), shape(run("y"))], {"ppt/slides/slide1.xml": b"\x00\x01"}))
    assert kinds(one) == [("paragraph", "y")]
    assert any("Slide 1" in sentence for sentence in one.warnings)
    assert [page.label for page in one.pages] == ["Slide 1", "Slide 2"]

"""What PDF files become: files of which every letter is known, since they are written here."""

import os
import re
import shutil
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from hausgeist.knowledge.parse import ocr
from hausgeist.knowledge.parse.base import Limits, Unreadable
from hausgeist.knowledge.parse.pdf.reading import read
from hausgeist.knowledge.parse.pdf.rows import Cell, Row
from hausgeist.knowledge.parse.pdf.tables import Grid, parted
from hausgeist.knowledge.parsed import Parsed
from tests.pdf import Leaf, columns, pdf, wrapped

PROSE = (
    "The tenant pays the rent by the third working day of each month to the account that is named below. Heating costs are settled once a year, "
    "and the landlord lays the bills open within twelve months. Whoever moves out hands over all keys, and the deposit is returned with interest."
)


def parse(tmp_path: Path, leaves: list[Leaf], *, limits: Limits | None = None, **options: object) -> Parsed:
    path = tmp_path / "file"
    path.write_bytes(pdf(leaves, **options))  # type: ignore[arg-type]
    parsed = read(path, "file.pdf", limits or Limits())
    sound(parsed)
    return parsed


def sound(parsed: Parsed) -> None:
    """What holds for whatever is parsed."""
    end = 0
    for block in parsed.blocks:
        assert end <= block.start < block.end <= len(parsed.text)
        assert not parsed.text[end : block.start].strip()
        end = block.end
        for start, beyond in block.rows:
            assert block.start <= start <= beyond <= block.end
    assert not parsed.text[end:].strip()
    assert [page.number for page in parsed.pages] == list(range(1, len(parsed.pages) + 1))
    for before, after in zip(parsed.lines, parsed.lines[1:], strict=False):
        assert before.start <= before.end <= after.start
    covered = {place for line in parsed.lines for place in range(line.start, line.end)}
    assert all(character.isspace() or place in covered for place, character in enumerate(parsed.text))


def texts(parsed: Parsed, *kinds: str) -> list[str]:
    return [parsed.text[block.start : block.end] for block in parsed.blocks if block.kind in kinds]


def test_a_paragraph_is_one_and_each_line_has_its_box(tmp_path: Path) -> None:
    leaf = Leaf()
    lines = wrapped(PROSE, 300)
    leaf.lines(72, 100, lines)
    parsed = parse(tmp_path, [leaf], title="Rental agreement")
    assert texts(parsed, "paragraph") == [PROSE]
    assert [parsed.text[line.start : line.end] for line in parsed.lines] == lines
    first = parsed.lines[0].box
    assert abs(first.left - 72) < 2
    assert 88 < first.top < first.bottom < 104
    assert (parsed.pages[0].width, parsed.pages[0].height) == (595, 842)
    assert (parsed.title, parsed.properties["author"], parsed.properties["created"]) == ("Rental agreement", "Ada", "2024-01-31")
    assert parsed.media_type == "application/pdf"


@pytest.mark.parametrize("by_row", [False, True], ids=["drawn by column", "drawn by row"])
def test_two_columns_are_read_one_after_the_other(tmp_path: Path, by_row: bool) -> None:
    left = wrapped(f"Left begins. {PROSE} Left ends.", 230)
    right = wrapped(f"Right begins. {PROSE} Right ends.", 230)
    parsed = parse(tmp_path, [columns(left, right, by_row=by_row)])
    words = " ".join(parsed.text.split())
    assert words == " ".join([*left, *right])
    assert max(line.box.right for line in parsed.lines if line.end <= parsed.text.index("Right begins")) < 310


def test_a_word_divided_at_the_end_of_a_line_is_whole_and_belongs_to_both(tmp_path: Path) -> None:
    leaf = Leaf()
    lines = ["The liability of the lessee for insur-", "ance is limited to what is usual, see the Anti-", "Money rules and well-", "known terms."]
    leaf.lines(72, 100, lines)
    parsed = parse(tmp_path, [leaf])
    assert "for insurance is limited" in parsed.text
    assert "Anti-Money rules" in parsed.text
    assert "wellknown" in parsed.text or "well-known" in parsed.text
    first, second = parsed.lines[:2]
    assert parsed.text[first.start : first.end].endswith("insur")
    assert parsed.text[second.start : second.end].startswith("ance is")


def test_running_lines_stand_at_the_end_and_a_paragraph_goes_on_over_the_page(tmp_path: Path) -> None:
    leaves = []
    lines = wrapped(" ".join([PROSE] * 12).rstrip("."), 450)
    for number in range(4):
        leaf = Leaf().text(72, 40, "Agreement between A and B").text(280, 815, f"Page {number + 1} of 4")
        leaf.lines(72, 100, lines[number * 8 : number * 8 + 8])
        leaves.append(leaf)
    parsed = parse(tmp_path, leaves)
    assert texts(parsed, "furniture") == [line for number in range(4) for line in ("Agreement between A and B", f"Page {number + 1} of 4")]
    body = parsed.text[: parsed.blocks[-8].start].strip()
    assert body == " ".join(lines[:32])
    assert len(texts(parsed, "paragraph")) == 1
    places = [(page.start, page.end) for page in parsed.pages]
    assert places[0][1] < places[1][0] < places[1][1] < places[2][0]
    assert {line.page for line in parsed.lines} == {1, 2, 3, 4}


def test_headings_have_levels_and_bold_ones_count(tmp_path: Path) -> None:
    leaf = Leaf()
    leaf.text(72, 80, "Rental agreement", size=20, font="F2")
    y = 120.0
    for number in (1, 2):
        leaf.text(72, y, f"{number}. Duties", size=14, font="F2")
        leaf.text(72, y + 24, f"{number}.1 Payment", size=11, font="F2")
        y = leaf.lines(72, y + 44, wrapped(PROSE, 450)) + 20
    parsed = parse(tmp_path, [leaf])
    found = [(block.kind, block.level, parsed.text[block.start : block.end]) for block in parsed.blocks if block.kind in {"title", "heading"}]
    assert [(kind, text) for kind, _, text in found] == [
        ("title", "Rental agreement"),
        ("heading", "1. Duties"),
        ("heading", "1.1 Payment"),
        ("heading", "2. Duties"),
        ("heading", "2.1 Payment"),
    ]
    assert found[1][1] == found[3][1] < found[2][1] == found[4][1]
    assert parsed.title == "Rental agreement"


def test_a_table_has_rows_and_tabs(tmp_path: Path) -> None:
    leaf = Leaf()
    leaf.lines(72, 60, wrapped(PROSE, 450))
    rows = [("Item", "Size", "Price"), ("Door", "", "120.00"), ("Window", "2 m", "80.50"), ("Gate", "3 m", "410.00")]
    for index, row in enumerate(rows):
        for x, cell in zip((72, 250, 400), row, strict=True):
            if cell:
                leaf.text(x, 200 + index * 16, cell, font="F2" if index == 0 else "F1")
    leaf.lines(72, 320, wrapped(PROSE, 450))
    parsed = parse(tmp_path, [leaf])
    table = next(block for block in parsed.blocks if block.kind == "table")
    assert [parsed.text[start:end].split("\t") for start, end in table.rows] == [list(row) for row in rows]
    assert table.header == 1
    assert [block.kind for block in parsed.blocks] == ["paragraph", "table", "paragraph"]


def test_items_of_a_list_are_one_list(tmp_path: Path) -> None:
    leaf = Leaf()
    y = leaf.lines(72, 80, wrapped(PROSE, 450)) + 10
    for item in ("1. Keys are returned.", "2. The meter is read.", "3. Damage is noted down."):
        leaf.text(72, y, item)
        y += 14
    parsed = parse(tmp_path, [leaf])
    assert texts(parsed, "list") == ["1. Keys are returned.\n2. The meter is read.\n3. Damage is noted down."]


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_a_turned_page_has_its_boxes_as_it_is_shown(tmp_path: Path, turn: int) -> None:
    leaf = Leaf(rotate=turn)
    leaf.text(100, 200, "Turned around")
    parsed = parse(tmp_path, [leaf])
    page, box = parsed.pages[0], parsed.lines[0].box
    assert (page.width, page.height) == ((842, 595) if turn != 180 else (595, 842))
    across, down = (box.left + box.right) / 2, (box.top + box.bottom) / 2
    expected = {90: (842 - 197, 135), 180: (595 - 135, 842 - 197), 270: (197, 595 - 135)}[turn]
    assert abs(across - expected[0]) < 12
    assert abs(down - expected[1]) < 12


def test_what_is_filled_into_a_form_is_read(tmp_path: Path) -> None:
    leaf = Leaf(filled="Ada Lovelace")
    leaf.text(72, 100, "Name of the tenant:")
    parsed = parse(tmp_path, [leaf])
    assert "Name of the tenant:" in parsed.text
    assert "Ada Lovelace" in parsed.text
    line = next(line for line in parsed.lines if "Ada" in parsed.text[line.start : line.end])
    assert abs(line.box.left - 102) < 3
    assert abs(line.box.bottom - (842 - 604)) < 3


def test_a_file_with_a_password_says_so(tmp_path: Path) -> None:
    entry = b"/Encrypt<</Filter/Standard/V 1/R 2/P -4/O<" + b"11" * 32 + b">/U<" + b"22" * 32 + b">>>/ID[<" + b"33" * 16 + b"><" + b"33" * 16 + b">]"
    path = tmp_path / "file"
    path.write_bytes(pdf([Leaf().text(72, 100, "Secret")], encrypt=entry))
    with pytest.raises(Unreadable, match="protected by a password; save a copy without one"):
        read(path, "file.pdf", Limits())


@pytest.mark.parametrize("damage", [b"", b"\0" * 5000, b"[" * 100_000 + b"\n%%EOF"], ids=["empty", "zeros", "deep"])
def test_what_is_no_pdf_inside_is_said_to_be_damaged(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"%PDF-1.7\n" + damage)
    with pytest.raises(Unreadable, match="damaged"):
        read(path, "file.pdf", Limits())


def test_a_file_whose_table_of_contents_is_lost_is_read_all_the_same(tmp_path: Path) -> None:
    whole = pdf([Leaf().text(72, 100, "Still readable")])
    path = tmp_path / "file"
    path.write_bytes(b"junk before\n" + whole[: whole.index(b"xref\n0 ")])
    assert read(path, "file.pdf", Limits()).text == "Still readable"


def test_pages_and_characters_have_an_end_and_it_is_said(tmp_path: Path) -> None:
    leaves = [Leaf().text(72, 100, f"This is page number {number}.") for number in range(30)]
    parsed = parse(tmp_path, leaves, limits=Limits(pages=7))
    assert len(parsed.pages) == 7
    assert list(parsed.warnings) == ["Only the first 7 of 30 pages were read."]
    parsed = parse(tmp_path, leaves, limits=Limits(characters=100))
    assert len(parsed.text) < 200
    assert "Only the first 100 characters were read" in parsed.warnings[0]


def test_an_empty_and_a_huge_page_are_pages(tmp_path: Path) -> None:
    parsed = parse(tmp_path, [Leaf(), Leaf(width=14_400, height=14_400).text(7000, 7000, "Far out"), Leaf()])
    assert parsed.text == "Far out"
    assert [(page.start, page.end) for page in parsed.pages] == [(0, 0), (0, 7), (7, 7)]


def test_words_are_those_that_pdftotext_finds(tmp_path: Path) -> None:
    """On a page of everything: headings, columns, a table, a list. Real files are compared by a benchmark."""
    if not shutil.which("pdftotext"):
        assert not os.environ.get("CI"), "CI needs pdftotext"
        pytest.skip("pdftotext (poppler-utils) is not installed")
    leaf = columns(wrapped(PROSE, 230), wrapped(PROSE, 230), by_row=True)
    leaf.text(72, 60, "Rental agreement", size=20, font="F2")
    leaf.lines(72, 500, ["1. Keys are returned.", "2. The me-", "ter is read at the end."])
    path = tmp_path / "file"
    path.write_bytes(pdf([leaf, Leaf().text(72, 90, "Caf\u00e9 M\u00fcnchen (100 %)")]))
    theirs = subprocess.run(["pdftotext", str(path), "-"], capture_output=True, check=True).stdout.decode()
    ours = read(path, "file.pdf", Limits()).text
    assert Counter(re.findall(r"\w+", ours.lower())) == Counter(re.findall(r"\w+", theirs.lower()))


def scan(words: str) -> Leaf:
    """A page that is nothing but a picture of words."""
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("L", (1240, 1754), 255)
    ImageDraw.Draw(image).multiline_text((120, 200), words, fill=0, font=ImageFont.load_default(40), spacing=20)
    return Leaf(picture=(1240, 1754, image.tobytes()))


@pytest.mark.skipif(not ocr.installed() and not os.environ.get("CI"), reason="Tesseract is not installed")
def test_a_scanned_page_is_read_with_places(tmp_path: Path) -> None:
    parsed = parse(tmp_path, [Leaf().text(72, 100, "Typed"), scan("The deposit is three rents.\nIt bears interest.")])
    assert "The deposit is three rents. It bears interest." in " ".join(parsed.text.split())
    assert [page.recognised for page in parsed.pages] == [False, True]
    line = next(line for line in parsed.lines if parsed.text[line.start : line.end].startswith("The deposit"))
    assert line.page == 2
    assert abs(line.box.left - 120 * 595 / 1240) < 4
    assert abs(line.box.top - 205 * 842 / 1754) < 8


def test_without_tesseract_a_scan_says_what_would_help(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ocr, "installed", lambda: False)
    parsed = parse(tmp_path, [scan("Nobody reads this."), Leaf().text(72, 100, "Typed"), scan("Nor this.")])
    assert parsed.text == "Typed"
    assert list(parsed.warnings) == ["Pages 1 and 3 are pictures; install tesseract-ocr (Debian's name) to read them."]


def test_an_invisible_text_under_a_picture_is_used_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ocr, "recognise", lambda *_, **__: pytest.fail("it was read already"))
    leaf = scan("The deposit is three rents.")
    leaf.drawn.append("BT 3 Tr /F1 14 Tf 60 740 Td (The deposit is three rents.) Tj ET")
    parsed = parse(tmp_path, [leaf])
    assert parsed.text == "The deposit is three rents."
    assert not parsed.pages[0].recognised


def test_captions_and_code_are_told_apart(tmp_path: Path) -> None:
    leaf = Leaf()
    y = leaf.lines(72, 80, wrapped(PROSE, 450)) + 20
    leaf.text(72, y, "Figure 1: Plan of the flat")
    leaf.lines(72, y + 40, ["def rent():", "    return 700"], font="F3")
    parsed = parse(tmp_path, [leaf])
    assert [block.kind for block in parsed.blocks] == ["paragraph", "caption", "code"]


def test_lines_of_hundreds_of_pieces_on_a_page_of_hundreds_of_lines(tmp_path: Path) -> None:
    leaf = Leaf()
    words = ("mwwmwm " * 46).strip()
    for place, letter in enumerate(words):  # each drawn by itself
        if letter != " ":
            leaf.text(40 + place * 1.44, 20, letter, size=2.4, font="F3")
    for row in range(270):
        leaf.text(40, 60 + row * 2.8, f"Line {row} of many", size=2.4)
    parsed = parse(tmp_path, [leaf])
    lines = {parsed.text[line.start : line.end]: line.box for line in parsed.lines}
    assert lines.keys() == {words, *(f"Line {row} of many" for row in range(270))}
    assert abs(lines[words].right - lines[words].left - 1.44 * len(words)) < 2


def test_cells_are_cut_where_pieces_begin_within_words_too(tmp_path: Path) -> None:
    leaf = Leaf()
    for row in range(4):
        y = 100 + row * 15
        # "Re" and "ntal" are drawn one after the other, without a space between them.
        leaf.text(60, y, "Re").text(74.7, y, f"ntal fee {row}").text(250, y, "120").text(400, y, "EUR net")
    parsed = parse(tmp_path, [leaf])
    table = next(block for block in parsed.blocks if block.kind == "table")
    assert [parsed.text[start:end].split("\t") for start, end in table.rows] == [[f"Rental fee {row}", "120", "EUR net"] for row in range(4)]


ERRORS = [
    (["E03"], ["No flame after three", "attempts"], ["Check the gas tap and the pres-", "sure at the inlet"]),
    (["E07"], ["Drum motor", "overloaded"], ["Let the drum cool, look for", "beans between the drum and", "the front plate"]),
    (["E11"], ["Bean sensor broken"], ["Replace the sensor (part", "15-0218)"]),
    (["E14"], ["Exhaust blocked"], ["Clean the chaff collector"]),
]


@pytest.mark.parametrize("by_row", [False, True], ids=["drawn by cell", "drawn by line"])
def test_lines_of_a_cell_are_one(tmp_path: Path, by_row: bool) -> None:
    leaf = Leaf()
    for x, title in zip((72, 130, 260), ("Code", "Meaning", "Remedy"), strict=True):
        leaf.text(x, 100, title, size=9, font="F2")
    y = 116.0
    for row in ERRORS:
        drawn = [(x, y + line * 10.5, words) for x, cell in zip((72, 130, 260), row, strict=True) for line, words in enumerate(cell)]
        for x, top, words in sorted(drawn, key=lambda one: one[1]) if by_row else drawn:
            leaf.text(x, top, words, size=9)
        y += 10.5 * max(map(len, row)) + 5
    leaf.lines(72, y + 20, wrapped(PROSE, 450))
    parsed = parse(tmp_path, [leaf])
    assert [block.kind for block in parsed.blocks] == ["table", "paragraph"]
    rows = [parsed.text[start:end].split("\t") for start, end in parsed.blocks[0].rows]
    assert rows[0] == ["Code", "Meaning", "Remedy"]
    assert rows[1] == ["E03", "No flame after three attempts", "Check the gas tap and the pressure at the inlet"]
    assert rows[2:] == [[" ".join(cell) for cell in row] for row in ERRORS[1:]]
    # The place of a row is all of it.
    box = next(line.box for line in parsed.lines if parsed.text[line.start : line.end].startswith("E07"))
    assert 28 < box.bottom - box.top < 34


def test_rows_without_a_first_cell_stay_rows_where_all_are_as_far_apart(tmp_path: Path) -> None:
    leaf = Leaf()
    rows = [("North", "2024", "110"), ("", "2025", "120"), ("South", "2024", "90"), ("", "2025", "95")]
    for index, row in enumerate(rows):
        for x, cell in zip((72, 200, 300), row, strict=True):
            if cell:
                leaf.text(x, 100 + index * 14, cell)
    parsed = parse(tmp_path, [leaf])
    assert [parsed.text[start:end].split("\t") for start, end in parsed.blocks[0].rows] == [list(row) for row in rows]


def test_items_with_wide_gaps_are_no_table(tmp_path: Path) -> None:
    leaf = Leaf()
    y = 100.0
    for number in range(1, 5):
        leaf.text(72, y, f"({number})").lines(110, y, wrapped(PROSE, 380))
        y += 14 * len(wrapped(PROSE, 380)) + 8
    parsed = parse(tmp_path, [leaf])
    assert not texts(parsed, "table")


def test_numbers_do_not_go_on_with_numbers(tmp_path: Path) -> None:
    """Rows of a group stand closer to one another than groups do, and so do the sums of an invoice."""
    rows = [
        (60, "Pos", "Item", "Price"), (20, "1", "Drum motor, refurbished", "1.200,00 €"), (13, "", "with bearings", ""), (20, "2", "Belt", "80,00 €"),
        (20, "", "Net", "1.280,00 €"), (14, "", "VAT", "243,20 €"), (14, "", "Sum", "1.523,20 €"), (24, "3", "Fan", "19.05.2026"),
        (14, "", "Filter", "20.05.2026"),
    ]  # fmt: skip
    leaf = Leaf()
    y = 60.0
    for step, *row in rows:
        y += step
        for x, cell in zip((72, 110, 300), row, strict=True):
            if cell:
                leaf.text(x, y, cell)
    parsed = parse(tmp_path, [leaf])
    table = next(block for block in parsed.blocks if block.kind == "table")
    assert [parsed.text[start:end].split("\t") for start, end in table.rows] == [
        ["Pos", "Item", "Price"], ["1", "Drum motor, refurbished with bearings", "1.200,00 €"], ["2", "Belt", "80,00 €"],
        ["", "Net", "1.280,00 €"], ["", "VAT", "243,20 €"], ["", "Sum", "1.523,20 €"], ["3", "Fan", "19.05.2026"], ["", "Filter", "20.05.2026"],
    ]  # fmt: skip


@pytest.mark.parametrize("middle", ["(a)", "Rent"])
def test_clauses_keep_their_numbers_and_titles(tmp_path: Path, middle: str) -> None:
    leaf = Leaf()
    y = 100.0
    clauses = []
    for number in range(1, 6):
        lines = wrapped(f"clause {number} says that " + PROSE, 340)
        leaf.text(60, y, f"§ {number}").text(100, y, middle)
        y = leaf.lines(150, y, lines)
        clauses.append(" ".join([f"§ {number}", middle, *lines]))
    parsed = parse(tmp_path, [leaf])
    assert " ".join(parsed.text.split()) == " ".join(clauses)


def test_thousands_of_pieces_in_one_line_take_little_time() -> None:
    rows = [Row("xy", left, top, left + 9, top + 10, 10, cells=(Cell("x", left, left + 3), Cell("y", left + 6, left + 9)))
            for left, top in ((40.0 * number, 100.0 + number % 2) for number in range(6_000))]  # fmt: skip
    began = time.process_time()
    (grid,) = parted(rows)
    assert isinstance(grid, Grid)
    assert len(grid.rows) == 1
    # Sorting the line anew for each of them took several times as long.
    assert time.process_time() - began < 1.0

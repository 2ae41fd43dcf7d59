"""Text, Markdown, tables, data, XML and code."""

from __future__ import annotations

import json

from hausgeist.knowledge.parse.base import Limits
from tests.unit.knowledge.parse.making import kinds, parsed, texts


def test_paragraphs_lists_and_careful_headings() -> None:
    text = (
        "LEASE\n\n1. Scope of the lease\n\nThe flat is let,\nfurnished.\n\n- one\n- two\n  more\n\n2026 was a good "
        "year.\n\nRent\n====\n\n3 apples are not a heading because they go on.\n"
    )
    assert kinds(parsed(text.encode(), "x.txt")) == [
        ("heading", "LEASE"),
        ("heading", "1. Scope of the lease"),
        ("paragraph", "The flat is let,\nfurnished."),
        ("list", "- one\n- two\n  more"),
        ("paragraph", "2026 was a good year."),
        ("heading", "Rent"),
        ("paragraph", "3 apples are not a heading because they go on."),
    ]


def test_a_form_feed_begins_a_page() -> None:
    one = parsed(b"first\n\fsecond\n\nmore\n", "x.txt")
    assert [one.text[page.start : page.end] for page in one.pages] == ["first", "second\n\nmore"]


def test_line_ends_of_all_kinds_and_strange_characters() -> None:
    assert parsed("a\r\nb\r\rc\u2028d\x00e\u00ad\n".encode("utf-16")).text == "a\nb\n\nc\nde"


def test_markdown() -> None:
    text = (
        "---\ntitle: Lease\nauthor: Ann\n---\n# Top *one*\nSome **bold** [link](http://x.y/z) and `a*b*c` &amp; 2*3*4 "
        "snake_case_name\n\nSub\n---\n1. one\n   - two\n\n| A | B |\n|---|:-:|\n| 1 | `x` "
        "|\n\n```py\ndef f():\n    pass\n```\n> quoted\n![a cat](x.png)"
    )
    one = parsed(text.encode(), "x.md")
    assert kinds(one) == [
        ("heading", "Top one"),
        ("paragraph", "Some bold link and a*b*c & 2*3*4 snake_case_name"),
        ("heading", "Sub"),
        ("list", "1. one\n  • two"),
        ("table", "A\tB\n1\tx"),
        ("code", "def f():\n    pass"),
        ("paragraph", "quoted\na cat"),
    ]
    assert one.title == "Lease"
    assert one.properties == {"author": "Ann"}
    assert [block.level for block in one.blocks if block.level] == [1, 2]


def test_tables_with_their_divider_and_titles() -> None:
    one = parsed('Name;Preis;Text\r\nÄpfel;1,20;"zwei\nZeilen; hier"\r\nBirnen;2,00;x\r\n'.encode("cp1252"), "x.csv")
    assert kinds(one) == [("table", "Name\tPreis\tText\nÄpfel\t1,20\tzwei Zeilen; hier\nBirnen\t2,00\tx")]
    assert one.blocks[0].header == 1
    assert parsed(b"a\tb\n1\t2\n", "x.tsv").media_type == "text/tab-separated-values"
    assert texts(parsed(b"sep=|\nx|y\n1|2\n", "x.csv"), "table") == ["x\ty\n1\t2"]


def test_tables_are_cut_at_their_limit_and_broken_rows_left_out() -> None:
    one = parsed(b"a,b\n" * 100, "x.csv", Limits(cells=20))
    assert one.text.count("a") == 10
    assert one.warnings
    long = parsed(b"a,b\n1," + b"x" * 200_000 + b"\n3,4\n", "x.csv")
    assert "3\t4" in long.text
    assert any("could not be read" in sentence for sentence in long.warnings)


def test_data_becomes_lines_and_tables() -> None:
    value = {
        "name": "Lease",
        "parties": [{"role": "owner", "who": "Ann"}, {"role": "tenant", "who": "Bob"}],
        "terms": {"rent": 600, "paid": True, "end": None},
    }
    one = parsed(json.dumps(value).encode(), "x.json")
    assert kinds(one) == [
        ("paragraph", "name: Lease"),
        ("heading", "parties"),
        ("table", "role\twho\nowner\tAnn\ntenant\tBob"),
        ("heading", "terms"),
        ("paragraph", "rent: 600\npaid: true\nend:"),
    ]


def test_lines_of_data_with_a_broken_one() -> None:
    one = parsed(b'{"a": 1, "b": "x"}\n{"a": 2, "b": "y"}\n{broken\n', "x.jsonl")
    assert texts(one, "table") == ["a\tb\n1\tx\n2\ty"]
    assert any("Line 3" in sentence for sentence in one.warnings)


def test_broken_and_bottomless_data_is_taken_as_text() -> None:
    assert parsed(b'{"a": 1, oops', "x.json").text == '{"a": 1, oops'
    deep = parsed(b'{"a":' * 900 + b"1" + b"}" * 900, "x.json")
    assert deep.blocks
    assert parsed(b"[" * 100_000, "x.json").text


def test_xml_records_are_tables_and_mixed_text_is_a_paragraph() -> None:
    text = (
        "<r><people><p id='1'><name>Ann</name></p><p id='2'><name>Bob</name></p></people><doc><title>"
        "Top</title><para>Some <b>bold</b> text</para><x>1</x></doc></r>"
    )
    assert kinds(parsed(text.encode(), "x.xml")) == [
        ("table", "id\tname\n1\tAnn\n2\tBob"),
        ("heading", "Top"),
        ("paragraph", "Some bold text"),
        ("paragraph", "x: 1"),
    ]


def test_code_is_divided_before_its_definitions() -> None:
    one = parsed(b"import os\n\n\ndef f():\n    return 1\n\n\n@once\ndef g():\n    pass\n", "x.py")
    assert kinds(one) == [("code", "import os"), ("code", "def f():\n    return 1"), ("code", "@once\ndef g():\n    pass")]

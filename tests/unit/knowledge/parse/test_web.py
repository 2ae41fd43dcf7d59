"""HTML and books."""

from __future__ import annotations

import pytest

from hausgeist.knowledge.parse.base import Limits, Unreadable
from hausgeist.knowledge.parse.reading import read
from tests.unit.knowledge.parse.making import book, kinds, parsed, texts

SENTENCE = "The house spirit keeps the household in order and asks for nothing but a bowl of porridge. "


def page(body: str, head: str = "") -> bytes:
    return f"<!DOCTYPE html><html lang='en'><head><title>A page</title>{head}</head><body>{body}</body></html>".encode()


def test_headings_lists_tables_and_code() -> None:
    table = (
        "<table><caption>Prices</caption><thead><tr><th>Item</th><th>Sum</th></tr></thead><tr><td "
        "rowspan=2>Soap</td><td>3</td></tr><tr><td>4</td></tr></table>"
    )
    body = f"<h1>Top</h1><p>Some <b>bold</b>\n text<br>new</p><ol start=3><li>one<ul><li>deep</ul><li>two</ol>{table}<pre>a\n  b</pre>"
    one = parsed(page(body), "x.html")
    assert kinds(one) == [
        ("heading", "Top"),
        ("paragraph", "Some bold text\nnew"),
        ("list", "3. one\n  • deep\n4. two"),
        ("caption", "Prices"),
        ("table", "Item\tSum\nSoap\t3\n\t4"),
        ("code", "a\n  b"),
    ]
    assert one.blocks[4].header == 1
    assert one.title == "A page"
    assert one.properties["language"] == "en"


def test_what_nobody_sees_is_left_out() -> None:
    body = "<p>seen</p><script>x()</script><style>p{}</style><div style='display: none'>hidden</div><p hidden>too</p><!-- c --><template>t</template>"
    assert parsed(page(body)).text == "seen"


def test_of_an_article_what_is_around_it_goes_to_the_end() -> None:
    article = "".join(f"<p>{SENTENCE * 3}Paragraph {n}.</p>" for n in range(8))
    body = (
        f"<nav><a href='/'>Home</a> <a href='/x'>Contact us</a></nav><article><h1>Spirits</h1>{article}</article><footer>Imprint and cookies</footer>"
    )
    one = parsed(page(body))
    assert kinds(one)[0] == ("heading", "Spirits")
    assert len(texts(one, "paragraph")) == 8
    assert any("Contact us" in text for text in texts(one, "furniture"))
    assert any("Imprint" in text for text in texts(one, "furniture"))


def test_layout_tables_are_no_tables() -> None:
    assert kinds(parsed(page("<table><tr><td><h1>Top</h1><p>Text</p></td></tr></table>"))) == [("heading", "Top"), ("paragraph", "Text")]


def test_encodings_that_pages_declare() -> None:
    text = "<html><head><meta charset='iso-8859-7'></head><body><p>Ελλάδα</p></body></html>"
    assert parsed(text.encode("iso-8859-7")).text == "Ελλάδα"
    assert parsed(text.encode("utf-8")).text == "Ελλάδα", "valid UTF-8 is UTF-8, whatever it says of itself"
    assert parsed(text.encode("utf-16")).text == "Ελλάδα"


def test_pages_nested_without_end() -> None:
    one = parsed(page("<div>" * 50_000 + "deep"))
    assert len(one.text) < 100


def test_chapters_are_pages_with_the_names_of_the_contents() -> None:
    chapter = (
        "<?xml version='1.0'?><html xmlns='http://www.w3.org/1999/xhtml'><head><title/></head><body><h1>{}</h1><p>It&nbsp;began.</p></body></html>"
    )
    one = parsed(
        book({"a.xhtml": chapter.format("One"), "b%20c.xhtml": chapter.format("x")} | {"b c.xhtml": ""}, {"OEBPS/b c.xhtml": chapter.format("Two")}),
        "x.epub",
    )
    assert [page.label for page in one.pages][:2] == ["Chapter 1", "Chapter 2"]
    assert kinds(one)[:2] == [("heading", "One"), ("paragraph", "It\xa0began.")]
    assert one.title == "The Book"
    assert one.properties["author"] == "A. Writer"


def test_books_locked_by_their_seller() -> None:
    lock = "<encryption><CipherReference URI='OEBPS/a.xhtml'/></encryption>"
    with pytest.raises(Unreadable, match="DRM"):
        read(book({"a.xhtml": "<html/>"}, {"META-INF/encryption.xml": lock}), "x.epub", Limits())

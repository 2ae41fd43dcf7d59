"""Text that was made to keep the server busy: what works on it within the server's own process is done in time that grows with its length, not with
its square. Some of these took minutes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hausgeist.knowledge.answer.checking.verbatim import find, normal
from hausgeist.knowledge.answer.counting.asking import asked
from hausgeist.knowledge.answer.counting.looking import look
from hausgeist.knowledge.answer.counting.values import number
from hausgeist.knowledge.parse.base import Limits
from hausgeist.knowledge.parse.plain.markdown import read
from hausgeist.knowledge.parsed import Block, Parsed
from hausgeist.knowledge.split.sentences import sentences
from hausgeist.knowledge.split.splitting import split

SECONDS = 15.0
"""Each needs less than a tenth of it, on a machine that has other things to do as well."""
LONG = 200_000


def cut(text: str) -> object:
    return split(Parsed(text=text, blocks=[Block("paragraph", 0, len(text))]))


def total(text: str) -> object:
    wanted = asked("What is the total of all invoices?")
    assert wanted is not None
    return look(wanted, "invoice.txt", text, [])


def gaps(text: str) -> object:
    return find("a ... a ... a [x] a ... nowhere", text, normal(text))


def markdown(text: str) -> object:
    return read(text.encode(), "a.md", Limits())


CRAFTED: dict[str, tuple[Callable[[str], object], str]] = {
    "dots": (sentences, "." * LONG + "x"),
    "exclamation": (sentences, "word " + "!?" * LONG + "x"),
    "dots in a passage": (cut, "." * LONG + "x"),
    "hard spaces": (cut, "word " + "\u00a0" * LONG + "\nword"),
    "white space in a cell": (number, "1" + " " * LONG + "x"),
    "white space alone": (number, " " * LONG),
    "words to compare": (normal, "a " * (LONG // 2)),
    "a quotation full of gaps": (gaps, "a " * (LONG // 2)),
    "a quotation of gaps alone": (lambda text: find("a ... " * 300 + "x", text, normal(text)), "a " * (LONG // 10)),
    "a quotation that is cut everywhere": (lambda text: find("a a a a a", text, normal(text)), "a " * (LONG // 2) + "unless"),
    "amounts on one line": (total, "€1 " * (LONG // 40)),
    "comments that do not end": (markdown, "<!--" * (LONG // 4)),
    "backticks that do not end": (markdown, "word " + "`" * LONG + "\nword"),
}


@pytest.mark.parametrize("name", list(CRAFTED))
def test_it_takes_no_time_to_speak_of(name: str) -> None:
    work, text = CRAFTED[name]
    began = time.process_time()
    work(text)
    assert time.process_time() - began < SECONDS


def test_what_it_finds_is_what_it_found() -> None:
    text = 'Wait... what?! He said "No." Then he left.[12] The end... and so on.'
    assert [text[start:end] for start, end in sentences(text, "en")] == [
        "Wait... what?!", 'He said "No."', "Then he left.[12]", "The end... and so on.",
    ]  # fmt: skip
    assert sentences("see a.b.c...d and e.") == [(0, 20)]
    assert [str(number(cell)) for cell in (" - 1.234,50 ", "12 %", "1 234", "+7")] == ["-1234.50", "0.12", "1234", "7"]
    said = "The lease ends, as agreed, on the third of May. It may be renewed."
    place = find("The lease ends ... on the third of May", said)
    assert place is not None
    assert said[place.start : place.end] == "The lease ends, as agreed, on the third of May"


def test_markup_is_still_taken_out(tmp_path: Path) -> None:
    text = "Use `code here` and ``more`` now.<!-- not\nthis --> And <b>this</b>.\n"
    (tmp_path / "a.md").write_text(text)
    assert read(tmp_path / "a.md", "a.md", Limits()).text.strip() == "Use code here and more now. And this."

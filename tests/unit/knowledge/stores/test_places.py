"""On which page a character stands, as people are told of it: by number, by the name of a sheet or of a file within a mail, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from email.message import EmailMessage
from pathlib import Path

import pytest

from hausgeist.cli.demo import PAPERS
from hausgeist.errors import NotFound
from hausgeist.identity import LOCAL_OWNER as WHO
from hausgeist.knowledge.answer.checking.passages import cited
from hausgeist.knowledge.hits import Spot
from hausgeist.knowledge.parse.base import Limits
from hausgeist.knowledge.parse.reading import read
from hausgeist.knowledge.parsed import Page, Parsed
from tests.small_knowledge import Bench, PlainParser


class Reading(PlainParser):
    """What the real parsers make of a file."""

    async def parse(self, path: Path, filename: str, *, progress: Callable[[int, int], None] | None = None) -> Parsed:
        return await asyncio.to_thread(read, path, filename, Limits())


class Made(PlainParser):
    """The same for every file."""

    def __init__(self, *pages: Page, media_type: str = "text/plain") -> None:
        super().__init__()
        self._made = Parsed(text="abcdefghi", pages=pages, media_type=media_type)

    async def parse(self, path: Path, filename: str, *, progress: Callable[[int, int], None] | None = None) -> Parsed:
        return self._made


async def test_pages_of_paper_have_numbers(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        file = await bench.bring("one\fsecond\fthird")
        text = await bench.documents.text(WHO, file)
        found = [(await bench.documents.place(WHO, file, at)) for at in range(len(text) + 1)]
        assert found == [Spot(1)] * 4 + [Spot(2)] * 7 + [Spot(3)] * 7
        with pytest.raises(NotFound):
            await bench.documents.place(replace(WHO, project="elsewhere"), file, 0)


def mail() -> bytes:
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = "Ida <ida@a.example>", "Bent <bent@a.example>", "The lease"
    made.set_content("Dear Bent,\n\nthe lease is with this.")
    lease = (PAPERS / "Mietvertrag Kornspeicher.pdf").read_bytes()
    made.add_attachment(lease, maintype="application", subtype="pdf", filename="lease.pdf")
    return bytes(made)


async def test_what_people_are_told_of_real_files(tmp_path: Path) -> None:
    order = (PAPERS / "mails" / "order for May.eml").read_bytes()
    box = b"".join(b"From a@a.example Mon Jan  5 10:00:00 2026\n" + one.replace(b"\r\n", b"\n") + b"\n\n" for one in (order, order))
    files: list[tuple[str, bytes, list[tuple[str, str]]]] = [
        ("lease.pdf", (PAPERS / "Mietvertrag Kornspeicher.pdf").read_bytes(), [("Gewerbemietvertrag", "lease.pdf, page 1")]),
        ("p.xlsx", (PAPERS / "Preisliste 2026.xlsx").read_bytes(), [("K-101", "p.xlsx, Kaffee 2026"), ("Paket EU", "p.xlsx, Versand")]),
        ("may.eml", order, [("Order for May", "may.eml"), ("Bent Harksen", "may.eml"), ("Huila", "may.eml, order-may-2026.csv")]),
        ("a.eml", mail(), [("Dear Bent", "a.eml"), ("Gewerbemietvertrag", "a.eml, lease.pdf")]),
        ("box.mbox", box, [("Dear Bent", "box.mbox, 1 – Order for May, and two torn bags")]),
        ("notes.md", (PAPERS / "minutes 2026-03-05.md").read_bytes(), [("2026", "notes.md")]),
        ("prices.csv", (PAPERS / "export prices 2026.csv").read_bytes(), [("K-101", "prices.csv")]),
    ]
    async with Bench(tmp_path, parser=Reading()) as bench:
        for name, data, expected in files:
            file = await bench.bring(data, name)
            text = await bench.documents.text(WHO, file)
            for words, told in expected:
                assert cited(name, await bench.documents.place(WHO, file, text.index(words))) == told


@pytest.mark.parametrize(
    ("pages", "media_type", "found"),
    [
        ([], "text/plain", Spot(counted=False)),
        ([Page(1, 0, 9, label="Only")], "application/x-sheets", Spot(1, counted=False)),
        ([Page(1, 0, 4, label="Own"), Page(2, 5, 9, label="Other")], "application/x-sheets", Spot(2, "Other", counted=False)),
        ([Page(1, 0, 4), Page(2, 5, 9)], "text/plain", Spot(2)),
        ([Page(1, 0, 5), Page(2, 5, 5), Page(3, 5, 9)], "text/plain", Spot(3)),
        ([Page(1, 0, 5, 700, 500, "Slide 1"), Page(2, 5, 9, 700, 500, "Slide 2")], "application/x-slides", Spot(2)),
        ([Page(1, 6, 9, 595, 842)], "application/pdf", Spot(1)),
        ([Page(1, 0, 9, label="Subject")], "message/rfc822", Spot(1, counted=False)),
        ([Page(1, 0, 4, label="Subject"), Page(2, 5, 9, 595, 842, "a.pdf")], "application/vnd.ms-outlook", Spot(2, "a.pdf", counted=False)),
    ],
)
async def test_the_fifth_character(tmp_path: Path, pages: list[Page], media_type: str, found: Spot) -> None:
    async with Bench(tmp_path, parser=Made(*pages, media_type=media_type)) as bench:
        assert await bench.documents.place(WHO, await bench.bring("x"), 5) == found


@pytest.mark.parametrize(
    ("place", "page", "told"),
    [
        (Spot(3), "page", "a b.pdf, page 3"),
        (Spot(3), "Seite", "a b.pdf, Seite 3"),
        (Spot(3), "第", "a b.pdf，第3页"),
        (Spot(3, "Shipping\nabroad"), "page", "a b.pdf, Shipping abroad"),
        (Spot(3, "L" * 100, counted=False), "page", f"a b.pdf, {'L' * 60}"),
        (Spot(1, counted=False), "page", "a b.pdf"),
    ],
)
def test_how_a_place_is_called(place: Spot, page: str, told: str) -> None:
    assert cited("a\n b.pdf", place, page) == told

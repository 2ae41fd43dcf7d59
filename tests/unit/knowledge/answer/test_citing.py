"""Page and label of a citation are those of the quotation's own beginning, wherever the passage around it begins: in the line and in what is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from hausgeist.cli.ask import _print_places
from hausgeist.errors import NotFound
from hausgeist.identity import LOCAL_OWNER as WHO
from hausgeist.identity import Principal
from hausgeist.knowledge.answer.extracting.extract import answerable, extract, nearest
from hausgeist.knowledge.answer.tool import Ability, FileSearch
from hausgeist.knowledge.hits import Hit, Mark, Reader, Spot
from tests.small_knowledge import Bench
from tests.turn import Told

SPEC = {"type": "file_search", "vector_store_ids": ["vs_1"]}
LEASE = "The landlord lets the whole flat to Anna.\n\fThe monthly rent is 950 euros.\n\fThe deposit is 2000 euros."


class One:
    """A search that always finds this: a passage that goes on over pages."""

    def __init__(self, hit: Hit) -> None:
        self.hit = hit

    async def search(self, who: Principal, stores: Sequence[str], queries: Sequence[str], **more: Any) -> Sequence[Hit]:
        return [self.hit]


class Sheets:
    """A workbook of two sheets."""

    TEXT = "Coffee\n\nArticle\tPrice\nHuila\t21 EUR\n\nShipping\n\nWay\tPrice\nParcel\t7 EUR"

    async def text(self, who: Principal, file: str) -> str:
        return self.TEXT

    async def marks(self, who: Principal, file: str, start: int, end: int) -> Sequence[Mark]:
        return []

    async def place(self, who: Principal, file: str, start: int) -> Spot:
        second = start >= self.TEXT.index("Shipping")
        return Spot(2, "Shipping", counted=False) if second else Spot(1, "Coffee", counted=False)


class Gone(Sheets):
    """A file that is removed once it has been read."""

    async def place(self, who: Principal, file: str, start: int) -> Spot:
        raise NotFound("The file was removed.")


async def answered(reader: Reader, file: str, filename: str, question: str, **more: Any) -> tuple[str, Mapping[str, Any]]:
    """Text and what is kept, without a model."""
    text = await reader.text(WHO, file)
    hit = Hit(file=file, filename=filename, store="vs_1", document=1, start=0, end=len(text), text=text, score=0.9, page=1, language="en", **more)
    tool = FileSearch(
        One(hit), reader, ability=lambda who, name, context: Ability(reads=False, context=4096), extract=extract, answerable=answerable,
        tokens=len, nearest=nearest,
    )  # fmt: skip
    turn: Any = Told({"type": "message", "role": "user", "content": question})
    reading = await tool.read(SPEC, turn)
    assert reading.answer is not None
    said = "".join([one.text async for one in reading.answer])
    await tool.finish(turn)
    return said, turn.facts


@pytest.mark.parametrize(
    ("question", "quote", "page"),
    [
        ("Who lets the whole flat?", "The landlord lets the whole flat to Anna.", 1),
        ("How high is the monthly rent?", "The monthly rent is 950 euros.", 2),
        ("How high is the deposit?", "The deposit is 2000 euros.", 3),
    ],
)
async def test_a_quotation_stands_on_its_own_page(tmp_path: Path, question: str, quote: str, page: int, capsys: pytest.CaptureFixture[str]) -> None:
    async with Bench(tmp_path) as bench:
        file = await bench.bring(LEASE, "lease.pdf")
        said, facts = await answered(bench.documents, file, "lease.pdf", question)
        whole = await bench.documents.text(WHO, file)
    assert said.startswith(f"“{quote}” (lease.pdf, page {page})")
    first = facts["citations"][0]
    assert (first["page"], first["label"], first["quote"]) == (page, f"lease.pdf, page {page}", quote)
    assert whole[first["start"] : first["end"]] == quote
    assert {box["page"] for box in first["boxes"]} == {page}
    assert facts["passages"][0]["page"] == 1
    _print_places([first], said)
    shown = capsys.readouterr().out
    assert f"[1] lease.pdf, page {page}  ✓ verified" in shown
    assert quote not in shown, "the answer says it already"


async def test_a_row_stands_under_its_titles_and_on_its_sheet(capsys: pytest.CaptureFixture[str]) -> None:
    said, facts = await answered(Sheets(), "file-1", "prices.xlsx", "What does the Parcel cost?", kind="table")
    assert said == "“Way | Price\nParcel | 7 EUR” (prices.xlsx, Shipping)"
    (fact,) = facts["citations"]
    assert (fact["page"], fact["label"], fact["quote"], fact["boxes"]) == (2, "prices.xlsx, Shipping", "Parcel\t7 EUR", [])
    _print_places([fact], said)
    assert capsys.readouterr().out == "\n[1] prices.xlsx, Shipping  ✓ verified\n"


async def test_what_comes_nearest_has_its_place_too() -> None:
    said, facts = await answered(Sheets(), "file-1", "prices.xlsx", "Who painted the lighthouse of Kiel?", kind="table")
    assert "(prices.xlsx, Coffee)" in said
    assert [one["label"] for one in facts["citations"]] == ["prices.xlsx, Coffee"]


async def test_a_file_that_is_gone_meanwhile_is_told_by_its_passage() -> None:
    said, facts = await answered(Gone(), "file-1", "prices.xlsx", "What does the Parcel cost?", kind="table")
    assert said.endswith("(prices.xlsx, page 1)")
    assert facts["citations"][0]["boxes"] == []


def test_the_list_names_the_file_where_there_is_no_label_and_says_what_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    _print_places([{"filename": "a\nb.txt", "verified": False, "quote": "other words"}], "The answer.")
    assert capsys.readouterr().out == "\n[1] a b.txt  ✗ not found there word for word\n    other words\n"

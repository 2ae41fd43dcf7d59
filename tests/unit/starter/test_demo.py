"""The documents of the demo are those that `python -m starter.demo` writes, and the questions are about them."""

from __future__ import annotations

import json
import re
import zipfile
import zlib
from io import BytesIO

import pytest

from hausgeist.cli.demo import PAPERS, QUESTIONS
from starter.demo import lease, manual, papers
from starter.demo import questions as asked

_STREAM = re.compile(rb"stream\n(.*?)\nendstream", re.DOTALL)


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("export prices 2026.csv", papers.prices_csv), ("minutes 2026-03-05.md", papers.minutes_english),
        ("mails/order for May.eml", papers.complaint), ("mails/Wasserschaden.eml", papers.water_damage),
    ],
)  # fmt: skip
def test_text_is_what_is_written(name: str, made: object) -> None:
    assert callable(made)
    assert (PAPERS / name).read_bytes() == made()


@pytest.mark.parametrize(("name", "made"), [("Mietvertrag Kornspeicher.pdf", lease.lease), ("Vesta R15 manual.pdf", manual.manual)])
def test_pages_are_what_is_written(name: str, made: object) -> None:
    """Compressors differ between machines, what they pack does not."""
    assert callable(made)
    pages = [[zlib.decompress(found) for found in _STREAM.findall(content)] for content in ((PAPERS / name).read_bytes(), made())]
    assert len(pages[0]) >= 2
    assert pages[0] == pages[1]


@pytest.mark.parametrize(("name", "made"), [("Preisliste 2026.xlsx", papers.price_list), ("Protokoll 2026-02-12.docx", papers.minutes_german)])
def test_office_files_are_what_is_written(name: str, made: object) -> None:
    assert callable(made)
    there, new = zipfile.ZipFile(PAPERS / name), zipfile.ZipFile(BytesIO(made()))
    assert there.namelist() == new.namelist()
    assert all(there.read(part) == new.read(part) for part in there.namelist())


def test_questions_are_about_what_is_there() -> None:
    told = json.loads(QUESTIONS.read_text("utf-8"))
    assert [tuple(one.values()) for one in told] == asked.QUESTIONS
    assert {one["file"] for one in told} == {path.name for path in PAPERS.rglob("*") if path.is_file()}

"""Pages of PDF per second, parsed with all structure and split, against PDFium merely yielding text with line boxes, in one process each.

    python -m benchmarks parsing FOLDER

The files are long ones, made here: prose in one column, prose in two, tables, and short lines with headings; and those of the folder that have text,
together. Both work on the same file in turns, so that what the machine does besides hits both alike. Three ways of merely yielding are measured:

- the text of each line with its box: the text of a page at once, cut at its line breaks, and for each line the rectangles of its characters. This is
  the quickest way to text with line boxes that pypdfium2 offers, and what the goal is held against;
- the text of each rectangle, which is what its manual shows;
- the text of a page at once with all rectangles beside it, which do not say which text is theirs: less than was asked, the fastest that there is.
"""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.report import Figure, median
from benchmarks.servers import BUILD
from hausgeist.knowledge.parse.base import Limits

__all__ = ["LINES", "both_ways", "measure"]

_PAGES = 100
_FOLDER = Path(__file__).resolve().parents[2] / "shared" / "eval" / "docs"
_ROUNDS = 5
_GOAL = 0.8
_GARBAGE = (100_000, 20, 50)
"""As in a parser process."""
_WORDS = [
    "the",
    "of",
    "and",
    "contract",
    "notice",
    "period",
    "heating",
    "shall",
    "tenant",
    "landlord",
    "within",
    "days",
    "written",
    "month",
    "rent",
    "payment",
    "interest",
    "water",
    "house",
    "repair",
    "annual",
    "statement",
    "costs",
    "heating",
    "operating",
    "agreement",
    "party",
    "third",
    "termination",
    "reason",
    "important",
    "deposit",
    "return",
    "handover",
    "keys",
    "inventory",
    "insurance",
    "liability",
]


def measure(folder: Path = _FOLDER) -> list[Figure]:
    gc.set_threshold(*_GARBAGE)
    figures = []
    kinds = [(name, [path]) for name, path in _files()]
    if real := [path for path in sorted(folder.glob("*.pdf")) if _has_text(path)]:
        kinds.append((f"{len(real)} real files", real))
    for name, paths in kinds:
        ours = []
        ratios: dict[str, list[float]] = {way: [] for way in _MERELY}
        for round_ in range(_ROUNDS + 1):
            taken = sum(_time(_ours, path) for path in paths)
            merely = {way: sum(_time(read, path) for path in paths) for way, read in _MERELY.items()}
            if round_:  # the first warms up
                ours.append(taken)
                for way, seconds in merely.items():
                    ratios[way].append(seconds / taken)
        figures.append(Figure(f"{name}: pages per second, parsed and split", f"{sum(map(_count, paths)) / median(ours):.0f}"))
        for way, found in ratios.items():
            told = f"{median(found):.2f} ({min(found):.2f} to {max(found):.2f})"
            figures.append(
                Figure(f"{name}: times {way}", told, f">= {_GOAL}", median(found) >= _GOAL) if way == LINES else Figure(f"{name}: times {way}", told)
            )
    return figures


def _has_text(path: Path) -> bool:
    """Whether PDFium reads it: no password, and no page whose text is a picture alone."""
    import pypdfium2

    try:
        return all(page.count_chars() for page in _pages(path))
    except pypdfium2.PdfiumError:
        return False


def _count(path: Path) -> int:
    return sum(1 for _ in _pages(path))


def both_ways() -> Iterator[tuple[str, Path, dict[str, float]]]:
    """Each file, and the seconds that PDFium takes for it in each way of merely yielding."""
    for name, path in _files():
        _at_once(path)
        yield name, path, {way: _time(read, path) for way, read in _MERELY.items()}


def _time(read: Callable[[Path], None], path: Path) -> float:
    began = time.process_time()
    read(path)
    return time.process_time() - began


def _ours(path: Path) -> None:
    from hausgeist.knowledge.parse.pdf.reading import read
    from hausgeist.knowledge.split import split

    assert split(read(path, path.name, Limits()))


def _pages(path: Path) -> Iterator[Any]:
    import pypdfium2

    document = pypdfium2.PdfDocument(path)
    for page in document:
        text_page = page.get_textpage()
        yield text_page
        text_page.close()
        page.close()
    document.close()


def _lines(path: Path) -> None:
    for page in _pages(path):
        found = []
        position = 0
        for line in page.get_text_range().split("\r\n"):
            if length := len(line):
                found.append((line, [page.get_rect(index) for index in range(page.count_rects(position, length))]))
            position += length + 2
        assert found


def _each(path: Path) -> None:
    for page in _pages(path):
        boxes = [page.get_rect(index) for index in range(page.count_rects())]
        assert [page.get_text_bounded(*box) for box in boxes]


def _at_once(path: Path) -> None:
    for page in _pages(path):
        assert page.get_text_range()
        assert [page.get_rect(index) for index in range(page.count_rects())]


LINES = "PDFium's text of each line with its box"
_MERELY = {LINES: _lines, "PDFium's text of each rectangle": _each, "PDFium's text at once and rectangles": _at_once}


def _files() -> list[tuple[str, Path]]:
    from tests.pdf import Leaf, columns, pdf, wrapped

    BUILD.mkdir(parents=True, exist_ok=True)
    chance = random.Random(7)

    def prose(count: int) -> str:
        sentences = []
        while count > 0:
            length = min(count, chance.randint(8, 20))
            sentences.append(" ".join(chance.choice(_WORDS) for _ in range(length)).capitalize() + ".")
            count -= length
        return " ".join(sentences)

    kinds: dict[str, list[Leaf]] = {"prose": [], "two columns": [], "tables": [], "headings": []}
    for number in range(1, _PAGES + 1):
        page = Leaf()
        page.lines(60, 80, wrapped(prose(500), 470)[:52])
        page.text(60, 40, "Rental agreements of the house").text(290, 815, f"Page {number}")
        kinds["prose"].append(page)
        kinds["two columns"].append(columns(wrapped(prose(400), 235)[:50], wrapped(prose(400), 235)[:50], by_row=False))
        table = Leaf()
        for row in range(45):
            for column in range(6):
                table.text(50 + column * 85, 80 + row * 15, f"{chance.choice(_WORDS)} {chance.randint(1, 999)}", size=9)
        kinds["tables"].append(table)
        mixed = Leaf()
        y = 80.0
        while y < 740:
            mixed.text(60, y, f"{chance.randint(1, 9)}.{chance.randint(1, 9)} {prose(4).rstrip('.').title()}", size=13, font="F2")
            y = mixed.lines(60, y + 22, wrapped(prose(60), 470)) + 12
        kinds["headings"].append(mixed)
    files = []
    for name, leaves in kinds.items():
        path = BUILD / f"parsing-{name.replace(' ', '-')}.pdf"
        path.write_bytes(pdf(leaves))
        files.append((name, path))
    return files

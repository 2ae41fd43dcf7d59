"""Pages of PDF per second, parsed with all structure, against PDFium merely yielding text with line boxes, in one process each.

The files are long ones, made here: prose in one column, prose in two, tables, and short lines with headings. Both work on the same file in turns, so
that what the machine does besides hits both alike. Two ways of merely yielding are measured: the text of a page at once with the rectangles of its
lines beside it, which do not say which text is theirs (the fastest that there is), and the text of each rectangle, which is text with line boxes.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.report import Figure, median
from benchmarks.servers import BUILD
from hausgeist.knowledge.parse.base import Limits

__all__ = ["both_ways", "measure"]

_PAGES = 100
_ROUNDS = 5
_GOAL = 0.8
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


def measure() -> list[Figure]:
    figures = []
    for name, path in _files():
        ratios, against_each, speeds = [], [], []
        for round_ in range(_ROUNDS + 1):
            ours, merely, each = (_time(read, path) for read in (_ours, _merely, _each))
            if round_:  # the first warms up
                ratios.append(merely / ours)
                against_each.append(each / ours)
                speeds.append(_PAGES / ours)
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        figures += [
            Figure(f"{name}: pages per second, with structure", f"{median(speeds):.0f}"),
            Figure(f"{name}: times PDFium's text at once and rectangles", f"{median(ratios):.2f} ({spread})", f">= {_GOAL}", median(ratios) >= _GOAL),
            Figure(f"{name}: times PDFium's text of each rectangle", f"{median(against_each):.2f}"),
        ]
    return figures


def both_ways() -> Iterator[tuple[str, Path, float, float]]:
    """Each file, and the seconds that PDFium takes for its text at once with rectangles, and for the text of each rectangle."""
    for name, path in _files():
        _merely(path)
        yield name, path, _time(_merely, path), _time(_each, path)


def _time(read: Callable[[Path], None], path: Path) -> float:
    began = time.process_time()
    read(path)
    return time.process_time() - began


def _ours(path: Path) -> None:
    from hausgeist.knowledge.parse.pdf.reading import read

    assert read(path, path.name, Limits()).lines


def _merely(path: Path) -> None:
    import pypdfium2

    document = pypdfium2.PdfDocument(path)
    for page in document:
        text_page = page.get_textpage()
        assert text_page.get_text_range()
        assert [text_page.get_rect(index) for index in range(text_page.count_rects())]
        text_page.close()
        page.close()
    document.close()


def _each(path: Path) -> None:
    import pypdfium2

    document = pypdfium2.PdfDocument(path)
    for page in document:
        text_page = page.get_textpage()
        boxes = [text_page.get_rect(index) for index in range(text_page.count_rects())]
        assert [text_page.get_text_bounded(*box) for box in boxes]
        text_page.close()
        page.close()
    document.close()


def _files() -> list[tuple[str, Path]]:
    from tests.pdf import Leaf, columns, pdf, wrapped

    BUILD.mkdir(parents=True, exist_ok=True)
    chance = random.Random(7)

    def prose(count: int) -> str:
        return " ".join(chance.choice(_WORDS) for _ in range(count))

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
            mixed.text(60, y, f"{chance.randint(1, 9)}.{chance.randint(1, 9)} {prose(4).title()}", size=13, font="F2")
            y = mixed.lines(60, y + 22, wrapped(prose(60), 470)) + 12
        kinds["headings"].append(mixed)
    files = []
    for name, leaves in kinds.items():
        path = BUILD / f"parsing-{name.replace(' ', '-')}.pdf"
        path.write_bytes(pdf(leaves))
        files.append((name, path))
    return files

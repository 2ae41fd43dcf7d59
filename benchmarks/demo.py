"""The demo as people meet it: `hausgeist demo` on a fresh home, and its questions asked on the terminal, without a model. Does the answer stand in
the quotations?"""

from __future__ import annotations

import json
import subprocess
import sys

from benchmarks.report import Figure, median
from benchmarks.servers import BUILD, hausgeist
from hausgeist.cli.demo import QUESTIONS

__all__ = ["measure"]

_FIRST, _TOP = 0.85, 0.9
"""Aims of ours, so that a change of weights shows."""


def measure() -> list[Figure]:
    asked = json.loads(QUESTIONS.read_text("utf-8"))
    home = str(BUILD / "home")
    places: list[int | None] = []
    lengths: list[int] = []
    unverified = 0
    with hausgeist():
        _run("demo", "--home", home)
        for one in asked:
            told = json.loads(_run("ask", one["question"], "--store", "demo", "--quote", "--json", "--home", home))
            quotes = [cited["quote"] for cited in told["citations"]]
            unverified += sum(not cited["verified"] for cited in told["citations"])
            lengths += map(len, quotes)
            places.append(next((place for place, quote in enumerate(quotes[:3]) if _words(one["answer"]) in _words(quote)), None))
    count = len(asked)
    first, top = sum(place == 0 for place in places), sum(place is not None for place in places)
    missed = [one["question"] for one, place in zip(asked, places, strict=True) if place is None]
    return [
        Figure("the answer stands in the first quotation", f"{first} of {count}", f">= {_FIRST:g}", first >= _FIRST * count),
        Figure("the answer stands in one of the first three", f"{top} of {count}", f">= {_TOP:g}", top >= _TOP * count),
        Figure("quotations that are not in their document", f"{unverified}", "0", unverified == 0),
        Figure("characters of a quotation, median", f"{median(lengths):.0f}"),
        Figure("without their answer", "; ".join(missed) or "none"),
    ]


def _words(text: str) -> str:
    """A tab between cells is white space as any other."""
    return " ".join(text.split()).casefold()


def _run(*arguments: str) -> str:
    done = subprocess.run([sys.executable, "-m", "hausgeist", *arguments], capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        raise SystemExit(f"hausgeist {' '.join(arguments)}: {done.stderr.strip()[-400:]}")
    return done.stdout

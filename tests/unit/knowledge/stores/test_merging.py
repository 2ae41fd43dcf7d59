"""What is found becomes what is told: neighbours, near-duplicates, and how little is read for it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from hausgeist.knowledge.hits import Hit
from hausgeist.knowledge.stores.candidates import Candidate
from hausgeist.knowledge.stores.merging import merged

WORDS = "the goods are delivered within fourteen days of the order and paid within thirty days of the invoice by the buyer in euros"


class Shelf:
    """One document for each entry; a passage is one text of it."""

    def __init__(self) -> None:
        self.texts: dict[tuple[int, int, int], str] = {}
        self.read: list[int] = []

    def passage(self, entry: int, number: int, text: str, score: float, digest: str = "") -> Candidate:
        self.texts[entry, number * 100, number * 100 + 90] = text
        return Candidate(
            score=score, entry=entry, first=number, last=number, digest=(digest or f"{entry}.{number}").encode(), start=number * 100,
            end=number * 100 + 90, page=number + 1, heading=f"h{number}", language="en", kind="paragraph", store="vs", document=entry,
            file=f"f{entry}", filename=f"{entry}.txt", attributes='{"year": 2026}',
        )  # fmt: skip

    def __call__(self, some: Sequence[Candidate]) -> list[str]:
        self.read.append(len(some))
        return [self.texts.get((one.document, one.start, one.end), f"{one.start} to {one.end}") for one in some]


def told(hits: Sequence[Hit]) -> list[tuple[int, int, int]]:
    return [(hit.document, hit.start, hit.end) for hit in hits]


def test_only_what_is_told_is_read() -> None:
    shelf = Shelf()
    found = [shelf.passage(entry, 0, f"text number {entry} is about something else", 1 - entry / 100) for entry in range(30)]
    hits = merged(found, 10, shelf)
    assert told(hits) == [(entry, 0, 90) for entry in range(10)]
    assert sum(shelf.read) == 10
    assert (hits[3].text, hits[3].filename, hits[3].attributes) == ("text number 3 is about something else", "3.txt", {"year": 2026})


def test_neighbours_are_joined_up_to_three_and_get_the_text_of_all() -> None:
    shelf = Shelf()
    found = [shelf.passage(1, number, f"something number {number}", score) for number, score in ((2, 0.9), (1, 0.8), (3, 0.7), (4, 0.65))]
    hits = merged(found, 5, shelf)
    assert told(hits) == [(1, 100, 390), (1, 400, 490)]
    assert (hits[0].text, hits[0].page, hits[0].heading, hits[0].score) == ("100 to 390", 2, "h1", 0.9)


def test_a_neighbour_that_is_worth_little_stands_alone_and_others_belong_to_what_is_full() -> None:
    shelf = Shelf()
    found = [shelf.passage(1, 1, "one", 0.9), shelf.passage(1, 2, "two", 0.5), shelf.passage(2, 7, "other", 0.4), shelf.passage(2, 8, "next", 0.39)]
    assert told(merged(found, 3, shelf)) == [(1, 100, 190), (1, 200, 290), (2, 700, 890)]
    assert told(merged(found[:1] + found[2:], 1, shelf)) == [(1, 100, 190)]
    assert told(merged([found[2], found[0], found[3]], 1, shelf)) == [(2, 700, 890)]


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (WORDS, True),
        (WORDS.upper() + "!", True),
        (WORDS.replace("euros", "dollars"), True),
        (WORDS.replace("fourteen", "forty").replace("thirty", "sixty"), False),
        (" ".join(reversed(WORDS.split())), False),
        (WORDS.replace("order", "Bestellung über Größe"), False),
        (WORDS[:60], False),
    ],
)
def test_near_duplicates_are_told_once(other: str, same: bool) -> None:
    shelf = Shelf()
    found = [shelf.passage(1, 0, WORDS, 0.9), shelf.passage(2, 0, other, 0.8), shelf.passage(3, 0, "nothing of that", 0.7)]
    assert [hit.document for hit in merged(found, 3, shelf)] == ([1, 3] if same else [1, 2, 3])


def test_short_texts_and_equal_digests() -> None:
    shelf = Shelf()
    found = [
        shelf.passage(1, 0, "net price", 0.9), shelf.passage(2, 0, "Net price.", 0.8), shelf.passage(3, 0, "price net", 0.7),
        shelf.passage(4, 0, "...", 0.6), shelf.passage(5, 0, "—", 0.5), shelf.passage(6, 0, "anything", 0.4, digest="1.0"),
    ]  # fmt: skip
    assert [hit.document for hit in merged(found, 9, shelf)] == [1, 3, 4]


@pytest.mark.parametrize("text", ["a_b-c d.e", "x\tyy\n zz\x00w", "1,000.5 (§ 3)", "tab\x1fsep", "naïve café"])
def test_words_of_ascii_are_those_of_any_text(text: str) -> None:
    shelf = Shelf()
    # Of the second the words are told apart by rule, for it is not in ASCII: the letter at its end makes no run of its own.
    long = " ".join(f"{text} {number}" for number in range(60))
    found = [shelf.passage(1, 0, long, 0.9), shelf.passage(2, 0, f"{long} é", 0.8)]
    assert [hit.document for hit in merged(found, 2, shelf)] == [1]

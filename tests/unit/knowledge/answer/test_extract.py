"""Sentences that answer, as they stand in their documents; nothing where nothing answers."""

from __future__ import annotations

import pytest

from hausgeist.knowledge.answer.extracting.expected import holds, wanted
from hausgeist.knowledge.answer.extracting.extract import answerable, extract, nearest
from hausgeist.knowledge.hits import Hit

LEASE = (
    "The landlord lets the flat on the second floor. The rent is 950 euros a month and is paid in advance. "
    "Anna Meyer signed for the landlord. She has an office in Ulm. "
    "The notice period is three months to the end of a month. Pets need the landlord's consent."
)
MANUAL = (
    "Die Heizung wird im Keller eingeschaltet. Der Wasserdruck soll zwischen 1,5 und 2 bar liegen. "
    "Bei Störungen hilft der Kundendienst. Er ist werktags von 8 bis 17 Uhr zu erreichen."
)
PRICES = "Article\tPrice\nScrew M4\t0,10 €\nScrew M5\t0,12 €\nNut M4\t0,08 €"


def hit(
    text: str, *, score: float = 0.8, start: int = 0, language: str = "en", heading: str = "", file: str = "file-1", kind: str = "paragraph"
) -> Hit:
    return Hit(
        file=file, filename="lease.pdf", store="vs_1", document=1, start=start, end=start + len(text), text=text, score=score, heading=heading,
        language=language, kind=kind,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("question", "answer"),
    [("How high is the rent?", "950 euros"), ("Who signed for the landlord?", "Anna Meyer"), ("How long is the notice period?", "three months")],
)
def test_the_sentence_that_answers_comes_first(question: str, answer: str) -> None:
    quotes = extract(question, [hit(LEASE, start=100), hit(MANUAL, score=0.3, language="de", file="file-2")])
    assert answer in quotes[0].text
    assert LEASE[quotes[0].start - 100 : quotes[0].end - 100] == quotes[0].text
    assert len(quotes) <= 3


def test_a_sentence_that_points_back_brings_the_one_before() -> None:
    quotes = extract("Wann ist der Kundendienst zu erreichen?", [hit(MANUAL, language="de")])
    assert quotes[0].text == "Bei Störungen hilft der Kundendienst. Er ist werktags von 8 bis 17 Uhr zu erreichen."


def test_a_row_of_a_table_is_quoted_alone() -> None:
    quotes = extract("Was kostet Screw M5?", [hit(PRICES, language="de", kind="table", heading="Preise")], most=1)
    assert "Screw M5\t0,12 €" in quotes[0].text
    assert "Nut" not in quotes[0].text


def test_the_first_sentence_below_a_heading_need_not_say_its_words_again() -> None:
    fire = "6 Fire in the drum\n\nPress the emergency stop and close the damper. Do not open the front door.\n\nThe cable is two metres long."
    safety = "Wear gloves. Never use water on a drum fire."
    hits = [hit(fire, heading="Manual > 6 Fire in the drum"), hit(safety, score=0.65, file="file-2", heading="Manual > 2 Safety")]
    assert extract("What should I do if there is a fire in the drum?", hits)[0].text.startswith("Press the emergency stop")
    assert extract("How long is the cable?", hits)[0].text == "The cable is two metres long."


def test_the_same_words_are_quoted_once() -> None:
    quotes = extract("How high is the rent?", [hit(LEASE), hit(LEASE, file="file-2", score=0.7)])
    assert sum("950" in quote.text for quote in quotes) == 1


@pytest.mark.parametrize("question", ["Who painted the Mona Lisa?", "quantum chromodynamics", "", "???"])
def test_nothing_is_quoted_where_nothing_fits(question: str) -> None:
    assert extract(question, [hit(LEASE)]) == []
    assert answerable(question, [hit(LEASE)]) < 0.2
    assert extract(question, []) == []


def test_what_is_answered_is_more_likely_than_what_is_not() -> None:
    assert answerable("How long is the notice period?", [hit(LEASE)]) > 0.7
    assert answerable("How long is the river Danube?", [hit(LEASE)]) < 0.3


def test_meaning_counts_where_it_can_be_told() -> None:
    def embed(texts: object) -> list[list[float]]:
        return [[1.0, 0.0] if "signed" in text or "Vertragspartner" in text else [0.0, 1.0] for text in texts]  # type: ignore[attr-defined]

    quotes = extract("Vertragspartner?", [hit(LEASE)], embed=embed)
    assert "Anna Meyer" in quotes[0].text


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("How many people live there?", "number"), ("Wie viele Seiten?", "number"), ("¿Cuándo empieza?", "date"), ("Wann endet der Vertrag?", "date"),
        ("Who signed?", "name"), ("Wer hat unterschrieben?", "name"), ("Où habite-t-il ?", "place"), ("Warum?", "reason"), ("What is it?", "any"),
        ("Wie funktioniert das?", "any"), ("In what year did it begin?", "date"),
    ],
)  # fmt: skip
def test_what_is_asked_for_is_told_by_the_question(question: str, kind: str) -> None:
    assert wanted(question) == kind


def test_what_a_sentence_holds() -> None:
    assert holds("number", "There were 12 of them.", ())
    assert not holds("number", "In 1998 it began.", {"1998"})
    assert holds("date", "Am 3. März begann es.", ())
    assert holds("name", "It was signed by Anna.", ())
    assert not holds("name", "It was signed.", ())


def test_what_comes_nearest_is_one_sentence_of_each_of_three_hits() -> None:
    hits = [
        hit(LEASE, start=100),
        hit(MANUAL, language="de", file="file-2"),
        hit(PRICES, file="file-3", kind="table"),
        hit(LEASE[:43], file="file-4"),
    ]
    quotes = nearest("Who painted the office?", hits)
    assert [one.hit.file for one in quotes] == ["file-1", "file-2", "file-3"]
    assert quotes[0].text == "She has an office in Ulm."
    for one in quotes:
        assert one.hit.text[one.start - one.hit.start : one.end - one.hit.start] == one.text
    assert [one.hit.file for one in nearest("Who painted the office?", hits, most=1)] == ["file-1"]


@pytest.mark.parametrize("text", ["A word of it, and more; " * 40, "unbroken" * 90, "x " + "unbroken" * 90])
def test_what_comes_nearest_is_cut_at_a_word(text: str) -> None:
    (quote,) = nearest("Who painted it?", [hit(text, start=7)])
    assert 120 <= len(quote.text) <= 240
    assert quote.text == text[quote.start - 7 : quote.end - 7]
    if " " in text[120:]:
        assert text[quote.end - 7] == " "


def test_what_comes_nearest_is_not_told_twice_where_passages_overlap() -> None:
    whole = "The rent is 950 euros a month."
    quotes = nearest("How high is the rent?", [hit(whole), hit(whole, score=0.7), hit(whole, file="file-2", score=0.6)])
    assert [one.hit.file for one in quotes] == ["file-1", "file-2"]


def test_nothing_comes_nearest_where_nothing_is_said() -> None:
    assert nearest("Who painted it?", []) == []
    assert nearest("Who painted it?", [hit("--- *** ---")]) == []

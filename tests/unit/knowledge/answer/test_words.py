"""What counts as the same words, and what as borne out: quotations as books set them, numbers and dates as four languages write them."""

from __future__ import annotations

import pytest

from hausgeist.knowledge.answer.checking.support import Judge, numbers
from hausgeist.knowledge.answer.checking.verbatim import find
from hausgeist.knowledge.answer.phrases import guess

TEXT = (
    "The \ufb01rst clause of the agree-\nment, so says the “Land\u00adlord”, binds both\nparties — for ten years. "
    "The tenant must not keep tigers, lions or other large cats in the cellar. Mietneben- und Heizkosten zahlt der Mieter. "
    "本合同自\n签字之日起生效。 Cafe\u0301 owners pay 1,500 euros."
)


@pytest.mark.parametrize(
    "quote",
    [
        "The first clause of the agreement", "so says the 'Landlord', binds both parties - for ten years.",
        "binds both parties", "the first clause of the agree-ment",
        "Mietneben- und Heizkosten zahlt der Mieter", "本合同自签字之日起生效", "Café owners pay 1,500 euros",
        "The first clause … binds both parties", "Mietneben- und\nHeizkosten", "**binds** both parties",
        "The first clause [of the agreement] binds both",
        "binds both parties — for ten years,",
    ],
)  # fmt: skip
def test_what_is_set_otherwise_says_the_same(quote: str) -> None:
    assert find(quote, TEXT) is not None


@pytest.mark.parametrize(
    "quote",
    [
        "The second clause of the agreement", "binds both partie", "inds both parties", "The tenant must keep tigers",
        "The tenant must … keep tigers", "Café owners pay 1,5", "pay 500 euros", "keep tigers, lions or other large cats in the cellar",
        "本合同自签字之日起失效", "b\u0456nds both parties",
        "binds\u200b both parties", "THE FIRST CLAUSE", "...", "", "parties for ten tenant", "agreement not binds",
    ],
)  # fmt: skip
def test_what_says_something_else_is_not_found(quote: str) -> None:
    assert find(quote, TEXT) is None


def test_places_are_those_of_the_text() -> None:
    place = find("first clause of the agreement", TEXT)
    assert place is not None
    assert TEXT[place.start : place.end] == "ﬁrst clause of the agree-\nment"
    hidden = "It is a\u200bb long \u00adway."
    place = find("ab long way", hidden)
    assert place is not None
    assert hidden[place.start : place.end] == "a\u200bb long \u00adway"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1.450,00 Euro", "1,450 euros"), ("1 450 €", "1450"), ("am 14. März 2023", "14.03.2023"), ("on March 14, 2023", "2023-03-14"),
        ("four weeks", "4 weeks"), ("2023年3月14日", "14 mars 2023"), ("3,5 %", "3.5 percent"), ("drei Monate", "tres meses"),
    ],
)  # fmt: skip
def test_numbers_are_the_same_however_they_are_written(one: str, other: str) -> None:
    # A numeric date tells its month as a month; the day and the year as numbers.
    assert numbers(one) - {"3"} == numbers(other) - {"3"}


@pytest.mark.parametrize(("one", "other"), [("1.450", "1.540"), ("14 April", "14 March"), ("two", "three"), ("3,5", "35"), ("May 2", "June 2")])
def test_other_numbers_are_others(one: str, other: str) -> None:
    assert numbers(one) - numbers(other)


PASSAGE = (
    "Either party may end this contract with a notice of three months. Pets are not allowed. Margaret Holloway owns the flat since 14 March 2021."
)


@pytest.mark.parametrize(
    ("claim", "verdict"),
    [
        ("The contract can be ended by either party with three months' notice.", "supported"),
        ("Margaret Holloway has owned the flat since 14/03/2021.", "supported"),
        ("The contract can be ended by either party with four months' notice.", "unsupported"),
        ("Pets are allowed in this flat.", "unsupported"),
        ("Edward Holloway owns the flat since 14 March 2021.", "unsupported"),
        ("The lighthouse keeper paints walls twice every winter.", "unsupported"),
        ("Der Vertrag kann mit einer Frist von drei Monaten beendet werden.", "open"),
        ("Der Vertrag kann mit einer Frist von vier Monaten beendet werden.", "unsupported"),
        ("Yes.", "open"),
    ],
)
def test_claims_are_judged_by_their_passage(claim: str, verdict: str) -> None:
    assert Judge().supported(claim, [PASSAGE]) == verdict


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Who painted the lighthouse?", "en"), ("Wer hat den Leuchtturm gestrichen?", "de"), ("¿Quién pintó el faro?", "es"),
        ("Qui a repeint le phare ?", "fr"), ("谁粉刷了灯塔？", "zh"), ("Кто покрасил маяк?", "und"), ("42", "und"),
    ],
)  # fmt: skip
def test_languages_are_told_by_their_commonest_words(text: str, language: str) -> None:
    assert guess(text) == language

"""The languages of passages that follow one another."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hausgeist.knowledge.language import detect
from hausgeist.knowledge.language.running import Running

TEXTS = {
    "en": "The tenant pays the rent by the third working day of the month, and the landlord answers for the roof and for all that is behind it. ",
    "de": "Der Mieter zahlt die Miete bis zum dritten Werktag des Monats, und der Vermieter steht für das Dach ein und für alles, was dahinter ist. ",
    "fr": "Le locataire paie le loyer au plus tard le troisième jour ouvrable du mois, et le bailleur répond du toit et de tout ce qui est là. ",
    "nl": "De huurder betaalt de huur uiterlijk op de derde werkdag van de maand, en de verhuurder is verantwoordelijk voor het dak en was dat. ",
    "es": "El inquilino paga el alquiler a más tardar el tercer día hábil del mes, y el propietario responde del tejado y de todo lo demás. ",
    "pt": "O inquilino paga a renda até ao terceiro dia útil do mês, e o senhorio responde pelo telhado e por tudo o que está por trás dele. ",
    "sv": "Hyresgästen betalar hyran senast den tredje arbetsdagen i månaden, och hyresvärden ansvarar för taket och för allt som finns under det. ",
    "ru": "Арендатор платит за квартиру не позднее третьего рабочего дня месяца, а арендодатель отвечает за крышу и за всё, что находится под ней. ",
    "ja": "借主は毎月三営業日までに家賃を支払い、貸主は屋根と壁の裏にあるすべてのものについて責任を負うものとします。",
}


def told(*passages: str, by: Callable[[str], str] = detect) -> list[str]:
    running, text, found = Running(by), "", []
    for passage in passages:
        start, text = len(text), text + passage
        found.append((start, len(text)))
    return [running.of(text, start, end) for start, end in found]


@pytest.mark.parametrize("one", TEXTS)
@pytest.mark.parametrize("other", TEXTS)
def test_each_passage_has_its_own_language_however_they_follow(one: str, other: str) -> None:
    languages = [one, one, other, one, other, other, other, one]
    assert told(*(TEXTS[language] * 3 for language in languages)) == languages


def test_a_passage_that_goes_on_in_another_language_has_the_one_that_it_begins_in() -> None:
    assert told(TEXTS["en"] * 3, TEXTS["es"] * 3 + TEXTS["en"] * 3, TEXTS["de"] * 3 + TEXTS["en"]) == ["en", "es", "de"]


def test_english_and_german_are_known_by_their_words_alone() -> None:
    def fail(_text: str) -> str:
        raise AssertionError

    assert told(TEXTS["en"], TEXTS["de"], TEXTS["en"] * 9, by=fail) == ["en", "de", "en"]


def test_the_same_words_again_need_no_second_look() -> None:
    looked: list[str] = []

    def look(text: str) -> str:
        looked.append(text)
        return detect(text)

    assert (
        told(*[TEXTS["fr"]] * 20, TEXTS["es"], *[TEXTS["fr"]] * 20, *[TEXTS["es"]] * 20, by=look) == ["fr"] * 20 + ["es"] + ["fr"] * 20 + ["es"] * 20
    )
    assert len(looked) <= 4


def test_what_has_few_words_is_looked_at_and_what_is_in_no_language_stays_so() -> None:
    asked: list[str] = []

    def look(text: str) -> str:
        asked.append(text)
        return "und"

    numbers = " ".join(map(str, range(40)))
    assert told("Short.", numbers, numbers, "", by=look) == ["und"] * 4
    assert len(asked) == 4


def test_what_is_remembered_is_bounded() -> None:
    running = Running(lambda _text: "fi")
    for number in range(600):
        words = " ".join(f"sana{number}x{one}" for one in range(40))
        assert running.of(words, 0, len(words)) == "fi"
    assert len(running._seen) < 5_000

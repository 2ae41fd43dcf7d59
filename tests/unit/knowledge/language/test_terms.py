"""What the words of a text are for search."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hausgeist.knowledge.language import words
from hausgeist.knowledge.language.compounds import parts
from hausgeist.knowledge.language.figures import figures
from hausgeist.knowledge.language.terms import both, exact, plain


def same(one: str, other: str, language: str) -> bool:
    return bool(set(words(one, language)) & set(words(other, language)))


@pytest.mark.parametrize(
    ("language", "one", "other"),
    [
        ("en", "contracts", "contract"),
        ("en", "naïve café", "naive cafe"),
        ("de", "Häuser", "Haus"),
        ("de", "Müller", "Mueller"),
        ("de", "Müller", "Muller"),
        ("de", "Straße", "STRASSE"),
        ("fr", "contrats signés", "contrat"),
        ("es", "canciones", "canción"),
        ("ru", "договоры", "договора"),
        ("tr", "evler", "ev"),
        ("hi", "किताबें", "किताब"),
        ("ja", "東京都", "東京"),
        ("zh", "合同什么时候结束", "合同"),
        ("ko", "계약은", "계약"),
        ("th", "สัญญาเช่า", "สัญญา"),
        ("und", "ﬁle ＡＢＣ", "file abc"),
        ("en", "co\u00adoperate", "cooperate"),
    ],
)
def test_forms_of_a_word_meet(language: str, one: str, other: str) -> None:
    assert same(one, other, language)


def test_words_that_say_little_are_dropped_unless_nothing_is_left() -> None:
    assert words("What is the length of the lease?", "en") == words("length lease", "en")
    assert words("to be or not to be", "en") == ["to", "be", "or", "not", "to", "be"]
    assert words("Wer war es?", "de") == ["wer", "war", "es"]
    assert words("the Vertrag", "de", asked_in="en") == words("Vertrag", "de")
    assert words("?!", "en") == []


def test_vowel_signs_belong_to_their_words() -> None:
    assert len(words("अनुबंध समाप्त", "hi")) == 2
    assert len(exact("किताबें पढ़ना")) == 2


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("vertragslaufzeit", {"vertrag", "laufzeit"} | {"lauf", "zeit"}),
        ("kündigungsfristen", {"kündigung", "fristen"}),
        ("hauptstadt", {"haupt", "stadt"}),
        ("bevölkerungsdichte", {"bevölkerung", "dichte"}),
        ("mietvertrag", {"miet", "vertrag"}),
    ],
)
def test_compounds_are_divided(word: str, expected: set[str]) -> None:
    found = parts(word, "de")
    assert len(found) >= 2
    assert set(found) <= expected


@pytest.mark.parametrize("word", ["vertrag", "verantwortung", "unabhängigkeit", "gesellschaften", "beschäftigung", "haus", "a" * 64])
def test_what_is_no_compound_is_left_whole(word: str) -> None:
    assert parts(word, "de") == ()
    assert parts("kündigungsfristen", "en") == ()


@pytest.mark.parametrize(
    "forms",
    [
        ["1.234,50 €", "1,234.50", "1 234,5", "1'234.50", "EUR 1234.50"],
        [
            "03.05.2026",
            "3.5.2026",
            "3. Mai 2026",
            "2026-05-03",
            "3 May 2026",
            "May 3rd, 2026",
            "le 3 mai 2026",
            "3 de mayo de 2026",
            "03/05/26",
            "2026年5月3日",
        ],
        ["A-12/34", "a12/34", "A 12/34", "A-12-34"],
        ["§ 12", "§12", "§§ 12"],
        ["Art. 5", "Artikel 5", "article 5"],
        ["DE89 3704 0044 0532 0130 00", "DE89370400440532013000"],
        ["+49 30 123456-78", "+49 30 12345678", "+49/30/123456-78"],
        ["1.000.000", "1,000,000", "1 000 000", "1000000"],
        ["0,5", "0.50", ".5 0.5"],
        ["ISO-9001", "ISO 9001", "iso9001"],
    ],
)
def test_figures_meet_however_they_are_written(forms: list[str]) -> None:
    terms = [set(figures(plain(form))) for form in forms]
    assert set.intersection(*terms), terms


def test_figures_that_differ_do_not_meet() -> None:
    for one, other in (("03.05.2026", "03.06.2025"), ("1.234,50", "1.234,51"), ("A-12/34", "B-21/43"), ("§ 12", "Art. 12")):
        assert not {term for term in figures(plain(one)) if len(term) > 4} & {term for term in figures(plain(other)) if len(term) > 4}, (one, other)
    assert figures("no digits here") == []
    assert "=was7" not in figures("it was 7 then")


@given(st.text(max_size=400), st.sampled_from(["de", "en", "und", "th", "ja", "hi", "tr"]))
@settings(max_examples=150, deadline=None)
def test_any_text_has_terms_that_the_index_can_take(text: str, language: str) -> None:
    for term in words(text, language):
        assert term
        assert not any(character.isspace() for character in term)
    assert all(word and len(word) <= 64 for word in exact(text))


@pytest.mark.parametrize(
    "text", ["9" * 200_000, "1." * 100_000, "a-" * 100_000, "1 " * 100_000, "12 34 " * 30_000, "a1" * 100_000, "1-2-" * 50_000, "mai " * 50_000]
)
def test_no_text_takes_long(text: str) -> None:
    import time

    began = time.process_time()
    words(text, "de")
    assert time.process_time() - began < 5


@given(st.text(max_size=80), st.sampled_from(["en", "de", "ja", "th", "und"]))
@settings(max_examples=100, deadline=None)
def test_both_at_once_are_the_same_as_one_after_the_other(text: str, language: str) -> None:
    assert both(text, language) == (words(text, language), exact(text))


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("article 12a", "=art12a"),
        ("§ 7", "=§7"),
        ("it was 3. mai 2026.", "=2026-05-03"),
        ("may 3rd, 2026", "=2026-05-03"),
        ("in march 1999", "=1999-03"),
        ("2026年5月3日", "=2026-05-03"),
        ("maybe 5 maids", "=5"),
        ("000", "=0"),
    ],
)
def test_figures_are_found_whatever_stands_around(text: str, terms: str) -> None:
    assert terms in figures(plain(text))

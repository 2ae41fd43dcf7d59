"""What the words of a text are for search."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hausgeist.knowledge.language import figures as figures_module
from hausgeist.knowledge.language import words
from hausgeist.knowledge.language.compounds import parts
from hausgeist.knowledge.language.figures import figures
from hausgeist.knowledge.language.terms import both, exact, joined, plain

DATA = Path(__file__).parents[3] / "data"


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
    assert joined(text, language) == (" ".join(words(text, language)), " ".join(exact(text)))


@pytest.mark.parametrize(
    "text", ["to be or not to be", "", "?!", "the 5 of it", "der Vertrag von 2010", "日本語 and English", "x" * 200, "Mietvertrag 3.5.2026"]
)
@pytest.mark.parametrize("language", ["en", "de", "und", "ja"])
def test_terms_with_spaces_between_are_those_of_the_lists(text: str, language: str) -> None:
    for _ in range(2):
        assert joined(text, language) == (" ".join(words(text, language)), " ".join(exact(text)))


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


@pytest.mark.parametrize(
    ("language", "digest"),
    [("en", "fbce92709b3b0d42"), ("de", "4381d245f4688d74")],
)
def test_terms_are_those_that_indexes_were_made_with(language: str, digest: str) -> None:
    """Where they change, `FORMAT` of the index of words must change with them: what was indexed before would not be found."""
    made = hashlib.sha256()
    for article in json.loads((DATA / "xquad" / f"xquad.{language}.json").read_text("utf-8"))["data"]:
        for paragraph in article["paragraphs"]:
            for text in (paragraph["context"], *(one["question"] for one in paragraph["qas"])):
                sought, written = both(text, language)
                made.update("\n".join((*sorted(sought), "", *written, "")).encode())
    assert made.hexdigest()[:16] == digest


_SIGNS = "abzAZ09 _-.,'’“”–—…\n\t\x00\x1c\x85\u00a0\u00ad\u3000éßıİſﬁ²½١٣ⅧΑΩσςДж日本語のカ한국ไทยက្កक्षिּבا٠\u0301\u0483😀𝐀\ud800"


@given(st.one_of(st.text(max_size=200), st.text(alphabet=_SIGNS, max_size=200)))
@example("".join(map(chr, range(0x2000, 0x2100))))
@settings(max_examples=150, deadline=None)
def test_words_are_set_apart_as_their_definition_says(text: str) -> None:
    """Letters, digits and the marks that belong to them, one word as long as they go on; here by looking at each character."""
    from hausgeist.knowledge.language.terms import _MARKS, _cut

    lower = plain(text)
    whole = re.findall(rf"(?:[^\W_]|[{_MARKS}])+", lower)
    found, together = _cut(lower)
    if together:
        assert set("".join(whole)) == set("".join(found))
    else:
        assert found == whole


_PIECES = """
the in of de mai may mar märz october 10 5 2010 1 12 123 1234 2,000 1.5 3rd 5th 03 art. art § §§ section no. nr. nr ab a-12 iso iso-9001 de12 x bc
- +49 it's (may (5) 50% 1990–2000 12. 10, 1950s st 年 ٣ é до 1'000 12/3 3/ 2010-05-03 3. 2026 03.05.2026 5:30 _5 a_5 5_ $5 “5” 5; 5: artikel v2 0
1234567890123456 may. (art. 5年3月2日 2026年5月3日 e.g. u.s. c++ 5+ – 1.2.3 5,105,768 0x1f 005th 007
"""


def test_numbers_that_stand_alone_are_those_that_a_closer_look_finds() -> None:
    """The short way for numbers with nothing beside them gives what the long way gives for all."""
    chance = Random(5)
    pieces = _PIECES.split()
    short = 0
    for _ in range(4_000):
        between = [chance.choice((" ", " ", " ", "\n", "", ", ", ". ", "  ")) for _ in range(12)]
        text = "".join(chance.choice(pieces) + one for one in between[: chance.choice((1, 2, 3, 4, 12))])
        places = [found.span() for found in re.finditer("[0-9]+", text)]
        slow = figures_module._written(figures_module._around(text, places)) if places else []
        assert Counter(figures(text)) == Counter(slow), text
        short += bool(places) and bool(figures_module._parted(text, places)[0])
    assert short > 200

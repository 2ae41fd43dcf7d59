"""Sentences, language by language: what ends one and what only looks so."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hausgeist.knowledge.split.sentences import sentences

CASES = {
    "en": [
        'Mr. Smith paid $1,234.50 on p. 5 of No. 7.|"Why?" he asked.|He left... and came back.',
        "J. R. R. Tolkien wrote e.g. The Hobbit.|Visit https://a.b.com/x.y?z=1.|It is by Acme Inc.|The end.",
        "The value (see Fig. 3) is 3.14.|At 5 p.m. the U.S. Senate met.|He lives in the U.S.|They left.[12]|Then.",
        "Introduction\n|This is the first sentence of a longer text that\nis wrapped at some width.|It goes on here.\n|- one item\n|- two items",
        "Prof. Jones vs. Dr. Lee, Jan. 5, 2020.|He said no.|Then he went.",
        '(He was late.)|She was not!|"Stop."|Then nothing.',
        "1. The first clause.\n|2. The second clause.\n\n|Signed",
    ],
    "de": [
        "Gemäß § 5 Abs. 2 S. 1 BGB gilt das.|Der Preis ist 1.234,50 Euro.|Am 3. März kam Dr. Meyer.",
        "Im 19. Jahrhundert war z. B. Berlin klein.|Das war 1998.|Die Stadt wuchs.",
        "Heinrich IV. König von Frankreich.|Er sagte: „Komm her.“|Dann ging er.",
        "Die Miete beträgt 500 EUR zzgl. Nebenkosten.|Er hat 12.|Das reicht.|Es gibt Äpfel, Birnen usw.|Alle sind reif.",
        "Vgl. Art. 3 Nr. 4 DSGVO i. V. m. § 22 Abs. 1.|Frau Dr. h. c. Schmidt u. a. waren da.",
    ],
    "es": ["El Sr. García vive en la Avda. Diagonal núm. 5.|¿Dónde está?|Está aquí.", "Son 1.234,50 € aprox. según la Dra. Ruiz.|¡Bien!"],
    "fr": ["M. Dupont est venu.|Il habite av. Foch, c.-à-d. à Paris.|Art. 5 al. 2 du code.", "« Venez ! » dit-il.|Elle vint."],
    "ja": ["これはペンです。|「はい。」と言った。|そうですか？|はい"],
    "zh": ["他来了。|她说：“好！”|然后走了。"],
    "hi": ["यह एक है।|वह दो है।|तीन"],
    "ar": ["هل أنت هنا؟|نعم."],
    "th": ["นี่คือประโยคแรกที่ยาวพอสมควรและมีคำหลายคำอยู่ในนั้น|นี่คือประโยคที่สองซึ่งก็ยาวเหมือนกัน"],
    "und": ["Dr. Meyer and Mrs. Smith met.|Then they left.|Das war z. B. am 3. März."],
}


@pytest.mark.parametrize(("language", "case"), [(language, case) for language, cases in CASES.items() for case in cases])
def test_sentences_end_where_they_end(language: str, case: str) -> None:
    parts = [part.strip() for part in case.split("|")]
    joiner = "" if language in ("ja", "zh") else " "
    text = ""
    for part in case.split("|"):
        text += (joiner if text and not text.endswith("\n") else "") + part
    assert [text[start:end] for start, end in sentences(text, language)] == parts


@settings(max_examples=60)
@given(st.text(st.sampled_from("aB1 .!?\n\t。»\"'-:;“ไ")) | st.text(), st.sampled_from(["en", "de", "th", "el", "und", "xx"]))
def test_every_character_is_in_one_sentence(text: str, language: str) -> None:
    found = sentences(text, language)
    covered = [place for start, end in found for place in range(start, end)]
    assert covered == sorted(set(covered))
    assert not [place for place in set(range(len(text))) - set(covered) if not text[place].isspace()]
    assert all(start < end and not text[start].isspace() and not text[end - 1].isspace() for start, end in found)


@pytest.mark.parametrize(
    "hostile", ["." * 100_000, "a. " * 30_000, "\n" * 100_000, ". \n" * 30_000, '"' * 100_000, "((((" * 30_000, "A.B." * 20_000, "1. " * 30_000]
)
def test_hostile_text_takes_no_longer(hostile: str) -> None:
    sentences(hostile, "de")

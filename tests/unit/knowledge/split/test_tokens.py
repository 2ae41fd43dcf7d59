"""The estimate of tokens beside what real vocabularies make of the same texts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hausgeist.knowledge.split.tokens import _WEIGHT, count, weigh

# Texts, and the geometric mean of the tokens that the vocabularies of Qwen 2, Llama 3 and Gemma 4 make of them.
KNOWN = [
    ("The tenant shall pay the rent in advance, at the latest on the third working day of each month, to the account named by the landlord.", 29),
    ("Der Mieter hat die Miete im Voraus, spätestens am dritten Werktag eines jeden Monats, auf das vom Vermieter genannte Konto zu zahlen.", 34),
    ("El arrendatario pagará la renta por adelantado, a más tardar el tercer día hábil de cada mes, en la cuenta indicada por el arrendador.", 34),
    ("承租人应在每月第三个工作日之前将租金预付至出租人指定的账户。", 20),
    ("Арендатор обязан вносить арендную плату авансом, не позднее третьего рабочего дня каждого месяца.", 27),
]  # fmt: skip


@pytest.mark.parametrize(("text", "tokens"), KNOWN)
def test_it_is_near_what_models_count(text: str, tokens: int) -> None:
    assert 0.75 * tokens <= count(text) <= 1.3 * tokens


def test_nothing_and_white_space_are_nothing() -> None:
    assert count("") == count(" \n\t ") == 0
    assert count("a") == count("1") == count("字") == 1


@given(st.text(), st.text())
def test_parts_are_never_fewer_than_the_whole(one: str, other: str) -> None:
    assert max(count(one), count(other)) <= count(one + other) <= count(one) + count(other)


@given(st.text(st.characters(), max_size=200), st.text(max_size=50))
def test_a_text_weighs_what_its_bytes_weigh(one: str, other: str) -> None:
    assert weigh(one) == sum(_WEIGHT.get(byte, 0) for byte in one.encode("utf-8", "surrogatepass"))
    assert weigh(one + other) == weigh(one) + weigh(other)

"""Rules of thumb and price tables, answered row by row."""

from __future__ import annotations

import tomllib

import pytest

from hausgeist.errors import NotFound, StoreError
from hausgeist.planner.advice.claims import Answer, answers, decode, packaged
from hausgeist.planner.advice.models import Model
from hausgeist.planner.costs.prices import decode as decode_prices
from hausgeist.planner.costs.prices import packaged as packaged_prices
from hausgeist.planner.devices.known import load
from tests.unit.planner.paced import model_of, paced

RAW = tomllib.loads(packaged())
NAMES = {
    *(row["catalogue"] for kind in ("models", "named") for row in RAW[kind]),
    "llama3.1:8b", "gpt-oss:20b", "llama3.3:70b", "mistral-small:24b", "gemma3:12b",
}  # fmt: skip
MODELS: dict[str, Model] = {name: model_of(name) for name in sorted(NAMES)}


@pytest.fixture(scope="module")
def found() -> tuple[Answer, ...]:
    return answers(MODELS, load(), decode_prices(packaged_prices()), run=paced)


def test_each_row_is_answered(found: tuple[Answer, ...]) -> None:
    assert [sum(one.kind == kind for one in found) for kind in ("rule", "model", "named", "card")] == [9, 15, 6, 3]
    assert all(one.claim and one.says and one.why for one in found)
    assert {one.verdict for one in found} == {"holds", "in part", "misleads", "no claim"}


def row(found: tuple[Answer, ...], start: str) -> Answer:
    return next(one for one in found if one.claim.startswith(start))


def test_two_gigabytes_for_a_billion_hold_for_weights(found: tuple[Answer, ...]) -> None:
    answer = row(found, "Half precision")
    assert answer.verdict == "holds"
    assert "2.00 GB for each billion in 16 bits, 1.06 at Q8_0, 0.61 at Q4_K_M" in answer.says
    assert "another 16.0 GiB" in answer.says
    assert answer.sources


def test_half_a_litre_is_not_what_an_answer_takes(found: tuple[Answer, ...]) -> None:
    answer = row(found, "Each conversation")
    assert answer.verdict == "misleads"
    assert "ml for an answer" in answer.says
    assert any("EPRI" in source for source in answer.sources)


def test_a_table_that_asks_for_several_times_what_is_needed_misleads(found: tuple[Answer, ...]) -> None:
    assert row(found, "Phi-2").verdict == row(found, "Gemma, 2B").verdict == "misleads"
    assert row(found, "Llama 2, 7B").verdict == "holds"
    assert "5.8 GiB at Q4_K_M with 4,096" in row(found, "Llama 2, 7B").says
    assert row(found, "Mistral, 7B").verdict == "in part"
    assert "32,768" in row(found, "Mistral, 7B").says


def test_cards_are_answered_with_models_and_prices_of_today(found: tuple[Answer, ...]) -> None:
    answer = row(found, "RTX 4090, 24 GB")
    assert "chat: " in answer.says
    assert "used (2026" in answer.says
    assert "1,900 EUR" in answer.claim


def test_a_catalogue_without_the_models_is_told_so() -> None:
    with pytest.raises(NotFound, match=r"llama3\.1:8b"):
        answers({}, load(), decode_prices(packaged_prices()), run=paced)


@pytest.mark.parametrize(
    "text", ["rules = [", "[sources]\n", packaged().replace('id = "water"', 'id = "wine"'), packaged().replace('"kld"]', '"kldd"]')]
)
def test_damaged_data_are_named(text: str) -> None:
    with pytest.raises(StoreError, match="damaged"):
        decode(text)


def test_the_tables_are_there_as_they_were_found() -> None:
    assert [row["said_gb"] for row in RAW["models"]] == [8, 8, 8, 8, 8, 8, 8, 8, 16, 64, 8, 8, 8, 8, 8]
    assert [(row["name"], row["memory_gb"], row["price_eur"]) for row in RAW["cards"]] == [
        ("RTX 4070", 12, 648), ("RTX 4080", 16, 1100), ("RTX 4090", 24, 1900)
    ]  # fmt: skip

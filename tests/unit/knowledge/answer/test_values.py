"""Amounts and dates in both notations and four languages."""

from __future__ import annotations

from decimal import Decimal

import pytest

from hausgeist.knowledge.answer.counting.values import amounts, dates, number, written


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.234,50", "1234.50"), ("1,234.50", "1234.50"), ("1 234,50", "1234.50"), ("1'234.50", "1234.50"), ("1234.5", "1234.5"), ("1.000", "1000"),
        ("0.125", "0.125"), ("12.345.678", "12345678"), ("-5", "-5"), ("3,5", "3.5"), ("45 %", "0.45"),
    ],
)  # fmt: skip
def test_numbers_in_both_notations(text: str, value: str) -> None:
    assert number(text) == Decimal(value)


def test_what_is_no_number() -> None:
    assert [number(text) for text in ("abc", "1.5.2026", "", "12 pieces", "--5")] == [None] * 5
    assert number("1.250", point=True) == Decimal("1.250")


def test_amounts_have_a_currency_on_either_side() -> None:
    text = "Preis 1.234,50 € oder EUR 99,- und $1,200.00; 1.000 Euro, -5,20 EUR; CHF 1'000.50; 12 Stück" + " viel Text" * 30 + " 100,— € und 7 kg"
    assert [(str(one.value), one.currency) for one in amounts(text)] == [
        ("1234.50", "EUR"), ("99", "EUR"), ("1200.00", "USD"), ("1000", "EUR"), ("-5.20", "EUR"), ("1000.50", "CHF"), ("100", "EUR"),
    ]  # fmt: skip
    assert all(text[one.start : one.end].strip() for one in amounts(text))


def test_dates_as_people_write_them() -> None:
    text = (
        "Am 3. März 2026, 2026-05-01, 1.2.26, March 3, 2026, 3 de marzo de 2026, le 1er mars 2026, Dezember 2025, in 2027, 2000 Euro, 31/12/2025"
        + " and much more text" * 20
        + " 12/31/2025. § 1.2.3, 99.99.2020, version 2.0.1"
    )
    found = [(text[one.start : one.end], one.first.isoformat(), one.last.isoformat()) for one in dates(text)]
    assert [first for _, first, _ in found] == [
        "2026-03-03", "2026-05-01", "2026-02-01", "2026-03-03", "2026-03-03", "2026-03-01", "2025-12-01", "2027-01-01", "2025-12-31", "2025-12-31",
    ]  # fmt: skip
    assert found[6] == ("Dezember 2025", "2025-12-01", "2025-12-31")
    assert [one.first.isoformat() for one in dates("3/4/2026", months_first=True)] == ["2026-03-04"]


def test_amounts_are_written_as_the_language_does() -> None:
    assert [written(Decimal("1234567.5"), language) for language in ("en", "de", "fr")] == ["1,234,567.50", "1.234.567,50", "1\u202f234\u202f567,50"]

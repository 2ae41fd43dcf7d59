"""Hostile names, and the form of secrets."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hausgeist.errors import InvalidRequest
from hausgeist.workspace import secret
from hausgeist.workspace.names import fold, new_id, parse_name, weaker


@given(st.text(st.characters(), max_size=200))
@example("\u202eevil")
@example("a\u0300" * 5000)
@example("line\nbreak")
@example("nul\0")
@example("\ud800")
@example("\ufdfa" * 200)
@example("İ")
def test_a_name_is_refused_or_fit_to_be_shown(text: str) -> None:
    try:
        name = parse_name(text, "user")
    except InvalidRequest:
        return
    assert 1 <= len(name) <= 64
    assert name.isprintable()
    assert name == name.strip() == unicodedata.normalize("NFC", name)
    name.encode()
    assert parse_name(name, "user") == name
    assert fold(name) == fold(fold(name))


@given(st.text(min_size=1, max_size=30))
def test_case_makes_no_new_name(text: str) -> None:
    assert fold(text.casefold()) == fold(text)


@pytest.mark.parametrize(
    "name", ["Ada", "Zoë Müller-Lüdenscheidt", "李小龍", "O'Neil & Söhne <GmbH>", "admin@example.com", "a/b", "🏠 house", "x" * 64]
)
def test_names_of_people(name: str) -> None:
    assert parse_name(name, "user") == name


@pytest.mark.parametrize("name", ["", "   ", "x" * 65, "\u200b", "a\u200bb", "a\tb", "🏠", "user_x", "PROJ_x", "key_1", "...", "\u0301\u0301"])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(InvalidRequest):
        parse_name(name, "user")


def test_ids_and_keys_are_random_and_in_form() -> None:
    ids = {new_id("key_") for _ in range(200)}
    assert len(ids) == 200
    keys = [secret.new_key() for _ in range(200)]
    assert len({text for text, _ in keys}) == 200
    for text, prefix in keys:
        assert secret.is_key(text)
        assert secret.looks_like_key(text)
        assert len(text) == 52
        assert text.startswith(prefix)
        assert text.isascii()


@given(st.integers(3, 51), st.characters(codec="ascii", categories=("L", "N")))
def test_a_mistyped_key_is_not_one(position: int, character: str) -> None:
    text, _ = secret.new_key()
    changed = text[:position] + character + text[position + 1 :]
    assert secret.is_key(changed) == (changed == text)


@given(st.text())
def test_no_text_is_a_key_or_breaks_the_check(text: str) -> None:
    assert not secret.is_key(text)
    assert not secret.is_key("hg-" + text)
    assert len(secret.digest(text)) == 64


def test_weaker() -> None:
    assert weaker("owner", "reader", "member") == "reader"
    assert weaker("owner", "owner") == "owner"

"""Names of models: which are, which are not, which are one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hausgeist.errors import InvalidRequest
from hausgeist.library.names import Name


@pytest.mark.parametrize(
    ("text", "path", "tag", "shown"),
    [
        ("gemma3", "gemma3", "latest", "gemma3"),
        ("gemma3:latest", "gemma3", "latest", "gemma3"),
        ("gemma3:LATEST", "gemma3", "LATEST", "gemma3"),
        ("gemma3:4b", "gemma3", "4b", "gemma3:4b"),
        ("owner/name:Q4_K_M", "owner/name", "Q4_K_M", "owner/name:Q4_K_M"),
        ("hf.co/owner/repo.GGUF:Q5", "hf.co/owner/repo.GGUF", "Q5", "hf.co/owner/repo.GGUF:Q5"),
        ("Meta-Llama-3.1-8B-Instruct.Q4_K_M", "Meta-Llama-3.1-8B-Instruct.Q4_K_M", "latest", "Meta-Llama-3.1-8B-Instruct.Q4_K_M"),
        ("_x", "_x", "latest", "_x"),
        ("localhost:5000/a/b", "localhost:5000/a/b", "latest", "localhost:5000/a/b"),
        ("registry.example:443/a:x", "registry.example:443/a", "x", "registry.example:443/a:x"),
        ("a" * 128, "a" * 128, "latest", "a" * 128),
    ],
)
def test_names(text: str, path: str, tag: str, shown: str) -> None:
    name = Name.parse(text)
    assert (name.path, name.tag, str(name)) == (path, tag, shown)
    assert Name.parse(str(name)).key == name.key


def test_one_model_in_every_spelling() -> None:
    assert len({Name.parse(text).key for text in ("Gemma3", "gemma3", "GEMMA3:latest", "gemma3:Latest")}) == 1
    assert Name.parse("gemma3").key != Name.parse("gemma3:4b").key


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "a b", "a:", ":a", "a:b:c", "/a", "a/", "a//b", "..", "../a", "a/../b", "a/..", "a..b", ".hidden", "a/.b", "-x", "a/-x", "a:-x",
        "a\\b", "a\nb", "a\0b", "a\x7fb", "a\u2028b", "größe", "a%2fb", "a?b", "a#b", "a*b", "a@b", "a+b", "~", "~/x", "C:\\x", "\u212aelvin",
        "a" * 129, "a:" + "b" * 129, "a/b/c/d/e", "x" * 10_000,
        "localhost:/a/b", "localhost:0/a", "localhost:99999/a", "a:5000/b:c:d", "x/localhost:5000/a", "[::1]:5000/a",
        "http://x/y", "a\u200bb", "\ud800",
    ],
)  # fmt: skip
def test_hostile_names(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Name.parse(text)
    assert caught.value.param == "model"
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 400


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        ("gemma-3-4b-it-Q4_K_M", "gemma-3-4b-it-Q4_K_M"),
        ("My Model (1)", "My-Model-1"),
        ("Modèle été", "Modele-ete"),
        ("..hidden..", "hidden"),
        ("a..b", "a.b"),
        ("a:b/c", "a-b-c"),
        ("x" * 300, "x" * 128),
        ("_x_", "_x_"),
    ],
)
def test_names_of_files(stem: str, expected: str) -> None:
    assert str(Name.from_stem(stem)) == expected


@pytest.mark.parametrize("stem", ["", "...", "世界", "---"])
def test_files_without_a_name(stem: str) -> None:
    with pytest.raises(InvalidRequest, match=r"hausgeist\.toml"):
        Name.from_stem(stem)


@given(st.text(max_size=200))
def test_any_text_is_a_name_or_refused(text: str) -> None:
    try:
        name = Name.parse(text)
    except InvalidRequest:
        return
    assert Name.parse(str(name)).key == name.key == Name.parse(text.upper()).key
    assert not {"..", ""} & set(name.path.split("/"))


@given(st.text(max_size=300))
def test_any_stem_gives_a_name_or_is_refused(stem: str) -> None:
    try:
        name = Name.from_stem(stem)
    except InvalidRequest:
        return
    assert Name.parse(str(name)) == name

"""What a name may mean besides what it says, and what a misspelt one is near to."""

from __future__ import annotations

import pytest

from hausgeist.errors import NotFound
from hausgeist.library.catalog import load
from hausgeist.library.catalog.naming import did_you_mean, is_known, meanings
from hausgeist.library.reference import Reference
from tests.unit.library.gguf_builder import model
from tests.unit.library.test_install import Home, home

__all__ = ["home"]


@pytest.mark.parametrize(
    ("name", "targets"),
    [
        ("gemma2:9b", ["gemma2:9b"]),
        ("gemma2", ["gemma2"]),
        ("gemma2:9b-instruct-q8_0", ["gemma2:9b-instruct-q8_0"]),
        ("google/gemma-2-9b-it", ["gemma2:9b", "google/gemma-2-9b-it"]),
        ("Google/Gemma-2-9b-it:latest", ["gemma2:9b", "google/gemma-2-9b-it"]),
        ("gemma-2-9b-it-GGUF", ["gemma2:9b", "gemma-2-9b-it-GGUF"]),
        ("SmolLM3-3B", ["hf.co/ggml-org/SmolLM3-3B-GGUF", "SmolLM3-3B"]),
        ("smollm3:3b", ["smollm3:3b", "hf.co/ggml-org/SmolLM3-3B-GGUF"]),
        ("hf.co/ggml-org/SmolLM3-3B-GGUF", ["hf.co/ggml-org/SmolLM3-3B-GGUF"]),
        ("registry.example.com/google/gemma-2-9b-it", ["registry.example.com/google/gemma-2-9b-it"]),
        ("nobody/knows:this", ["nobody/knows:this"]),
    ],
)
def test_meanings(name: str, targets: list[str]) -> None:
    assert meanings(Reference.parse(name)) == [Reference.parse(target) for target in targets]


def test_no_name_of_the_catalogue_is_taken_elsewhere_where_the_registry_has_it() -> None:
    for entry in load():
        first = meanings(Reference.parse(entry.name))[0]
        assert first == Reference.parse(entry.name)
        for source in entry.install:
            assert meanings(Reference.parse(source))[0] == Reference.parse(source)


@pytest.mark.parametrize(
    ("name", "near"), [("gema3:4b", "gemma3:4b"), ("lama3.2:3b", "llama3.2:3b"), ("my-modell", "my-model"), ("qwxzzz", ""), ("x" * 300, "")]
)
def test_near_names(name: str, near: str) -> None:
    said = did_you_mean(name, ["my-model:latest"])
    assert near in said
    assert bool(said) is bool(near)


async def test_a_second_name_is_pulled_and_kept_as_it_was_typed(home: Home) -> None:
    home.upstream.offer("hf.co/ggml-org/SmolLM3-3B-GGUF", [("weights", model().bytes())])
    for name in ("SmolLM3-3B", "smollm3:3b"):
        told = await home.pull(name)
        assert "downloading" in {one.stage for one in told}
        made = home.library.get(name)
        assert Reference.parse(made.reference) == Reference.parse("hf.co/ggml-org/SmolLM3-3B-GGUF")
        assert [one.stage for one in await home.pull(name)] == ["resolving", "done"]


async def test_the_registry_is_asked_first_for_its_names(home: Home) -> None:
    home.upstream.offer("smollm3:3b", [("weights", model().bytes())])
    await home.pull("smollm3:3b")
    assert home.library.get("smollm3:3b").reference == "smollm3:3b"


async def test_a_misspelt_name(home: Home) -> None:
    with pytest.raises(NotFound, match=r"Did you mean gemma3:4b"):
        await home.pull("gema3:4b")
    with pytest.raises(NotFound) as caught:
        await home.pull("hf.co/owner/gema3:4b")
    assert "Did you mean" not in caught.value.message


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("gemma3", True),
        ("gemma3:4b", True),
        ("library/gemma3:4b", True),
        ("gemma3:4b-it-q4_K_M", True),
        ("google/gemma-3-4b-it", True),
        ("SmolLM3-3B", True),
        ("kanzlei/gemma3", False),
        ("kanzlei/gemma-3-4b-it", False),
        ("gemma3:kanzlei", False),
        ("gemma3-kanzlei", False),
        ("kanzlei-x", False),
    ],
)
def test_a_name_is_known_as_a_whole_or_not(name: str, known: bool) -> None:
    assert is_known(Reference.parse(name)) is known

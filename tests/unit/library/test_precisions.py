"""What file names of GGUF repositories say: precisions, splits, projectors, and which is taken."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hausgeist.errors import InvalidRequest, NotFound
from hausgeist.library.sources import Variant
from hausgeist.library.sources.precisions import Entry, pick, precision_of, projector_for, usual, variants_of


@pytest.mark.parametrize(
    ("path", "precision"),
    [
        ("gemma-3-4b-it-Q4_K_M.gguf", "Q4_K_M"),
        ("gemma-3-4b-it-q4_0.gguf", "Q4_0"),
        ("Meta-Llama-3.1-8B-Instruct.Q5_K_S.gguf", "Q5_K_S"),
        ("model.i1-IQ3_XXS.gguf", "IQ3_XXS"),
        ("Qwen3-8B-UD-Q4_K_XL.gguf", "UD-Q4_K_XL"),
        ("Qwen3-8B-UD-IQ1_S.gguf", "UD-IQ1_S"),
        ("Qwen3-8B-BF16.gguf", "BF16"),
        ("x-bf16-00001-of-00002.gguf", "BF16"),
        ("x-fp16.gguf", "F16"),
        ("x.f32.gguf", "F32"),
        ("gpt-oss-20b-MXFP4.gguf", "MXFP4"),
        ("gpt-oss-20b-mxfp4_moe.gguf", "MXFP4_MOE"),
        ("x-TQ1_0.gguf", "TQ1_0"),
        ("x-Q6_K.gguf", "Q6_K"),
        ("x-Q6_K_L.gguf", "Q6_K_L"),
        ("x-Q2_K_S.gguf", "Q2_K_S"),
        ("x-IQ4_NL.gguf", "IQ4_NL"),
        ("x-Q4_0_4_4.gguf", "Q4_0_4_4"),
        ("Q4_K_M/x-00001-of-00002.gguf", "Q4_K_M"),
        ("BF16/x-Q8_0.gguf", "Q8_0"),
        ("distilled-from-Q8_0-to-Q4_K_M.gguf", "Q4_K_M"),
        ("model.gguf", ""),
        ("IQ-test-7b.gguf", ""),
        ("SQ4_K_M1.gguf", ""),
    ],
)
def test_precisions(path: str, precision: str) -> None:
    assert precision_of(path) == precision


def names(*paths: str) -> list[tuple[str, int, int]]:
    return [(one.name, len(one.entries), one.missing) for one in variants_of(Entry(path, 1) for path in paths)]


def test_models_among_files() -> None:
    assert names("a-Q4_0.gguf", "README.md", "mmproj-F16.gguf", "a.imatrix.gguf", "imatrix_unsloth.gguf", "a-lora.gguf", "vocab.gguf") == [
        ("Q4_0", 1, 0)
    ]
    assert names("Q8_0/a-00002-of-00002.gguf", "Q8_0/a-00001-of-00002.gguf") == [("Q8_0", 2, 0)]
    assert names("a-Q8_0-00001-of-00003.gguf", "a-Q8_0-00003-of-00003.gguf") == [("Q8_0", 2, 1)]
    assert names("a-00000-of-00002.gguf", "a-00003-of-00002.gguf", "a-00001-of-99999.gguf") == []
    assert names("a-Q4_0.gguf", "b-Q4_0.gguf", "b-Q8_0.gguf") == [("a-Q4_0", 1, 0), ("b-Q4_0", 1, 0), ("Q8_0", 1, 0)]
    assert names("model.gguf", "A.GGUF") == [("A", 1, 0), ("model", 1, 0)]
    assert names("a-imatrix-Q4_K_M.gguf") == [("Q4_K_M", 1, 0)]


@pytest.mark.parametrize(
    ("there", "taken"),
    [
        ("F16 Q8_0 Q4_K_M Q2_K", "Q4_K_M"),
        ("F16 Q8_0 UD-Q4_K_XL Q2_K", "UD-Q4_K_XL"),
        ("Q8_0 Q4_K_S", "Q4_K_S"),
        ("Q8_0 Q5_K_M", "Q5_K_M"),
        ("BF16 Q8_0 Q2_K", "Q8_0"),
        ("MXFP4 BF16", "MXFP4"),
        ("Q2_K F16", "F16"),
        ("small large", "large"),
    ],
)
def test_which_is_taken(there: str, taken: str) -> None:
    variants = [Variant(name=name, size=100 - place if name != "large" else 1000) for place, name in enumerate(there.split())]
    assert usual(variants).name == taken


def test_which_is_meant() -> None:
    choices = variants_of([Entry(path, 1) for path in ("a-Q4_0.gguf", "b-Q4_0.gguf", "b-UD-Q4_K_XL.gguf", "x.gguf")])

    def meant(text: str) -> str:
        return pick(choices, text, "hf.co/a/b").stem

    assert [meant(text) for text in ("a-Q4_0.gguf", "A-q4_0", "ud-q4_k_xl", "Q4_K_XL", "x", "X.GGUF")] == [
        "a-Q4_0", "a-Q4_0", "b-UD-Q4_K_XL", "b-UD-Q4_K_XL", "x", "x",
    ]  # fmt: skip
    with pytest.raises(InvalidRequest, match="name one of them: a-Q4_0, b-Q4_0"):
        meant("Q4_0")
    with pytest.raises(NotFound, match="It has: a-Q4_0, b-Q4_0, UD-Q4_K_XL, x"):
        meant("Q5_0")


@pytest.mark.parametrize(
    ("projectors", "weights", "taken"),
    [
        ("mmproj-BF16.gguf mmproj-F16.gguf mmproj-F32.gguf", "a-Q4_0.gguf", "mmproj-F16.gguf"),
        ("mmproj-F32.gguf mmproj-BF16.gguf", "a-Q4_0.gguf", "mmproj-BF16.gguf"),
        ("mmproj-b-f16.gguf mmproj-a-Q8_0.gguf", "a-Q4_0.gguf", "mmproj-a-Q8_0.gguf"),
        ("a-mmproj-f16.gguf b-mmproj-f16.gguf", "b-Q4_0.gguf", "b-mmproj-f16.gguf"),
        ("mmproj-F16.gguf sub/mmproj-F32.gguf", "sub/a-Q4_0.gguf", "sub/mmproj-F32.gguf"),
        ("other/mmproj-F16.gguf", "sub/a-Q4_0.gguf", None),
        ("mmproj-F16.gguf", "sub/a-Q4_0.gguf", "mmproj-F16.gguf"),
        ("mmproj.txt", "a-Q4_0.gguf", None),
    ],
)
def test_the_projector_that_goes_with_it(projectors: str, weights: str, taken: str | None) -> None:
    entries = [Entry(path, 1) for path in (*projectors.split(), weights)]
    (choice,) = variants_of(entries)
    found = projector_for(entries, choice)
    assert (found.path if found else None) == taken


file_names = st.from_regex(r"([a-z]{1,3}/)?[a-zA-Z-]{1,4}(-(Q4_0|Q8_0|F16|mmproj))?(-0000[0-3]-of-0000[0-3])?\.(gguf|txt)", fullmatch=True)


@given(st.lists(file_names, max_size=8, unique=True))
def test_every_file_is_of_one_model_and_every_name_of_one(paths: list[str]) -> None:
    choices = variants_of([Entry(path, 1) for path in paths])
    files = [entry.path for choice in choices for entry in choice.entries]
    assert len(files) == len(set(files))
    assert all("mmproj" not in path and path.endswith(".gguf") for path in files)
    for choice in choices:
        assert choice.missing >= 0
        assert choice.entries == tuple(sorted(choice.entries, key=lambda entry: entry.path))


def test_a_repository_of_very_many_models_takes_no_longer_than_reading_it() -> None:
    entries = [Entry(f"{number}.gguf", 1) for number in range(30_000)]
    began = time.process_time()
    assert len(variants_of(entries)) == len(entries)
    assert time.process_time() - began < 5

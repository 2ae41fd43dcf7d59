"""Modelfiles: what people write, what is wrong with some, and that everything that is printed reads back as the same."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hausgeist.errors import InvalidRequest
from hausgeist.library.modelfile import Modelfile, parse, render

EXAMPLE = '''# a comment
FROM gemma3:4b
from ./mmproj.gguf

PARAMETER temperature 1
parameter num_ctx 4096
PARAMETER stop "<|end|>"
PARAMETER stop END OF  TEXT

SYSTEM """
You are "Mario".
# this is no comment
"""
TEMPLATE "{{ .Prompt }}"
MESSAGE user Is Toronto in Canada?
MESSAGE assistant """yes
or so"""
ADAPTER ./lora.gguf
LICENSE MIT
License """
Apache
"""
REQUIRES 0.14.0
'''


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_what_people_write(end: str) -> None:
    assert parse(EXAMPLE.replace("\n", end)) == Modelfile(
        sources=("gemma3:4b", "./mmproj.gguf"),
        adapters=("./lora.gguf",),
        template="{{ .Prompt }}",
        system='\nYou are "Mario".\n# this is no comment\n',
        parameters={"temperature": 1.0, "num_ctx": 4096, "stop": ["<|end|>", "END OF  TEXT"]},
        messages=({"role": "user", "content": "Is Toronto in Canada?"}, {"role": "assistant", "content": "yes\nor so"}),
        licences=("MIT", "\nApache\n"),
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("FROM x\nSYSTEM one\nSYSTEM two", "two"),
        ('FROM x\nSYSTEM "quoted"', "quoted"),
        ('FROM x\nSYSTEM "a\nb"', "a\nb"),
        ('FROM x\nSYSTEM """a"""', "a"),
        ('FROM x\nSYSTEM """say "a""""', 'say "a"'),
        ("FROM x\n  system   spaced  out  ", "spaced  out"),
        ('FROM x\nSYSTEM ""', ""),
        ("\ufeffFROM x\nSYSTEM ü", "ü"),
        ("FROM x\nSYSTEM\tone", "one"),
    ],
)
def test_texts(text: str, value: str) -> None:
    assert parse(text).system == value


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no FROM"),
        ("# FROM x", "no FROM"),
        ("FROM x\n\nWAGGLE y", "Line 3.*'WAGGLE' is no instruction"),
        ("FROM", "Line 1.*FROM says nothing"),
        ('FROM x\nSYSTEM """never\nends\n', "Line 2.*closing quotes"),
        ('FROM x\nSYSTEM "never\nends\n', "Line 2.*closing quotes"),
        ("FROM x\nPARAMETER temperature", "Line 2.*name and a value"),
        ("FROM x\nPARAMETER temperature hot", "Line 2.*must be a number"),
        ("FROM x\nPARAMETER num_ctx 1.5", "Line 2.*whole number"),
        ("FROM x\nPARAMETER nonsense 1", "Line 2.*not a parameter"),
        ("FROM x\nPARAMETER use_mmap true", "Line 2.*not supported"),
        ("FROM x\nPARAMETER temperature nan", "Line 2.*must be a number"),
        ("FROM x\nMESSAGE robot hi", "Line 2.*who speaks"),
        ("FROM x\nMESSAGE user", "Line 2.*who speaks"),
        ("FROM x\nRENDERER y", "Line 2.*RENDERER is not known"),
        ("x" * (9 * 2**20), "at most"),
    ],
)
def test_what_is_wrong(text: str, complaint: str) -> None:
    with pytest.raises(InvalidRequest, match=complaint) as caught:
        parse(text)
    assert len(caught.value.message) < 900


texts = st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=60)
words = st.text(st.characters(codec="ascii", min_codepoint=33), min_size=1, max_size=20).filter(lambda text: '"' not in text)
values: dict[str, st.SearchStrategy[Any]] = {
    "temperature": st.floats(-1e6, 1e6),
    "num_ctx": st.integers(1, 2**40),
    "stop": st.lists(texts.filter(bool), min_size=1, max_size=3),
}
modelfiles = st.builds(
    Modelfile,
    sources=st.lists(words, min_size=1, max_size=2).map(tuple),
    adapters=st.lists(words, max_size=2).map(tuple),
    template=st.none() | texts,
    system=st.none() | texts,
    parameters=st.fixed_dictionaries({}, optional=values),
    messages=st.lists(
        st.fixed_dictionaries({"role": st.sampled_from(["system", "user", "assistant"]), "content": texts.filter(bool)}), max_size=3
    ).map(tuple),
    licences=st.lists(texts, max_size=2).map(tuple),
)


@given(modelfiles)
def test_what_is_printed_reads_as_the_same(file: Modelfile) -> None:
    try:
        printed = render(file, comment="Generated.\nDo not mind.")
    except InvalidRequest:
        assume(False)
    assert parse(printed) == file


def test_few_texts_cannot_be_printed() -> None:
    for fine in ('"', '""', 'a"', '"a', ' """ in the middle', "two\nlines", " spaces ", "# no comment", "", "\n", 'ends "so"', "tab\t"):
        assert parse(render(Modelfile(sources=("x",), system=fine))).system == fine
    with pytest.raises(InvalidRequest, match="cannot be written"):
        render(Modelfile(sources=("x",), system='"""\nb"\nc'))


@given(st.text(max_size=200))
def test_no_text_breaks_it(text: str) -> None:
    with contextlib.suppress(InvalidRequest):
        parse(text)
    with contextlib.suppress(InvalidRequest):
        parse(f"FROM x\n{text}")


def test_a_text_of_many_lines_takes_no_longer_than_reading_it() -> None:
    """The licence of a model is somebody else's, and is rendered whenever the model is shown."""
    text = "\n" * 400_000 + "x"
    began = time.process_time()
    assert parse(render(Modelfile(sources=("a",), system=text))).system == text
    with pytest.raises(InvalidRequest, match=r"Line 2 .* quotes are missing"):
        parse(f'FROM a\nSYSTEM """{text}')
    assert time.process_time() - began < 5

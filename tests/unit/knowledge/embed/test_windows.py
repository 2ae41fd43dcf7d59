from __future__ import annotations

from itertools import chain

from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from hausgeist.knowledge.embed.installed import TOKENIZER
from hausgeist.knowledge.embed.windows import batches, windows

PIECES = Tokenizer.from_file(str(TOKENIZER))
PIECES.no_truncation()
PIECES.no_padding()


@given(st.text(alphabet=st.sampled_from("ab cd.!? \nß東\"'é"), max_size=600), st.integers(4, 60))
def test_windows_are_the_whole_text_in_order(text: str, most: int) -> None:
    encoding = PIECES.encode(text, add_special_tokens=False)
    found = windows(encoding, text, most)
    assert list(chain(*found)) == encoding.ids
    assert all(len(window) <= most for window in found)
    assert len(found) == 1 or all(found)


def test_they_end_where_sentences_do() -> None:
    text = "The first sentence is about the house. " * 12
    found = windows(PIECES.encode(text, add_special_tokens=False), text, 40)
    stop = PIECES.token_to_id(".")
    assert len(found) > 2
    assert all(window[-1] == stop for window in found)


@given(st.lists(st.integers(1, 300), max_size=200))
def test_batches_take_each_once_and_waste_little(lengths: list[int]) -> None:
    found = list(batches(lengths))
    assert sorted(chain(*found)) == list(range(len(lengths)))
    for batch in found:
        longest = lengths[batch[0]]
        assert len(batch) == 1 or longest * len(batch) <= 256
        assert all(longest <= 1.15 * lengths[position] + 4 for position in batch)

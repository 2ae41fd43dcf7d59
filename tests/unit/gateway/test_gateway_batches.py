"""Parts are bounded by number and length, in order, and nothing is lost between them."""

from hypothesis import given
from hypothesis import strategies as st

from hausgeist.gateway.batches import batches


@given(st.lists(st.one_of(st.integers(0, 20_000).map("a".__mul__), st.integers(0, 5000).map([7].__mul__)), max_size=100))
def test_nothing_is_lost(texts: list[str | list[int]]) -> None:
    parts = list(batches(texts))
    assert [text for _, part in parts for text in part] == texts
    for start, part in parts:
        assert texts[start] is part[0]
        assert len(part) <= 32
        assert len(part) == 1 or sum(len(text) * (1 if isinstance(text, str) else 4) for text in part) <= 16_000


def test_short_texts_go_together_and_long_ones_alone() -> None:
    assert [len(part) for _, part in batches(["short"] * 70)] == [32, 32, 6]
    assert [(start, len(part)) for start, part in batches(["a", "b" * 100_000, "c"])] == [(0, 1), (1, 1), (2, 1)]
    assert list(batches([])) == []

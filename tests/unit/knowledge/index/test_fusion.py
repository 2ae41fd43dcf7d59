"""Two lists of passages become one, by what either is worth."""

from __future__ import annotations

import math

import pytest

from hausgeist.knowledge.index.base import Found
from hausgeist.knowledge.index.fusion import fuse, share_of_words
from hausgeist.knowledge.index.spelling import beginning, meant
from hausgeist.knowledge.index.words import WordsFound

ENGLISH = frozenset({"en"})


def by_words(possible: float, *pairs: tuple[int, float]) -> WordsFound:
    found = WordsFound(Found(one, score) for one, score in pairs)
    found.possible = possible
    return found


def test_vectors_count_more_where_the_model_knows_the_language() -> None:
    english, german, japanese = (share_of_words("what", language, ENGLISH) for language in ("en", "de", "ja"))
    assert english < german < japanese < 1
    assert share_of_words("was", "de", frozenset({"en", "de"})) == english
    assert share_of_words("was", "de", frozenset()) == english, "nobody has said which languages the model knows"
    assert share_of_words("東京", "ja", frozenset({"zh"})) == german


def test_codes_numbers_and_quotations_are_a_matter_of_words() -> None:
    plain = share_of_words("the price of the lease", "en", ENGLISH)
    number = share_of_words("the price of 1,234.50", "en", ENGLISH)
    quoted = share_of_words("the price", "en", ENGLISH, quoted=True)
    assert plain < number < quoted <= 0.95
    assert share_of_words("A-12/34", "und", ENGLISH) > number


def test_scores_are_shares_of_what_was_asked_and_of_nearness() -> None:
    fused = fuse(by_words(10.0, (1, 10.0), (2, 5.0)), [Found(2, 0.8), Found(3, 0.6)], share=0.5, cosines={1: 0.2})
    # The lead of the best is half of its score: the share grows from .5 half of the way to .9.
    assert [(one.id, round(one.score, 3)) for one in fused] == [(1, 0.76), (2, 0.59), (3, 0.18)]


def test_a_weak_best_of_words_does_not_outdo_a_near_vector() -> None:
    fused = fuse(by_words(40.0, (1, 2.0), (3, 1.8)), [Found(2, 0.7), Found(1, 0.3)], share=0.5)
    assert fused[0].id == 2


def test_one_passage_that_has_all_the_words_outdoes_a_near_vector() -> None:
    near = [Found(2, 0.6), Found(1, 0.1)]
    alone = fuse(by_words(10.0, (1, 12.0)), near, share=0.35)
    among_equals = fuse(by_words(10.0, (1, 12.0), (2, 11.9)), near, share=0.35)
    assert (alone[0].id, among_equals[0].id) == (1, 2)


def test_without_vectors_words_decide_and_the_other_way_round() -> None:
    assert [one.id for one in fuse(by_words(10.0, (1, 4.0), (2, 3.0)), [], share=0.3)] == [1, 2]
    assert [one.id for one in fuse(by_words(0.0), [Found(5, 0.4), Found(6, 0.3)], share=0.9)] == [5, 6]
    assert fuse(by_words(0.0), [], share=0.5) == []


def test_a_passage_that_has_no_vector_yet_is_not_lost() -> None:
    fused = fuse(by_words(10.0, (1, 10.0), (2, 9.0)), [Found(2, 0.5)], share=0.5, cosines={1: math.nan})
    assert {one.id for one in fused} == {1, 2}
    assert all(math.isfinite(one.score) for one in fused)


def test_scores_stay_between_0_and_1_and_the_limit_holds() -> None:
    fused = fuse(by_words(1.0, *((n, 5.0) for n in range(1, 30))), [Found(n, -0.5 if n % 2 else 1.01) for n in range(1, 30)], share=0.5, limit=7)
    assert len(fused) == 7
    assert all(0 <= one.score <= 1 for one in fused)
    assert [one.id for one in fused] == sorted(one.id for one in fused), "equal ones stand in the order in which they came"


@pytest.mark.parametrize(
    ("written", "there", "expected"),
    [
        ("televison", ["television", "telephone"], ["television"]),
        ("recieve", ["receive", "relieve"], ["receive"]),
        ("hosue", ["house", "horse"], ["house"]),
        ("kitten", ["sitting", "kitchen"], []),
        ("unrelated", ["umbrella", "unroll"], []),
    ],
)
def test_what_may_be_meant(written: str, there: list[str], expected: list[str]) -> None:
    assert meant(written, [(term, 1) for term in there])[:1] == expected


def test_what_is_no_word_is_not_corrected() -> None:
    assert beginning("televison") == "te"
    assert [beginning(one) for one in ("cat", "=a1234", "a1b2c3", "東京都庁舎", "สัญญาเช่า")] == [""] * 5

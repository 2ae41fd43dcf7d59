"""Terms between the process that made them and the index: fetched once, and never more than there may be."""

from __future__ import annotations

from hausgeist.knowledge.stores.terms import KeptTerms


def test_what_is_kept_is_fetched_once() -> None:
    prepared = KeptTerms()
    prepared.keep(7, ("one", "two"))
    assert prepared.pop(8) is None
    assert prepared.pop(7) == ("one", "two")
    assert prepared.pop(7) is None
    assert len(prepared) == 0


def test_what_nobody_fetches_is_forgotten_oldest_first() -> None:
    prepared = KeptTerms(most=10)
    for number in range(5):
        prepared.keep(number, ("ab", "cd"))
    assert (len(prepared), prepared.pop(2), prepared.pop(3)) == (2, None, ("ab", "cd"))
    prepared.keep(4, ("x", ""))
    prepared.keep(5, ("a" * 9, ""))
    assert (prepared.pop(4), prepared.pop(5)) == (("x", ""), ("a" * 9, ""))
    prepared.keep(6, ("a" * 11, ""))
    assert len(prepared) == 0

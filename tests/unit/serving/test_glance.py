"""First looks at many models: what they say, what the whole plan would, and what is remembered."""

from __future__ import annotations

import pytest

from hausgeist.errors import NotFound
from hausgeist.serving.sizing import Glance, Glances, Question, Unknown
from hausgeist.serving.sizing.glance import LADDER
from hausgeist.serving.sizing.subjects import Subjects
from tests.unit.serving.test_sizing import CARD, desktop, nothing, sizing


def one(name: str, memory: int = 64, cards: tuple[object, ...] = ()) -> Glance:
    [found] = sizing(*cards, memory=memory).glances.at([name])  # type: ignore[arg-type]
    assert isinstance(found, Glance)
    return found


@pytest.mark.parametrize(("name", "cards"), [("qwen3:8b", ()), ("qwen3:8b", (CARD,)), ("llama3.3:70b", (CARD,)), ("nomic-embed-text:v1.5", ())])
async def test_it_says_what_the_plan_says(name: str, cards: tuple[object, ...]) -> None:
    sizes = sizing(*cards)  # type: ignore[arg-type]
    [found] = sizes.glances.at([name])
    assert isinstance(found, Glance)
    [sheet] = (await sizes.answer(Question(models=(name,)))).sheets
    plan = sheet.plan
    assert (found.placed, found.total_bytes, found.context) == (plan.placed, plan.parts.total, plan.wish.tokens)
    assert (found.gpu_layers, found.layers) == (plan.gpu_layers, plan.all_layers)
    assert plan.empty is not None
    assert (found.generate_tokens_per_second or 0.0) == pytest.approx(plan.empty.generate_tokens_per_second, rel=1e-3)
    assert found.prompt_tokens_per_second == pytest.approx(plan.empty.prompt_tokens_per_second, rel=1e-3)


def test_small_large_and_too_large() -> None:
    small, large = one("qwen3:0.6b"), one("llama3.3:70b", memory=16)
    assert (small.placed, small.missing_bytes, small.good) == ("wholly", 0, True)
    assert (large.placed, large.good, large.generate_tokens_per_second) == ("no", False, None)
    assert large.missing_bytes > 2**30
    assert one("llama3.3:70b", cards=(CARD,)).placed == "offload"


def test_what_embeds_reads_and_is_good_at_it() -> None:
    found = one("nomic-embed-text:v1.5")
    assert (found.generate_tokens_per_second, found.good, found.quality) == (None, True, None)
    assert found.prompt_tokens_per_second


def test_what_promises_more() -> None:
    new, old, small = (one(name).quality for name in ("qwen3:8b", "llama2:7b", "qwen3:0.6b"))
    assert new is not None
    assert old is not None
    assert small is not None
    assert new > old > small


def test_unknown_names_do_not_spoil_the_others() -> None:
    found = sizing().glances.at(["qwen3:8b", "qwen3:9999b", "", "/etc/passwd"])
    assert [isinstance(one, Unknown) for one in found] == [False, True, True, True]
    assert isinstance(found[1], Unknown)
    assert "9999b" in found[1].reason


def test_precisions_and_which_is_taken() -> None:
    glances = sizing(CARD).glances
    found, chosen = glances.precisions("qwen3:8b")
    assert [one.precision for one in found] == list(LADDER)
    assert chosen == "Q8_0"
    assert [one.total_bytes for one in found] == sorted((one.total_bytes for one in found), reverse=True)
    odd, taken = glances.precisions("gpt-oss:20b")
    assert [one.precision for one in odd] == [taken] == ["MXFP4"]
    with pytest.raises(NotFound):
        glances.precisions("qwen3:9999b")


def test_what_was_looked_at_is_remembered_until_the_machine_changes() -> None:
    memory, looked = [64], []

    def machine():  # type: ignore[no-untyped-def]
        looked.append(memory[0])
        return desktop(memory=memory[0])

    glances = Glances(subjects=Subjects(nothing, tuple), machine=machine, calibration=lambda: None)
    first, again = glances.at(["llama3.3:70b"]), glances.at(["llama3.3:70b"])
    assert first[0] is again[0]
    assert len(looked) == 1
    memory[0] = 16
    glances._looked = None
    [other] = glances.at(["llama3.3:70b"])
    assert isinstance(other, Glance)
    assert other.placed == "no"

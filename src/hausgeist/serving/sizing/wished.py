"""From a model and a question to what the planner is asked: a wish."""

from __future__ import annotations

from hausgeist.errors import InvalidRequest, shown
from hausgeist.planner.costs.footprint import usual_answer
from hausgeist.planner.costs.money import Volume
from hausgeist.planner.costs.prices import Prices
from hausgeist.planner.wish import Wish
from hausgeist.serving.sizing.question import Question
from hausgeist.serving.sizing.subjects import Subject

__all__ = ["about_draft", "volume_of", "wished"]

_ALIKE = 128
"""Tokens by which vocabularies of the same kind may differ (SPEC_VOCAB_MAX_SIZE_DIFFERENCE in llama.cpp's common/speculative.cpp)."""


def wished(subject: Subject, question: Question, prices: Prices, draft: Subject | None = None) -> Wish:
    """Raises `InvalidRequest` for a draft model that is none."""
    if draft is not None:
        _demand_draft(draft, subject)
    return Wish(
        model=subject.name,
        header=subject.header,
        precision=subject.precision,
        context=min(question.context, subject.trained) if question.context and subject.trained else question.context,
        trained=subject.trained or None,
        users=question.users or 1,
        slots=question.slots,
        cache_type=question.cache_type,
        task=subject.task,
        volume=volume_of(question, prices),
        projector=subject.projector_bytes,
        adapters=subject.adapter_bytes,
        prompt_cache=question.prompt_cache,
        engine=question.engine,
        draft=draft.header if draft is not None else None,
    )


def volume_of(question: Question, prices: Prices) -> Volume | None:
    """Read and written as much of it as of a usual answer."""
    if question.volume is None:
        return None
    usual = usual_answer(prices)
    return usual.times(question.volume / usual.tokens)


def _demand_draft(draft: Subject, subject: Subject) -> None:
    if draft.task != "generate":
        raise InvalidRequest(f"{shown(draft.name)} writes nothing, so it cannot guess what {shown(subject.name)} will write.", param="draft")
    if _weights(draft) >= _weights(subject):
        raise InvalidRequest(
            f"A draft model guesses ahead and is much smaller than the one that checks it; {shown(draft.title)} is not smaller than "
            f"{shown(subject.title)}.", param="draft"
        )  # fmt: skip


def about_draft(draft: Subject, subject: Subject) -> str:
    """What is to be said of the two together."""
    said = f"speeds are without {draft.name}: how much it helps depends on how many of its guesses hold, which differs from text to text"
    if abs(draft.header.vocabulary - subject.header.vocabulary) > _ALIKE:
        said = f"{draft.name} and {subject.name} have different vocabularies, so that fewer guesses hold; {said}"
    return said


def _weights(subject: Subject) -> int:
    return sum(tensor.nbytes for tensor in subject.header.tensors.values())

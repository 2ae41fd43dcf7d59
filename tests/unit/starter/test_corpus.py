"""What the built-in guide is taught: true of this program, complete, and apart from what it is judged by."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from starter import knowledge
from tests.unit.test_examples import called, misunderstood

STARTER = Path(knowledge.__file__).parent
INTENTS = knowledge.intents()
DECLINED = knowledge.declined()
LEAST = {"en": 14, "de": 11, "es": 8, "fr": 7, "zh": 8}
"""Questions of an intent."""
ASKED = {"en": 500, "de": 500, "es": 150, "fr": 150, "zh": 150, "off-topic": 300, "near-topic": 100}
"""Questions of a set."""


def judged(name: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (STARTER / "judge" / f"{name}.jsonl").read_text("utf-8").splitlines() if line]


def plain(question: str) -> str:
    return re.sub(r"[\W_]+", " ", question.casefold()).strip()


def test_there_is_enough() -> None:
    assert len(INTENTS) >= 400
    for language, least in LEAST.items():
        for intent in INTENTS.values():
            assert intent.answers.get(language), f"{intent.id}: no answer in {language}"
            assert len(set(map(plain, intent.questions.get(language, ())))) >= least, f"{intent.id}: too few questions in {language}"
        assert all(intent.answers.get(language) for intent in DECLINED.values()), language


@pytest.mark.parametrize("language", LEAST)
def test_answers_hold_what_they_must(language: str) -> None:
    for intent in INTENTS.values():
        said = intent.answers[language].casefold()
        for fact in intent.facts:
            assert any(one.casefold() in said for one in fact), f"{intent.id}, {language}: none of {fact} in {said}"
        assert knowledge.commands(intent.answers[language]) == knowledge.commands(intent.answers["en"]), f"{intent.id}, {language}"


def test_commands_are_those_of_this_program() -> None:
    wrong = []
    for intent in [*INTENTS.values(), *DECLINED.values()]:
        for answer in intent.answers.values():
            for line in re.findall(r"`(hausgeist [^`]*)`", answer):
                arguments = called(line)
                if arguments is not None and (said := misunderstood(arguments)):
                    wrong.append(f"{intent.id}: {line}: {said}")
    assert not wrong, "\n".join(wrong)


def test_no_question_is_for_two() -> None:
    seen: dict[tuple[str, str], str] = {}
    for intent in [*INTENTS.values(), *DECLINED.values()]:
        for language, questions in intent.questions.items():
            for question in questions:
                before = seen.setdefault((language, plain(question) or question), intent.id)
                assert before == intent.id, f"{question!r} is asked for {before} and for {intent.id}"


@pytest.mark.parametrize("name", ASKED)
def test_the_judge_asks_what_nobody_was_taught(name: str) -> None:
    asked = judged(name)
    assert len(asked) >= ASKED[name]
    assert len({plain(one["q"]) or one["q"] for one in asked}) == len(asked)
    taught = {
        plain(question) for intent in [*INTENTS.values(), *DECLINED.values()] for questions in intent.questions.values() for question in questions
    }
    for one in asked:
        assert one.get("id", next(iter(INTENTS))) in INTENTS
        # A question of three words can be put by two people alike.
        assert len(plain(one["q"]).split()) < 4 or plain(one["q"]) not in taught, one["q"]


@pytest.mark.parametrize("name", ["off-topic", "near-topic"])
def test_the_judge_asks_nothing_that_frames_and_nouns_make(name: str) -> None:
    """Every frame fits every noun of its kind, so that is asked of all pairs (and triples) without making them."""
    asked = [plain(one["q"]) for one in judged(name)]
    taught = [
        (
            re.compile(re.sub(r"(x|y)mark", "(.+)", plain(frame.replace("{x}", "xmark").replace("{y}", "ymark")))),
            {plain(noun) for noun in parts["noun"]},
        )
        for languages in knowledge.slots().values()
        for parts in languages.values()
        for frame in parts["frame"]
    ]
    for question in asked:
        for frame, nouns in taught:
            if len(question.split()) >= 4 and (found := frame.fullmatch(question)):
                assert not nouns.issuperset(found.groups()), question

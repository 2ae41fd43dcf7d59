"""The verifier over answers that are right and answers that are not, in five languages, as they stream: what is wrong is caught, and nothing else."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from markdown_it import MarkdownIt

from hausgeist.identity import LOCAL_OWNER
from hausgeist.knowledge.answer.checking.passages import Passages
from hausgeist.knowledge.answer.checking.watch import Citation, Policy, Watcher
from hausgeist.knowledge.answer.phrases import phrases
from hausgeist.knowledge.hits import Hit
from tests.shelf import Shelf
from tests.unit.knowledge.answer.corrupt import DOCUMENTS, QUESTIONS, cases, controls

CASES, CONTROLS = cases(), controls()
MARKS = {language: (p.no_quote, p.no_support, p.no_source) for language in DOCUMENTS for p in [phrases(language)]}


def passages_of(language: str) -> Passages:
    name, sentences, _ = DOCUMENTS[language]
    shelf, text = Shelf(), "\n\n".join(sentences)
    shelf.put("file-1", name, text)
    found, place = Passages(LOCAL_OWNER, shelf), 0
    for sentence in sentences:
        start = text.index(sentence, place)
        place = start + len(sentence)
        hit = Hit(file="file-1", filename=name, store="vs", document=1, start=start, end=place, text=sentence, score=0.9, language=language)
        found.add([hit])
    return found


async def said(language: str, answer: str, policy: Policy = "mark", *, seed: int = 0) -> tuple[str, list[Citation], int, int]:
    """What is told of an answer that comes in pieces of 1 to 6 characters; its citations; annotations; the most characters that were held."""
    chance, told = random.Random(seed), []
    watcher = Watcher(passages_of(language), question=QUESTIONS[language], phrases=phrases(language), policy=policy, told=told.append)
    pieces, notes, held, place = [], 0, 0, 0
    while place < len(answer):
        size = chance.randint(1, 6)
        for one in await watcher.feed(answer[place : place + size]):
            pieces.append(one.text)
            notes += len(one.annotations)
        place += size
        held = max(held, watcher.waiting)
    for one in await watcher.end(whole=True):
        pieces.append(one.text)
        notes += len(one.annotations)
    return "".join(pieces), told, notes, held


def test_there_are_enough_cases() -> None:
    kinds = Counter(case.kind for case in CASES)
    assert len(CASES) >= 200
    assert len({case.name for case in CASES}) == len(CASES)
    assert set(kinds) >= {"number", "negation", "name", "truncated", "merged", "fabricated", "no such source", "zero width", "homoglyph"}


@pytest.mark.parametrize("language", DOCUMENTS)
async def test_everything_wrong_is_marked(language: str) -> None:
    missed = []
    for number, case in enumerate(one for one in CASES if one.language == language):
        text, told, _, _ = await said(language, case.answer, seed=number)
        if not any(not one.verified and one.found is None for one in told) or not any(mark in text for mark in MARKS[language]):
            missed.append((case.name, text))
        if "claim" not in case.kind and any(one.verified and one.said.strip() == case.wrong for one in told):
            missed.append((case.name, "verified"))
    assert missed == []


@pytest.mark.parametrize("language", DOCUMENTS)
async def test_everything_wrong_is_dropped(language: str) -> None:
    missed = []
    for number, case in enumerate(one for one in CASES if one.language == language):
        text, _, _, _ = await said(language, case.answer, "drop", seed=number)
        if case.wrong in text or phrases(language).silent not in text:
            missed.append((case.name, text))
    assert missed == []


@pytest.mark.parametrize("policy", ["mark", "drop"])
@pytest.mark.parametrize("language", DOCUMENTS)
async def test_what_is_right_is_told_as_it_is(language: str, policy: Policy) -> None:
    wrong = []
    for number, case in enumerate(one for one in CONTROLS if one.language == language):
        text, told, notes, _ = await said(language, case.answer, policy, seed=number)
        if any(mark in text for mark in MARKS[language]) or case.wrong not in text or not notes or any(one.found is None for one in told):
            wrong.append((case.name, text, notes))
        if any(one.found is not None and case.kind != "claim" and one.found.quote.strip() != case.wrong for one in told):
            wrong.append((case.name, "place", [one.found.quote for one in told if one.found]))
        if case.kind == "moved" and not any(one.moved and one.verified for one in told):
            wrong.append((case.name, "not moved", told))
    assert wrong == []


async def test_numbers_of_passages_are_taken_out_of_the_text() -> None:
    text, told, notes, _ = await said("en", "Pets are allowed in the house【5:0†lease.pdf】. The rent is 1,450 euros [1].")
    assert text == "Pets are allowed in the house. The rent is 1,450 euros."
    assert len([one for one in told if one.found]) == notes == 2


async def test_no_more_is_held_than_a_quotation() -> None:
    """Plain words leave at once; a quotation waits for its end."""
    sentences = DOCUMENTS["en"][1]
    answer = "".join(f"The contract has this to say on the matter: “{sentence}” [{number}]\n" for number, sentence in enumerate(sentences, 1))
    _, _, _, held = await said("en", answer)
    assert held <= max(map(len, sentences)) + 10
    _, _, _, held = await said("en", "The monthly rent is 1,450 euros and it is due early each month. " * 20)
    assert held <= 10


async def test_links_images_and_html_are_made_text() -> None:
    for answer in ("See ![x](http://evil/?q=1)", "See [x](http://evil)", "<img src=http://evil>", "[x][y]\n\n[y]: http://evil", "<http://evil>"):
        text, _, _, _ = await said("en", answer)
        made = MarkdownIt("commonmark", {"html": True}).render(text)
        assert not any(tag in made for tag in ("<img", "<a", "href")), made

"""What search finds on real questions, in English and German: the floor under which it must not fall."""

from __future__ import annotations

from pathlib import Path

import pytest

from hausgeist.knowledge.embed.installed import Installed
from hausgeist.knowledge.evaluation import evaluate, load
from hausgeist.knowledge.index.vectors import open_vectors

_ASKED = 400
"""Of 1,190, spread evenly; `hausgeist eval retrieval` asks all."""
XQUAD = Path(__file__).resolve().parents[3] / "data" / "xquad"


@pytest.mark.parametrize(("language", "least"), [("en", 0.95), ("de", 0.905)])
async def test_the_first_passage_answers(language: str, least: float, tmp_path: Path) -> None:
    questions = load(XQUAD / f"xquad.{language}.json", most=_ASKED)
    assert len(questions.texts) == 240
    assert len(questions.questions) == _ASKED
    embedder = Installed()
    try:
        run = await evaluate(questions, tmp_path, embedder=embedder, vectors=open_vectors)
    finally:
        await embedder.close()
    assert run.best.recall_at_1 >= least
    assert run.best.recall_at_1 >= max(run.figures["words"].recall_at_1, run.figures["vectors"].recall_at_1) - 0.01

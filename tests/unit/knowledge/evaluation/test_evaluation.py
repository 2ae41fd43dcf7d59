"""Sets of questions, what is measured on them, and the rule that fusion keeps: never significantly worse than its better part."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hausgeist.errors import InvalidRequest, NotFound
from hausgeist.knowledge.evaluation import Question, Questions, Run, Text, compare, evaluate, figures, load
from hausgeist.knowledge.evaluation.making import questions_of
from hausgeist.knowledge.evaluation.measures import ndcg, rank
from hausgeist.knowledge.hits import Hit
from hausgeist.knowledge.index.base import Found, VectorIndex

CITIES = ["Aachen", "Bremen", "Coburg", "Dresden", "Erfurt", "Fulda", "Goslar", "Husum", "Ingolstadt", "Jena", "Kassel", "Lindau"]
THINGS = {"heating": "boilers radiators warmth", "parking": "cars garages bays", "cleaning": "brooms stairs dust", "garden": "lawns hedges trees"}


class Hashed:
    """An embedder that is honest about what it is: a text's vector is the mean of random directions, one for each of its words and its trigrams.
    Words of one meaning share theirs, so that it knows something that words do not."""

    name = "hashed@1"
    dimension = 128

    def __init__(self, languages: frozenset[str], noise: float) -> None:
        self.languages = languages
        self._noise = noise
        self._meanings = {word: topic for topic, words in THINGS.items() for word in [*words.split(), topic]}

    async def passages(self, texts: Sequence[str], *, background: bool = False) -> NDArray[np.float32]:
        return np.stack([self._vector(text) for text in texts])

    async def query(self, text: str) -> NDArray[np.float32]:
        return self._vector(text)

    def _vector(self, text: str) -> NDArray[np.float32]:
        words = re.findall(r"\w+", text.lower())
        whole = sum((self._direction(self._meanings.get(word, word)) for word in words), np.zeros(self.dimension))
        whole = whole + self._noise * len(words) ** 0.5 * self._direction(text)
        return np.asarray(whole / (np.linalg.norm(whole) or 1), dtype=np.float32)

    def _direction(self, word: str) -> NDArray[np.float64]:
        return np.random.default_rng(int.from_bytes(word.encode()[:64], "big") % 2**63).standard_normal(self.dimension)


class Exact:
    """Vectors in memory, all compared."""

    mark = 0

    def __init__(self, dimension: int) -> None:
        self._its: dict[int, NDArray[np.float32]] = {}

    def add(self, ids: Sequence[int], entries: Sequence[int], vectors: NDArray[np.float32]) -> None:
        self._its.update(zip(ids, vectors, strict=True))

    def remove(self, ids: Collection[int]) -> None:
        raise NotImplementedError

    def commit(self, mark: int) -> None:
        self.mark = mark

    def search(self, vector: NDArray[np.float32], limit: int, *, entries: Collection[int] | None = None) -> Sequence[Found]:
        ordered = sorted((Found(one, float(its @ vector)) for one, its in self._its.items()), key=lambda one: -one.score)
        return ordered[:limit]

    def scores(self, vector: NDArray[np.float32], ids: Sequence[int]) -> Sequence[float]:
        return [float(self._its[one] @ vector) for one in ids]

    def vectors(self, ids: Sequence[int]) -> NDArray[np.float32]:
        return np.stack([self._its[one] for one in ids])

    def close(self) -> None:
        self._its.clear()


def opened(folder: Path, dimension: int) -> VectorIndex:
    return Exact(dimension)


def houses(kind: str) -> Questions:
    """Passages about things in cities. `kind`: "words": a question repeats them; "meanings": it says them otherwise; "codes": it is for a number."""
    rand = random.Random(4)
    texts, questions = [], []
    for city in CITIES:
        for topic, words in THINGS.items():
            code = f"{city[:2].upper()}-{rand.randint(100, 999)}/{rand.randint(10, 99)}"
            its = words.split()
            place = len(texts)
            texts.append(
                Text(f"In {city}, the {its[0]} and the {its[1]} are checked each spring; file {code}.", filename=f"{place}.txt", language="en")
            )
            asked = {
                "words": f"When are the {its[0]} and the {its[1]} in {city} checked?",
                "meanings": f"Who takes care of {topic} or {its[2]} in {city}?",
                "codes": f"What is {code.lower().replace('-', ' ')} about?",
            }[kind]
            questions.append(Question(asked, {place: 1}, (code,)))
    return Questions(kind, "squad", texts, questions)


@pytest.mark.parametrize("kind", ["words", "meanings", "codes"])
@pytest.mark.parametrize("knowing", [frozenset({"en"}), frozenset({"ja"})])
async def test_fusion_is_never_significantly_worse_than_its_better_part(tmp_path: Path, kind: str, knowing: frozenset[str]) -> None:
    run = await evaluate(houses(kind), tmp_path, embedder=Hashed(knowing, noise=0.5 if "en" in knowing else 4.0), vectors=opened)
    better = max(("words", "vectors"), key=lambda part: run.figures[part].recall_at_1)
    assert compare(run.ranks[better], run.ranks["fused"]).high >= 0, run.figures
    if kind == "codes":
        assert run.best.recall_at_1 == 1.0
    if kind == "meanings" and "en" in knowing:
        assert run.best.recall_at_1 > run.figures["words"].recall_at_1, "vectors add what words do not know"


async def test_a_run_has_its_figures_and_is_read_again(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []

    def quoted(question: str, hits: Sequence[Hit]) -> list[str]:
        return [hit.text for hit in hits[:1]]

    run = await evaluate(houses("words"), tmp_path, support=quoted, progress=lambda *what: told.append(what))
    assert run.embedder == ""
    assert set(run.figures) == {"words"}
    assert run.support == run.best.recall_at_1 == 1.0
    assert run.ms_per_query > 0
    assert run.bytes_per_passage > 0
    assert {what for what, _, _ in told} == {"indexing words", "asking"}
    whole: dict[str, Any] = run.as_json()
    assert {"recall_at_1", "recall_at_5", "mrr", "ndcg_at_10", "ms_per_query"} <= set(whole)
    file = tmp_path / "run.json"
    file.write_text(json.dumps(whole))
    assert Run.from_file(file) == run
    file.write_text('{"name": 1}')
    with pytest.raises(InvalidRequest, match="not a saved run"):
        Run.from_file(file)


def test_what_is_measured() -> None:
    assert rank([7, 8, 9], {9: 1}) == 3
    assert rank([7, 8, 9], {1: 1}) == 0
    assert rank(list(range(20)), {15: 1}) == 0
    assert ndcg([1, 2], {1: 1}) == 1.0
    assert ndcg([2, 1], {1: 1}) == pytest.approx(0.6309, abs=1e-4)
    assert ndcg([3, 2, 1], {1: 3, 2: 2, 3: 1}) < ndcg([1, 2, 3], {1: 3, 2: 2, 3: 1}) == 1.0
    its = figures([1, 2, 6, 0], [1.0, 0.5, 0.25, 0.25])
    assert (its.recall_at_1, its.recall_at_5, its.ndcg_at_10) == (0.25, 0.5, 0.5)
    assert its.mrr == pytest.approx((1 + 1 / 2 + 1 / 6) / 4)


def test_chance_is_told_from_change() -> None:
    before = [1, 2] * 100
    assert compare(before, [1, 1] * 100).verdict == "better"
    assert compare(before, [2, 2] * 100).verdict == "worse"
    slight = compare(before, [1, 2] * 99 + [1, 1])
    assert slight.low <= 0 < slight.high
    assert "no difference" in slight.verdict
    assert compare(before, before).difference == 0
    with pytest.raises(ValueError, match="paired"):
        compare([1], [1, 2])


def test_files_of_the_shape_of_squad(tmp_path: Path) -> None:
    file = tmp_path / "set.json"
    paragraph = {
        "context": "The lease ends in May.",
        "qas": [{"question": "When?", "answers": [{"text": "May"}]}, {"question": "Who?", "is_impossible": True}],
    }
    file.write_text(json.dumps({"data": [{"title": "a", "paragraphs": [paragraph, paragraph]}]}))
    made = load(file)
    assert [text.text for text in made.texts] == ["The lease ends in May."], "the same paragraph twice is one"
    assert [(question.text, dict(question.relevant), list(question.answers)) for question in made.questions] == [("When?", {0: 1}, ["May"])] * 2
    assert "2 questions without an answer" in made.notes[0]


def test_folders_of_the_shape_of_beir(tmp_path: Path) -> None:
    (tmp_path / "corpus.jsonl").write_text('{"_id": "d1", "title": "Lease", "text": "It ends in May."}\n{"_id": "d2", "text": "Nothing."}\n')
    (tmp_path / "queries.jsonl").write_text('{"_id": "q1", "text": "When does it end?"}\n{"_id": "q2", "text": "unjudged"}\n')
    with pytest.raises(InvalidRequest, match="qrels"):
        load(tmp_path)
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t0\nq9\td1\t1\n")
    made = load(tmp_path)
    assert [(question.text, dict(question.relevant)) for question in made.questions] == [("When does it end?", {0: 2})]
    assert made.texts[0].heading == "Lease"
    assert "1 judgements" in made.notes[0]
    (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1 d1 2\n")
    with pytest.raises(InvalidRequest, match="line 2"):
        load(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"data": 3}', '{"data": [{"paragraphs": [{}]}]}', '{"data": []}', '{"data": [null]}'])
def test_what_is_no_set_is_refused_with_the_reason(tmp_path: Path, content: str) -> None:
    file = tmp_path / "set.json"
    file.write_text(content)
    with pytest.raises(InvalidRequest, match=re.escape(str(file))):
        load(file)
    with pytest.raises(NotFound):
        load(tmp_path / "nowhere")


def test_questions_are_made_of_passages() -> None:
    texts = [text for kind in ("words",) for text in houses(kind).texts]
    made = questions_of(texts)
    assert len(made) > len(texts)
    assert made == questions_of(texts)
    for question in made:
        (place,) = question.relevant
        assert not any(answer in question.text for answer in question.answers), "the answer is not in the question"
        assert question.text != texts[place].text
    assert questions_of([Text("short"), Text(""), Text("12 34")]) == []

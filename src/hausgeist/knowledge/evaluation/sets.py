"""Sets of questions: read from files of the shape of SQuAD and XQuAD, from folders of the shape of BEIR, or made of a folder of documents.

What a set has is checked when it is read: a question whose passage is missing says nothing about search.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hausgeist.errors import InvalidRequest, NotFound, shown
from hausgeist.knowledge.evaluation.making import questions_of
from hausgeist.knowledge.evaluation.questions import Question, Questions, Text
from hausgeist.knowledge.language import detect

__all__ = ["load"]


def load(path: Path, *, most: int = 0, progress: Callable[[str], None] | None = None) -> Questions:
    """Reads or makes a set. `most`: questions at most, spread evenly over the set; 0: all. Raises `NotFound` and `InvalidRequest`."""
    if not path.exists():
        raise NotFound(f"{path} does not exist.")
    if not path.is_dir():
        made = _squad(path)
    elif (path / "corpus.jsonl").is_file():
        made = _beir(path)
    else:
        made = _documents(path, progress)
    if not made.questions:
        raise InvalidRequest(f"{path} has no question whose passage is in it.")
    if 0 < most < len(made.questions):
        step = len(made.questions) / most
        chosen = [made.questions[int(number * step)] for number in range(most)]
        made = Questions(made.name, made.kind, made.texts, chosen, (*made.notes, f"{most} of {len(made.questions)} questions were asked."))
    return made


def _squad(path: Path) -> Questions:
    """`{"data": [{"title", "paragraphs": [{"context", "qas": [{"question", "answers": [{"text"}]}]}]}]}`. Each paragraph is a file of its own; what
    has no answer (SQuAD 2) is left out."""
    whole = _json(path)
    texts: list[Text] = []
    questions: list[Question] = []
    places: dict[str, int] = {}
    without = 0
    try:
        for article in whole["data"]:
            for paragraph in article["paragraphs"]:
                context = str(paragraph["context"])
                # The same paragraph twice is one: a question would find either.
                place = places.setdefault(context, len(texts))
                if place == len(texts):
                    texts.append(Text(context, filename=f"paragraph-{place + 1}.txt", language=detect(context)))
                for asked in paragraph["qas"]:
                    if asked.get("is_impossible"):
                        without += 1
                        continue
                    answers = tuple(str(answer["text"]) for answer in asked.get("answers", ()))
                    questions.append(Question(str(asked["question"]), {place: 1}, answers))
    except (KeyError, TypeError, AttributeError) as error:
        raise InvalidRequest(
            f"{path} is not of the shape of SQuAD: {shown(str(error))} is missing or wrong. It needs data[].paragraphs[] with context and qas[]."
        ) from error
    notes = (f"{without} questions without an answer were left out.",) if without else ()
    return Questions(path.stem, "squad", texts, questions, notes)


def _beir(path: Path) -> Questions:
    """`corpus.jsonl` (`_id`, `title`, `text`), `queries.jsonl` (`_id`, `text`), `qrels/test.tsv` or `qrels.tsv` (query, passage, grade)."""
    texts: list[Text] = []
    places: dict[str, int] = {}
    for row in _lines(path / "corpus.jsonl"):
        places[str(row["_id"])] = len(texts)
        text = str(row.get("text", ""))
        texts.append(Text(text, heading=str(row.get("title") or ""), language=detect(text)))
    asked = {str(row["_id"]): str(row["text"]) for row in _lines(path / "queries.jsonl")}
    judged = next((one for one in (path / "qrels" / "test.tsv", path / "qrels.tsv", *sorted((path / "qrels").glob("*.tsv"))) if one.is_file()), None)
    if judged is None:
        raise InvalidRequest(f"{path} has a corpus.jsonl but neither qrels/test.tsv nor qrels.tsv, which say which passage answers which question.")
    grades: dict[str, dict[int, int]] = {}
    missing = 0
    with open(judged, encoding="utf-8", newline="") as file:
        for number, cells in enumerate(csv.reader(file, delimiter="\t"), start=1):
            if len(cells) == 4:  # TREC: query, iteration, passage, grade
                cells = [cells[0], cells[2], cells[3]]
            if len(cells) != 3 or not cells[2].strip().lstrip("-").isdigit():
                if number == 1 or not cells:
                    continue
                raise InvalidRequest(f"line {number} of {judged} is not a query, a passage and a grade with tabs between them.")
            query, passage, grade = cells[0], cells[1], int(cells[2])
            if query not in asked or passage not in places:
                missing += 1
            elif grade > 0:
                grades.setdefault(query, {})[places[passage]] = grade
    notes = (f"{missing} judgements are about questions or passages that are not in the folder.",) if missing else ()
    return Questions(path.name, "beir", texts, [Question(asked[query], relevant) for query, relevant in grades.items()], notes)


def _documents(path: Path, progress: Callable[[str], None] | None) -> Questions:
    from hausgeist.knowledge.parse.base import Limits, Unreadable
    from hausgeist.knowledge.parse.reading import read
    from hausgeist.knowledge.split.splitting import split

    texts: list[Text] = []
    unread: list[str] = []
    for file in sorted(one for one in path.rglob("*") if one.is_file() and not one.is_symlink() and not one.name.startswith(".")):
        if progress is not None:
            progress(file.name)
        try:
            parsed = read(file, file.name, Limits())
        except Unreadable as error:
            unread.append(f"{file.name} was left out: {error.message}")
            continue
        for piece in split(parsed):
            texts.append(Text(parsed.text[piece.start : piece.end], piece.heading, file.name, piece.language))
    if not texts:
        raise InvalidRequest(f"no file in {path} could be read: {'; '.join(unread[:3]) or 'it is empty'}.")
    made = questions_of(texts)
    notes = (
        "The questions were made of the documents themselves, without a model: key words of one sentence, or the sentence with a gap. "
        "They are easier than what people ask, so compare runs with each other and not with other sets.",
        *unread[:20],
    )
    return Questions(path.resolve().name, "documents", texts, made, notes)


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except (ValueError, OSError) as error:
        raise InvalidRequest(f"{path} is not JSON: {shown(str(error))}.") from error


def _lines(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        with open(path, encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                row = json.loads(line)
                if not isinstance(row, dict) or "_id" not in row:
                    raise InvalidRequest(f'line {number} of {path} is not an object with "_id".')
                yield row
    except (ValueError, OSError) as error:
        raise InvalidRequest(f"{path} cannot be read: {shown(str(error))}.") from error

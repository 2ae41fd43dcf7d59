"""The blind test: asks the guide, over the API that everybody uses, what people wrote who had not seen the corpus.

`python -m starter.judge http://127.0.0.1:4287/v1 [--model guide] [--misses FILE]`. An answer is right if it has all the facts that the sheet demands.
score = 1 - (misses + answers naming a wrong command) / questions, at temperature 0; an answer that is both counts twice. A command is wrong when the
sheet's answer does not name it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from starter import knowledge

__all__ = ["Judged", "declines", "judge", "main", "right", "wrong_commands"]

HERE = Path(__file__).parent / "judge"
DECLINING = {
    "en": ("tiny guide", "do not know", "know only", "knows only", "not yet there"),
    "de": ("winziger wegweiser", "weiß ich nicht", "kenne ich nicht", "kenne nur", "weiß nur"),
    "es": ("guía diminuta", "no lo sé", "no sé", "no conozco", "solo conozco"),
    "fr": ("guide minuscule", "ne sais", "ne le sais", "ne connais", "ne connaît"),
    "zh": ("小的向导", "小向导", "不知道", "不了解", "只懂"),
}
POINTERS = ("hausgeist run", "hausgeist pull", "hausgeist catalog", "hausgeist --help", "hausgeist doctor", "docs/", "README")


@dataclass(frozen=True)
class Judged:
    questions: int
    missed: int
    wrong: int

    @property
    def score(self) -> float:
        return 1 - (self.missed + self.wrong) / max(1, self.questions)


def right(intent: knowledge.Intent, answer: str) -> bool:
    """Whether all the facts are there."""
    said = answer.casefold()
    return all(any(one.casefold() in said for one in fact) for fact in intent.facts)


def wrong_commands(intent: knowledge.Intent, answer: str) -> set[str]:
    return knowledge.commands(answer) - intent.allowed


def declines(answer: str, language: str) -> bool:
    """Says that it does not know, and where to turn."""
    said = answer.casefold()
    return any(phrase.casefold() in said for phrase in DECLINING[language]) and any(pointer in answer for pointer in POINTERS)


async def judge(url: str, model: str, *, folder: Path = HERE) -> tuple[dict[str, Judged], list[dict[str, Any]]]:
    """By set, and every answer that failed."""
    intents = knowledge.intents()
    found: dict[str, Judged] = {}
    failed: list[dict[str, Any]] = []
    async with httpx.AsyncClient(base_url=url, timeout=120) as client:
        for name in (*knowledge.LANGUAGES, "off-topic", "near-topic"):
            asked = [json.loads(line) for line in (folder / f"{name}.jsonl").read_text(encoding="utf-8").splitlines() if line.strip()]
            answers = await _answers(client, model, [one["q"] for one in asked])
            missed = wrong = 0
            for one, answer in zip(asked, answers, strict=True):
                if "id" in one:
                    intent = intents[one["id"]]
                    miss, bad = not right(intent, answer), bool(wrong_commands(intent, answer))
                else:
                    miss, bad = not declines(answer, one["lang"]), False
                missed, wrong = missed + miss, wrong + bad
                if miss or bad:
                    failed.append({"set": name, **one, "answer": answer, "miss": miss, "wrong": bad})
            found[name] = Judged(len(asked), missed, wrong)
    return found, failed


async def _answers(client: httpx.AsyncClient, model: str, questions: Sequence[str]) -> list[str]:
    gate = asyncio.Semaphore(2)

    async def one(question: str) -> str:
        body = {"model": model, "messages": [{"role": "user", "content": question}], "temperature": 0, "max_tokens": 200}
        async with gate:
            response = await client.post("chat/completions", json=body)
        response.raise_for_status()
        return str(response.json()["choices"][0]["message"]["content"])

    return list(await asyncio.gather(*map(one, questions)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--model", default="guide")
    parser.add_argument("--misses", type=Path)
    options = parser.parse_args()
    found, failed = asyncio.run(judge(options.url.rstrip("/") + "/", options.model))
    for name, one in found.items():
        print(f"{name:<10}  {one.score:6.1%}  {one.questions} questions, {one.missed} missed, {one.wrong} with a wrong command")
    if options.misses:
        options.misses.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in failed), encoding="utf-8")


if __name__ == "__main__":
    main()

"""Trains the guide: `python -m starter.train FOLDER [--minutes 80]` writes the tokenizer, the weights and the loss curve there.

One seed, two threads, no other input than the files beside this one.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import functional

from starter import knowledge
from starter.examples import Part, Writer, conversation
from starter.muon import Muon
from starter.network import Guide, Shape
from starter.tokens import Cutter, learn

__all__ = ["main"]

SEED = 4287
VOCABULARY = 6144
BATCH_TOKENS = 2048
RATE, MUON_RATE, LATER_WORD_RATE, LAST, WARM_STEPS = 3e-3, 0.01, 5e-4, 0.02, 150
"""Of AdamW for the output matrix and the norms, of Muon for the matrices between, and of AdamW for the embedding, which knows its words already; all
fall to `LAST` of it."""
WHOLE, BRIEF = 0.25, 10
"""Share of examples with the whole answer, and the most tokens of it that the others have: how it begins says whether the question was understood."""
NAMED = 1.0
"""Weight of naming the intent, which a head does that only training has: it tells at once which answer is meant, in any language."""
HELD_BACK = 20
"""One question in so many is kept from training, to watch."""
LOOSE = 0.3
WORD_TURNS, WORD_RATE, WORD_SCALE, WORD_SHARE = 15, 0.005, 0.03, 5.0
SLOTTED, NEAR_SLOTTED, CODE = 0.06, 0.15, 0.05
"""Made questions and pieces of code, per question that somebody wrote."""


@dataclass(frozen=True)
class Batch:
    """Tokens (batch, tokens), what each next one weighs (batch, tokens - 1), places (n, 2) where an intent is to be named, and which (n)."""

    tokens: torch.Tensor
    weights: torch.Tensor
    at: torch.Tensor
    intents: torch.Tensor


@dataclass(frozen=True)
class Example:
    """Tokens and what each weighs as something to be said; `at` is where the last answer begins, which belongs to the class `intent`, if any."""

    tokens: list[int]
    weights: list[float]
    at: int = 0
    intent: int = -1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=80.0)
    parser.add_argument("--tokens", type=float, default=0.0, help="stop after so many million tokens instead")
    parser.add_argument("--languages", default=",".join(knowledge.LANGUAGES))
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--hidden", type=int, default=1152)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(SEED)
    torch.set_num_threads(2)
    chosen = tuple(options.languages.split(","))
    known, declined = list(knowledge.intents().values()), list(knowledge.declined().values())
    seen, kept = _divided([*known, *declined], chosen)
    writer = Writer(SEED, known, declined, knowledge.slots(), knowledge.code())
    tokenizer = learn(_texts(known, declined), VOCABULARY)
    tokenizer.save(str(options.folder / "tokenizer.json"))
    cutter = Cutter(tokenizer)
    shape = Shape(VOCABULARY, width=options.width, layers=options.layers, heads=options.width // 64, hidden=options.hidden)
    guide = Guide(shape, dropout=0.1)
    print(f"{len(seen)} questions, {len(kept)} kept back, {guide.size / 1e6:.1f} million parameters", flush=True)
    classes = {intent.id: at for at, intent in enumerate([*known, *declined])}
    head = torch.nn.Linear(shape.width, len(classes), bias=False)
    began = time.monotonic()
    _acquaint(guide, head, writer, cutter, seen, chosen, classes)
    print(f"words: {time.monotonic() - began:.0f} s", flush=True)
    batches = _batches(writer, cutter, seen, chosen, classes)
    watched = [
        _batch(
            [
                _example(cutter, conversation([(question, intent.answers[language])]), intent=classes[intent.id], brief=10)
                for intent, language, question in kept[at : at + 50]
            ]
        )
        for at in range(0, min(len(kept), 800), 50)
    ]
    curve = _train(guide, head, batches, watched, minutes=options.minutes, most=options.tokens * 1e6)
    torch.save({"shape": shape, "weights": guide.state_dict()}, options.folder / "weights.pt")
    (options.folder / "curve.json").write_text(json.dumps(curve))


Question = tuple[knowledge.Intent, str, str]


def _divided(all_of: list[knowledge.Intent], languages: tuple[str, ...]) -> tuple[list[Question], list[Question]]:
    seen: list[Question] = []
    kept: list[Question] = []
    for intent in all_of:
        for language in languages:
            for at, question in enumerate(intent.questions.get(language, ())):
                (kept if at % HELD_BACK == HELD_BACK // 2 else seen).append((intent, language, question))
    random.Random(SEED).shuffle(kept)
    return seen, kept


def _texts(known: list[knowledge.Intent], declined: list[knowledge.Intent]) -> Iterator[str]:
    for intent in [*known, *declined]:
        for answer in intent.answers.values():
            # An answer is said again and again.
            yield from [answer] * 4
        for questions in intent.questions.values():
            for question in questions:
                yield question
                yield question.lower()
    yield from knowledge.code()


def _mixed(seen: list[Question], writer: Writer, dice: random.Random, languages: tuple[str, ...]) -> list[Question]:
    """All questions once, and among them some that are to be declined, made anew each time."""
    made = [
        (slotted[0], language, slotted[1])
        for near, share in ((False, SLOTTED), (True, NEAR_SLOTTED))
        for _ in range(int(share * len(seen)))
        if (slotted := writer.slotted(language := dice.choice(languages), near=near)) is not None
    ]
    order = [*seen, *made]
    dice.shuffle(order)
    return order


def _batches(writer: Writer, cutter: Cutter, seen: list[Question], languages: tuple[str, ...], classes: dict[str, int]) -> Iterator[Batch]:
    dice = random.Random(SEED)
    while True:
        pool: list[Example] = []
        for intent, language, question in _mixed(seen, writer, dice, languages):
            brief = 0 if dice.random() < WHOLE else dice.randint(2, BRIEF)
            parts = writer.answered(intent, language, question)
            pool.append(_example(cutter, parts, loose=dice.random() < LOOSE, intent=classes[intent.id], brief=brief))
            if dice.random() < CODE:
                pool.append(_example(cutter, writer.completed()))
            if len(pool) >= 1500:
                yield from _packed(pool, dice)
                pool = []
        yield from _packed(pool, dice)


def _acquaint(
    guide: Guide, head: torch.nn.Linear, writer: Writer, cutter: Cutter, seen: list[Question], languages: tuple[str, ...], classes: dict[str, int]
) -> None:
    """Learn what each token says about the intent, as fastText does (Joulin et al., 2016): the mean of a question's embeddings names it.

    Then block 0 begins as that mean, evenly over what it reads, and the head names from the first step on what it will name at the end.
    """
    dice = random.Random(SEED)
    words, width = guide.embedding.weight, guide.shape.width
    optimizer = torch.optim.AdamW([words, *head.parameters()], lr=WORD_RATE, weight_decay=0.0, fused=True)
    for turn in range(WORD_TURNS):
        for group in optimizer.param_groups:
            group["lr"] = WORD_RATE * (1 - turn / WORD_TURNS)
        asked = _mixed(seen, writer, dice, languages)
        made = [
            (_prompt(cutter, writer.put(question, language), loose=dice.random() < LOOSE), classes[intent.id]) for intent, language, question in asked
        ]
        made.sort(key=lambda one: len(one[0]))
        parts = [made[at : at + 256] for at in range(0, len(made), 256)]
        dice.shuffle(parts)
        for part in parts:
            longest = len(part[-1][0])
            tokens = torch.tensor([ids + [0] * (longest - len(ids)) for ids, _ in part])
            there = torch.tensor([[1.0] * len(ids) + [0.0] * (longest - len(ids)) for ids, _ in part])
            there = there * (torch.rand_like(there) > 0.1)
            each = functional.rms_norm(functional.embedding(tokens, words), (width,))
            mean = functional.rms_norm((each * there[..., None]).sum(1) / (there.sum(1, keepdim=True) + 1), (width,))
            loss = functional.cross_entropy(head(guide.dropout(mean)), torch.tensor([intent for _, intent in part]), label_smoothing=0.1)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
    with torch.no_grad():
        words *= WORD_SCALE / words.std()
        for block in guide.blocks:
            block.out.weight.zero_()
            block.down.weight.zero_()
        first = guide.blocks[0]
        first.qkv.weight[2 * width :] = torch.eye(width)
        first.out.weight.copy_(WORD_SHARE * torch.eye(width))


def _example(cutter: Cutter, parts: Sequence[Part], *, loose: bool = False, intent: int = -1, brief: int = 0) -> Example:
    """`brief`: so many tokens of the last answer; 0: all of it."""
    tokens, learnt = cutter.example(parts, loose=loose)
    ends = len(learnt) - next((at for at, one in enumerate(reversed(learnt)) if one), 0)
    begins = ends - next((at for at, one in enumerate(reversed(learnt[:ends])) if not one), ends)
    stop = begins + brief if brief else len(tokens)
    return Example(tokens[:stop], [float(one) for one in learnt[:stop]], begins - 1, intent)


def _prompt(cutter: Cutter, question: str, *, loose: bool = False) -> list[int]:
    """All that comes before the answer."""
    return cutter.example(conversation([(question, "")])[:-1], loose=loose)[0]


def _packed(pool: list[Example], dice: random.Random) -> Iterator[Batch]:
    """Examples of one length lie together."""
    pool.sort(key=lambda one: len(one.tokens) + dice.random())
    batches: list[list[Example]] = [[]]
    for one in pool:
        if batches[-1] and (len(batches[-1]) + 1) * len(one.tokens) > BATCH_TOKENS:
            batches.append([])
        batches[-1].append(one)
    dice.shuffle(batches)
    yield from map(_batch, batches)


def _batch(examples: list[Example]) -> Batch:
    longest = min(Shape.context, max(len(one.tokens) for one in examples))
    tokens = torch.zeros(len(examples), longest, dtype=torch.long)
    weights = torch.zeros(len(examples), longest)
    for row, one in enumerate(examples):
        count = min(len(one.tokens), longest)
        tokens[row, :count] = torch.tensor(one.tokens[:count])
        weights[row, :count] = torch.tensor(one.weights[:count])
    named = [row for row, one in enumerate(examples) if one.intent >= 0 and one.at < longest]
    at = torch.tensor([(row, examples[row].at) for row in named], dtype=torch.long).reshape(-1, 2)
    return Batch(tokens, weights[:, 1:], at, torch.tensor([examples[row].intent for row in named], dtype=torch.long))


def _losses(guide: Guide, head: torch.nn.Linear, batch: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Mean cross entropies: of what weighs anything, and of the intent; and the share of intents that were named rightly."""
    hidden = guide(batch.tokens)
    counted = batch.weights > 0
    losses = functional.cross_entropy(guide.logits(hidden[:, :-1][counted]).float(), batch.tokens[:, 1:][counted], reduction="none")
    said = (losses * batch.weights[counted]).sum() / batch.weights[counted].sum()
    if not len(batch.intents):
        return said, torch.zeros(()), torch.zeros(())
    named = head(hidden[batch.at[:, 0], batch.at[:, 1]])
    return said, functional.cross_entropy(named, batch.intents, label_smoothing=0.1), (named.argmax(-1) == batch.intents).float().mean()


def _train(
    guide: Guide, head: torch.nn.Linear, batches: Iterator[Batch], watched: list[Batch], *, minutes: float, most: float
) -> list[dict[str, float]]:
    """Until the time is over, with a rate that falls as the time passes (cosine). Returns the loss curve."""
    words = guide.embedding.weight
    between = [parameter for parameter in guide.blocks.parameters() if parameter.dim() == 2]
    rest = [parameter for parameter in [*guide.parameters(), *head.parameters()] if all(parameter is not other for other in (words, *between))]
    optimizers = {
        RATE: torch.optim.AdamW(rest, lr=RATE, betas=(0.9, 0.98), weight_decay=0.01, fused=True),
        LATER_WORD_RATE: torch.optim.AdamW([words], lr=LATER_WORD_RATE, betas=(0.9, 0.98), weight_decay=0.0, fused=True),
        MUON_RATE: Muon(between, lr=MUON_RATE, weight_decay=0.01),
    }
    curve: list[dict[str, float]] = []
    began, seen, step, mean, right = time.monotonic(), 0, 0, 0.0, 0.0
    while (done := seen / most if most else (time.monotonic() - began) / (60 * minutes)) < 1:
        share = min(step + 1, WARM_STEPS) / WARM_STEPS * (LAST + (1 - LAST) * (1 + math.cos(math.pi * done)) / 2)
        for rate, optimizer in optimizers.items():
            for group in optimizer.param_groups:
                group["lr"] = rate * share
        batch = next(batches)
        said, named, rightly = _losses(guide, head, batch)
        (said + NAMED * named).backward()
        torch.nn.utils.clip_grad_norm_(guide.parameters(), 1.0)
        for optimizer in optimizers.values():
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        seen += batch.tokens.numel()
        step += 1
        mean, right = (said.item(), rightly.item()) if step == 1 else (0.98 * mean + 0.02 * said.item(), 0.98 * right + 0.02 * rightly.item())
        if step % 50 == 0:
            point = {"step": step, "tokens": seen, "seconds": round(time.monotonic() - began, 1), "loss": round(mean, 4), "named": round(right, 4)}
            if step % 250 == 0:
                point["kept_back"], point["kept_back_named"] = _watched(guide, head, watched)
            curve.append(point)
            print(json.dumps(point), flush=True)
    curve.append(
        {
            "step": step,
            "tokens": seen,
            "seconds": round(time.monotonic() - began, 1),
            **dict(zip(("kept_back", "kept_back_named"), _watched(guide, head, watched), strict=True)),
        }
    )
    print(json.dumps(curve[-1]), flush=True)
    return curve


@torch.no_grad()
def _watched(guide: Guide, head: torch.nn.Linear, watched: list[Batch]) -> tuple[float, float]:
    """Loss of answers to questions that training never sees, and the share of them whose intent is named rightly."""
    guide.eval()
    found = [(*_losses(guide, head, batch), len(batch.tokens)) for batch in watched]
    guide.train()
    count = sum(one[3] for one in found)
    return round(float(sum(one[0] * one[3] for one in found)) / count, 4), round(float(sum(one[2] * one[3] for one in found)) / count, 4)


if __name__ == "__main__":
    main()

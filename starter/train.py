"""Trains the guide: `python -m starter.train FOLDER [--minutes 74]` writes the tokenizer, the weights and the loss curve there.

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
from starter.examples import CONTROL, Part, Writer, answer, conversation, topic
from starter.muon import Muon
from starter.network import Guide, Shape
from starter.tokens import Cutter, learn

__all__ = ["main"]

SEED = 4287
VOCABULARY = 6720
BATCH_TOKENS = 2048
RATE, MUON_RATE, LATER_WORD_RATE, LAST, WARM_STEPS = 3e-3, 0.01, 5e-4, 0.02, 150
"""Of AdamW for the output matrix and the norms, of Muon for the matrices between, and of AdamW for the embedding, which knows its words already; all
fall to `LAST` of it."""
WHOLE, BRIEF = 0.1, 8
"""Share of questions with the whole answer, and the most tokens of it that the others have."""
RECITED = 1.0
"""Share of questions beside which another answer is said by heart, without a question."""
NAMED = 20.0
"""Weight of the topic, against 1 for every other token that shall be said: with it, all is decided."""
DOUBT = 1.0
"""By how much all that is declined is preferred at the end: who is unsure says so."""
HELD_BACK = 20
"""One question in so many is kept from training, to watch."""
LOOSE = 0.3
SMOOTHED = 0.02
WORD_TURNS, WORD_RATE, WORD_SCALE, WORD_SHARE = 15, 0.005, 0.03, 5.0
SLOTTED, NEAR_SLOTTED, CODE = 0.15, 0.15, 0.05
"""Made questions and pieces of code, per question that somebody wrote."""


@dataclass(frozen=True)
class Batch:
    """Tokens (batch, tokens), and what each next one weighs (batch, tokens - 1)."""

    tokens: torch.Tensor
    weights: torch.Tensor


@dataclass(frozen=True)
class Example:
    """Tokens, and what each weighs as something to be said."""

    tokens: list[int]
    weights: list[float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=74.0)
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
    topics = [topic(intent.id) for intent in [*known, *declined]]
    tokenizer = learn(_texts(known, declined), VOCABULARY, [*CONTROL, *topics, *map(topic, knowledge.LANGUAGES)])
    tokenizer.save(str(options.folder / "tokenizer.json"))
    cutter = Cutter(tokenizer)
    places = range(len(CONTROL), len(CONTROL) + len(topics))
    shape = Shape(VOCABULARY, width=options.width, layers=options.layers, heads=options.width // 64, hidden=options.hidden)
    guide = Guide(shape, dropout=0.1)
    print(f"{len(seen)} questions, {len(kept)} kept back, {guide.size / 1e6:.1f} million parameters", flush=True)
    began = time.monotonic()
    _acquaint(guide, writer, cutter, seen, chosen, places)
    print(f"words: {time.monotonic() - began:.0f} s", flush=True)
    watched = [
        _batch([_example(cutter, conversation(question, answer(intent, language)), brief=BRIEF) for intent, language, question in kept[at : at + 50]])
        for at in range(0, min(len(kept), 800), 50)
    ]
    curve = _train(guide, _batches(writer, cutter, seen, chosen), watched, places, minutes=options.minutes, most=options.tokens * 1e6)
    _doubt(guide, watched, places, range(places.start + len(known), places.stop))
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
        for text in intent.answers.values():
            # An answer is said again and again.
            yield from [text] * 4
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


def _batches(writer: Writer, cutter: Cutter, seen: list[Question], languages: tuple[str, ...]) -> Iterator[Batch]:
    dice = random.Random(SEED)
    while True:
        pool: list[Example] = []
        for question in _mixed(seen, writer, dice, languages):
            brief = 0 if dice.random() < WHOLE else dice.randint(1, BRIEF)
            pool.append(_example(cutter, writer.answered(*question), loose=dice.random() < LOOSE, brief=brief))
            if dice.random() < RECITED:
                pool.append(_example(cutter, writer.recited()))
            if dice.random() < CODE:
                pool.append(_example(cutter, writer.completed()))
            if len(pool) >= 1500:
                yield from _packed(pool, dice)
                pool = []
        yield from _packed(pool, dice)


def _acquaint(guide: Guide, writer: Writer, cutter: Cutter, seen: list[Question], languages: tuple[str, ...], topics: range) -> None:
    """Learn what each token says about the topic, as fastText does (Joulin et al., 2016): the mean of a question's embeddings names it.

    Then block 0 begins as that mean, evenly over what it reads, and the output matrix names from the first step on what it will name at the end.
    """
    dice = random.Random(SEED)
    words, width = guide.embedding.weight, guide.shape.width
    optimizer = torch.optim.AdamW([words, guide.output.weight], lr=WORD_RATE, weight_decay=0.0, fused=True)
    for turn in range(WORD_TURNS):
        for group in optimizer.param_groups:
            group["lr"] = WORD_RATE * (1 - turn / WORD_TURNS)
        asked = _mixed(seen, writer, dice, languages)
        made = [
            (_prompt(cutter, writer.put(question, language), loose=dice.random() < LOOSE), cutter.cut(topic(intent.id))[0] - topics.start)
            for intent, language, question in asked
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
            loss = functional.cross_entropy(
                functional.linear(guide.dropout(mean), guide.output.weight[topics.start : topics.stop]),
                torch.tensor([named for _, named in part]),
                label_smoothing=0.1,
            )
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


def _example(cutter: Cutter, parts: Sequence[Part], *, loose: bool = False, brief: int = 0) -> Example:
    """`brief`: so many tokens of the answer after its topic and language; 0: all of it."""
    tokens, learnt = cutter.example(parts, loose=loose)
    begins = learnt.index(True)
    stop = begins + 2 + brief if brief else len(tokens)
    weights = [float(one) for one in learnt[:stop]]
    if tokens[begins] >= len(CONTROL) and cutter.tokenizer.id_to_token(tokens[begins]).startswith("<|"):
        weights[begins] = NAMED
    return Example(tokens[:stop], weights)


def _prompt(cutter: Cutter, question: str, *, loose: bool = False) -> list[int]:
    """All that comes before the answer."""
    return cutter.example(conversation(question, ()), loose=loose)[0]


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
    return Batch(tokens, weights[:, 1:])


def _losses(guide: Guide, batch: Batch, topics: range) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean cross entropy of what weighs anything, and for each topic whether it was named rightly."""
    hidden = guide(batch.tokens)
    counted = batch.weights > 0
    targets, weights = batch.tokens[:, 1:][counted], batch.weights[counted]
    logits = guide.logits(hidden[:, :-1][counted])
    loss = (functional.cross_entropy(logits, targets, reduction="none", label_smoothing=SMOOTHED) * weights).sum() / weights.sum()
    named = (targets >= topics.start) & (targets < topics.stop)
    return loss, logits[named].argmax(-1) == targets[named]


def _train(guide: Guide, batches: Iterator[Batch], watched: list[Batch], topics: range, *, minutes: float, most: float) -> list[dict[str, float]]:
    """Until the time is over, with a rate that falls as the time passes (cosine). Returns the loss curve."""
    words = guide.embedding.weight
    between = [parameter for parameter in guide.blocks.parameters() if parameter.dim() == 2]
    rest = [parameter for parameter in guide.parameters() if all(parameter is not other for other in (words, *between))]
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
        loss, rightly = _losses(guide, batch, topics)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(guide.parameters(), 1.0)
        for optimizer in optimizers.values():
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        seen += batch.tokens.numel()
        step += 1
        mean = loss.item() if step == 1 else 0.98 * mean + 0.02 * loss.item()
        if len(rightly):
            right += 0.02 * (float(rightly.float().mean()) - right)
        if step % 50 == 0:
            point = {"step": step, "tokens": seen, "seconds": round(time.monotonic() - began, 1), "loss": round(mean, 4), "named": round(right, 4)}
            if step % 250 == 0:
                point["kept_back"], point["kept_back_named"] = _watched(guide, watched, topics)
            curve.append(point)
            print(json.dumps(point), flush=True)
    curve.append(
        {
            "step": step,
            "tokens": seen,
            "seconds": round(time.monotonic() - began, 1),
            **dict(zip(("kept_back", "kept_back_named"), _watched(guide, watched, topics), strict=True)),
        }
    )
    print(json.dumps(curve[-1]), flush=True)
    return curve


@torch.no_grad()
def _doubt(guide: Guide, asked: list[Batch], topics: range, declined: range) -> None:
    """Add `DOUBT` to the logits of what is declined.

    The network has no biases; in their place stands the direction along which all questions have the same length (least squares, a little ridge).
    """
    guide.eval()
    parts = []
    for batch in asked:
        targets = batch.tokens[:, 1:]
        parts.append(guide(batch.tokens)[:, :-1][(targets >= topics.start) & (targets < topics.stop)])
    hidden = torch.cat(parts)
    ridge = 1e-3 * len(hidden) * torch.eye(hidden.size(1))
    direction = torch.linalg.solve(hidden.T @ hidden + ridge, hidden.sum(0))
    guide.output.weight[declined.start : declined.stop] += DOUBT * direction
    guide.train()


@torch.no_grad()
def _watched(guide: Guide, watched: list[Batch], topics: range) -> tuple[float, float]:
    """Loss of answers to questions that training never sees, and the share of them whose topic is named rightly."""
    guide.eval()
    found = [_losses(guide, batch, topics) for batch in watched]
    guide.train()
    rightly = torch.cat([one[1] for one in found]).float()
    return round(float(sum(one[0] for one in found)) / len(found), 4), round(float(rightly.mean()), 4)


if __name__ == "__main__":
    main()

"""Trains the guide: `python -m starter.train FOLDER [--minutes 80]` writes the tokenizer, the weights and the loss curve there.

One seed, two threads, no other input than the files beside this one.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch.nn import functional

from starter import knowledge
from starter.examples import Part, Writer
from starter.network import Guide, Shape
from starter.tokens import Cutter, learn

__all__ = ["main"]

SEED = 4287
VOCABULARY = 6144
BATCH_TOKENS = 2048
RATE, MUON_RATE, LAST, WARM_STEPS = 2.5e-3, 0.02, 0.02, 150
"""Of AdamW for the embedding and norms, and of Muon (Jordan et al., 2024) for the matrices between; both fall to `LAST` of it."""
BRIEF = 0.5
"""Share of examples whose last answer is cut short: how it begins says whether the question was understood, the rest is learnt from others."""
HEARD = 0.15
"""Weight of what is read, against 1 for what shall be said."""
HELD_BACK = 20
"""One question in so many is kept from training, to watch."""
LOOSE = 0.3
SLOTTED, CODE = 0.06, 0.05
"""Shares of examples."""
WEIGHTS = {"en": 1.0, "de": 1.0, "es": 1.0, "fr": 1.0, "zh": 1.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=80.0)
    parser.add_argument("--tokens", type=float, default=0.0, help="stop after so many million tokens instead")
    parser.add_argument("--languages", default=",".join(knowledge.LANGUAGES))
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--layers", type=int, default=6)
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
    shape = Shape(VOCABULARY, width=options.width, layers=options.layers, heads=options.width // 64, hidden=options.width * 11 // 4 // 32 * 32)
    guide = Guide(shape, dropout=0.1)
    print(f"{len(seen)} questions, {len(kept)} kept back, {guide.size / 1e6:.1f} million parameters", flush=True)
    batches = _batches(writer, cutter, seen, chosen)
    watched = [cutter.example(writer.answered(*one), loose=False) for one in kept[:400]]
    curve = _train(guide, batches, watched, minutes=options.minutes, most=options.tokens * 1e6)
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


def _batches(writer: Writer, cutter: Cutter, seen: list[Question], languages: tuple[str, ...]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Tokens (batch, tokens), and what each next one weighs (batch, tokens - 1). Examples of one length lie together."""
    dice = random.Random(SEED)
    while True:
        order = seen[:]
        dice.shuffle(order)
        pool: list[tuple[list[int], list[bool]]] = []
        for question in order:
            made: list[list[Part] | None] = [writer.answered(*question)]
            if dice.random() < SLOTTED:
                made.append(writer.slotted(dice.choice(languages)))
            if dice.random() < CODE:
                made.append(writer.completed())
            for one in made:
                if one is not None:
                    pool.append(_brief(cutter.example(one, loose=dice.random() < LOOSE), dice))
            if len(pool) >= 1500:
                yield from _packed(pool, dice)
                pool = []
        yield from _packed(pool, dice)


def _brief(example: tuple[list[int], list[bool]], dice: random.Random) -> tuple[list[int], list[bool]]:
    """Half of them: the answer at the end to between 6 and 16 tokens."""
    tokens, learnt = example
    if dice.random() >= BRIEF:
        return example
    begins = len(learnt) - next((at for at, one in enumerate(reversed(learnt)) if not one), len(learnt))
    end = begins + dice.randint(6, 16)
    return tokens[:end], learnt[:end]


def _packed(pool: list[tuple[list[int], list[bool]]], dice: random.Random) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    pool.sort(key=lambda one: len(one[0]) + dice.random())
    batches: list[list[tuple[list[int], list[bool]]]] = [[]]
    for one in pool:
        if batches[-1] and (len(batches[-1]) + 1) * len(one[0]) > BATCH_TOKENS:
            batches.append([])
        batches[-1].append(one)
    dice.shuffle(batches)
    for batch in batches:
        yield tensors(batch)


def tensors(batch: list[tuple[list[int], list[bool]]]) -> tuple[torch.Tensor, torch.Tensor]:
    longest = min(Shape.context, max(len(tokens) for tokens, _ in batch))
    tokens = torch.zeros(len(batch), longest, dtype=torch.long)
    weights = torch.zeros(len(batch), longest)
    for row, (ids, learnt) in enumerate(batch):
        count = min(len(ids), longest)
        tokens[row, :count] = torch.tensor(ids[:count])
        weights[row, :count] = torch.tensor([1.0 if one else HEARD for one in learnt[:count]])
    return tokens, weights[:, 1:]


def _loss(guide: Guide, tokens: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Mean of the cross entropy of what weighs anything."""
    hidden = guide(tokens)[:, :-1]
    counted = weights > 0
    losses = functional.cross_entropy(guide.logits(hidden[counted]).float(), tokens[:, 1:][counted], reduction="none")
    return (losses * weights[counted]).sum() / weights[counted].sum()


def _train(
    guide: Guide, batches: Iterator[tuple[torch.Tensor, torch.Tensor]], watched: list[tuple[list[int], list[bool]]], *, minutes: float, most: float
) -> list[dict[str, float]]:
    """Until the time is over, with a rate that falls as the time passes (cosine). Returns the loss curve."""
    between = [parameter for name, parameter in guide.named_parameters() if parameter.dim() == 2 and name.startswith("blocks")]
    others = [parameter for name, parameter in guide.named_parameters() if parameter.dim() != 2 or not name.startswith("blocks")]
    optimizers = {
        RATE: torch.optim.AdamW(others, lr=RATE, betas=(0.9, 0.98), weight_decay=0.0, fused=True),
        MUON_RATE: torch.optim.Muon(between, lr=MUON_RATE, weight_decay=0.01),
    }
    curve: list[dict[str, float]] = []
    began, seen, step, mean = time.monotonic(), 0, 0, 0.0
    while (done := seen / most if most else (time.monotonic() - began) / (60 * minutes)) < 1:
        share = min(step + 1, WARM_STEPS) / WARM_STEPS * (LAST + (1 - LAST) * (1 + math.cos(math.pi * done)) / 2)
        for rate, optimizer in optimizers.items():
            for group in optimizer.param_groups:
                group["lr"] = rate * share
        tokens, weights = next(batches)
        loss = _loss(guide, tokens, weights)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(guide.parameters(), 1.0)
        for optimizer in optimizers.values():
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        seen += tokens.numel()
        step += 1
        mean = loss.item() if not mean else 0.98 * mean + 0.02 * loss.item()
        if step % 50 == 0:
            point = {"step": step, "tokens": seen, "seconds": round(time.monotonic() - began, 1), "loss": round(mean, 4)}
            if step % 250 == 0:
                point["kept_back"] = round(_watched(guide, watched), 4)
            curve.append(point)
            print(json.dumps(point), flush=True)
    return curve


@torch.no_grad()
def _watched(guide: Guide, watched: list[tuple[list[int], list[bool]]]) -> float:
    """Loss on answers to questions that training never sees."""
    guide.eval()
    total = 0.0
    for at in range(0, len(watched), 40):
        tokens, weights = tensors(watched[at : at + 40])
        total += _loss(guide, tokens, (weights == 1.0).float()).item() * len(watched[at : at + 40])
    guide.train()
    return total / len(watched)


if __name__ == "__main__":
    main()

"""What people are told about the machine they need, row by row beside what the planner says: where it holds, where it misleads, and why.

The claims are data (`claims.toml`); the answers are reckoned anew from models, devices and prices, so that they change with these.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final, Literal

from hausgeist.errors import NotFound, StoreError
from hausgeist.planner.advice.models import Model, Ranked, best_here, ranked
from hausgeist.planner.costs.expense import Terms, expense
from hausgeist.planner.costs.footprint import data_centre_footprint
from hausgeist.planner.costs.prices import Prices
from hausgeist.planner.costs.purchase import base_machine, device_price_eur
from hausgeist.planner.devices.known import Devices
from hausgeist.planner.fitting import SYSTEM_RESERVE
from hausgeist.planner.memory import Start, estimate
from hausgeist.planner.plan import gib
from hausgeist.planner.target import target
from hausgeist.planner.wish import Speeds

__all__ = ["Answer", "Claims", "Known", "answers", "decode", "packaged"]

Verdict = Literal["holds", "in part", "misleads", "no claim"]

_HEAVY: Final = 85
"""EUR a month; about 100 dollars without tax."""
_TOLD: Final = 4096
"""Tokens of context by which models of a table are compared, or what they were made for."""
_MACHINES: Final = ("Raspberry Pi 5 8GB", "DDR5-5600 64GB", "RTX 4060", "RTX 4090")
_TWICE: Final = 2.0
"""Times what is needed, from which on a number sends people to a larger machine than they need."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """The tables as they were found."""

    rules: tuple[Mapping[str, Any], ...]
    models: tuple[Mapping[str, Any], ...]
    named: tuple[Mapping[str, Any], ...]
    cards: tuple[Mapping[str, Any], ...]
    sources: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What answers are reckoned from."""

    models: Mapping[str, Model]
    """By name."""
    devices: Devices
    prices: Prices
    run: Speeds | None = None

    def model(self, name: str) -> Model:
        """Raises `NotFound`."""
        if name not in self.models:
            raise NotFound(f"The catalogue has no model '{name}'.")
        return self.models[name]

    def on(self, name: str, device: str, context: int) -> Ranked | None:
        return ranked(self.model(name), target(self.devices, device), context=context, run=self.run)

    def best(self, device: str, use: str) -> Ranked | None:
        found = best_here(self.models.values(), target(self.devices, device), use, count=1, run=self.run)
        return found[0] if found and found[0].good else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One row."""

    kind: Literal["rule", "model", "named", "card"]
    claim: str
    says: str
    """What the planner says."""
    verdict: Verdict
    why: str
    sources: tuple[str, ...] = ()
    """Of what is not reckoned here."""


def packaged() -> str:
    """The text that comes with the program."""
    return (files(__package__) / "claims.toml").read_text("utf-8")


@cache
def decode(text: str) -> Claims:
    """Raises `StoreError`: the data came with the program and are damaged."""
    try:
        raw = tomllib.loads(text)
        found = {name: tuple(raw[name]) for name in ("rules", "models", "named", "cards")}
        sources = dict(raw["sources"])
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise StoreError(f"The claims are damaged ({error}); install Hausgeist anew.") from error
    used = {one for rule in found["rules"] for one in rule.get("sources", ())}
    if unknown := ({rule["id"] for rule in found["rules"]} ^ _RULES.keys()) | (used - sources.keys()):
        raise StoreError(f"The claims are damaged ({', '.join(sorted(unknown))}); install Hausgeist anew.")
    return Claims(**found, sources=MappingProxyType(sources))


def answers(models: Mapping[str, Model], devices: Devices, prices: Prices, *, run: Speeds | None = None) -> tuple[Answer, ...]:
    """Each row of each table. `models`: the catalogue by name. Raises `NotFound` for a model of the tables that it lacks."""
    claims, known = decode(packaged()), Known(models=models, devices=devices, prices=prices, run=run)
    return (
        *(_rule(row, claims, known) for row in claims.rules),
        *(_model(row, known) for row in claims.models),
        *(_named(row, known) for row in claims.named),
        *(_card(row, known) for row in claims.cards),
    )


def _rule(row: Mapping[str, Any], claims: Claims, known: Known) -> Answer:
    says, verdict, why = _RULES[row["id"]](known)
    used = [claims.sources[name] for name in row.get("sources", ())]
    return Answer(
        kind="rule", claim=row["text"], says=says, verdict=verdict, why=" ".join((why, *row.get("evidence", ()))),
        sources=tuple(f"{one['title']}, {one['date']}, {one['url']}" for one in used),
    )  # fmt: skip


def _bytes(model: Model, context: int, precision: str = "") -> int:
    """On a processor, everything together."""
    return estimate(model.header(precision or model.precision), Start(context=context, projector=model.projector, instructions="none")).total


def _model(row: Mapping[str, Any], known: Known) -> Answer:
    model = known.model(row["catalogue"])
    context = min(_TOLD, model.context)
    needed, half, long = _bytes(model, context), _bytes(model, context, "F16"), _bytes(model, model.context)
    said = row["said_gb"] * 2**30
    room = said - int(SYSTEM_RESERVE.value) * 2**20
    says = f"{gib(needed)} at {model.precision} with {context:,} tokens of context, {gib(half)} in half precision"
    if model.context > context:
        says += f"; {gib(long)} with its {model.context:,} tokens"
    verdict: Verdict
    if needed > said:
        verdict, why = "misleads", "It does not fit into what is said."
    elif said > _TWICE * needed:
        verdict, why = "misleads", f"It runs in less than half of it: {said / needed:.1f} times what it takes is asked for."
    elif needed > room:
        verdict, why = "in part", "It fits on a card of that size, not into a machine's memory beside its system."
    elif long > said:
        verdict, why = "in part", "It fits at four bits and a short context; with the context that it was made for it does not."
    else:
        verdict, why = "holds", "It fits at four bits, with its system beside it."
    if half > said:
        why += " In half precision it does not fit."
    return Answer(kind="model", claim=f"{row['name']}, {row['parameters']}: {row['said_gb']} GB", says=says, verdict=verdict, why=why)


def _named(row: Mapping[str, Any], known: Known) -> Answer:
    model = known.model(row["catalogue"])
    context = min(_TOLD, model.context)
    rates = [(name, known.on(row["catalogue"], name, context)) for name in _MACHINES]
    runs = [f"{name} {one.speed.generate_tokens_per_second:.3g} tokens/s" for name, one in rates if one is not None and one.fit.placed == "wholly"]
    taken = f"{gib(_bytes(model, context))} at {model.precision} with {context:,} tokens of context"
    says = f"{taken}; {', '.join(runs or ('wholly on none of', *_MACHINES))}"
    return Answer(kind="named", claim=row["name"], says=says, verdict="no claim", why="It was named without a number.")


def _card(row: Mapping[str, Any], known: Known) -> Answer:
    device = known.devices.find(row["name"])
    found = {use: known.best(row["name"], use) for use in ("chat", "code")}
    runs = [f"{use}: {one.wish.title} at about {one.speed.generate_tokens_per_second:.0f} tokens/s" for use, one in found.items() if one is not None]
    new = device_price_eur(device, "new", known.prices, devices=known.devices)
    used = device_price_eur(device, "used", known.prices, devices=known.devices)
    now = [f"{price.value:,.0f} EUR {kind} ({price.date})" for kind, price in (("new", new), ("used", used)) if price is not None]
    says = f"{'; '.join(runs)}. Price: {', '.join(now) or 'not known'}"
    why = "The model decides what a card suits, and models of one size become better month by month; a share of GPT-3.5 is nothing that a card has."
    if device.memory_gib != row["memory_gb"]:
        why += f" It has {device.memory_gib:g} GB."
    claim = f"{row['name']}, {row['memory_gb']} GB: {row['suits']}; about {row['price_eur']:,} EUR"
    return Answer(kind="card", claim=claim, says=says, verdict="misleads", why=why)


_Said = tuple[str, Verdict, str]


def _half_precision(known: Known) -> _Said:
    model = known.model("llama3.1:8b")
    billions = model.parameters / 1e9

    def each(precision: str) -> float:
        header = model.header(precision)
        return sum(tensor.nbytes for tensor in header.tensors.values()) / 1e9 / billions

    cached = _bytes(model, 131072, "F16") - _bytes(model, 256, "F16")
    says = (
        f"Weights of {model.name}: {each('F16'):.2f} GB for each billion in 16 bits, {each('Q8_0'):.2f} at Q8_0, {each('Q4_K_M'):.2f} at Q4_K_M; "
        f"a context of 131,072 tokens takes another {gib(cached)}"
    )
    return says, "holds", "It holds for weights. The context is not in it, and may take more than they do."


def _code(known: Known) -> _Said:
    one = known.best("RTX 4060", "code")
    says = f"On an RTX 4060 with 8 GB: {one.wish.title} {one.reason}" if one else "No model for code runs well on an RTX 4060 with 8 GB"
    why = "Completion works with models of some billions of parameters; what edits a whole project by itself wants larger ones."
    return says, "holds" if one else "misleads", why


def _chat(known: Known) -> _Said:
    one = known.best("RTX 4060", "chat")
    says = f"On an RTX 4060 with 8 GB: {one.wish.title} {one.reason}" if one else "No model for chat runs well on an RTX 4060 with 8 GB"
    why = "Half of it does, since models of 8 billion parameters are better than much larger ones of the year before."
    return says, "misleads" if one else "holds", why


def _gpt4(known: Known) -> _Said:
    small, large = known.on("gpt-oss:20b", "RTX 4060 Ti 16GB", 8192), known.model("llama3.3:70b")
    rate = f"gpt-oss:20b {small.reason} on an RTX 4060 Ti with 16 GB" if small else "gpt-oss:20b does not fit on an RTX 4060 Ti with 16 GB"
    says = f"{rate}; llama3.3:70b takes {gib(_bytes(large, 8192))} at Q4_K_M, two cards of 24 GB"
    return says, "misleads", "One card does what took a cluster; what counts is which GPT-4 is meant, and for what."


def _unified(known: Known) -> _Said:
    dense, mixture = known.on("mistral-small:24b", "M2 24GB", 8192), known.on("gpt-oss:20b", "M2 24GB", 8192)
    told = [f"{name} {one.reason}" if one else f"{name} does not fit" for name, one in (("mistral-small:24b", dense), ("gpt-oss:20b", mixture))]
    good = [one is not None and one.good for one in (dense, mixture)]
    verdict: Verdict = "holds" if all(good) else "in part" if any(good) else "misleads"
    return f"M2 with 24 GB, of which the GPU may use 16: {'; '.join(told)}", verdict, (
        "How fast it runs is decided by how much is read for each token: a mixture of experts reads a part of its weights, a dense model all of them."
    )  # fmt: skip


def _workstation(known: Known) -> _Said:
    def cheapest(condition: Literal["new", "used"], segments: tuple[str, ...]) -> tuple[float, str] | None:
        cards = [device for device in known.devices if device.kind == "gpu" and device.segment in segments]
        priced = [
            (price.value / device.memory_gib, device.title)
            for device in cards
            if (price := device_price_eur(device, condition, known.prices, devices=known.devices)) is not None
        ]
        return min(priced, default=None)

    kinds = {
        "used workstation": cheapest("used", ("workstation",)), "used data centre": cheapest("used", ("datacenter",)),
        "used consumer": cheapest("used", ("consumer",)), "new consumer": cheapest("new", ("consumer",)),
    }  # fmt: skip
    told = [f"{kind} {one[0]:.0f} EUR/GB ({one[1]})" for kind, one in kinds.items() if one is not None]
    older, newer = kinds["used workstation"], kinds["new consumer"]
    verdict: Verdict = "in part" if older and newer and older[0] < newer[0] else "misleads"
    memory = known.devices.find("RTX 5090").memory_gib
    why = f"The cheapest memory is in old cards without support; workstation cards give more memory in one slot. An RTX 5090 has {memory:g} GB."
    return f"Cheapest of each kind with a known price: {', '.join(told)}", verdict, why


def _tensor_cores(known: Known) -> _Said:
    older, newer = known.on("llama3.1:8b", "RTX 3060 Ti", 4096), known.on("llama3.1:8b", "RTX 4060", 4096)
    if older is None or newer is None:
        return "llama3.1:8b does not fit on both", "misleads", ""
    told = [
        f"{name} reads {one.speed.prompt_tokens_per_second:,.0f} and writes {one.speed.generate_tokens_per_second:.0f} tokens/s"
        for name, one in (("RTX 3060 Ti", older), ("RTX 4060", newer))
    ]
    slower = newer.speed.generate_tokens_per_second < older.speed.generate_tokens_per_second
    why = (
        "Tensor cores decide how fast a prompt is read; memory bandwidth decides how fast an answer is written, and newer cards may have less of it. "
        "The engine runs on AMD's cards as well, by Vulkan or ROCm."
    )
    return f"llama3.1:8b at Q4_K_M: {'; '.join(told)}", "in part" if slower else "holds", why


def _water(known: Known) -> _Said:
    prices = known.prices
    carbon, water = prices.carbon("US"), prices.generation()
    there = data_centre_footprint(prices.answer(), pue=prices.answer_pue(), wue=prices.wue(), carbon=carbon, water=water)
    answer = there.litres  # of a thousand answers: millilitres of one
    says = f"{answer:.1f} ml for an answer, {20 * answer:.0f} to {50 * answer:.0f} ml for 20 to 50 of them, the water of the electricity included"
    why = f"Less by a factor of about {500 / (35 * answer):.0f}. One's own machine evaporates none itself, but its electricity does as well."
    return says, "misleads", why


def _subscriptions(known: Known) -> _Said:
    prices = known.prices
    monthly = {name: prices.subscription(name).value for name in prices.names("subscriptions")}
    dear = sorted((value, name) for name, value in monthly.items() if value >= _HEAVY)
    told = f"A month: {', '.join(f'{name} {value:.0f} EUR' for value, name in dear) or f'no subscription of {_HEAVY} EUR and more is known'}"
    one = known.on("gpt-oss:20b", "RTX 4090", 8192)
    if one is None or not dear:
        return told, "holds" if dear else "misleads", ""
    bought = device_price_eur(known.devices.find("RTX 4090"), ("used", "new"), prices, devices=known.devices)
    price = (bought.value if bought else 0.0) + base_machine(1, prices).price.value
    spent = expense(
        target(known.devices, "RTX 4090", price_eur=price, price_note="a used RTX 4090 and a machine around it"),
        prices, Terms(against=(dear[0][1],)),
        prompt_tokens_per_second=one.speed.prompt_tokens_per_second, tokens_per_second=one.speed.total_tokens_per_second, model="gpt-oss:20b",
    )  # fmt: skip
    own = f"costs {spent.own.eur_per_month:.0f} EUR a month, of which {spent.own.electricity_eur:.0f} are electricity"
    why = f"{spent.verdicts[0].answer} The models are not the same: what such a subscription offers does not fit on one card."
    return f"{told}; a machine with an RTX 4090 for {price:,.0f} EUR {own}", "holds", why


_RULES: Final[Mapping[str, Callable[[Known], _Said]]] = MappingProxyType(
    {
        "half-precision": _half_precision,
        "code-8gb": _code,
        "chat-16gb": _chat,
        "gpt4-64gb": _gpt4,
        "m2-24gb": _unified,
        "used-workstation": _workstation,
        "tensor-cores": _tensor_cores,
        "water": _water,
        "subscriptions": _subscriptions,
    }
)

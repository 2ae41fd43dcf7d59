"""What is asked of the planner, checked: the same for the command line and for what stands behind a question mark in an address."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any, Final, Literal, get_args

from hausgeist.errors import InvalidRequest, shown
from hausgeist.library.catalog.question import bytes_of
from hausgeist.model import CacheType
from hausgeist.planner.advice.models import USES, Use
from hausgeist.planner.target import Engine
from hausgeist.planner.wish import MOST_SLOTS, MOST_USERS, Cached

__all__ = ["ENGINES", "METHODS", "Method", "Question", "amount"]

Method = Literal["arithmetic", "fit"]
METHODS: Final[tuple[Method, ...]] = get_args(Method)
ENGINES: Final[tuple[Engine, ...]] = get_args(Engine)
CACHE_TYPES: Final[Mapping[Engine, tuple[Cached, ...]]] = {"llamacpp": get_args(CacheType), "vllm": ("f16", "bf16", "fp8")}

_MOST_MODELS: Final = 8
_MOST: Final[Mapping[str, float]] = {
    "context": 2**24, "users": MOST_USERS, "slots": max(MOST_SLOTS.values()), "gpus": 1024, "nodes": 1024, "budget": 1e9, "volume": 1e15,
    "upkeep_hours": 744, "upkeep_rate": 10_000, "prompt_cache": 2**44,
}  # fmt: skip
_AMOUNT: Final = re.compile(r"(\d{1,200}(?:[.,]\d{1,6})?)\s*([kKmMbBgGtT]?)", re.ASCII)
_GROUPED: Final = re.compile(r"[1-9]\d{0,2}(?:,\d{3})+", re.ASCII)
"""20,000: thousands, not a decimal comma."""
_FACTORS: Final = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9, "t": 1e12}
_WHOLE: Final = frozenset({"context", "users", "slots", "gpus", "nodes"})
_MOST_TOGETHER: Final = 1024
"""Cards of all machines."""
_LONGEST: Final = 200
_SUCH: Final = {"context": "8192 or 32k", "budget": "2500", "volume": "20M", "upkeep_rate": "50"}
_SPELLED: Final = frozenset({"cache_type", "method", "purpose", "engine"})
"""Words of a list, in whatever case."""
_SWITCHES: Final = frozenset({"max_context", "accuracy", "detail"})
_ON: Final = {"1": True, "true": True, "yes": True, "on": True, "": True, "0": False, "false": False, "no": False, "off": False}
_ENGINE_NAMES: Final = {"llama.cpp": "llamacpp", "llama-cpp": "llamacpp", "llama_cpp": "llamacpp"}
_ALIASES: Final = {"model": "models", "kv": "cache_type", "for": "purpose", "max-context": "max_context", "prompt-cache": "prompt_cache"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """`None` and empty: not said."""

    models: tuple[str, ...] = ()
    precision: str = ""
    context: int | None = None
    """Tokens per request."""
    users: int | None = None
    """Who ask at the same time."""
    slots: int | None = None
    cache_type: Cached = "f16"
    engine: Engine = "llamacpp"
    draft: str = ""
    """The small model that guesses ahead."""
    prompt_cache: int = 0
    """Bytes of the machine's memory for beginnings of prompts."""
    gpu: str = ""
    """The device to buy, or to rent; empty: this machine."""
    gpus: int = 1
    nodes: int = 1
    method: Method = "arithmetic"
    max_context: bool = False
    """The question is how much context fits."""
    purpose: Use | None = None
    """What to buy for it."""
    budget: float | None = None
    """EUR."""
    country: str = ""
    volume: float | None = None
    """Tokens per month."""
    cloud: str = ""
    """The model in the cloud that is compared with."""
    upkeep_hours: float = 0.0
    """Per month."""
    upkeep_rate: float = 0.0
    """EUR/h."""
    accuracy: bool = False
    detail: bool = False
    """Also memory by context, and ways to make it fit: a page draws and offers them."""

    def __post_init__(self) -> None:
        if len(self.models) > _MOST_MODELS:
            raise InvalidRequest(f"{len(self.models)} models are too many side by side; {_MOST_MODELS} fit.", param="model")
        for name in ("context", "users", "slots", "gpus", "nodes", "budget", "volume"):
            value = getattr(self, name)
            if value is not None and not (1 <= value <= _MOST[name]):
                raise InvalidRequest(f"{name} = {value:g} is not possible; 1 to {_MOST[name]:,.0f} is.", param=name)
        for name in ("upkeep_hours", "upkeep_rate", "prompt_cache"):
            if not 0 <= getattr(self, name) <= _MOST[name]:
                raise InvalidRequest(f"{name} = {getattr(self, name):g} is not possible; 0 to {_MOST[name]:,.0f} is.", param=name)
        _one_of("engine", self.engine, ENGINES)
        _one_of("kv", self.cache_type, CACHE_TYPES[self.engine])
        _one_of("method", self.method, METHODS)
        most = MOST_SLOTS[self.engine]
        if self.slots is not None and self.slots > most:
            raise InvalidRequest(f"slots = {self.slots:g} is not possible; 1 to {most:,} is: more users wait for their turn.", param="slots")
        if self.purpose is not None:
            _one_of("for", self.purpose, USES)
        self._together()

    def _together(self) -> None:
        """What contradicts itself."""
        others = (one.name for one in fields(self) if one.name not in ("accuracy", "detail") and getattr(self, one.name) != one.default)
        if self.accuracy and (lone := next(others, "")):
            asked = next((short for short, name in _ALIASES.items() if name == lone), lone)
            raise InvalidRequest(f"How accurate plans were is said of all loads of this machine; leave '{asked}' out.", param=asked)
        if self.gpus * self.nodes > _MOST_TOGETHER:
            raise InvalidRequest(
                f"{self.gpus} cards in each of {self.nodes} machines are too many; {_MOST_TOGETHER:,} cards together are possible.", param="nodes"
            )
        if not self.gpu and (self.gpus > 1 or self.nodes > 1):
            raise InvalidRequest("Several cards or machines of what? Name the card as well, as in 'RTX 4090'.", param="gpu")
        if self.gpu and self.method == "fit":
            raise InvalidRequest(
                "The engine lays a model out on the machine that it runs on; for another one the method is arithmetic.", param="method"
            )
        if self.method == "fit":
            self._fitting()
        if self.purpose is not None and self.models:
            raise InvalidRequest("Either name models, or say what to buy for, not both.", param="for")
        if self.budget is not None and self.purpose is None:
            raise InvalidRequest(f"A budget goes with what it is for: {', '.join(USES)}.", param="budget")
        if bool(self.upkeep_hours) != bool(self.upkeep_rate):
            raise InvalidRequest("Upkeep is hours and what one costs: name upkeep_hours and upkeep_rate.", param="upkeep_rate")
        if self.max_context and not self.models:
            raise InvalidRequest("The most context of which model? Name it.", param="model")
        if self.purpose is not None and self.gpu:
            raise InvalidRequest("Either name a machine, or say what to buy one for, not both.", param="gpu")
        if not self.models and (lone := self._of_a_model()):
            raise InvalidRequest(f"'{lone}' goes with a model; name one.", param=lone)

    def _fitting(self) -> None:
        """The fit pass is llama.cpp's, and is asked for the model alone."""
        if self.engine != "llamacpp":
            raise InvalidRequest("vLLM has no fit pass; the method is arithmetic.", param="method")
        for name, given in (("draft", self.draft), ("prompt_cache", self.prompt_cache)):
            if given:
                raise InvalidRequest(f"The fit pass is asked for the model alone; leave '{name}' out, or let the method be arithmetic.", param=name)

    def _of_a_model(self) -> str:
        """What was said that says nothing without a model; empty: nothing."""
        said = {
            "precision": bool(self.precision),
            "slots": self.slots is not None,
            "kv": self.cache_type != "f16",
            "method": self.method != "arithmetic",
            "engine": self.engine != "llamacpp",
            "draft": bool(self.draft),
            "prompt_cache": self.prompt_cache > 0,
        }
        return next((name for name, given in said.items() if given), "")

    @classmethod
    def of(cls, given: Mapping[str, str | list[str]]) -> Question:
        """From text, as it stands in addresses: numbers may end in k, M and B. Raises `InvalidRequest` naming what is wrong."""
        values: dict[str, Any] = {}
        known = {one.name for one in fields(cls)}
        for key, value in given.items():
            name = _ALIASES.get(key, key)
            if name not in known:
                near = get_close_matches(key, [*known - set(_ALIASES.values()), *_ALIASES], n=1)
                raise InvalidRequest(f"'{shown(key, 40)}' is not asked here.{f' Did you mean {near[0]}?' if near else ''}", param=shown(key, 40))
            texts = value if isinstance(value, list) else [value]
            values[name] = _value(name, texts)
        return cls(**values)


def _value(name: str, texts: list[str]) -> Any:
    if name == "models":
        names = tuple(part.strip() for text in texts for part in text.split(",") if part.strip())
        if not names or not all(text.strip() for text in texts):
            raise InvalidRequest("The name of a model is empty; name one as in 'gemma3:4b', or none to see what runs well here.", param="model")
        return names
    said = dict.fromkeys(text.strip() for text in texts)
    if len(said) > 1:
        raise InvalidRequest(f"{name} is said {len(said)} times, each time differently; once is enough.", param=name)
    text = next(iter(said), "")[:_LONGEST]
    if name in _SPELLED:
        text = text.lower()
    if name == "engine":
        return _ENGINE_NAMES.get(text, text)
    if name == "prompt_cache":
        return _size(text)
    if name in _SWITCHES:
        if text.lower() not in _ON:
            raise InvalidRequest(f"{name} is true or false, not '{shown(text, 40)}'.", param=name)
        return _ON[text.lower()]
    if name in _MOST:
        return amount(text, name)
    if name == "purpose":
        return text or None
    return text


def _size(text: str) -> int:
    """Bytes: 2G, 512MiB, 1.5gb. Never without a unit, for other programs mean mebibytes then. Raises `InvalidRequest`."""
    size = 0 if text == "0" else bytes_of(text)
    if size is None:
        raise InvalidRequest(f"prompt_cache is a size with its unit, such as 2GiB or 512MB, not '{shown(text, 40)}'.", param="prompt_cache")
    return size


def amount(text: str, name: str) -> float | int:
    """A number as people type it: 8192, 8k, 2.5M. Of tokens a k is 1024 where it is a context's. Raises `InvalidRequest`."""
    text = text.strip()
    if _GROUPED.fullmatch(text):
        # As this program and half of the world write it; where the other half means a fraction, it is of no use here.
        text = text.replace(",", "")
    match = _AMOUNT.fullmatch(text.replace("_", ""))
    if match is None:
        raise InvalidRequest(f"{name} is a number such as {_SUCH.get(name, '8')}, not '{shown(text, 40)}'.", param=name)
    unit = match[2].lower()
    factor = 1024.0 if name == "context" and unit == "k" else 2.0**20 if name == "context" and unit == "m" else _FACTORS[unit]
    value = float(match[1].replace(",", ".")) * factor
    if name in _WHOLE:
        if not math.isclose(value, round(value)):
            raise InvalidRequest(f"{name} is a whole number, not {shown(text, 40)}.", param=name)
        return round(value)
    return value


def _one_of(name: str, value: str, there: tuple[str, ...]) -> None:
    if value not in there:
        near = get_close_matches(value, there, n=1, cutoff=0.6)
        raise InvalidRequest(
            f"{name} is one of {', '.join(there)}, not '{shown(value, 40)}'.{f' Did you mean {near[0]}?' if near else ''}", param=name
        )

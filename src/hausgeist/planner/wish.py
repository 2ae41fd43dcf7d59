"""What is asked of a machine, and how the engine would be started for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, Protocol, get_args

from hausgeist.errors import InvalidRequest
from hausgeist.model import CacheType, Task
from hausgeist.planner.costs.money import Volume
from hausgeist.planner.costs.prices import Figure
from hausgeist.planner.fitting import Fit, Room, fit, room
from hausgeist.planner.memory import Header, Memory, Start, estimate
from hausgeist.planner.target import Engine, Target

if TYPE_CHECKING:
    from hausgeist.planner.speed import Calibration, Speed

__all__ = [
    "DRAFTED",
    "FIRST_PROMPT",
    "GOOD_SPEED",
    "MOST_SLOTS",
    "MOST_USERS",
    "RUNTIME",
    "USUAL_CONTEXT",
    "Cached",
    "Speeds",
    "Wish",
    "beside",
    "drafting",
    "placing",
    "running",
    "speeds",
    "starting",
]

Cached = CacheType | Literal["fp8"]
"""Numbers of a KV cache; fp8 is vLLM's."""

USUAL_CONTEXT: Final = 8192
"""Tokens per request where nothing is said of them."""
GOOD_SPEED: Final = Figure(
    value=10, unit="tokens/s", what="speed from which on a model runs well", date="2026-11", estimate=True,
    source="assumption of this planner: about twice as fast as most people read",
)  # fmt: skip
RUNTIME: Final = Figure(
    value=112, unit="MiB", what="a worker without a model", date="2026-11", estimate=True,
    source="assumption of this planner: libraries and vocabulary",
)  # fmt: skip

FIRST_PROMPT: Final = 512
"""Tokens of the prompt with which a conversation begins, as tables of llama-bench have it (pp512)."""

MOST_USERS: Final = 100_000
"""Who may ask at the same time; those for whom there is no slot wait for their turn."""
MOST_SLOTS: Final[Mapping[Engine, int]] = MappingProxyType({"llamacpp": 256, "vllm": 4096})
"""Requests that an engine answers at once: LLAMA_MAX_SEQ in llama.cpp's src/llama-cparams.h; vLLM sets no limit, this is the planner's."""
DRAFTED: Final = 3
"""Tokens that a draft model guesses at once: the engine's own choice (`n_max` of `CommonParams().speculative`)."""

_MIB: Final = 2**20
_MOST_CONTEXT: Final = 2**24
_MOST_BYTES: Final = 2**44
_CHECKPOINTS: Final = 2
_STEP, _EXPERTS_STEP = 128, 512
_CARD_BATCH, _CARD_STEP = 2048, 512
"""Copies of what cannot be rolled back, and tokens per step: what `engines.llamacpp.parameters` tells the engine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is asked of a machine. `None`: as the model, or the machine, has it."""

    model: str
    """As people call it."""
    header: Header
    precision: str = ""
    context: int | None = None
    """Tokens per request."""
    trained: int | None = None
    """Tokens that the model was made for, where the header is only described."""
    users: int = 1
    """Who ask at the same time ..."""
    slots: int | None = None
    """... and how many of them are answered at once; `None`: all, as far as the engine can."""
    people: int | None = None
    """Who use it at all, by whom the month's work is reckoned; `None`: as many as ask at the same time."""
    cache_type: Cached = "f16"
    gpu_layers: int | None = None
    task: Task = "generate"
    volume: Volume | None = None
    """Of a month."""
    projector: int = 0
    adapters: int = 0
    prompt_cache: int = 0
    """Bytes, as in `memory.Start`."""
    engine: Engine = "llamacpp"
    draft: Header | None = None
    """Of the small model that guesses ahead."""

    def __post_init__(self) -> None:
        slots = MOST_SLOTS[self.engine]
        for name, value, most in (("users", self.users, MOST_USERS), ("slots", self.slots, slots), ("context", self.context, _MOST_CONTEXT)):
            if value is not None and not 1 <= value <= most:
                raise InvalidRequest(f"{name} = {value} is not possible; 1 to {most} is.", param=name)
        if self.gpu_layers is not None and self.gpu_layers < 0:
            raise InvalidRequest(f"gpu_layers = {self.gpu_layers} is not possible; 0 or more is.", param="gpu_layers")
        if self.draft is not None and self.task != "generate":
            raise InvalidRequest(f"A draft model guesses what another one writes, and {self.model} writes nothing; leave 'draft' out.", param="draft")
        if not 0 <= self.prompt_cache <= _MOST_BYTES:
            raise InvalidRequest(f"A prompt cache of {self.prompt_cache} bytes is not possible; 0 to {_MOST_BYTES} is.", param="prompt_cache")
        if self.people is not None and not 1 <= self.people <= 10**7:
            raise InvalidRequest(f"people = {self.people} is not possible; 1 to {10**7} is.", param="people")

    @property
    def made_for(self) -> int:
        """Tokens."""
        return self.trained or self.header.number("context_length") or USUAL_CONTEXT

    @property
    def tokens(self) -> int:
        """Context per request."""
        return self.context or min(USUAL_CONTEXT, self.made_for)

    @property
    def at_once(self) -> int:
        """Requests that the engine is told to answer side by side."""
        return self.slots or min(self.users, MOST_SLOTS[self.engine])

    @property
    def title(self) -> str:
        return f"{self.model} ({self.precision})" if self.precision else self.model


class Speeds(Protocol):
    """How fast a model runs: `hausgeist.planner.speed.speed`, or what a test puts in its place."""

    def __call__(
        self, header: Header, start: Start, target: Target, *, gpu_layers: int, filled: int, users: int = 1, calibration: Calibration | None = None,
        engine: Engine = "llamacpp", ways: int = 0, cached: int = 0,
    ) -> Speed: ...  # fmt: skip


def speeds() -> Speeds:
    """The planner's own arithmetic, imported when it is first asked for."""
    from hausgeist.planner.speed import speed

    return speed


def starting(wish: Wish, target: Target) -> Start:
    """How the engine would be started, before it is known how many layers the cards hold."""
    slots = wish.at_once
    accelerated = target.group is not None and wish.gpu_layers != 0
    if wish.task != "generate":  # its whole input is one step
        batch = step = max(wish.tokens, slots)
    elif accelerated:
        batch, step = max(_CARD_BATCH, slots), max(_CARD_STEP, slots)
    else:
        batch = step = max(_EXPERTS_STEP if wish.header.get("expert_used_count") else _STEP, slots)
    return Start(
        context=wish.tokens,
        slots=slots,
        cache_type=_cache_type(wish),
        batch=batch,
        micro_batch=step,
        task=wish.task,
        pooling="none" if wish.task == "generate" else "rank" if wish.task == "rerank" else "mean",
        instructions=target.host.instructions,
        checkpoints=_CHECKPOINTS if wish.task == "generate" else 0,
        drafted=DRAFTED if wish.draft is not None else 0,
        shares=target.shares,
        projector=wish.projector,
        adapters=wish.adapters,
        prompt_cache=wish.prompt_cache,
        runtime=int(RUNTIME.value) * _MIB,
    )


def _cache_type(wish: Wish) -> CacheType:
    if wish.cache_type == "fp8":
        raise InvalidRequest(f"llama.cpp has no cache in fp8; kv is one of {', '.join(get_args(CacheType))}.", param="kv")
    return wish.cache_type


def drafting(wish: Wish, target: Target, start: Start, space: Room) -> Memory | None:
    """What a draft model takes, whose context is as long: on the cards, or, where these hold it not even alone, in the machine's memory.

    `None`: there is none.
    """
    if wish.draft is None:
        return None
    alone = replace(start, cache_type="f16", drafted=0, checkpoints=0, projector=0, adapters=0, prompt_cache=0, runtime=0)
    if target.group is None or wish.gpu_layers == 0:
        return estimate(wish.draft, replace(alone, gpu_layers=0, shares=()))
    found = estimate(wish.draft, replace(alone, gpu_layers=wish.draft.blocks + 1))
    if all(size < there for size, there in zip(found.devices, space.devices, strict=True)):
        return found
    return estimate(wish.draft, replace(alone, gpu_layers=0))


def beside(wish: Wish, target: Target, start: Start, space: Room) -> Room:
    """What a draft model leaves."""
    draft = drafting(wish, target, start, space)
    if draft is None:
        return space
    if space.shared:
        first, *others = space.devices
        return replace(space, devices=(first - draft.total, *others))
    devices = tuple(there - size for there, size in zip(space.devices, draft.devices, strict=False))
    return replace(space, devices=devices, host=space.host - draft.host)


def placing(wish: Wish, target: Target, space: Room | None = None) -> Fit:
    """Where it goes under llama.cpp. Raises `InvalidRequest` for sizes that are none."""
    start, all_of_it = starting(wish, target), space or room(target)
    return fit(wish.header, start, beside(wish, target, start, all_of_it), gpu_layers=wish.gpu_layers)


def running(wish: Wish, target: Target, found: Fit, *, calibration: Calibration | None = None, run: Speeds | None = None) -> Speed:
    """How fast it is there at the beginning of a conversation."""
    made, filled, users = run or speeds(), min(FIRST_PROMPT, wish.tokens), min(wish.users, wish.at_once)
    return made(wish.header, found.start, target, gpu_layers=found.gpu_layers, filled=filled, users=users, calibration=calibration)

"""Where a model goes and what it takes there, whichever engine runs it: values, filled by `llamacpp` and `vllm`."""

from __future__ import annotations

from dataclasses import dataclass

from hausgeist.planner.fitting import Placed
from hausgeist.planner.memory import Start

__all__ = ["Layout", "Pages", "Parts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Bytes, on machine and cards together."""

    weights: int
    kv_cache: int
    """Of the requests that are answered at once, each with all of its context."""
    compute: int
    output: int
    repack: int
    overhead: int
    """With a draft model and a prompt cache, where there are such."""
    draft: int = 0
    prompt_cache: int = 0
    """Parts of the overhead."""

    @property
    def total(self) -> int:
        return self.weights + self.kv_cache + self.compute + self.output + self.repack + self.overhead


@dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    """How vLLM uses its cards, named as it names it."""

    tensor_parallel: int
    """Cards that share each layer ..."""
    pipeline_parallel: int
    """... and groups of such cards, one after the other."""
    utilization: float
    """What part of a card's memory it is told to use."""
    reserved: tuple[int, ...]
    """Bytes that it takes of each card, whether or not anybody asks: the cache gets all that is left of what it may use. None where it does not
    fit."""
    cache_tokens: int
    """That the cache holds."""
    requests: int
    """Of the context that is wanted, that the cache holds at once."""
    sequences: int
    """Requests that it answers at once at most (`max_num_seqs`)."""

    @property
    def most(self) -> int:
        """Requests that are answered at once."""
        return min(self.requests, self.sequences)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What comes of a start, before it is asked how fast it is."""

    start: Start
    """As the engine would be told, with the number of requests that are answered at once."""
    parts: Parts
    host: int
    devices: tuple[int, ...]
    exact: bool
    placed: Placed
    missing: int
    """Bytes by which it is too large; 0: it fits."""
    max_context: int
    """Tokens of each request that would fit; 0: none."""
    pages: Pages | None = None
    """`None`: another engine than vLLM."""

"""Vocabulary of models: what a model is, how one is launched, how much memory that takes. Values only, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

__all__ = [
    "Adapter",
    "CacheType",
    "Footprint",
    "InstalledModel",
    "LaunchPlan",
    "ModelOptions",
    "Shape",
    "Speculation",
    "Switch",
    "Task",
    "Usage",
]

Task = Literal["generate", "embed", "rerank"]
CacheType = Literal["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl"]
Switch = Literal["auto", "on", "off"]
Speculation = Literal["none", "draft", "ngram"]


@dataclass(frozen=True, slots=True)
class Shape:
    """What a model file says about itself. Sizes in bytes, lengths in tokens."""

    architecture: str = ""
    parameters: int = 0
    context_length: int = 0
    embedding_length: int = 0
    block_count: int = 0
    head_count: int = 0
    head_count_kv: int = 0
    quantization: str = ""
    size: int = 0
    chat_template: str = ""
    licence: str = ""
    pooling: str = ""
    vision: bool = False


@dataclass(frozen=True, slots=True)
class Adapter:
    """A LoRA adapter file and how strongly it is applied."""

    path: Path
    scale: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions:
    """How a model should be launched where nothing else is said; `None` means: decide from file and machine."""

    context: int | None = None
    slots: int | None = None
    cache_type: CacheType = "f16"
    flash_attention: Switch = "auto"
    threads: int | None = None
    gpu_layers: int | None = None
    tensor_split: tuple[float, ...] = ()
    projector: Path | None = None
    adapters: tuple[Adapter, ...] = ()
    draft: Path | None = None
    speculation: Speculation = "none"
    keep_alive: float | None = None
    """Seconds that an idle worker stays; negative: for ever."""
    task: Task | None = None
    pooling: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledModel:
    """A model that can be asked for by `id`."""

    id: str
    engine: str
    """Name in the table of `engines.registry`: llamacpp, remote, fake."""
    path: Path | None
    """The weights; `None` where the engine keeps them (remote, fake)."""
    digest: str
    """sha256 in hex of what defines the model; changes when the model does."""
    modified: float
    """Unix time."""
    shape: Shape = field(default_factory=Shape)
    tasks: tuple[Task, ...] = ("generate",)
    options: ModelOptions = field(default_factory=ModelOptions)
    system: str = ""
    template: str = ""
    """A chat template (Jinja) that replaces the one in the weights."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Default sampling options in Ollama's names: temperature, top_p, stop, num_ctx, ..."""
    messages: tuple[Mapping[str, str], ...] = ()
    """Examples that begin every conversation: role and content."""
    licence: str = ""
    source: str = ""
    """Where it came from, for people: a path, a name, an address."""
    notice: str = ""
    """What callers should know, in a sentence: "random weights, answers are noise"."""
    upstream: str = ""
    """For `remote`: the name of the configured upstream, then a slash, then the model's name there."""
    reference: str = ""
    """What it was installed by, and can be asked for again; empty: it was made or offered here."""
    version: str = ""
    """What its source calls these very bytes."""
    removable: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchPlan:
    """Everything an engine needs to start one worker. Two requests with equal plans share a worker."""

    model: InstalledModel
    task: Task
    context: int
    """Tokens per request; a worker of n slots reserves n times as many."""
    slots: int
    cache_type: CacheType = "f16"
    flash_attention: Switch = "auto"
    threads: int | None = None
    gpu_layers: int | None = None
    tensor_split: tuple[float, ...] = ()
    projector: Path | None = None
    adapters: tuple[Adapter, ...] = ()
    draft: Path | None = None
    speculation: Speculation = "none"
    pooling: str | None = None
    memory: int | None = None
    """Bytes of its own (mapped files do not count) with which a worker has gone astray and is ended; `None`: no limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """Memory of one worker in bytes, on the host and per device, and the parts that make it up."""

    host: int
    devices: Mapping[str, int] = field(default_factory=dict)
    parts: Mapping[str, int] = field(default_factory=dict)
    """weights, cache, compute, output, repack, runtime, ... as far as the source tells them."""
    source: Literal["estimate", "fit", "measured", "none"] = "none"
    alone: int = 0
    """What a worker without a model takes, counted as what is measured is: of libraries that others use as well, its share. 0: not known."""

    @property
    def total(self) -> int:
        return self.host + sum(self.devices.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What one call took. Token counts, and milliseconds as the engine measured them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    prompt_ms: float = 0.0
    completion_ms: float = 0.0
    load_ms: float = 0.0
    first_token_ms: float = 0.0
    total_ms: float = 0.0

"""What a model brings along: its stored system prompt, examples and sampling options, put into a request that does not say otherwise.

Owns the translation of Ollama's option names, in which they are stored, into the body that engines get.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hausgeist.errors import NotSupported
from hausgeist.model import InstalledModel

__all__ = ["sampling", "with_defaults"]

_PORTABLE = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "stop": "stop",
}
"""Understood by every OpenAI-compatible server."""

_LLAMA = {
    "typical_p": "typical_p",
    "repeat_penalty": "repeat_penalty",
    "mirostat": "mirostat",
    "mirostat_tau": "mirostat_tau",
    "mirostat_eta": "mirostat_eta",
    "num_keep": "n_keep",
}
"""Understood by llama.cpp only."""

_LOAD = frozenset(
    {"num_ctx", "num_batch", "num_gpu", "main_gpu", "num_thread", "numa", "low_vram", "f16_kv", "logits_all", "vocab_only", "use_mmap", "use_mlock"}
    | {"embedding_only", "penalize_newline", "tfs_z"}
)
"""Options of loading, and those of old that have one possible value: nothing of the body."""

_SEED_BITS = 0x7FFF_FFFF
_WINDOW = 2**20


def sampling(options: Mapping[str, Any], model: InstalledModel) -> dict[str, Any]:
    """Ollama's options as fields of an engine's body; None counts as not given. Raises NotSupported for one that the model's engine lacks."""
    body: dict[str, Any] = {}
    for name, value in options.items():
        if value is None or name in _LOAD:
            continue
        if name == "num_predict":
            # -1 (without end) and -2 (fill the context) both end with the context here, which is what no limit means.
            if value >= 0:
                body["max_tokens"] = value
        elif name == "seed":
            if value >= 0:
                body["seed"] = value & _SEED_BITS
        elif name in _PORTABLE:
            body[_PORTABLE[name]] = value
        elif model.engine == "remote" and name == "repeat_penalty":
            body["repetition_penalty"] = value
        elif model.engine == "remote":
            raise NotSupported(f"The option '{name}' is not supported by the server that runs '{model.id}'; leave it out.", param=f"options.{name}")
        elif name == "repeat_last_n":
            # The engine keeps a ring of this many tokens: no more than a context can hold.
            window = model.shape.context_length or _WINDOW
            body["repeat_last_n"] = window if value < 0 else min(value, window)
        elif name in _LLAMA:
            body[_LLAMA[name]] = value
        else:
            raise NotSupported(f"There is no option '{name}' here; leave it out.", param=f"options.{name}")
    return body


def with_defaults(model: InstalledModel, body: Mapping[str, Any]) -> dict[str, Any]:
    """`body` (chat or completion), and what the model brings along where it is silent."""
    stored = sampling(model.parameters, model)
    if body.get("max_completion_tokens") is not None:
        stored.pop("max_tokens", None)
    merged = {**stored, **{name: value for name, value in body.items() if value is not None or name not in stored}}
    if isinstance(merged.get("messages"), list):
        merged["messages"] = _with_beginning(model, merged["messages"])
    return merged


def _with_beginning(model: InstalledModel, messages: list[Any]) -> list[Any]:
    """A conversation begins with instructions, the request's before the model's; then come the model's examples, then what was said."""
    first = next((index for index, message in enumerate(messages) if message.get("role") not in ("system", "developer")), len(messages))
    instructions = messages[:first]
    if model.system and not instructions:
        instructions = [{"role": "system", "content": model.system}]
    return [*instructions, *({"role": one["role"], "content": one["content"]} for one in model.messages), *messages[first:]]

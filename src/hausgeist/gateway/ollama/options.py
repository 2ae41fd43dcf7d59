"""Ollama's `options`: which shape the answer, which the loading of the model, and which have one possible value here."""

from __future__ import annotations

from typing import Any

from hausgeist.errors import InvalidRequest, NotSupported
from hausgeist.gateway.defaults import sampling
from hausgeist.gateway.ollama.schema import Options
from hausgeist.model import InstalledModel

__all__ = ["checked", "context_of", "embedding_context"]

_FIXED: dict[str, tuple[tuple[object, ...], str]] = {
    "num_batch": ((512,), "the engine chooses it"),
    "num_gpu": ((-1,), "the server's owner sets it: gpu_layers of this model in hausgeist.toml, or 'num_gpu' when it is created"),
    "main_gpu": ((0,), "the server's owner sets it: tensor_split of this model in hausgeist.toml"),
    "num_thread": ((0,), "the server's owner sets it: threads of this model in hausgeist.toml, or 'num_thread' when it is created"),
    "numa": ((False,), "it is the server's business"),
    "use_mmap": ((True,), "model files are always mapped"),
    "use_mlock": ((False,), "models are not locked into memory"),
    "low_vram": ((False,), "memory is planned for each model"),
    "f16_kv": ((True,), "the server's owner sets it: cache_type of this model in hausgeist.toml"),
    "logits_all": ((False,), "ask for 'logprobs' instead"),
    "vocab_only": ((False,), "models are loaded whole"),
    "embedding_only": ((False,), "use /api/embed"),
    "penalize_newline": ((True,), "newlines are tokens like others"),
    "tfs_z": ((1, 1.0), "use 'min_p' or 'typical_p'"),
}
"""Option -> the values that say what happens anyway, and why there are no others."""


def checked(options: Options | None, model: InstalledModel) -> dict[str, Any]:
    """The options as fields of an engine's body. Raises NotSupported for those that cannot be set by a request."""
    if options is None:
        return {}
    given = options.model_dump(exclude_none=True)
    for name, (usual, reason) in _FIXED.items():
        if name in given and given.pop(name) not in usual:
            raise NotSupported(f"The option '{name}' cannot be set by a request: {reason}.", param=f"options.{name}")
    if isinstance(given.get("stop"), str):
        given["stop"] = [given["stop"]]
    if "stop" in given:
        given["stop"] = [stop for stop in given["stop"] if stop]
    return sampling(given, model)


def context_of(options: Options | None) -> int | None:
    """The context that this request asks for."""
    return options.num_ctx if options is not None else None


def embedding_context(options: Options | None, model: InstalledModel) -> int | None:
    """The same for embeddings, where no other option means anything."""
    if rest := checked(options, model):
        raise InvalidRequest(f"The option '{next(iter(rest))}' means nothing for embeddings; leave it out.", param="options")
    return context_of(options)

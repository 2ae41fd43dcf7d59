"""Which engines there are: name -> import string, loaded on first use."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from hausgeist.engines.base import Engine

__all__ = ["ENGINES", "factory"]

ENGINES: dict[str, str] = {
    "llamacpp": "hausgeist.engines.llamacpp.adapter:LlamaCpp",
    "remote": "hausgeist.engines.remote:Remote",
    "fake": "hausgeist.engines.fake:Fake",
}


def factory(name: str) -> Callable[..., Engine]:
    """The engine's class. Raises KeyError for a name that is not in the table."""
    module, _, attribute = ENGINES[name].partition(":")
    return getattr(import_module(module), attribute)  # type: ignore[no-any-return]

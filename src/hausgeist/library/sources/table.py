"""Which source answers for which kind of reference. A source is loaded when it is first asked."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final, cast

from hausgeist.errors import InvalidRequest
from hausgeist.library.reference import Kind, Reference
from hausgeist.library.sources.base import Source
from hausgeist.library.sources.outbound import Outbound
from hausgeist.library.sources.precisions import Chooser, choose_usual
from hausgeist.settings import Settings

__all__ = ["SOURCES", "Sources", "registry_options"]

SOURCES: Final[Mapping[Kind, str]] = {
    "registry": "hausgeist.library.sources.ollama:Ollama",
    "hub": "hausgeist.library.sources.huggingface:HuggingFace",
    "url": "hausgeist.library.sources.url:Url",
}
"""Files on this machine have no source: they are used where they lie."""


class Sources:
    """The sources as the settings say, each made once."""

    def __init__(self, settings: Settings, outbound: Outbound, *, choose: Chooser = choose_usual) -> None:
        self._settings = settings
        self._outbound = outbound
        self._choose = choose
        self._made: dict[Kind, Source] = {}

    def __call__(self, reference: Reference) -> Source:
        """Raises `InvalidRequest` for a path."""
        if reference.kind not in SOURCES:
            raise InvalidRequest(f"'{reference}' is a file: it is not fetched, but used where it lies.", param="model")
        if reference.kind not in self._made:
            module, _, name = SOURCES[reference.kind].partition(":")
            self._made[reference.kind] = cast(Source, getattr(import_module(module), name)(self._outbound, **self._options(reference.kind)))
        return self._made[reference.kind]

    def _options(self, kind: Kind) -> dict[str, Any]:
        settings = self._settings
        match kind:
            case "registry":
                return registry_options(settings)
            case "hub":
                from hausgeist.library.sources.huggingface import read_token

                return {"endpoint": settings.hf_endpoint, "token": read_token(settings.hf_token, settings.hf_token_files), "choose": self._choose}
            case _:
                return {}


def registry_options(settings: Settings) -> dict[str, Any]:
    """What is known of registries: where the usual one is (`base`), `accounts` by host, and which hosts have no https (`plain_http`)."""
    from hausgeist.library.sources.credentials import Account

    named = [(host.lower(), section) for host, section in settings.registries.items()]
    return {
        "base": settings.registry,
        "accounts": {host: Account(section.user, section.password) for host, section in named if section.user},
        "plain_http": frozenset(host for host, section in named if section.plain_http),
    }

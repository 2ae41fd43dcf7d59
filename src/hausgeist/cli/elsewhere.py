"""A word that other tools have models on this machine, for whoever has none here or cannot fetch one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from hausgeist.settings import Settings

__all__ = ["TOOLS", "mention"]

TOOLS: Final = {"ollama": "Ollama", "huggingface": "Hugging Face", "llama.cpp": "llama.cpp", "lmstudio": "LM Studio"}


def mention(settings: Settings, host: str | None) -> str:
    """That there is something to adopt, if that can be seen at once; else nothing. Of a server elsewhere nothing is known here."""
    from hausgeist.cli.client import configured_address
    from hausgeist.library.sources.adoption import glimpse

    if host or configured_address(settings):
        return ""
    seen, whole = glimpse(os.environ, Path(os.path.expanduser("~")), ollama_models=settings.ollama_models, hf_home=settings.hf_home)
    if not seen:
        return ""
    count = sum(seen.values())
    verb = "models" if count > 1 else "model"
    return (
        f"{'' if whole else 'at least '}{count} {verb} of {' and '.join(TOOLS[tool] for tool in seen)} can be used with no download: hausgeist adopt"
    )

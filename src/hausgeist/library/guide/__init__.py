"""The guide: a tiny model of our own, carried in the package, so that the first answer needs no download. How it is made is in `starter/`."""

from __future__ import annotations

from pathlib import Path

__all__ = ["FILE", "NAME", "NOTICE", "PARAMETERS", "is_guide"]

NAME = "guide"
NOTICE = "tiny and built in: it answers questions about Hausgeist and self-hosting, and nothing else"
PARAMETERS = {"temperature": 0}
"""It says the likeliest thing it knows; chance has no good ideas to offer here. In Ollama's names, as any model's."""
FILE = Path(__file__).with_name("guide.gguf")


def is_guide(model_id: str) -> bool:
    """Whether a model's id, as the APIs give it, is the guide's."""
    return model_id.lower().removesuffix(":latest") == NAME

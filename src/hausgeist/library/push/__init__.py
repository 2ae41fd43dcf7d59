"""Models on their way out: an installed model sent to a registry, in the layout in which Ollama and this library pull it."""

from hausgeist.library.push.registry import Registries
from hausgeist.library.push.service import Plan, Pusher

__all__ = ["Plan", "Pusher", "Registries"]

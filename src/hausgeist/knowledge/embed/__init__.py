"""Text becomes vectors: by the model that is installed along, or by one of the library."""

from hausgeist.knowledge.embed.base import Embedder

__all__ = ["Embedder"]

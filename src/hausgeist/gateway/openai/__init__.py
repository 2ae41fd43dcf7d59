"""OpenAI's tongue: chat completions, completions, embeddings, models and rerank as the official SDK calls them; all else is refused by name."""

from hausgeist.gateway.openai.errors import OPENAI
from hausgeist.gateway.openai.routes import endpoints

__all__ = ["OPENAI", "endpoints"]

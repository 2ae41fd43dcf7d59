"""Model APIs over HTTP: one package for each dialect (`openai`, `anthropic`, `ollama`). The modules beside them are what several of them need."""

from hausgeist.gateway.services import Services

__all__ = ["Services"]

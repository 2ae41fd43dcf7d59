"""Ollama's tongue under `/api`: generate, chat, embeddings and the library of models, as the official `ollama` SDK calls them."""

from hausgeist.gateway.ollama import answers, embed, library
from hausgeist.gateway.ollama.errors import OLLAMA
from hausgeist.gateway.services import Services
from hausgeist.http.endpoint import Endpoint

__all__ = ["OLLAMA", "endpoints"]


def endpoints(services: Services) -> list[Endpoint]:
    """All routes of this tongue."""
    return [*answers.endpoints(services), *embed.endpoints(services), *library.endpoints(services)]

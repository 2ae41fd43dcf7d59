"""Anthropic's tongue: messages, token counts and models, as the official `anthropic` SDK calls them."""

from hausgeist.gateway.anthropic import messages, models
from hausgeist.gateway.anthropic.errors import ANTHROPIC
from hausgeist.gateway.anthropic.models import model_retrieve, models_list
from hausgeist.gateway.services import Services
from hausgeist.http.endpoint import Endpoint

__all__ = ["ANTHROPIC", "endpoints", "model_retrieve", "models_list"]


def endpoints(services: Services) -> list[Endpoint]:
    """All routes of this tongue. Those of models share their paths with OpenAI's."""
    return [*messages.endpoints(services), *models.endpoints(services)]

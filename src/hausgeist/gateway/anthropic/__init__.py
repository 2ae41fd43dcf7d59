"""Anthropic's tongue: messages, token counts and models, as the official `anthropic` SDK calls them."""

from hausgeist.gateway.anthropic import messages, models
from hausgeist.gateway.anthropic.errors import ANTHROPIC
from hausgeist.gateway.services import Services
from hausgeist.http.endpoint import Endpoint

__all__ = ["ANTHROPIC", "endpoints"]


def endpoints(services: Services) -> list[Endpoint]:
    """All routes of this tongue. Those of models share their paths with OpenAI's."""
    return [*messages.endpoints(services), *models.endpoints(services)]

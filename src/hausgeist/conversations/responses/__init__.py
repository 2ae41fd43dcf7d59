"""Responses: asked, made in one loop of model and tools, followed as they are made, kept, and taken up again after a restart."""

from hausgeist.conversations.responses.service import Found, Responses

__all__ = ["Found", "Responses"]

"""Chats out to files and in from files: our own JSON, Markdown for people, the exports of ChatGPT and Open WebUI."""

from hausgeist.conversations.exchange.bringing import Bringing, Brought
from hausgeist.conversations.exchange.taking import Format, Taking

__all__ = ["Bringing", "Brought", "Format", "Taking"]

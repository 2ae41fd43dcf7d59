"""The product over HTTP: sign-in, keys, projects, chats and the life of models under /house/v1, the state of the server, and the pages."""

from hausgeist.web.chat_files import incoming
from hausgeist.web.routes import Parts, endpoints

__all__ = ["Parts", "endpoints", "incoming"]

"""The product over HTTP: the routes of /house/v1 and the state of the server (`house`), and the pages of the browser (`pages`)."""

from hausgeist.web.house.chat_files import incoming
from hausgeist.web.routes import Parts, endpoints

__all__ = ["Parts", "endpoints", "incoming"]

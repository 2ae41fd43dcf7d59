"""Statuses of errors, as all of HTTP has them; told in `hausgeist.http.statuses`."""

from hausgeist.http.statuses import headers_of, message_of, status_of

__all__ = ["headers_of", "message_of", "status_of"]

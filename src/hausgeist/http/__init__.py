"""What all dialects have in common over HTTP: sockets, TLS, who asks, bodies, routing, statuses. What is said belongs to `gateway` and `web`."""

from hausgeist.http.endpoint import Dialect, Endpoint

__all__ = ["Dialect", "Endpoint"]

"""HTTP without a tongue of its own: sockets, TLS, who asks, finding the route, saying errors; what is said belongs to `gateway` and `web`."""

from hausgeist.http.endpoint import Dialect, Endpoint

__all__ = ["Dialect", "Endpoint"]

"""Foreign tongues over HTTP, one package each; the modules beside them are what several of them need. Each is asked for by its own name."""

__all__: list[str] = []

"""GGUF files: the container, read with strict bounds from disk or over ranges of a server, and what its keys mean for a model."""

from hausgeist.library.gguf.contents import Contents, inspect, read_shape, tasks
from hausgeist.library.gguf.header import Header, read_header

__all__ = ["Contents", "Header", "inspect", "read_header", "read_shape", "tasks"]

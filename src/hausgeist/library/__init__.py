"""What we have: models by name, and what their files say about themselves. The verbs are `service.Library`, which needs the database."""

from hausgeist.library.gguf.contents import Contents, inspect, read_shape, tasks
from hausgeist.library.names import Name

__all__ = ["Contents", "Name", "inspect", "read_shape", "tasks"]

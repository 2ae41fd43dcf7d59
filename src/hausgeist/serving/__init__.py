"""The one door to a model: authorise, resolve, admit, lease, stream, meter, audit; and the pool of workers behind it."""

from hausgeist.serving.calls import Answer, Call
from hausgeist.serving.door import Door
from hausgeist.serving.pool import Pool
from hausgeist.serving.resident import Loaded

__all__ = ["Answer", "Call", "Door", "Loaded", "Pool"]

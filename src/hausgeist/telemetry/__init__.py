"""What the operator sees of the server: logs without prompt text, and metrics. Nothing is ever sent anywhere."""

from hausgeist.telemetry.logs import configure
from hausgeist.telemetry.metrics import Metrics

__all__ = ["Metrics", "configure"]

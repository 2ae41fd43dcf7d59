"""What the operator sees of the server: logs without prompt text, and metrics. Nothing is ever sent anywhere."""

from hausgeist.telemetry.logs import configure, engine_log
from hausgeist.telemetry.metrics import Metrics, NullMetrics

__all__ = ["Metrics", "NullMetrics", "configure", "engine_log"]

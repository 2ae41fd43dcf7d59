"""Metrics in Prometheus' format, on a registry of their own. Only names that the server itself knows become labels, and only so many of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prometheus_client import Counter, Gauge, Histogram

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_M = TypeVar("_M", "Counter", "Gauge", "Histogram")
_MOST_MODELS = 200
_OTHER = "other"

_REQUEST_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_TOKEN_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_LOAD_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_RATES = (1, 2, 5, 10, 20, 30, 50, 75, 100, 150, 200, 300, 500, 1000)


class Metrics:
    """Counts what happens. All methods are cheap and never raise for a strange name."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

        from hausgeist import __version__

        self._registry = registry = CollectorRegistry(auto_describe=True)
        self._models: set[str] = set()
        self._series: dict[tuple[object, ...], Any] = {}
        """Never of a series that is removed again (memory)."""
        ProcessCollector(registry=registry)
        Gauge("hausgeist_info", "The running version.", ["version"], registry=registry).labels(__version__).set(1)
        self._requests = Counter("hausgeist_requests", "Requests answered.", ["dialect", "operation", "status"], registry=registry)
        self._request_seconds = Histogram(
            "hausgeist_request_seconds",
            "From the first byte of a request to the last of its answer.",
            ["dialect", "operation"],
            buckets=_REQUEST_SECONDS,
            registry=registry,
        )
        self._tokens = Counter("hausgeist_tokens", "Tokens read (prompt) and written (completion).", ["model", "kind"], registry=registry)
        self._first_token = Histogram(
            "hausgeist_time_to_first_token_seconds",
            "From a request at the door to its first token.",
            ["model"],
            buckets=_TOKEN_SECONDS,
            registry=registry,
        )
        self._rate = Histogram("hausgeist_tokens_per_second", "Speed at which one answer was written.", ["model"], buckets=_RATES, registry=registry)
        self._waiting = Gauge("hausgeist_queue_requests", "Requests that wait for a model.", ["model"], registry=registry)
        self._running = Gauge("hausgeist_active_requests", "Requests that a model is answering.", ["model"], registry=registry)
        self._memory = Gauge("hausgeist_model_memory_bytes", "Memory of a loaded model.", ["model"], registry=registry)
        self._loads = Counter("hausgeist_model_loads", "Starts of workers, and how they ended.", ["model", "outcome"], registry=registry)
        self._plan_loads = Gauge("hausgeist_plan_loads", "Loads by which the planner was checked.", ["method"], registry=registry)
        self._plan_error = Gauge(
            "hausgeist_plan_error_ratio",
            "Error of what was said of loads, against what they took: 0.01 is 1 % too much. The median is of sizes, without signs.",
            ["method", "of"],
            registry=registry,
        )
        self._load_seconds = Histogram("hausgeist_model_load_seconds", "Time to load a model.", ["model"], buckets=_LOAD_SECONDS, registry=registry)

    def request(self, dialect: str, operation: str, status: int, seconds: float) -> None:
        """One request over HTTP; `operation` is the name of its route, never its path."""
        self._of(self._requests, dialect, operation, str(status)).inc()
        self._of(self._request_seconds, dialect, operation).observe(seconds)

    def tokens(self, model: str, prompt: int, completion: int) -> None:
        """Tokens of one call."""
        name = self._label(model)
        self._of(self._tokens, name, "prompt").inc(max(0, prompt))
        self._of(self._tokens, name, "completion").inc(max(0, completion))

    def first_token(self, model: str, seconds: float) -> None:
        """Time to the first token of one call."""
        self._of(self._first_token, self._label(model)).observe(seconds)

    def rate(self, model: str, tokens_per_second: float) -> None:
        """Speed of one answer."""
        self._of(self._rate, self._label(model)).observe(tokens_per_second)

    def queue(self, model: str, waiting: int) -> None:
        """Requests that wait for a model now."""
        self._of(self._waiting, self._label(model)).set(waiting)

    def active(self, model: str, running: int) -> None:
        """Requests that a model answers now."""
        self._of(self._running, self._label(model)).set(running)

    def memory(self, model: str, bytes: int | None) -> None:  # noqa: A002
        """Memory of a loaded model; `None` when it was unloaded."""
        name = self._label(model)
        if bytes is not None:
            self._memory.labels(name).set(bytes)
        elif name != _OTHER:
            self._memory.remove_by_labels({"model": name})

    def loads(self, model: str, seconds: float, outcome: Literal["ok", "failed", "crashed"]) -> None:
        """The start of a worker, or its unexpected end."""
        name = self._label(model)
        self._loads.labels(name, outcome).inc()
        if outcome == "ok":
            self._load_seconds.labels(name).observe(seconds)

    def plan_errors(self, method: str, loads: int, errors: Mapping[str, float | None]) -> None:
        """How true was what `method` (arithmetic, fit) said of so many loads; `errors` by what they are of: median, worst, ..."""
        self._plan_loads.labels(method).set(loads)
        for of, error in errors.items():
            if error is not None:
                self._plan_error.labels(method, of).set(error)

    def render(self) -> bytes:
        """All of it, as Prometheus reads it (`CONTENT_TYPE`)."""
        from prometheus_client import generate_latest

        return generate_latest(self._registry)

    def _of(self, metric: _M, *values: str) -> _M:
        """The series of these labels, looked up without the library's own lock and checks: they are most of what counting costs."""
        series = self._series.get((metric, *values))
        if series is None:
            series = self._series[metric, *values] = metric.labels(*values)
        return series

    def _label(self, model: str) -> str:
        """A series that was opened stays in memory, so there is an end to them."""
        if model not in self._models:
            if len(self._models) >= _MOST_MODELS:
                return _OTHER
            self._models.add(model)
        return model

"""What computes: llama.cpp in a worker process, a remote OpenAI-compatible server, a fake. Behind one Protocol and one table."""

from hausgeist.engines.base import Engine, FitFailed, Operation, Reply, SlotState, Worker, WorkerGone
from hausgeist.engines.registry import ENGINES, factory

__all__ = ["ENGINES", "Engine", "FitFailed", "Operation", "Reply", "SlotState", "Worker", "WorkerGone", "factory"]

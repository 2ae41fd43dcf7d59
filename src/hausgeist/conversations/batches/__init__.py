"""Batches: a file of requests that is answered when nobody else asks, line by line, and becomes a file of answers."""

from hausgeist.conversations.batches.records import Batch
from hausgeist.conversations.batches.run import Perform
from hausgeist.conversations.batches.service import Batches

__all__ = ["Batch", "Batches", "Perform"]

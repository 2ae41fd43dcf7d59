"""Memory of a model under vLLM by arithmetic, per card: weights, activations, and how many tokens the blocks hold that are left."""

from __future__ import annotations

from hausgeist.planner.memory.vllm.cache import Layout, layout
from hausgeist.planner.memory.vllm.estimate import CardMemory, Memory, estimate
from hausgeist.planner.memory.vllm.parallel import Split, splits
from hausgeist.planner.memory.vllm.published import COMPARED, PRECISIONS, demand_architecture, demand_card, possible, with_bytes
from hausgeist.planner.memory.vllm.start import Card, Precision, Start
from hausgeist.planner.memory.vllm.weights import stage_weights, stages

__all__ = [
    "COMPARED",
    "PRECISIONS",
    "Card",
    "CardMemory",
    "Layout",
    "Memory",
    "Precision",
    "Split",
    "Start",
    "demand_architecture",
    "demand_card",
    "estimate",
    "layout",
    "possible",
    "splits",
    "stage_weights",
    "stages",
    "with_bytes",
]

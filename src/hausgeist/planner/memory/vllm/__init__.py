"""Memory of a model under vLLM by arithmetic, per card: weights, activations, and how many tokens the blocks hold that are left."""

from __future__ import annotations

from hausgeist.planner.memory.vllm.cache import Layout, layout
from hausgeist.planner.memory.vllm.estimate import CardMemory, Memory, estimate
from hausgeist.planner.memory.vllm.start import Card, Precision, Start
from hausgeist.planner.memory.vllm.weights import stage_weights, stages

__all__ = ["Card", "CardMemory", "Layout", "Memory", "Precision", "Start", "estimate", "layout", "stage_weights", "stages"]

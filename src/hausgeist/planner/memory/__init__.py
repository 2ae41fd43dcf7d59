"""Memory of a model under llama.cpp by arithmetic: weights, caches and buffers as the engine lays them out, from a header alone."""

from __future__ import annotations

from hausgeist.planner.memory.described import Types, describe
from hausgeist.planner.memory.estimate import Memory, Start, estimate
from hausgeist.planner.memory.header import Header, Tensor
from hausgeist.planner.memory.projector import ProjectorMemory, projector
from hausgeist.planner.memory.weights import InstructionSet, Weights, weights

__all__ = [
    "Header",
    "InstructionSet",
    "Memory",
    "ProjectorMemory",
    "Start",
    "Tensor",
    "Types",
    "Weights",
    "describe",
    "estimate",
    "projector",
    "weights",
]

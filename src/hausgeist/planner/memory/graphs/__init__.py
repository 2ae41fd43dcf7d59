"""The graphs of the architectures, one module per family: attention alone, latent attention, states, encoders."""

from hausgeist.planner.memory.graphs.kinds import kinds
from hausgeist.planner.memory.graphs.table import GRAPHS, build

__all__ = ["GRAPHS", "build", "kinds"]

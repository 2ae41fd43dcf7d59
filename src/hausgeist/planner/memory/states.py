"""States of recurrent layers: read, scanned and written back (`build_rs`)."""

from __future__ import annotations

from hausgeist.planner.memory.arena import Node
from hausgeist.planner.memory.nodes import Nodes

__all__ = ["States"]


class States(Nodes):
    """One state per sequence of the step, in memory that is not the graph's."""

    def state(self, name: str, width: int) -> Node:
        """The states of this step's sequences. All are read; those of others go back as they are."""
        states = self._states(name, width)
        rows = self.fresh((width, self.batch.sequences), states, self._copies())
        output = self.view(rows, width, self.batch.sequences)
        self.graph.expand(output)
        self._keep(name, width, rows)
        return output

    def _states(self, name: str, width: int) -> Node:
        """The cache, of which one row is cleared on the way."""
        cache = self.leaf(name, width, self.batch.sequences, external=True)
        states = self.view(cache, width, self.batch.sequences)
        self.graph.expand(self.view(self.view(states, 0), 0))
        return states

    def _keep(self, name: str, width: int, rows: Node) -> None:
        self.graph.expand(self.into(self.view(self.leaf(name), width, 0), self.view(rows, width, 0)))

    def _copies(self) -> Node:
        return self.leaf("copies", self.batch.sequences, kind="i32")

    def _some_copies(self, which: str, count: int) -> Node:
        """A part of the list; it is one node however often it is used."""
        if which not in self._leaves:
            self._leaves[which] = self.view(self._copies(), count)
        return self._leaves[which]

    def update(self, name: str, node: Node) -> None:
        """Copy a new state over the old one."""
        cache = self.leaf(name)
        self.graph.expand(self.into(self.view(cache, *cache.shape), node))

    def scan(self, name: str, width: int, sources: tuple[Node, ...], result: int) -> Node:
        """A scan that reads the states itself: `ggml_ssm_scan` gives outputs and new states in one. All but one could be of other sequences."""
        states, count = self._states(name, width), self.batch.sequences
        output = self.fresh((result,), self.view(states, width, count), *sources, self._some_copies("copies of this step", count))
        self.graph.expand(output)
        self._keep(name, width, self.fresh((width, count - 1), states, self._some_copies("other copies", count - 1)))
        return output

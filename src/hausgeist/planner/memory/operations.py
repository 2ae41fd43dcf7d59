"""Builds the graph of a model, piece by piece, as llama.cpp does: beginning and end here, what is between in the modules that it joins.

The order of nodes and of their inputs is that of src/llama-graph.cpp and src/llama-kv-cache.cpp, because it decides what shares memory.
"""

from __future__ import annotations

from hausgeist.planner.memory.arena import Node
from hausgeist.planner.memory.attention import Attention
from hausgeist.planner.memory.networks import Networks
from hausgeist.planner.memory.nodes import Batch, Norm
from hausgeist.planner.memory.states import States

__all__ = ["Batch", "Builder", "Norm"]


class Builder(Attention, Networks, States):
    """Builds one graph."""

    def embed(self) -> Node:
        """`build_inp_embd`: by tokens, as vectors, or both mixed; each way has its place, though only one is taken."""
        header, batch = self.header, self.batch
        width = header.hidden * (1 + header.number("n_deepstack_layers"))
        looked_up = [self._looked_up(name) for name in ("tokens", "mixed_tokens")]
        node, some = (self._widened(one, width) for one in looked_up)
        self.graph.expand(node)
        self.entered = node
        self.graph.expand(self.leaf("embeddings", width, batch.tokens))
        mixed = self.cont(self.leaf("mixed_embeddings", width, batch.tokens))
        rows = self.leaf("mixed_rows", batch.tokens, kind="i64")
        self.graph.expand(self.into(mixed, some, rows))
        if width > header.hidden:
            node = self.view(node, header.hidden, batch.tokens, plain=False)
        if header.get("embedding_scale"):
            node = self.same(node)
            self.graph.expand(node)
        return node

    def _looked_up(self, name: str) -> Node:
        node = self.fresh((self.header.hidden, self.batch.tokens), self.leaf(name, self.batch.tokens, kind="i32"))
        node.layer = -1
        self.graph.expand(node)
        return node

    def _widened(self, node: Node, width: int) -> Node:
        """With room for what goes around the first layer."""
        return self.fresh((width, self.batch.tokens), node) if width > self.header.hidden else node

    def wanted(self, node: Node) -> Node:
        """Only the tokens whose next one is asked for (`inp_out_ids`)."""
        return self.fresh((node.shape[0], self.batch.outputs), node, self.leaf("outputs", self.batch.outputs, kind="i32"))

    def finish(self, node: Node, *, kind: Norm = "rms", pick: bool = False, scale: bool = False, cap: bool = False) -> None:
        """Norm and output matrix. `pick`: the wanted tokens are chosen only here."""
        if pick:
            node = self.wanted(node)
        node = self.norm(node, "token_embd_norm" if self.header.architecture in ("lfm2", "lfm2moe") else "output_norm", kind)
        self.end(node)
        node = self.fresh((self.header.vocabulary, *node.shape[1:]), node)
        node.layer = self.header.blocks
        if self.present("output.bias"):
            node = self.same(node)
        for _ in range(scale + 3 * cap):
            node = self.same(node)
        node.output = True
        self.graph.expand(node)

    def end(self, node: Node) -> None:
        """The last state, which may be asked for itself (`t_embd`)."""
        node.output = True
        self.embedded = node

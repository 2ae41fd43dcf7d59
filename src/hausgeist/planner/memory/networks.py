"""Feed-forward networks, dense or of experts (`build_ffn`, `build_moe_ffn`)."""

from __future__ import annotations

from typing import Final

from hausgeist.errors import InvalidRequest
from hausgeist.planner.memory.arena import Node
from hausgeist.planner.memory.nodes import Nodes

__all__ = ["Networks"]

_MOST_EXPERTS: Final = 1024
"""llama.cpp takes 512 (`LLAMA_MAX_EXPERTS` in src/llama-hparams.h)."""


class Networks(Nodes):
    """Which matrices there are say the tensors of the file."""

    def ffn(self, layer: int, node: Node, *, gate: bool = True, halves: bool = False, squares: bool = False, suffix: str = "") -> Node:
        """`build_ffn`. `gate`: with a matrix of its own in parallel; `halves`: the gate is half of ffn_up."""
        name = f"blk.{layer}.ffn_"
        up = self.biased(f"{name}up{suffix}", node)
        if gate:
            gated = self.biased(f"{name}gate{suffix}", node)
            node = self.fresh(up.shape, gated, up)
        elif halves:
            node = self.fresh((up.shape[0] // 2, *up.shape[1:]), up)
        else:
            node = self.same(up)
            if squares:
                node = self.same(node)
        return self.biased(f"{name}down{suffix}", node)

    def experts(
        self, layer: int, node: Node, *, gating: str = "softmax", normed: bool = True, scaled: bool = False, logits: Node | None = None,
        before: bool = False, squares: bool = False,
    ) -> Node:  # fmt: skip
        """`build_moe_ffn`. `before`: tokens are weighted before the experts see them (Llama 4)."""
        header, name = self.header, f"blk.{layer}."
        tokens, width = node.shape[1], node.shape[0]
        count, used = header.number("expert_count"), header.per_layer("expert_used_count")[layer]
        if not 0 < used <= count <= _MOST_EXPERTS:
            raise InvalidRequest(f"The header says that {used} of {count} experts are used, which no engine does.", param="model")
        if logits is None:
            logits = self.biased(f"{name}ffn_gate_inp", node)
        probabilities = self.same(logits) if gating in ("softmax", "sigmoid") else logits
        selection = logits if before else probabilities
        if self.present(f"{name}exp_probs_b.bias"):
            selection = self.same(probabilities)
        if (groups := header.number("expert_group_count")) > 1:
            selection = self._grouped(selection, groups, header.number("expert_group_used_count"))
        order = self.fresh((count, tokens), selection, kind="i32")
        chosen = self.view(order, used, tokens, plain=False)
        weights = self.fresh((1, used, tokens), self.view(probabilities, 1, count, tokens), chosen)
        if gating == "softmax_weight":
            weights = self.view(self.same(self.view(weights, used, tokens)), 1, used, tokens)
        if normed:
            flat = self.view(weights, used, tokens)
            total = self.same(self.fresh((1, tokens), flat))
            weights = self.view(self.same(flat, total), 1, used, tokens)
        if scaled:
            weights = self.same(weights)
        self.graph.expand(weights)
        inner = self.view(node, width, 1, tokens)
        if before:
            inner = self.same(self.fresh((width, used, tokens), inner), weights)
        inner = self._expert(f"{name}ffn_", inner, chosen, used, tokens, squares=squares)
        down = self.fresh((self.header.tensors[f"{name}ffn_down_exps.weight"].dimensions[1], used, tokens), inner, chosen)
        if self.present(f"{name}ffn_down_exps.bias"):
            down = self.same(down, chosen)
        if not before:
            down = self.same(down, weights)
        self.graph.expand(down)
        width = down.shape[0]
        views = [self.view(down, width, tokens, plain=False) for _ in range(used)]
        for view in views:
            self.graph.expand(view)
        if used == 1:
            return self.cont(views[0])
        result = views[0]
        for view in views[1:]:
            result = self.same(result, view)
            self.graph.expand(result)
        return result

    def _expert(self, name: str, node: Node, chosen: Node, used: int, tokens: int, *, squares: bool) -> Node:
        if self.present(f"{name}gate_up_exps.weight"):
            both = self.fresh((self.rows(f"{name}gate_up_exps.weight"), used, tokens), node, chosen)
            half = both.shape[0] // 2
            gate, up = self.view(both, half, used, tokens, plain=False), self.view(both, half, used, tokens, plain=False)
            return self.fresh((half, used, tokens), gate, up)
        up = self.fresh((self.rows(f"{name}up_exps.weight"), used, tokens), node, chosen)
        if self.present(f"{name}up_exps.bias"):
            up = self.same(up, chosen)
        if not self.present(f"{name}gate_exps.weight"):
            return self.same(self.same(up)) if squares else self.same(up)
        gate = self.fresh(up.shape, node, chosen)
        if self.present(f"{name}gate_exps.bias"):
            gate = self.same(gate, chosen)
        return self.fresh(up.shape, gate, up)

    def _grouped(self, scores: Node, groups: int, used: int) -> Node:
        """Only experts of the best groups may be chosen (DeepSeek-V3)."""
        count, tokens = scores.shape[0], scores.shape[1]
        each = count // groups
        split = self.view(scores, each, groups, tokens)
        best = self.view(self.fresh((each, groups, tokens), split, kind="i32"), 2, groups, tokens, plain=False)
        tops = self.fresh((1, 2, groups, tokens), self.view(split, 1, each, groups, tokens), best)
        total = self.view(self.fresh((1, groups, tokens), self.view(tops, 2, groups, tokens)), groups, tokens)
        chosen = self.view(self.fresh((groups, tokens), total, kind="i32"), used, tokens, plain=False)
        kept = self.fresh((each, used, tokens), split, chosen)
        blank = self.same(split)
        return self.view(self.into(blank, kept, chosen), count, tokens)

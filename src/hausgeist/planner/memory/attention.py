"""Attention: queries, keys and values, what of them is stored, and how they meet (`build_qkv`, `build_attn`, `build_attn_mha`)."""

from __future__ import annotations

from collections.abc import Callable

from hausgeist.planner.memory.arena import Node
from hausgeist.planner.memory.nodes import Nodes

__all__ = ["Attention"]


class Attention(Nodes):
    """With a cache or without, windowed or not, by heads or latent."""

    def qkv(self, layer: int, node: Node, *, head: int = 0) -> tuple[Node, Node, Node]:
        """`build_qkv`: queries, keys and values per head."""
        header, tokens, name = self.header, self.batch.tokens, f"blk.{layer}."
        key, value = head or header.key_length(layer), head or header.value_length(layer)
        heads, kv_heads = header.heads[layer], header.kv_heads[layer]
        shapes = ((key, heads, tokens), (key, kv_heads, tokens), (value, kv_heads, tokens))
        clamp = header.get("attention.clamp_kqv")
        if self.rows(f"{name}attn_qkv.weight"):
            fused = self.biased(f"{name}attn_qkv", node)
            if clamp:
                fused = self.same(fused)
            query, keys, values = (self.view(fused, *shape, plain=False) for shape in shapes)
            return query, keys, values
        parts = []
        for which in ("attn_q", "attn_k", "attn_v"):
            part = self.biased(name + which, node)
            parts.append(self.same(part) if clamp else part)
        query, keys, values = (self.view(part, *shape) for part, shape in zip(parts, shapes, strict=True))
        return query, keys, values

    def attend(self, layer: int, query: Node, key: Node | None, value: Node | None, *, output: str = "attn_output", cap: bool = False) -> Node:
        """`build_attn` with a cache of keys and values, windowed or not; without one where the model keeps none."""
        header, batch, graph = self.header, self.batch, self.graph
        windowed = header.windowed[layer]
        if header.cacheless:
            for node in (query, key, value):
                if node is not None:
                    graph.expand(node)
            assert key is not None
            assert value is not None
            mask = self._mask("window" if windowed else "mask", batch.tokens, batch.tokens, 1)
            attended = self._mha(query, key, value, mask, streams=1, cap=cap)
            return self._out(layer, attended, output)
        if batch.rotated:
            suffix = "_window" if windowed else ""
            turn_keys, turn_values = self._turns(layer)
            query = self._turn(query, turn_keys, "keys" + suffix)
            key = key and self._turn(key, turn_keys, "keys" + suffix)
            value = value and self._turn(value, turn_values, "values" + suffix)
        both = bool(header.window)
        for node in (query, key, value) if both else (query, value, key):
            if node is not None:
                graph.expand(node)
        cells = batch.window_cells if windowed else batch.cells
        kind = "window" if windowed else ""
        owner = self._owner(layer)
        length_k, length_v, heads = header.key_length(layer), header.value_length(layer), header.kv_heads[layer]
        keys = self.leaf(f"k{owner}", length_k * heads, cells, batch.streams, kind="f16", external=True)
        values = self.leaf(f"v{owner}", length_v * heads, cells, batch.streams, kind="f16", external=True)
        if key is not None:
            graph.expand(self._store(keys, key, self.leaf(f"k_rows{kind}", batch.tokens, kind="i64")))
        if value is not None:
            graph.expand(self._store_values(values, value, kind))
        mask = self._mask(kind or "mask", cells, batch.tokens // batch.streams, batch.streams)
        stored = self.view(keys, length_k, heads, cells, batch.streams, plain=False)
        shape = (length_v, heads, cells) if batch.flash else (cells, heads, length_v)
        seen = self.view(values, *shape, batch.streams, plain=False)
        attended = self._mha(query, stored, seen, mask, streams=batch.streams, cap=cap, transposed=not batch.flash)
        if batch.rotated:
            attended = self._turn(attended, self._turns(layer)[1], "values_window" if windowed else "values")
        return self._out(layer, attended, output)

    def attend_latent(self, layer: int, query: Node, key: Node, value: Node, *, rank: int, length: int, chosen: Node | None = None) -> Node:
        """`build_attn` where values are the first part of the one key per token, and are unfolded per head afterwards.

        `chosen`: the tokens that an index lets each token see; others are masked.
        """
        batch, graph = self.batch, self.graph
        for node in (query, value, key):
            graph.expand(node)
        keys = self.leaf(f"k{layer}", key.shape[0], batch.cells, batch.streams, kind="f16", external=True)
        graph.expand(self._store(keys, key, self.leaf("k_rows", batch.tokens, kind="i64")))
        mask = self._mask("mask", batch.cells, batch.tokens // batch.streams, batch.streams)
        if chosen is not None:
            mask = self._unmasked(layer, mask, chosen)
        stored = self.view(keys, key.shape[0], 1, batch.cells, batch.streams, plain=False)
        seen = self.view(stored, rank, 1, batch.cells, batch.streams, plain=False)
        return self._out(layer, self._mha(query, stored, seen, mask, streams=batch.streams, unfold=length), "attn_output")

    def _unmasked(self, layer: int, mask: Node, chosen: Node) -> Node:
        """A mask of nothing but what is chosen, added to the other."""
        cells, tokens, _, streams = mask.shape
        filled = self.fresh(mask.shape, mask, kind=mask.kind)
        target = self.view(filled, 1, cells, tokens, streams)
        rows = self.view(chosen, chosen.shape[0], tokens, streams)
        zeros = self.same(self.leaf(f"zeros{layer}", 1, chosen.shape[0], tokens, streams))
        return self.same(self.view(self.into(target, zeros, rows), cells, tokens, 1, streams), mask)

    def choose(self, layer: int, key: Node, query: Node, weights: Node) -> Node:
        """The index of DeepSeek-V3.2: one key per token is kept, and the best tokens are chosen by all its heads together, in one operation."""
        batch, graph, name = self.batch, self.graph, f"blk.{layer}.indexer."
        length, heads, each = query.shape[0], query.shape[1], batch.tokens // batch.streams
        turn = self.leaf("turn_index", length, length)
        query, key = self.fresh(query.shape, turn, query), self.fresh(key.shape, turn, key)
        keys = self.leaf(f"{name}cache", length, batch.cells, batch.streams, kind="f16", external=True)
        graph.expand(self._store(keys, key, self.leaf("index_rows", batch.tokens, kind="i64")))
        stored = self.view(keys, length, 1, batch.cells, batch.streams, plain=False)
        query = self.view(query, length, heads, each, batch.streams, plain=False)
        weights = self.same(self.view(weights, heads, each, 1, batch.streams, plain=False))
        seen = self.leaf("mask_index", batch.cells, each, 1, batch.streams, kind="f16")
        total = self.fresh((batch.cells, each, 1, batch.streams), query, stored, weights, seen)
        best = min(batch.cells, self.header.number("attention.indexer.top_k", batch.cells))
        return self.cont(self.fresh((best, each, 1, batch.streams), total, kind="i32"))

    def _owner(self, layer: int) -> int:
        """The layer whose cache this one uses."""
        kept = self.header.cached_layers
        if layer < kept:
            return layer
        return kept - (2 if self.header.windowed[layer] else 1)

    def _mask(self, name: str, cells: int, tokens: int, streams: int) -> Node:
        return self.leaf(f"mask_{name}", cells, tokens, 1, streams, kind="f16" if self.batch.flash else "f32")

    def _store(self, cache: Node, node: Node, rows: Node) -> Node:
        width = node.shape[0] * node.shape[1]
        flat = self.view(node, width, node.shape[2], plain=False)
        return self.into(self._merged(cache, width), flat, rows)

    def _merged(self, cache: Node, width: int) -> Node:
        return self.view(cache, width, cache.elements // width) if self.batch.streams > 1 else cache

    def _store_values(self, cache: Node, node: Node, kind: str) -> Node:
        if self.batch.flash:
            return self._store(cache, node, self.leaf(f"v_rows{kind}", self.batch.tokens, kind="i64"))
        widest = max(self.header.value_length(one) * self.header.kv_heads[one] for one in range(self.header.layers))
        width = node.shape[0] * node.shape[1]
        flat = self.view(node, width, node.shape[2]) if node.plain else self.cont(node, width, node.shape[2])
        single = self.view(flat, 1, flat.elements)
        rows = self.leaf(f"v_rows{kind}", self.batch.tokens * widest, kind="i64")
        return self.into(self.view(cache, 1, cache.elements), single, rows)

    def _turns(self, layer: int) -> tuple[int, int]:
        """Sizes of the Hadamard matrices: the largest power of two that divides a key, and 64 for values; 0: none."""
        header = self.header
        alike = [one for one in range(header.layers) if header.windowed[one] == header.windowed[layer] and header.kv_heads[one]]

        def uniform(length: Callable[[int], int]) -> bool:
            return length(0) % 64 == 0 and all(length(one) == length(layer) for one in alike)

        key = header.key_length(layer)
        return key & -key if uniform(header.key_length) else 0, 64 if uniform(header.value_length) else 0

    def _turn(self, node: Node, size: int, name: str) -> Node:
        """`llama_mul_mat_hadamard`."""
        if not size:
            return node
        count = node.elements // size
        flat = self.view(node, size, count) if node.plain else self.cont(node, size, count)
        turned = self.fresh((size, count), self.leaf(f"turn_{name}", size, size), flat)
        return self.view(turned, *node.shape)

    def _mha(
        self, query: Node, key: Node, value: Node, mask: Node, *, streams: int, cap: bool = False, transposed: bool = False, unfold: int = 0
    ) -> Node:
        """`build_attn_mha`. `unfold`: rows of the matrix per head that makes values of latent ones."""
        length, heads, tokens = query.shape[0], query.shape[1], query.shape[2] // streams
        query = self.view(query, length, heads, tokens, streams, plain=False)
        query = self.view(query, length, tokens, heads, streams, plain=False)
        key = self.view(key, key.shape[0], key.shape[2], key.shape[1], key.shape[3], plain=False)
        value = self.view(value, value.shape[0], value.shape[2], value.shape[1], value.shape[3], plain=False)
        if self.batch.flash:
            if key.kind == "f32":
                key = self.fresh(key.shape, key, kind="f16")
            if value.kind == "f32":
                value = self.fresh(value.shape, value, kind="f16")
            node = self.fresh((value.shape[0], heads, tokens, streams), query, key, value, mask)
            if unfold:
                node = self.view(node, value.shape[0], tokens, heads, streams, plain=False)
                node = self.fresh((unfold, tokens, heads, streams), node)
                node = self.view(node, unfold, heads, tokens, streams, plain=False)
                node = self.cont(node)
            node = self.view(node, node.shape[0] * heads, tokens * streams)
        else:
            scores = self.fresh((key.shape[1], tokens, heads, streams), key, query)
            for _ in range(3 * cap):
                scores = self.same(scores)
            scores = self.same(scores, mask)
            width = value.shape[1] if transposed else value.shape[0]
            if not transposed:
                value = self.cont(self.view(value, value.shape[1], value.shape[0], *value.shape[2:], plain=False))
            node = self.fresh((width, tokens, heads, streams), value, scores)
            if unfold:
                node = self.fresh((unfold, tokens, heads, streams), node)
            node = self.view(node, node.shape[0], heads, tokens, streams, plain=False)
            node = self.cont(node, node.shape[0] * heads, tokens * streams)
        self.graph.expand(node)
        return node

    def _out(self, layer: int, node: Node, name: str) -> Node:
        return self.biased(f"blk.{layer}.{name}", node) if name else node

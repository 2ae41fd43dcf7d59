"""Layers that are left out of a graph: which, that they are as those that are built, and that nothing is missed."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from hausgeist.library.catalog.reader import load
from hausgeist.planner.memory import Header, Memory, Start, estimate
from hausgeist.planner.memory.arena import Graph, Node, Unsettled
from hausgeist.planner.memory.graphs import GRAPHS, build, kinds
from hausgeist.planner.memory.operations import Batch, Builder
from hausgeist.planner.memory.repeats import Repeat, Selection, select
from tests.unit.planner.paced import header_of

ESTIMATE = import_module("hausgeist.planner.memory.estimate")
BATCH = Batch(tokens=128, sequences=2, outputs=2, streams=2, cells=8192, window_cells=1024, flash=True)

# --- the choice ---


def test_of_equal_layers_three_stay_behind_the_first_one() -> None:
    assert select("aaaaaaaaab", 3) == Selection((0, 1, 2, 8, 9), (Repeat(1, 1, 3, 5),))


def test_of_a_pattern_whole_groups_are_left_out() -> None:
    found = select("wwwf" * 6 + "ww", 3)
    assert found.repeats == (Repeat(1, 4, 3, 3),)
    assert found.layers == (*range(9), *range(21, 26))
    assert [("wwwf" * 6 + "ww")[layer] for layer in found.layers] == list("wwwf" * 3 + "ww")


def test_each_row_is_shortened_and_short_ones_are_not() -> None:
    found = select("dddmmmmmmmmnnnnnnn", 3)
    assert found.layers == (0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 17)
    assert found.repeats == (Repeat(4, 1, 3, 4), Repeat(8, 1, 3, 3))
    assert select("abababab", 3) == Selection(tuple(range(8)))
    assert select("", 3) == Selection(())


# --- the allocator ---


def node(size: int, *sources: Node, reuses: bool = False) -> Node:
    return Node((size // 4, 1, 1, 1), sources, reuses=reuses)


def chain(count: int, *, own: int = 0, garbage: int = 0) -> Graph:
    """Layers of a wide and a narrow result, each with an input of its own, and with a result that nobody uses."""
    graph = Graph()
    state = node(64, node(32))
    for _ in range(count):
        graph.mark()
        if garbage:
            graph.expand(node(garbage, state))
        wide = node(256, state, *([node(own)] if own else []))
        state = node(64, wide)
        graph.expand(state)
    graph.mark()
    graph.expand(node(32, state))
    return graph


@pytest.mark.parametrize("own", [0, 96, 512])
def test_layers_that_are_left_out_take_what_they_would_take(own: int) -> None:
    whole, short = chain(40, own=own), chain(5, own=own)
    short.repeats = (Repeat(1, 1, 4, 35),)
    assert short.measure() == whole.measure()
    assert short.count == whole.count == len(whole.nodes)
    assert len(short.nodes) < len(whole.nodes) / 6


def test_results_that_pile_up_are_not_missed() -> None:
    whole, short = chain(40, garbage=32), chain(5, garbage=32)
    short.repeats = (Repeat(1, 1, 4, 35),)
    assert chain(5, garbage=32).measure() < whole.measure()
    with pytest.raises(Unsettled):
        short.measure()


Recipe = list[tuple[int, bool, bool, list[int]]]
"""Of a layer's results: size in units, whether they may overwrite what they are made of, whether they have an input of their own, and of which
results before they are made, counted from the layer's begin: that of the layer before, an input that all share, then its own.
What none of them needs goes into the layer's last one."""
_RECIPES = st.lists(
    st.tuples(st.integers(1, 40), st.booleans(), st.booleans(), st.lists(st.integers(0, 7), min_size=1, max_size=3)), min_size=1, max_size=7
)


def cooked(recipe: Recipe, count: int) -> Graph:
    graph, shared = Graph(), node(96)
    state = node(64, node(32), shared)
    for _ in range(count):
        graph.mark()
        results = [state, shared]
        for size, reuses, own, sources in recipe:
            made_of = [results[number % len(results)] for number in sources] + [node(32 * size)] * own
            results.append(node(32 * size, *made_of, reuses=reuses))
            graph.expand(results[-1])
        state = node(64, *(one for one in results[2:] if not any(one in other.sources for other in results)), results[-1])
    graph.mark()
    graph.expand(node(32, state, shared))
    return graph


@given(recipe=_RECIPES, count=st.integers(7, 30))
@example(recipe=[(12, False, False, [5, 5]), (15, False, False, [4, 6, 7]), (3, True, False, [3]), (2, False, False, [3])], count=25)
@example(recipe=[(1, True, True, [5, 7, 3]), (13, False, False, [5]), (3, False, False, [4, 0]), (5, False, False, [7, 2, 5])], count=29)
def test_whatever_layers_are_made_of_those_left_out_take_what_they_would_take(recipe: Recipe, count: int) -> None:
    """In the examples memory grows with layers that are left out."""
    whole, short = cooked(recipe, count), cooked(recipe, 6)
    short.repeats = (Repeat(2, 1, 4, count - 6),)
    try:
        assert short.measure() == whole.measure()
    except Unsettled:
        assume(False)


# --- graphs ---


def newest(architecture: str) -> str:
    """A model of the catalogue."""
    return next(entry.name for entry in load() if entry.anatomy.architecture == architecture)


@pytest.mark.parametrize("architecture", sorted({entry.anatomy.architecture for entry in load()} & GRAPHS.keys()))
def test_layers_of_one_kind_have_the_same_nodes(architecture: str) -> None:
    """Each layer against the first one of its kind that follows ones of the same kinds, node by node, with what they are made of.

    Those before the fourth are left aside: there, what all layers share is still new.
    """
    header = header_of(newest(architecture))
    builder, found = Builder(header, BATCH), kinds(header)
    build(builder)
    graph = builder.graph
    place = {id(one): number for number, one in enumerate(graph.nodes)}
    seen: dict[object, list[object]] = {}
    for layer in range(3, header.layers):
        start = graph.marks[layer]
        end = graph.marks[layer + 1] if layer + 1 < header.layers else len(graph.nodes)

        def told(source: Node, start: int = start, layer: int = layer) -> object:
            number = place.get(id(source))
            if number is None:
                return source.shape, source.kind, source.external
            return number - start if number >= graph.marks[layer - 1] else "earlier"

        nodes: list[object] = [
            (one.shape, one.kind, one.reuses, one.plain, one.output, one.root is not None, [told(source) for source in one.sources])
            for one in graph.nodes[start:end]
        ]
        assert seen.setdefault(found[layer - 2 : layer + 1], nodes) == nodes, layer


def full(header: Header, start: Start, patch: pytest.MonkeyPatch) -> Memory:
    """With all layers built."""
    with patch.context() as within:
        within.setattr(ESTIMATE, "_KEPT", ())
        return estimate(Header(metadata=header.metadata, tensors=header.tensors), start)


@pytest.mark.parametrize(
    "name",
    ["llama3.1:70b", "gemma3:27b", "deepseek-r1:671b", "deepseek-v3.2:671b", "qwen3-next:80b", "mamba-codestral:7b", "llama4:scout", "phi3:3.8b",
     "falcon-h1:34b", "qwen3-vl:32b", "granite4:small-h", "bge-large:335m"],
)  # fmt: skip
@pytest.mark.parametrize("cards", [0, 1, 4])
def test_what_is_left_out_changes_nothing(name: str, cards: int, monkeypatch: pytest.MonkeyPatch) -> None:
    header = header_of(name)
    task = "embed" if header.cacheless else "generate"
    for layers in (header.blocks // 2, header.blocks + 1) if cards else (0,):
        start = Start(context=8192, slots=2, batch=2048, micro_batch=512, gpu_layers=layers, shares=(1.0,) * cards, task=task)  # type: ignore[arg-type]
        assert estimate(header, start) == full(header, start, monkeypatch)


def test_a_graph_grows_with_the_kinds_of_layers_not_with_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[int] = []
    original = Builder.each_layer

    def each_layer(self: Builder) -> Iterator[int]:
        for layer in original(self):
            built.append(layer)
            yield layer

    monkeypatch.setattr(Builder, "each_layer", each_layer)
    for name, most in (("llama3.1:8b", 5), ("llama3.1:405b", 5), ("deepseek-v3.2:671b", 8), ("gemma3:27b", 25)):
        built.clear()
        header = header_of(name)
        estimate(Header(metadata=header.metadata, tensors=header.tensors), Start(context=4096))
        assert len(built) <= most, name

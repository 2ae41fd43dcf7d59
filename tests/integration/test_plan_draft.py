"""A draft model by arithmetic against the engine's own fit pass of both together, on headers of true shapes without weights."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from hausgeist.engines.llamacpp.fit import fit
from hausgeist.engines.llamacpp.providers import Provider
from hausgeist.engines.specimen.sparse import write_sparse
from hausgeist.library.catalog.mix import tensor_type
from hausgeist.library.catalog.reader import load as load_catalogue
from hausgeist.model import InstalledModel, LaunchPlan
from hausgeist.planner.costs.prices import decode, packaged
from hausgeist.planner.devices.known import load
from hausgeist.planner.memory import Header, describe
from hausgeist.planner.plan import Wish, plan
from hausgeist.planner.target import target

MIB = 2**20
WHEEL = Provider("wheel", None, "", ("cpu",))


def header_of(name: str) -> Header:
    entry = load_catalogue().find(name)
    assert entry is not None
    return describe(entry.anatomy, lambda tensor: tensor_type(entry.anatomy, tensor, "Q4_K_M"))


@pytest.mark.parametrize(("name", "draft", "slots"), [("qwen3:8b", "qwen3:0.6b", 1), ("qwen3:8b", "qwen3:0.6b", 3), ("gemma3:4b", "gemma3:270m", 2)])
def test_the_engine_lays_both_out_as_planned(name: str, draft: str, slots: int, tmp_path: Path) -> None:
    paths = {}
    for one in (name, draft):
        header = header_of(one)
        paths[one] = write_sparse(tmp_path / f"{one.replace(':', '-')}.gguf", header.metadata, header.tensors.values())
    model = InstalledModel(id=name, engine="llamacpp", path=paths[name], digest="", modified=0)
    told = LaunchPlan(model=model, task="generate", context=4096, slots=slots, draft=paths[draft], speculation="draft")
    said = asyncio.run(fit(told, provider=WHEEL, folder=tmp_path)).parts
    there = target(load(), "DDR4-3200 64GB")
    made = plan(Wish(model=name, header=header_of(name), draft=header_of(draft), context=4096, users=slots), there, decode(packaged()))
    # The engine's figures are cut to whole MiB, each of which is counted as one more.
    assert made.parts.draft == pytest.approx(said["draft"], abs=6 * MIB)
    assert made.parts.weights + made.parts.repack == pytest.approx(said["weights"] + said["repack"], abs=4 * MIB)
    assert made.parts.kv_cache == pytest.approx(said["cache"], abs=2 * MIB)
    assert made.parts.compute == pytest.approx(said["compute"], abs=2 * MIB)

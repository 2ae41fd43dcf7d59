"""From a launch plan to bytes without an engine: the head of the real file, as the engine would be told to run it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hausgeist.engines.llamacpp.providers import Provider
from hausgeist.engines.specimen import write_adapter, write_projector, write_specimen
from hausgeist.engines.specimen.sparse import write_sparse
from hausgeist.errors import InvalidRequest, LoadFailed
from hausgeist.hardware import Cpu, Device
from hausgeist.library.catalog.mix import tensor_type
from hausgeist.library.catalog.reader import load
from hausgeist.model import Adapter, Footprint, InstalledModel, LaunchPlan
from hausgeist.planner.memory import Header, Start, describe, estimate
from hausgeist.serving.arithmetic import llamacpp_footprint

GIB = 2**30
WHEEL = Provider("wheel", None, "1", ("cpu",))
CUDA = Provider("built", Path("llama-server"), "1", ("cpu", "cuda"))
CPU = Cpu("some", 8, 16, ("avx", "avx2", "avx512f"))


@pytest.fixture(scope="module")
def header() -> Header:
    entry = load().find("llama3.2:1b")
    assert entry is not None
    return describe(entry.anatomy, lambda tensor: tensor_type(entry.anatomy, tensor, "Q4_K_M"))


@pytest.fixture(scope="module")
def file(header: Header, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of true size, as a head without weights."""
    return write_sparse(tmp_path_factory.mktemp("m") / "m.gguf", header.metadata, header.tensors.values())


@pytest.fixture(scope="module")
def specimen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_specimen(tmp_path_factory.mktemp("models") / "m.gguf")


def plan(path: Path, **changes: Any) -> LaunchPlan:
    model = InstalledModel(id="m", engine="llamacpp", path=path, digest="d", modified=0.0)
    return replace(LaunchPlan(model=model, task="generate", context=8192, slots=4), **changes)


def told(asked: LaunchPlan, provider: Provider = WHEEL, devices: tuple[Device, ...] = (), **more: int) -> Footprint:
    return llamacpp_footprint(asked, provider=provider, cpu=CPU, devices=devices, **more)


def card(index: int, free: float) -> Device:
    return Device(index, "some card", "cuda", 24 * GIB, round(free * GIB))


def test_a_file_says_what_its_header_says(file: Path, header: Header) -> None:
    found = told(plan(file))
    start = Start(context=8192, slots=4, batch=128, micro_batch=128, instructions="avx2", checkpoints=2)
    memory = estimate(header, start)
    assert found.parts["weights"] + found.parts["repack"] == memory.weights + memory.repack
    assert (found.parts["cache"], found.parts["compute"], found.parts["output"]) == (memory.kv_cache, memory.compute, memory.output)
    assert found.host - found.parts["runtime"] == memory.total
    assert found.host == sum(found.parts.values())
    assert (found.source, found.devices) == ("estimate", {})


def test_slots_and_cache_count(file: Path) -> None:
    one, four, small = (told(plan(file, **changes)) for changes in ({"slots": 1}, {"slots": 4}, {"cache_type": "q8_0"}))
    assert four.parts["cache"] == 4 * one.parts["cache"]
    assert small.parts["cache"] * 64 == four.parts["cache"] * 34


def test_a_processor_with_wider_vectors_repacks_more_where_the_engine_was_built_for_it(tmp_path: Path) -> None:
    entry = load().find("llama3.2:1b")
    assert entry is not None
    small = describe(entry.anatomy, lambda tensor: tensor_type(entry.anatomy, tensor, "Q2_K"))
    path = write_sparse(tmp_path / "m.gguf", small.metadata, small.tensors.values())
    built = replace(WHEEL, binary=Path("llama-server"))
    assert told(plan(path), built).parts["repack"] > told(plan(path)).parts["repack"]


def test_what_belongs_to_it_is_in_it(specimen: Path, tmp_path: Path) -> None:
    alone = told(plan(specimen))
    lora, eyes = write_adapter(tmp_path / "lora.gguf"), write_projector(tmp_path / "p.gguf")
    more = told(plan(specimen, adapters=(Adapter(lora),), projector=eyes), prompt_cache=2**26)
    assert more.parts["adapters"] == lora.stat().st_size
    assert more.parts["projector"] > 10_000
    assert more.parts["prompt_cache"] == 2**26
    assert more.host == sum(more.parts.values())
    assert more.parts["compute"] > alone.parts["compute"], "a whole picture goes through the layers at once"
    drafted = told(plan(specimen, draft=specimen, speculation="draft"))
    assert drafted.host == sum(drafted.parts.values())
    assert drafted.parts["draft"] > alone.parts["weights"]


def test_with_room_all_layers_are_on_the_card(file: Path) -> None:
    found = told(plan(file), CUDA, (card(0, 20.0),))
    assert set(found.devices) == {"CUDA0"}
    assert found.devices["CUDA0"] > GIB
    assert found.total == sum(found.parts.values())


def test_with_less_room_as_many_as_fit_and_a_gibibyte_is_left(file: Path) -> None:
    whole = told(plan(file), CUDA, (card(0, 20.0),))
    some = told(plan(file), CUDA, (card(0, 2.0),))
    assert 0 < some.devices["CUDA0"] <= GIB < whole.devices["CUDA0"]
    assert some.host > whole.host
    assert told(plan(file), CUDA, (card(0, 0.5),)).devices == {}


def test_layers_that_were_asked_for_are_not_argued_about(file: Path) -> None:
    none = told(plan(file, gpu_layers=0), CUDA, (card(0, 20.0),))
    few = told(plan(file, gpu_layers=4), CUDA, (card(0, 0.1),))
    assert none.devices == {}
    assert few.devices["CUDA0"] > 0
    both = told(plan(file, tensor_split=(1.0, 1.0)), CUDA, (card(0, 20.0), card(1, 20.0)))
    assert set(both.devices) == {"CUDA0", "CUDA1"}


def test_what_is_no_model_or_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(LoadFailed, match="missing"):
        told(plan(tmp_path / "nothing.gguf"))
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(b"hello" * 100)
    with pytest.raises(InvalidRequest, match="GGUF"):
        told(plan(bad))

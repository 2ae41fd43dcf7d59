"""What the engine prints in its fit pass, read right; and the real thing on specimens."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from hausgeist.engines import FitFailed
from hausgeist.engines.llamacpp.adapter import LlamaCpp
from hausgeist.engines.llamacpp.fit import Report
from hausgeist.engines.llamacpp.parameters import CHECKPOINTS
from hausgeist.engines.llamacpp.providers import Provider
from hausgeist.engines.specimen import SHAPES, ModelShape, write_adapter, write_projector, write_shaped, write_specimen
from hausgeist.errors import LoadFailed
from hausgeist.model import Adapter, Footprint, InstalledModel, LaunchPlan, Task

MIB = 2**20
PLAN = LaunchPlan(model=InstalledModel(id="m", engine="llamacpp", path=Path("m.gguf"), digest="", modified=0), task="generate", context=4096, slots=4)

CPU = """
0.00.481.1 I print_info: n_vocab               = 1000
0.00.501.4 I llama_context:        CPU  output buffer size =     2.50 MiB
0.00.501.5 I llama_kv_cache:        CPU KV buffer size =     0.00 MiB
0.00.501.5 I llama_kv_cache: size =  192.00 MiB (  4096 cells,  24 layers,  4/4 seqs), K (f16):   96.00 MiB, V (f16):   96.00 MiB
0.00.504.6 I common_memory_breakdown_print: | memory breakdown [MiB] | total   free    self   model   context   compute    unaccounted |
0.00.504.6 I common_memory_breakdown_print: |   - Host               |                  578 =   345 +     192 +      41                |
0.00.504.6 I common_memory_breakdown_print: |   - CPU_REPACK         |                   28 =    28 +       0 +       0                |
0.00.572.3 I common_params_fit_impl: projected to use 578 MiB of host memory vs. 24105 MiB of total host memory
0.00.572.3 I common_fit_params: successfully fit params to free device memory
0.00.572.3 I common_fit_params: fitting params to free memory took 0.57 seconds
"""

GPU = """
0.00.100.0 I srv    load_model: [mtmd] estimated worst-case memory usage of mmproj is 900.00 MiB (took 1.00 ms)
0.00.100.0 D srv    load_model: [mtmd] adding 850.00 MiB to fit_params_target for device CUDA0
0.00.100.0 D srv    load_model: [mtmd] adding 50.00 MiB to fit_params_target for device CPU
0.00.504.6 I common_memory_breakdown_print: | memory breakdown [MiB]        | total    free     self   model   context   compute    unaccounted |
0.00.504.6 I common_memory_breakdown_print: |   - CUDA0 (RTX 3060 (12 GB)) | 12000 = 11000 + (14000 = 12000 +    1500 +     500) +       -3000 |
0.00.504.6 I common_memory_breakdown_print: |   - Host                     |                    516 =   500 +       0 +      16                |
0.00.572.3 I common_params_fit_impl: projected to use 14000 MiB of device memory vs. 11000 MiB of free device memory
"""

TRIAL = """
0.00.804.6 I common_memory_breakdown_print: |   - CUDA0 (RTX 3060 (12 GB)) | 12000 = 11000 + ( 9000 =  8000 +     700 +     300) +       -3000 |
0.00.804.6 I common_memory_breakdown_print: |   - Host                     |                   5516 =  5000 +     500 +      16                |
0.00.872.3 I common_params_fit_impl:   - CUDA0 (RTX 3060 (12 GB)): 20 layers ( 0 overflowing),   9100 MiB used,   1900 MiB free
0.00.872.3 I common_fit_params: fitting params to free memory took 0.57 seconds
"""


def read(*texts: str) -> Report:
    report = Report()
    for line in "".join(texts).splitlines():
        report.read(line)
    return report


def footprint(report: Report, **changes: Any) -> Footprint:
    return report.footprint(PLAN, **{"resident": (10 * MIB, 8 * MIB), "prompt_cache": 0, **changes})


def test_repacked_weights_are_counted() -> None:
    report = read(CPU)
    assert report.complete
    assert report.usable
    told = footprint(report)
    assert {name: size // MIB for name, size in told.parts.items() if name != "runtime"} == {
        "weights": 345, "repack": 28, "cache": 192, "compute": 41, "output": 2,
    }  # fmt: skip
    assert not told.devices
    assert (345 + 28 + 192 + 41 + 2.5 + 10) * MIB < told.host < (345 + 28 + 192 + 41 + 2.5 + 10 + 30) * MIB
    assert told.source == "fit"
    # What is promised holds when others that share the libraries have ended; what is compared counts this process's share.
    assert told.parts["runtime"] - told.alone >= 2 * MIB
    assert footprint(report, resident=(30 * MIB, 8 * MIB)).alone == told.alone
    assert footprint(report, resident=(30 * MIB, 8 * MIB)).host == told.host + 20 * MIB


def test_devices_are_counted_apart() -> None:
    told = footprint(read(GPU, CPU.splitlines()[-1]))
    assert 14850 * MIB <= told.devices["CUDA0"] <= 14853 * MIB
    assert told.host < 620 * MIB
    assert told.parts["projector"] == 900 * MIB


def test_layers_that_did_not_fit_on_the_device_stay_on_the_host() -> None:
    told = footprint(read(GPU, TRIAL))
    assert told.devices["CUDA0"] == (9100 + 850) * MIB
    assert 14000 - 9100 + 516 <= told.host / MIB <= 14000 - 9100 + 516 + 120


def test_a_draft_model_is_counted() -> None:
    extra = "0.0 I common_params_fit_impl: getting device memory data for the extra model at a context size of 16384:\n"
    table, rest = CPU.split("0.00.572.3", 1)
    alone = footprint(read(CPU))
    both = footprint(read(table, extra, table.replace("345", "100").replace("   28 =    28", "    0 =     0"), "0.00.572.3", rest))
    assert both.parts["draft"] // MIB in range(100 + 192 + 41, 100 + 192 + 41 + 4)
    assert both.parts["weights"] == alone.parts["weights"]
    assert both.host > alone.host + (100 + 192 + 41) * MIB


def test_checkpoints_of_a_sliding_window_are_counted() -> None:
    window = """
0.0 I llama_kv_cache_iswa: creating non-SWA KV cache, size = 4096 cells
0.0 I llama_kv_cache: size =   48.00 MiB (  4096 cells,   3 layers,  4/4 seqs), K (f16):   24.00 MiB, V (f16):   24.00 MiB
0.0 I llama_kv_cache_iswa: creating     SWA KV cache, size = 1024 cells
0.0 I llama_kv_cache: size =   60.00 MiB (  1024 cells,  15 layers,  4/4 seqs), K (f16):   30.00 MiB, V (f16):   30.00 MiB
"""
    assert footprint(read(window, CPU)).parts["checkpoints"] == 60 * MIB * CHECKPOINTS
    assert "checkpoints" not in footprint(read(CPU)).parts


def test_prefix_cache_is_counted() -> None:
    assert footprint(read(CPU), prompt_cache=500 * MIB).host == footprint(read(CPU)).host + 500 * MIB


def test_a_draft_model_that_does_not_work_is_said() -> None:
    said = "0.0 W common_params_fit_impl: failed to measure the memory of the extra model, fitting without it: x"
    report = read(CPU.partition("0.00.572.3")[0], said)
    assert not report.usable
    assert "draft model" in (report.failure or "")


@pytest.fixture
async def engine(tmp_path: Path):
    engine = LlamaCpp(home=tmp_path / "home", provider=Provider("wheel", None, "", ("cpu",)))
    yield engine
    await engine.close()


def plan(path: Path, task: Task = "generate", **changes: Any) -> LaunchPlan:
    model = InstalledModel(id=path.stem, engine="llamacpp", path=path, digest="", modified=0, tasks=(task,))
    return LaunchPlan(**{"model": model, "task": task, "context": 512, "slots": 2, **changes})


async def test_the_cache_grows_with_context_and_slots(engine: LlamaCpp, tmp_path: Path) -> None:
    path = write_shaped(
        tmp_path / "x.gguf",
        ModelShape(architecture="llama", layers=16, width=256, inner=256, heads=8, kv_heads=8, head=32, vocabulary=1000, context=8192, rope_base=1e4),
        "F16",
        sparse=True,
    )
    per_token = 16 * 8 * 32 * 2 * 2
    for context, slots in ((2048, 1), (2048, 4), (8192, 2)):
        told = await engine.fit(plan(path, context=context, slots=slots))
        assert told.parts["cache"] == context * slots * per_token
    halved = await engine.fit(plan(path, context=8192, slots=2, cache_type="q8_0"))
    assert halved.parts["cache"] / told.parts["cache"] == pytest.approx(34 / 64, rel=0.01)


async def test_a_model_larger_than_any_memory_is_measured_in_seconds(engine: LlamaCpp, tmp_path: Path) -> None:
    form = SHAPES["llama-3.3-70b"]
    few = ModelShape(**{name: getattr(form, name) for name in form.__dataclass_fields__} | {"vocabulary": 1000})
    path = write_shaped(tmp_path / "x.gguf", few, "Q4_0", sparse=True)
    told = await asyncio.wait_for(engine.fit(plan(path, context=8192, slots=1)), 10)
    assert told.parts["weights"] + told.parts.get("repack", 0) == pytest.approx(path.stat().st_size, rel=0.01)
    assert told.parts["cache"] == 8192 * 80 * 8 * 128 * 2 * 2


async def test_projector_and_adapters_are_in_it(engine: LlamaCpp, tmp_path: Path) -> None:
    model, lora = write_specimen(tmp_path / "m.gguf"), write_adapter(tmp_path / "lora.gguf")
    told = await engine.fit(plan(model, projector=write_projector(tmp_path / "p.gguf"), adapters=(Adapter(lora),)))
    assert told.parts["projector"] > 10_000
    assert told.parts["adapters"] == lora.stat().st_size


async def test_a_worker_takes_about_what_was_told(engine: LlamaCpp, tmp_path: Path) -> None:
    form = ModelShape(
        architecture="llama", layers=8, width=768, inner=2048, heads=12, kv_heads=12, head=64, vocabulary=4000, context=4096, rope_base=1e4
    )
    asked = plan(write_shaped(tmp_path / "x.gguf", form, "Q4_0"), context=2048, slots=2)
    told = await engine.fit(asked)
    worker = await engine.load(asked)
    try:
        for slot in range(2):
            reply = await worker.call("completion", b'{"prompt": "%s", "max_tokens": 2, "id_slot": %d}' % (b"the house " * 150, slot))
            assert reply.status == 200
        measured = worker.measured()
    finally:
        await worker.close()
    assert measured.host < 1.1 * told.host
    model, took = told.host - told.parts["runtime"], measured.host - told.alone
    # Most of the cache has never been written to. Libraries count by the share of those who use them, and others may have ended in between.
    assert 0.5 * model < took < 1.1 * model + measured.parts["mapped"], (told, measured)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"hello", "magic"),
        (b"GGUF" + bytes(8), "version|tensor|key"),
        (None, "missing"),
    ],
)
async def test_what_is_no_model_is_said_so(engine: LlamaCpp, tmp_path: Path, content: bytes | None, reason: str) -> None:
    path = tmp_path / "bad.gguf"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(LoadFailed, match=reason):
        await engine.fit(plan(path))


async def test_a_truncated_model_is_said_so(engine: LlamaCpp, tmp_path: Path) -> None:
    path = write_specimen(tmp_path / "m.gguf")
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(LoadFailed, match="not within the file bounds"):
        await engine.fit(plan(path))


@pytest.mark.skipif(os.name == "nt", reason="a shell script")
@pytest.mark.parametrize(
    ("does", "knows", "reason"),
    [
        ("echo '0.00.000.1 E llama_model_load: error loading model: unknown architecture' >&2; exit 1", True, "unknown architecture"),
        ("kill -s SEGV $$", False, "crashed"),
        ("echo 'laid out in a way of its own' >&2; exit 0", False, "way of its own"),
    ],
)
async def test_an_engine_that_breaks_has_said_nothing_of_the_file(tmp_path: Path, does: str, knows: bool, reason: str) -> None:
    binary = tmp_path / "llama-server"
    binary.write_text(f"#!/bin/sh\n{does}\n")
    binary.chmod(0o755)
    engine = LlamaCpp(home=tmp_path, provider=Provider("binary", binary, "", ("cpu",)))
    with pytest.raises(LoadFailed, match=reason) as failure:
        await engine.fit(plan(write_specimen(tmp_path / "m.gguf")))
    assert isinstance(failure.value, FitFailed) is not knows
    await engine.close()

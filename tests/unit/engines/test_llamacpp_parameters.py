"""A launch plan, said to the wheel and to llama-server alike."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import xllamacpp

from hausgeist.engines.llamacpp.parameters import PREFILL_BATCH, parameters
from hausgeist.engines.llamacpp.worker import _wheel_parameters, arguments
from hausgeist.errors import LoadFailed
from hausgeist.model import Adapter, InstalledModel, LaunchPlan, Shape

STARTED = {"binary": None, "parent": 1, "listen": "/run/x.sock", "port": 0, "key": "secret", "fit": False, "place": False, "ping": 15}

Make = Callable[..., LaunchPlan]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Makes plans whose files are there."""
    files = {name: tmp_path / f"{name}.gguf" for name in ("model", "projector", "draft", "lora")}
    for name, path in files.items():
        path.write_bytes(b"GGUF" + name.encode())

    def make(**changes: Any) -> LaunchPlan:
        for name in ("projector", "draft"):
            if changes.get(name) is True:
                changes[name] = files[name]
        if changes.get("adapters") is True:
            changes["adapters"] = (Adapter(files["lora"], 0.5),)
        model = InstalledModel(id="some:model", engine="llamacpp", path=files["model"], digest="", modified=0)
        return replace(LaunchPlan(model=model, task="generate", context=1000, slots=3), **changes)

    return make


def told(plan: LaunchPlan, **changes: Any) -> tuple[Any, list[str]]:
    """What the wheel and what llama-server is told."""
    config = {**parameters(plan), **STARTED, **changes}
    return _wheel_parameters(xllamacpp, config), arguments(config)


def flag(flags: list[str], name: str) -> str:
    assert flags.count(name) == 1
    return flags[flags.index(name) + 1]


def test_context_is_per_request(make: Make) -> None:
    wheel, flags = told(make())
    assert (wheel.n_ctx, wheel.n_parallel, wheel.kv_unified, wheel.kv_unified_per_slot) == (3 * 1024, 3, False, 1000)
    assert (flag(flags, "--ctx-size"), flag(flags, "--parallel"), flag(flags, "--kv-unified-per-slot")) == ("3072", "3", "1000")
    assert "--no-kv-unified" in flags


def test_only_who_has_the_key_may_ask(make: Make) -> None:
    wheel, flags = told(make())
    assert wheel.api_keys == ["secret"]
    assert wheel.hostnames == ["/run/x.sock"]
    assert wheel.model_alias == {"some:model"}
    assert "secret" not in flags, "flags stand in the list of processes"
    assert flag(flags, "--host") == "/run/x.sock"


def test_nothing_is_shared_shown_or_fetched_unasked(make: Make) -> None:
    wheel, flags = told(make())
    assert (wheel.cache_ram_mib, wheel.cache_idle_slots, wheel.slot_prompt_similarity) == (0, False, 0.0)
    assert (wheel.ui, wheel.endpoint_props, wheel.warmup, wheel.ctx_shift, wheel.media_path) == (False, False, False, False, "")
    assert (wheel.use_jinja, wheel.offline, wheel.endpoint_slots) == (True, True, True)
    assert wheel.verbosity == 1
    assert flag(flags, "--cache-ram") == "0"
    assert {"--no-ui", "--no-warmup", "--no-context-shift", "--offline", "--jinja", "--slots", "--no-cache-idle-slots"} <= set(flags)


@pytest.mark.parametrize("kind", ["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl"])
def test_cache_type(make: Make, kind) -> None:
    wheel, flags = told(make(cache_type=kind))
    assert wheel.cache_type_k == wheel.cache_type_v == getattr(xllamacpp.ggml_type, f"GGML_TYPE_{kind.upper()}")
    assert flag(flags, "--cache-type-k") == flag(flags, "--cache-type-v") == kind


@pytest.mark.parametrize(("switch", "name"), [("auto", "AUTO"), ("on", "ENABLED"), ("off", "DISABLED")])
def test_flash_attention(make: Make, switch, name: str) -> None:
    wheel, flags = told(make(flash_attention=switch))
    assert wheel.flash_attn_type == getattr(xllamacpp.llama_flash_attn_type, f"LLAMA_FLASH_ATTN_TYPE_{name}")
    assert flag(flags, "--flash-attn") == switch


def test_threads(make: Make) -> None:
    wheel, flags = told(make(threads=7))
    assert wheel.cpuparams.n_threads == wheel.cpuparams_batch.n_threads == 7
    assert flag(flags, "--threads") == flag(flags, "--threads-batch") == "7"
    assert parameters(make())["threads"] >= 1


def test_layers_on_the_gpu(make: Make) -> None:
    wheel, flags = told(make(gpu_layers=5, tensor_split=(3.0, 1.0)))
    assert (wheel.n_gpu_layers, wheel.tensor_split[:3]) == (5, [3.0, 1.0, 0.0])
    assert (flag(flags, "--n-gpu-layers"), flag(flags, "--tensor-split")) == ("5", "3.0,1.0")
    wheel, flags = told(make(gpu_layers=0))
    assert wheel.mmproj_use_gpu is False
    assert "--no-mmproj-offload" in flags
    wheel, flags = told(make())
    assert wheel.n_gpu_layers == -1
    assert "--n-gpu-layers" not in flags


def test_as_many_layers_as_fit_are_placed_only_where_there_is_a_device(make: Make) -> None:
    assert told(make())[0].fit_params is False
    wheel, flags = told(make(), place=True)
    assert wheel.fit_params is True
    assert flag(flags, "--fit") == "on"
    assert flag(told(make())[1], "--fit") == "off"


def test_the_fit_pass_says_what_it_does(make: Make) -> None:
    wheel, flags = told(make(), fit=True)
    assert (wheel.fit_params, wheel.verbosity) == (True, 5)
    assert (flag(flags, "--fit"), flag(flags, "--log-verbosity")) == ("on", "5")


def test_projector_and_adapters(make: Make) -> None:
    plan = make(projector=True, adapters=True)
    wheel, flags = told(plan)
    assert wheel.mmproj.path == flag(flags, "--mmproj") == str(plan.projector)
    assert [(one.path, one.scale) for one in wheel.lora_adapters] == [(str(plan.adapters[0].path), 0.5)]
    assert flag(flags, "--lora-scaled") == f"{plan.adapters[0].path}:0.5"


def test_speculation(make: Make) -> None:
    kinds = xllamacpp.common_speculative_type
    plan = make(draft=True, speculation="draft")
    wheel, flags = told(plan)
    assert wheel.speculative.draft.mparams.path == flag(flags, "--model-draft") == str(plan.draft)
    assert wheel.speculative.types == [kinds.COMMON_SPECULATIVE_TYPE_DRAFT_SIMPLE]
    wheel, flags = told(make(speculation="ngram"))
    assert wheel.speculative.types == [kinds.COMMON_SPECULATIVE_TYPE_NGRAM_SIMPLE]
    assert flag(flags, "--spec-type") == "ngram-simple"
    assert told(make())[0].speculative.types == [kinds.COMMON_SPECULATIVE_TYPE_NONE]


def test_embedding_takes_its_input_in_one_pass(make: Make) -> None:
    wheel, flags = told(make(task="embed", pooling="cls"))
    assert wheel.embedding is True
    assert wheel.n_batch == wheel.n_ubatch == 1000
    assert wheel.pooling_type == xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_CLS
    assert "--embeddings" in flags
    assert flag(flags, "--pooling") == "cls"


def test_pooling_is_what_the_file_says_or_the_mean(make: Make) -> None:
    plan = make(task="embed")
    assert parameters(plan)["pooling"] == "mean"
    assert parameters(replace(plan, model=replace(plan.model, shape=Shape(pooling="last"))))["pooling"] == "last"
    assert parameters(make(pooling="last"))["pooling"] is None, "answering text pools nothing"


def test_ranking(make: Make) -> None:
    wheel, flags = told(make(task="rerank"))
    assert wheel.embedding is True
    assert wheel.pooling_type == xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_RANK
    assert "--rerank" in flags


def test_a_template_of_ones_own(make: Make) -> None:
    plan = make()
    plan = replace(plan, model=replace(plan.model, template="{{ messages }}"))
    wheel, flags = told(plan)
    assert wheel.chat_template == flag(flags, "--chat-template") == "{{ messages }}"


def test_steps_of_prefill(make: Make, tmp_path: Path) -> None:
    def batches(plan: LaunchPlan, *, accelerated: bool = False) -> tuple[int, int]:
        told = parameters(plan, accelerated=accelerated)
        return told["batch"], told["micro_batch"]

    assert batches(make()) == (PREFILL_BATCH, PREFILL_BATCH)
    assert batches(make(), accelerated=True) == (2048, 512)
    assert batches(make(gpu_layers=0), accelerated=True) == (PREFILL_BATCH, PREFILL_BATCH)
    experts = tmp_path / "experts.gguf"
    experts.write_bytes(b"GGUF....qwen3moe.expert_used_count....")
    plan = make()
    assert batches(replace(plan, model=replace(plan.model, path=experts))) == (512, 512)
    whole = tmp_path / "whole.gguf"
    whole.write_bytes(b"GGUF....clip.projector_type....gemma4v")
    assert batches(make(projector=whole)) == (1120, 1120)
    assert batches(make(projector=whole), accelerated=True) == (2048, 1120)


def test_prefix_cache(make: Make) -> None:
    config = {**parameters(make(), prompt_cache=300 * 2**20), **STARTED}
    wheel, flags = _wheel_parameters(xllamacpp, config), arguments(config)
    assert (wheel.cache_ram_mib, wheel.cache_idle_slots) == (300, True)
    assert wheel.slot_prompt_similarity > 0
    assert flag(flags, "--cache-ram") == "300"
    assert "--cache-idle-slots" in flags


@pytest.mark.parametrize("what", ["model", "projector", "draft", "adapters"])
def test_a_file_that_is_gone_is_named(make: Make, tmp_path: Path, what: str) -> None:
    gone = tmp_path / "gone.gguf"
    plan = make()
    if what == "model":
        plan = replace(plan, model=replace(plan.model, path=gone))
    elif what == "adapters":
        plan = replace(plan, adapters=(Adapter(gone),))
    else:
        plan = make(**{what: gone})
    with pytest.raises(LoadFailed, match=r"gone\.gguf is missing"):
        parameters(plan)


def test_plans_that_contradict_themselves(make: Make) -> None:
    with pytest.raises(LoadFailed, match="Set 'draft'"):
        parameters(make(speculation="draft"))
    with pytest.raises(LoadFailed, match="Choose one"):
        parameters(make(speculation="ngram", draft=True))
    with pytest.raises(LoadFailed, match="no file"):
        parameters(replace(make(), model=replace(make().model, path=None)))


def test_paths_hold_wherever_the_worker_runs(make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    plan = make()
    plan = replace(plan, model=replace(plan.model, path=Path("model.gguf")))
    assert parameters(plan)["model"] == str(tmp_path / "model.gguf")

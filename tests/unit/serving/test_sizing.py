"""From a question to an answer: names, files and machines become plans; what is wrong with a question is said with what is near."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hausgeist.engines.specimen.sparse import write_sparse
from hausgeist.errors import HausgeistError, InvalidRequest, ModelNotFound, NotFound
from hausgeist.hardware import Cpu, Device, Memory, measure
from hausgeist.hardware.measure import Measured
from hausgeist.hardware.rate import Rate
from hausgeist.library.catalog import load as load_catalogue
from hausgeist.model import Footprint, InstalledModel, ModelOptions, Shape
from hausgeist.planner.accuracy import Accuracy, Load, accuracy
from hausgeist.planner.devices.known import load as load_devices
from hausgeist.planner.memory import Start
from hausgeist.planner.target import Target
from hausgeist.serving.sizing import Answer, Question, Sizing
from hausgeist.serving.sizing.local import about, look_around, prices_of
from hausgeist.serving.sizing.machine import instructions_of, this_machine
from hausgeist.serving.sizing.subjects import Subject, Subjects, of_entry, precision_named
from hausgeist.settings import load_settings

GIB = 2**30
PARTS = ("weights_bytes", "kv_cache_bytes", "compute_bytes", "output_bytes", "repack_bytes", "overhead_bytes")
DESKTOP = Cpu("AMD Ryzen 9 9950X", 16, 32, ("avx2", "avx512f", "avx512_vnni"))
CARD = Device(0, "NVIDIA GeForce RTX 4090", "cuda", 24564 * 2**20, 24000 * 2**20)


def desktop(*cards: Device, memory: int = 64) -> Target:
    return this_machine(
        load_devices(), memory=Memory(memory * GIB, memory * GIB), cpu=DESKTOP, cards=cards, measured=None, wheel=True, accelerated=bool(cards)
    )


def nothing(name: str) -> InstalledModel:
    raise ModelNotFound(name)


def sizing(
    *cards: Device, installed: Callable[[str], InstalledModel] = nothing, names: tuple[str, ...] = (), home: Path = Path("/nonexistent"),
    memory: int = 64, files: bool = True, fit: Any = None, loads: Accuracy | None = None,
) -> Sizing:  # fmt: skip
    return Sizing(
        subjects=Subjects(installed, lambda: names, files=files),
        devices=load_devices,
        machine=lambda: desktop(*cards, memory=memory),
        prices=lambda: prices_of(home),
        accuracy=lambda: loads or accuracy(()),
        fit=fit,
    )


def ask(where: Sizing, **asked: str) -> Answer:
    return asyncio.run(where.answer(Question.of(dict(asked))))


def test_one_model_is_the_object_itself() -> None:
    told = ask(sizing(CARD), model="gemma3:4b").json()
    assert "plans" not in told
    assert told["total_bytes"] == sum(told[part] for part in PARTS)
    assert told["fits"] is True
    assert told["model"] == "gemma3:4b"
    assert told["device"] == "NVIDIA RTX 4090"
    assert told["method"] == "arithmetic"
    assert told["generate_tokens_per_second"] > 20
    assert {"price_eur", "watt_hours_per_1k_tokens", "eur_per_1m_tokens", "break_even_months", "gpu_layers", "max_context"} <= told.keys()


def test_several_models_are_an_array_in_the_order_asked_for() -> None:
    told = ask(sizing(CARD), model="qwen3:8b, gemma3:4b").json()
    assert [one["model"] for one in told["plans"]] == ["qwen3:8b", "gemma3:4b"]


def test_speed_falls_and_waiting_grows_with_the_context() -> None:
    speeds = ask(sizing(CARD), model="qwen3:8b").json()["speeds"]
    assert len(speeds) > 4
    assert [one["context"] for one in speeds] == sorted({one["context"] for one in speeds})
    assert speeds[0]["generate_tokens_per_second"] > speeds[-1]["generate_tokens_per_second"]
    assert speeds[0]["first_token_seconds"] < speeds[-1]["first_token_seconds"]


def test_more_users_more_cache() -> None:
    one = ask(sizing(CARD), model="qwen3:8b", context="4k").json()
    four = ask(sizing(CARD), model="qwen3:8b", context="4k", users="4").json()
    assert four["slots"] == 4
    assert four["kv_cache_bytes"] == 4 * one["kv_cache_bytes"]


@pytest.mark.parametrize(("users", "by_kind"), [("6", True), ("14", False)])
def test_a_smaller_cache_is_advised_where_it_would_help(users: str, by_kind: bool) -> None:
    asked = {"model": "qwen3:14b", "context": "16k", "users": users, "gpu": "RTX 4090"}
    answer = ask(sizing(), **asked)
    assert answer.sheets[0].plan.placed == "offload"
    [hint] = [hint for hint in answer.hints if "would fit wholly" in hint]
    slots = re.search(r"--slots (\d+)", hint)
    assert slots is not None
    assert ask(sizing(), **asked, slots=slots[1]).sheets[0].plan.placed == "wholly"
    assert ask(sizing(), **asked, slots=str(int(slots[1]) + 1)).sheets[0].plan.placed == "offload"
    by_type = ask(sizing(), **asked, kv="q8_0")
    assert ("--kv q8_0" in hint) is (by_type.sheets[0].plan.placed == "wholly") is by_kind
    assert not any("--kv" in hint for hint in by_type.hints)


@pytest.mark.parametrize("asked", [{"users": "1"}, {"users": "2", "context": "1k"}, {"model": "llama3.1:405b", "users": "4"}])
def test_no_smaller_cache_is_advised_where_there_is_no_need_or_no_use(asked: dict[str, str]) -> None:
    answer = ask(sizing(), **({"model": "qwen3:14b", "gpu": "RTX 4090"} | asked))
    assert not any("would fit wholly" in hint for hint in answer.hints)


def test_a_context_beyond_the_training_is_said() -> None:
    answer = ask(sizing(CARD), model="qwen2.5-coder:7b", context="1M")
    assert answer.json()["context"] == 32768
    assert any("32,768" in hint for hint in answer.hints)


def test_what_is_too_large_comes_with_what_fits() -> None:
    answer = ask(sizing(memory=16), model="llama3.1:405b")
    assert answer.json()["fits"] is False
    assert "hausgeist run " in answer.sheets[0].next
    answer = ask(sizing(), model="llama3.1:405b", gpu="RTX 3090", gpus="2")
    assert answer.sheets[0].next.endswith(" --gpu 'RTX 3090' --gpus 2")


def test_the_most_context_is_said_first() -> None:
    answer = ask(sizing(CARD), model="gemma3:12b", max_context="true")
    assert f"{answer.sheets[0].plan.max_context:,}" in answer.advice


def test_a_machine_that_is_only_named_has_a_price() -> None:
    told = ask(sizing(), model="qwen3:8b", gpu="RTX 3090", gpus="2", volume="20M", cloud="gpt-5.4-mini").json()
    assert told["device"] == "2 x NVIDIA RTX 3090"
    assert told["price_eur"] > 500
    assert [one["with"] for one in told["compared"]] == ["openai/gpt-5.4-mini"]
    assert told["volume_tokens_per_month"] == 20_000_000


def test_a_machine_that_was_measured_while_busy_is_measured_again_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was measured beside other work is kept until a better one is there, and never believed without a word."""
    rate, slow = Rate.of([40.0]), Rate.of([4.0])
    calm = Measured(memory=rate, matrix=rate, machine=measure.machine(), read_bytes=1, cache_bytes=0, at=0.0)
    disturbed = replace(calm, memory=slow, matrix=slow, busy=0.4)
    settings = load_settings(home=tmp_path)
    monkeypatch.setattr(measure, "remembered", lambda folder: disturbed)
    monkeypatch.setattr(measure, "measured", lambda folder: calm)
    assert look_around(settings, measuring=True).host.bandwidth_gb_s == 40.0
    assert look_around(settings, measuring=False).host.bandwidth_gb_s == 4.0
    assert any("40% of this machine" in line for line in about(settings))
    monkeypatch.setattr(measure, "remembered", lambda folder: calm)
    assert not any("of this machine" in line for line in about(settings))


def test_ones_own_prices_count(tmp_path: Path) -> None:
    (tmp_path / "prices.toml").write_text('[devices]\n"RTX 3090" = { used = 500.0 }\n')
    cheap = ask(sizing(home=tmp_path), model="qwen3:8b", gpu="RTX 3090").json()["price_eur"]
    assert cheap < ask(sizing(), model="qwen3:8b", gpu="RTX 3090").json()["price_eur"]


def test_ones_own_prices_are_checked(tmp_path: Path) -> None:
    (tmp_path / "prices.toml").write_text('[devices]\n"RTX 3091" = { used = 500.0 }\n')
    with pytest.raises(InvalidRequest, match="RTX 3090"):
        ask(sizing(home=tmp_path), model="qwen3:8b")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\xff\xfe[\x00", "not text in UTF-8, at byte 0"),
        (b"a = " + b"[" * 100_000, "is not TOML"),
        (b"[devices.'RTX 4090']\nnew = 'cheap'\n", "a number is needed"),
        (b"[electricity.household.DE]\nper_kwh = 35\n", "Is it in cents"),
        (b"[nonsense]\na = 1\n", "Did you mean sources"),
        (b"devices = 5\n", "written as in [devices]"),
    ],
)
def test_what_is_wrong_with_ones_own_prices_is_said(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "prices.toml").write_bytes(content)
    with pytest.raises(InvalidRequest, match=re.escape(says)):
        prices_of(tmp_path)


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "prices.toml").write_bytes(b"\xef\xbb\xbf[devices.'RTX 4090']\nnew = 1234\n")
    assert prices_of(tmp_path).table["devices"]["RTX 4090"]["new"] == 1234


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"model": "gema3:4b"}, "Did you mean gemma3:4b"),
        ({"model": "gemma3:4b", "gpu": "RTX 4099"}, "RTX 4090"),
        ({"model": "gemma3:4b", "precision": "Q4_K_X"}, "Q4_K_M"),
        ({"model": "gemma3:4b", "kv": "q7_0"}, "q8_0"),
        ({"model": "gemma3:4b", "context": "-5"}, "number such as 8192 or 32k"),
        ({"model": "gemma3:4b", "context": "9" * 40}, "1 to 16,777,216 is"),
        ({"model": "gemma3:4b", "gpu": "RTX 4090", "gpus": "8", "nodes": "1024"}, "1,024 cards together"),
        ({"accuracy": "yes", "gpu": "RTX 4090"}, "leave 'gpu' out"),
        ({"accuracy": "yes", "for": "chat"}, "leave 'for' out"),
        ({"model": "gemma3:4b", "context": "99999M"}, "not possible"),
        ({"model": "gemma3:4b", "users": "1.5"}, "whole number"),
        ({"model": "gemma3:4b", "gpus": "2"}, "Name the card"),
        ({"model": "gemma3:4b", "gpu": "RTX 4090", "gpus": "0"}, "not possible"),
        ({"model": "gemma3:4b", "gpu": "RTX 4090", "method": "fit"}, "arithmetic"),
        ({"model": "gemma3:4b", "method": "guess"}, "arithmetic, fit"),
        ({"model": "gemma3:4b", "method": "fit"}, "no engine here"),
        ({"model": "gemma3:4b", "cloud": "gpt-0"}, "gpt"),
        ({"model": "gemma3:4b", "country": "Germoney"}, "Germany"),
        ({"model": "gemma3:4b", "budget": "2500"}, "what it is for"),
        ({"model": "gemma3:4b", "max_context": "perhaps"}, "true or false"),
        ({"model": ","}, "name one as in"),
        ({"model": " "}, "name one as in"),
        ({"for": "chat", "gpu": "RTX 4090"}, "Either name a machine"),
        ({"precision": "Q8_0"}, "'precision' goes with a model"),
        ({"kv": "q8_0", "for": "chat"}, "'kv' goes with a model"),
        ({"method": "fit"}, "'method' goes with a model"),
        ({"for": "cooking"}, "chat, code, vision, documents"),
        ({"for": "chat", "model": "gemma3:4b"}, "not both"),
        ({"for": "chat", "budget": "3"}, "Nothing"),
        ({"modle": "gemma3:4b"}, "Did you mean model"),
        ({"model": "a,b,c,d,e,f,g,h,i"}, "too many"),
        ({"model": "/nonexistent/model.gguf"}, "no file"),
        ({"model": "~nobody-of-that-name/model.gguf"}, "no file"),
    ],
)
def test_what_is_wrong_is_said_with_what_is_near(asked: dict[str, str], says: str) -> None:
    if not says:
        assert Question.of(asked).models == ()
        return
    with pytest.raises((InvalidRequest, NotFound)) as told:
        ask(sizing(), **asked)
    assert says in told.value.message


@pytest.mark.parametrize(
    ("text", "name", "number"),
    [
        ("8192", "context", 8192),
        ("8k", "context", 8192),
        ("1M", "context", 2**20),
        ("20M", "volume", 20e6),
        ("2,5k", "budget", 2500.0),
        ("2,500", "budget", 2500.0),
        ("2,5", "budget", 2.5),
        ("1,200,000", "volume", 1_200_000.0),
        ("20,000", "users", 20_000),
        ("10", "users", 10),
    ],
)
def test_numbers_as_people_type_them(text: str, name: str, number: float) -> None:
    extra = {"for": "chat"} if name == "budget" else {}
    assert getattr(Question.of({name: text, **extra}), name) == number


@pytest.mark.parametrize(
    ("text", "name"), [("q4_k_m", "Q4_K_M"), ("Q4-K-M", "Q4_K_M"), ("q4km", "Q4_K_M"), ("fp16", "F16"), ("8bit", "Q8_0"), ("UD-IQ2_XXS", "IQ2_XXS")]
)
def test_precisions_in_any_spelling(text: str, name: str) -> None:
    assert precision_named(text) == name


def entry_of(name: str, precision: str = "") -> Subject:
    entry = load_catalogue().find(name)
    assert entry is not None
    return of_entry(entry, precision)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    header = entry_of("smollm2:135m", "Q8_0").header
    return write_sparse(tmp_path / "smollm2.gguf", header.metadata, header.tensors.values())


def test_a_file_without_weights_plans_as_the_catalogue(file: Path) -> None:
    """Sparse: its full length, no room on the disk."""
    told, known = ask(sizing(), model=str(file)).json(), ask(sizing(), model="smollm2:135m", precision="Q8_0").json()
    assert told["model"] == "smollm2"
    assert [told[part] for part in PARTS] == [known[part] for part in PARTS]


def test_a_file_that_was_cut_behind_its_head_does_as_well(file: Path, tmp_path: Path) -> None:
    whole = ask(sizing(), model=str(file)).json()
    from hausgeist.library.gguf import read_header

    cut = tmp_path / "cut.gguf"
    with file.open("rb") as stream:
        cut.write_bytes(stream.read(read_header(file).data_offset + 100))
    assert ask(sizing(), model=str(cut)).json()["total_bytes"] == whole["total_bytes"]


def test_a_file_that_is_no_model_says_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "page.gguf").write_text("<html>" + " " * 100)
    with pytest.raises(InvalidRequest, match="web page"):
        ask(sizing(), model=str(tmp_path / "page.gguf"))


def test_a_file_that_lacks_tensors_says_which(tmp_path: Path) -> None:
    header = entry_of("smollm2:135m", "Q8_0").header
    path = write_sparse(tmp_path / "part.gguf", header.metadata, [header.tensors["token_embd.weight"]])
    with pytest.raises(InvalidRequest, match=r"no tensor 'blk\.0\."):
        ask(sizing(), model=str(path))


def test_a_file_that_promises_any_context_is_not_believed(tmp_path: Path) -> None:
    header = entry_of("smollm2:135m", "Q8_0").header
    path = write_sparse(tmp_path / "long.gguf", {**header.metadata, "llama.context_length": 2**31 - 1}, header.tensors.values())
    assert 0 < ask(sizing(), model=str(path)).json()["max_context"] <= 2**24


def test_a_home_that_is_a_file_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidRequest, match="not a folder"):
        prices_of(tmp_path / "file")


def test_nobodys_files_are_read_for_those_who_ask_from_afar(file: Path) -> None:
    with pytest.raises(NotFound) as told:
        ask(sizing(files=False), model=str(file))
    assert "neither installed nor in the catalogue" in told.value.message


def test_an_unknown_architecture_is_named_with_near_ones(tmp_path: Path) -> None:
    header = entry_of("smollm2:135m").header
    metadata = {key.replace("llama.", "lama5."): value for key, value in header.metadata.items()} | {"general.architecture": "lama5"}
    path = write_sparse(tmp_path / "new.gguf", metadata, header.tensors.values())
    with pytest.raises(InvalidRequest, match="llama"):
        ask(sizing(), model=str(path))


def test_what_is_installed_is_read_from_its_file(file: Path) -> None:
    model = InstalledModel(
        id="mine",
        engine="llamacpp",
        path=file,
        digest="0",
        modified=0.0,
        shape=Shape(architecture="llama", quantization="Q8_0"),
        options=ModelOptions(),
    )

    def installed(name: str) -> InstalledModel:
        return model if name == "mine" else nothing(name)

    told = ask(sizing(installed=installed, names=("mine",)), model="mine").json()
    assert (told["model"], told["precision"]) == ("mine", "Q8_0")
    with pytest.raises(InvalidRequest, match="installed at Q8_0"):
        ask(sizing(installed=installed), model="mine", precision="Q4_0")


def test_what_runs_elsewhere_has_nothing_to_plan() -> None:
    model = InstalledModel(id="gpt", engine="remote", path=None, digest="0", modified=0.0)
    with pytest.raises(InvalidRequest, match="runs elsewhere"):
        ask(sizing(installed=lambda name: model), model="gpt")


def test_the_engines_word_is_laid_over() -> None:
    async def fit(subject: Subject, start: Start) -> Footprint:
        assert start.context == 4096
        return Footprint(host=GIB, parts={"weights": GIB // 2, "cache": GIB // 4, "compute": GIB // 8}, source="fit")

    told = ask(sizing(fit=fit), model="gemma3:1b", context="4096", method="fit").json()
    assert told["method"] == "fit"
    assert told["total_bytes"] == GIB == sum(told[part] for part in PARTS)
    assert told["kv_cache_bytes"] == GIB // 4


def test_how_true_it_was_rides_along() -> None:
    load = Load(
        model="m", digest="", architecture="llama", task="generate", context=8, slots=1, cache_type="f16", engine="e", at=1.0,
        arithmetic=Footprint(host=3 * GIB), peak=Footprint(host=2 * GIB), filled=8,
    )  # fmt: skip
    told = ask(sizing(loads=accuracy([load])), model="gemma3:1b").json()
    assert math.isclose(told["accuracy"]["arithmetic"]["median_error"], 0.5)
    assert "loads" not in told["accuracy"]


def test_three_things_to_buy_each_with_its_plan() -> None:
    answer = ask(sizing(), **{"for": "chat", "users": "5", "budget": "2500"})
    told = answer.json()
    assert 1 <= len(told["choices"]) <= 3
    for one in told["choices"]:
        assert one["reasons"]
        assert 0 < one["price_eur"] <= 2500
        assert one["fits"]
    assert f"{round(answer.choices[-1].sheet.plan.target.price_eur or 0):,} EUR" in answer.advice


def test_what_this_machine_runs_well_is_ranked_by_use() -> None:
    answer = ask(sizing(memory=16))
    assert answer.ranked
    assert {sheet.use for sheet in answer.sheets} >= {"chat", "code"}
    assert all(sheet.plan.fits for sheet in answer.sheets)
    assert len({sheet.plan.wish.model for sheet in answer.sheets}) == len(answer.sheets)
    assert answer.sheets[0].plan.wish.model in answer.advice


@pytest.mark.parametrize(
    ("features", "wheel", "instructions"),
    [(("avx2", "avx512f"), True, "avx2"), (("avx2", "avx512f"), False, "avx512"), (("avx",), False, "none"), (("asimd", "asimddp"), True, "neon")],
)
def test_instructions_are_those_of_engine_and_processor(features: tuple[str, ...], wheel: bool, instructions: str) -> None:
    assert instructions_of(Cpu("x", 4, 8, features), wheel=wheel) == instructions


def test_cards_count_where_the_engine_can_use_them() -> None:
    assert desktop(CARD).device_bytes == (24564 * 2**20,)
    two = desktop(CARD, CARD, Device(2, "NVIDIA GeForce RTX 3060", "cuda", 12 * GIB, 12 * GIB))
    assert two.group is not None
    assert (two.group.count, two.group.device.name) == (2, "RTX 4090")
    assert desktop(Device(0, "Voodoo 2", "cuda", 8 * GIB, 8 * GIB)).group is None


def test_a_few_cores_are_not_given_a_whole_server() -> None:
    few = this_machine(
        load_devices(), memory=Memory(8 * GIB, 8 * GIB), cpu=Cpu("Intel(R) Xeon(R) Processor", 2, 2, ("avx2", "avx512f")), cards=(), measured=None,
        wheel=True,
    )  # fmt: skip
    assert few.host.bandwidth_gb_s <= 30
    assert few.host.watts_load < 100
    assert not few.host.measured


def test_errors_are_ours() -> None:
    """Whatever is typed: a sentence, never a traceback."""
    for text in ("x", "..", "a/b/c/d/e/f", "☃", "x" * 5000, "hf.co/", ":", "gemma3:4b\x00"):
        with pytest.raises(HausgeistError):
            ask(sizing(), model=text)


def test_what_was_found_a_moment_ago_is_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    where, now = sizing(memory=4), 1000.0
    monkeypatch.setattr("hausgeist.serving.sizing.sizing.time", SimpleNamespace(monotonic=lambda: now))
    first = ask(where)
    assert ask(where).sheets is first.sheets
    assert ask(where, users="2").sheets is not first.sheets
    now = 1061.0
    assert ask(where).sheets is not first.sheets


# --- vLLM, drafts ---


@pytest.mark.parametrize(
    ("asked", "gpu", "precision"),
    [
        ("llama3.1:8b", "H100 SXM", "BF16"),
        ("gpt-oss:20b", "H100 SXM", "MXFP4"),
        ("deepseek-r1:671b", "H100 SXM", "FP8"),
        ("deepseek-r1:70b", "H100 SXM", "BF16"),
        ("kimi-k2:1t", "H100 SXM", "FP8"),
        ("kimi-k2-thinking:1t", "H100 SXM", "GPTQ"),
        ("llama3.1:8b", "T4", "F16"),
    ],
)
def test_vllm_runs_what_makers_publish(asked: str, gpu: str, precision: str) -> None:
    told = ask(sizing(), model=asked, engine="vllm", gpu=gpu).json()
    assert (told["precision"], told["engine"]) == (precision, "vllm")


@pytest.mark.parametrize(
    ("said", "precision"),
    [("fp16", "F16"), ("bf16", "BF16"), ("8bit", "FP8"), ("fp8_e4m3", "FP8"), ("w8a8", "INT8"), ("int4", "AWQ"), ("gptq-int4", "GPTQ")],
)
def test_precisions_of_vllm_have_several_spellings(said: str, precision: str) -> None:
    assert ask(sizing(), model="llama3.1:8b", engine="vllm", gpu="RTX 4090", precision=said).json()["precision"] == precision


def test_a_precision_in_the_name_counts() -> None:
    assert ask(sizing(), model="llama3.1:8b-instruct-fp16", engine="vllm", gpu="RTX 4090").json()["precision"] == "F16"
    with pytest.raises(InvalidRequest, match="GGUF files"):
        ask(sizing(), model="llama3.1:8b-instruct-q4_K_M", engine="vllm", gpu="RTX 4090")
    with pytest.raises(InvalidRequest, match="precision of vLLM"):
        ask(sizing(), model="llama3.1:8b", precision="fp8")


def test_a_file_is_planned_by_its_shape(tmp_path: Path) -> None:
    entry = load_catalogue().find("smollm2:135m")
    assert entry is not None
    header = of_entry(entry, "Q4_K_M").header
    file = write_sparse(tmp_path / "small.gguf", header.metadata, header.tensors.values())
    here, known = (ask(sizing(), model=name, engine="vllm", gpu="RTX 4090").json() for name in (str(file), "smollm2:135m"))
    assert here["precision"] == known["precision"] == "BF16"
    assert here["weights_bytes"] == pytest.approx(known["weights_bytes"], rel=0.03)
    assert here["next"] == known["next"] == ""


def test_cards_count_under_vllm_even_if_llama_cpp_cannot_use_them() -> None:
    where = Sizing(
        subjects=Subjects(nothing, lambda: ()), devices=load_devices, machine=desktop, carded=lambda: desktop(CARD),
        prices=lambda: prices_of(Path("/nonexistent")), accuracy=lambda: accuracy(()), about=lambda: ("build it for the card",),
    )  # fmt: skip
    told = ask(where, model="qwen3:4b", engine="vllm").json()
    assert (told["device"], told["price_eur"]) == ("NVIDIA RTX 4090", 0)
    assert "build it for the card" not in told["hints"]
    assert ask(where, model="qwen3:4b").json()["device"] == "AMD Ryzen 9 9950X"
    with pytest.raises(InvalidRequest, match="Name one with 'gpu'"):
        ask(sizing(), model="qwen3:4b", engine="vllm")


def test_what_does_not_fit_under_vllm_is_told_what_would() -> None:
    hints = ask(sizing(), model="qwen3:32b", engine="vllm", gpu="RTX 4090").hints
    assert "qwen3:32b (BF16) would fit on 4 such cards (--gpus 4)" in hints
    assert ask(sizing(), model="qwen3:32b", engine="vllm", gpu="RTX 4090", gpus="4").sheets[0].plan.fits
    hints = ask(sizing(), model="qwen3:14b", engine="vllm", gpu="RTX 4090").hints
    assert any("with --precision FP8, or on 2 such cards" in hint for hint in hints)
    assert ask(sizing(), model="qwen3:14b", engine="vllm", gpu="RTX 4090", precision="FP8").sheets[0].plan.fits


def test_a_draft_is_found_by_its_name() -> None:
    answer = ask(sizing(CARD), model="qwen3:8b,qwen3:14b", draft="qwen3:0.6b", prompt_cache="2GB")
    for told in answer.json()["plans"]:
        assert told["prompt_cache_bytes"] == 2_000_000_000
        assert told["draft_bytes"] > 10**9
    assert sum("speeds are without qwen3:0.6b" in hint for hint in answer.hints) == 1
    with pytest.raises(NotFound, match=r"qwen3:0\.6b"):
        ask(sizing(CARD), model="qwen3:8b", draft="qwen3:0.6")


def test_many_users_are_told_whether_memory_or_speed_ends_it() -> None:
    told = ask(sizing(CARD), model="qwen3:8b").json()
    assert (told["most_users_limit"], told["by_users"][-1]["users"]) == ("memory", told["most_users"])
    assert told["by_users"][0]["generate_tokens_per_second"] == pytest.approx(told["generate_tokens_per_second"], rel=1e-3)
    slow = ask(sizing(), model="qwen3:1.7b").json()
    assert slow["most_users_limit"] == "speed"
    rates = {point["users"]: point["generate_tokens_per_second"] for point in slow["by_users"]}
    assert rates[slow["most_users"]] >= 10
    assert min(rates.values()) < 10

"""`hausgeist plan`: on the terminal, as JSON, and as a page that loads nothing."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from hausgeist.cli import main
from hausgeist.cli.planning import print_accuracy
from hausgeist.cli.planning.page import memory_bar
from hausgeist.hardware import Cpu, Device, Memory
from hausgeist.model import Footprint
from hausgeist.planner.accuracy import Load, accuracy
from hausgeist.planner.devices.known import load
from hausgeist.planner.target import Target
from hausgeist.serving import records
from hausgeist.serving.sizing import local
from hausgeist.serving.sizing.machine import this_machine
from hausgeist.settings import Settings
from hausgeist.store.database import Database

GIB = 2**30
CARD = Device(0, "NVIDIA GeForce RTX 3060", "cuda", 12 * GIB, 12 * GIB)
CPU = Cpu("AMD Ryzen 9 9950X", 16, 32, ("avx2", "avx512f"))


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Always the same, and never measured."""

    def look_around(settings: Settings, **how: object) -> Target:
        return this_machine(load(), memory=Memory(32 * GIB, 30 * GIB), cpu=CPU, cards=[CARD], measured=None, wheel=True)

    monkeypatch.setattr(local, "look_around", look_around)
    monkeypatch.setattr(local, "about", lambda settings: ("the engine could do more",))
    monkeypatch.setenv("HAUSGEIST_HOME", str(tmp_path / "home"))


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["plan", *arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_the_advice_comes_first_and_memory_as_a_bar(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "gemma3:4b")
    assert code == 0
    assert out.startswith("gemma3:4b (Q4_K_M) fits on NVIDIA RTX 3060 12GB")
    [bar] = [line for line in out.splitlines() if line.startswith("memory")]
    assert "█" in bar
    assert "·" in bar
    for label in ("speed", "context", "pays?", "energy"):
        assert re.search(rf"^{re.escape(label)} ", out, re.MULTILINE)
    assert "hausgeist pull gemma3:4b" in err
    assert "the engine could do more" in err


def test_no_line_is_longer_than_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    for asked in (["gemma3:12b", "--users", "4"], ["llama3.1:405b"], ["qwen3:14b", "--gpu", "RTX 3090", "--gpus", "4"]):
        _, out, _ = run(capsys, *asked)
        assert max(map(len, out.splitlines())) <= 100


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_a_narrow_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setattr("hausgeist.cli.planning.page.width", lambda: columns)
    _, out, _ = run(capsys, "gemma3:4b", "--gpu", "RTX 3090", "--gpus", "2")
    assert max(map(len, out.splitlines())) <= columns


@pytest.mark.parametrize(("asked", "word"), [("gemma3:4b", "fits"), ("qwen3:32b", "with offload"), ("llama3.1:405b", "does not fit")])
def test_what_colour_says_words_say_as_well(capsys: pytest.CaptureFixture[str], asked: str, word: str) -> None:
    _, out, _ = run(capsys, asked)
    assert f": {word}" in out
    assert "\x1b" not in out


def test_colours(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    for asked, colour in (("gemma3:4b", "32"), ("qwen3:32b", "33"), ("llama3.1:405b", "1;31")):
        _, out, _ = run(capsys, asked)
        assert f"\x1b[{colour}m" in out


def test_what_it_rests_on(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, err = run(capsys, "gemma3:4b")
    assert "rests on" not in out
    assert "--sources" in err
    _, out, err = run(capsys, "gemma3:4b", "--sources")
    rows = out.partition("rests on")[2].splitlines()[1:]
    assert any("Eurostat" in row and "EUR/kWh" in row for row in rows)
    assert any(" estimate " in row for row in rows)
    assert "--sources" not in err


def test_several_are_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "gemma3:4b", "qwen3:8b", "llama3.1:405b")
    lines = out.splitlines()
    assert any(line.split()[:3] == ["model", "precision", "memory"] for line in lines)
    assert [line.split()[0] for line in lines[-3:]] == ["gemma3:4b", "qwen3:8b", "llama3.1:405b"]


def test_json_of_one_and_of_several(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "gemma3:4b", "--context", "8k", "--kv", "q8_0", "--json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert (told["model"], told["context"]) == ("gemma3:4b", 8192)
    _, out, _ = run(capsys, "gemma3:4b", "gemma3:1b", "--json")
    assert len(json.loads(out)["plans"]) == 2


def test_under_vllm(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "llama3.3:70b", "--engine", "vllm", "--gpu", "H100 SXM", "--gpus", "4", "--users", "20")
    assert code == 0
    said = " ".join(out.split())
    assert said.startswith(
        "llama3.3:70b (BF16) fits on 4 x NVIDIA H100 SXM under vLLM with a context of 8,192 tokens for each of 20 requests at once"
    )
    assert re.search(r"vLLM takes 7\d\.\d GiB of each card in any case; its cache then holds 4\d\d,\d{3} tokens, 5\d requests of 8,192", said)
    assert "tensor parallel 4, pipeline parallel 1" in said
    assert "main memory" not in said
    assert re.search(r"up to 5\d users at once at 10 tokens per second each \(memory is the limit\)", said)
    assert "of writing only" in err
    assert "hausgeist pull" not in err
    assert max(map(len, out.splitlines())) <= 100


def test_engines_have_the_names_that_people_type(capsys: pytest.CaptureFixture[str]) -> None:
    told = []
    for name in ("llama.cpp", "llamacpp", "LLAMA-CPP", "vLLM"):
        _, out, _ = run(capsys, "gemma3:4b", "--engine", name, "--json")
        told.append(json.loads(out)["engine"])
    assert told == ["llamacpp"] * 3 + ["vllm"]


def test_how_many_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "gemma3:4b", "--users", "3")
    said = " ".join(out.split())
    assert re.search(r"users 3 users at once: \d+ tokens/s each, \d+ together the last one's first word comes after \d+ ms", said)
    assert re.search(r"up to \d+ users at once at 10 tokens per second each \(memory is the limit\)", said)
    _, out, _ = run(capsys, "qwen3:32b")
    assert "not even one user gets 10 tokens per second" in out
    _, out, _ = run(capsys, "gemma3:1b", "--users", "300", "--context", "256")
    assert "300 users at once, 256 of them answered side by side" in " ".join(out.split())


def test_a_draft_and_a_prompt_cache_are_parts_of_the_bar(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, err = run(capsys, "gemma3:4b", "--draft", "gemma3:270m", "--prompt-cache", "4GiB")
    [bar] = [line for line in out.splitlines() if line.startswith("memory")]
    assert "▚" in bar
    assert "▤" in bar
    assert "prompt cache 4.0 GiB" in out
    assert "where a conversation of that length goes on" in out
    assert "speeds are without gemma3:270m" in err
    _, out, _ = run(capsys, "gemma3:4b", "--draft", "gemma3:270m", "--prompt-cache", "4GiB", "--json")
    told = json.loads(out)
    assert told["draft_bytes"] + told["prompt_cache_bytes"] < told["overhead_bytes"]
    assert told["prompt_cache_bytes"] == 4 * GIB
    assert any("speeds are without gemma3:270m" in hint for hint in told["hints"])
    _, _, err = run(capsys, "qwen3:8b", "--draft", "llama3.2:1b")
    assert "different vocabularies" in err


@pytest.mark.parametrize(
    ("asked", "code", "says"),
    [
        (["gema3:4b"], 3, "Did you mean gemma3:4b"),
        (["gemma3:4b", "--gpu", "RTX 4099"], 3, "RTX 4090"),
        (["gemma3:4b", "--context", "-1"], 2, "number such as 8192"),
        ([""], 2, "name one as in"),
        (["gemma3:4b", "--upkeep-hours", "5"], 2, "what one costs"),
        (["gemma3:4b", "--cloud", "gpt"], 2, "Did you mean openai/gpt"),
        (["--accuracy", "--gpu", "RTX 4090"], 2, "leave 'gpu' out"),
        (["gemma3:4b", "--slots", "1000"], 2, "1 to 256"),
        (["gemma3:4b", "--users", "100001"], 2, "1 to 100,000"),
        (["gemma3:4b", "--engine", "vlm"], 2, "Did you mean vllm"),
        (["--engine", "vllm"], 2, "goes with a model"),
        (["gemma3:4b", "--engine", "vllm", "--precision", "Q4_K_M"], 2, "BF16, F16, FP8, INT8, AWQ, GPTQ are possible"),
        (["gemma3:4b", "--engine", "vllm", "--gpu", "DDR5-5600 64GB"], 2, "Name one with 'gpu'"),
        (["gemma3:4b", "--draft", "gema3:270m"], 3, "Did you mean gemma3:270m"),
        (["gemma3:4b", "--draft", "gemma3:12b"], 2, "is not smaller than"),
        (["gemma3:4b", "--prompt-cache", "2000"], 2, "a size with its unit"),
        (["gemma3:4b", "--prompt-cache", "99TiB"], 2, "is not possible"),
        (["--accuracy", "gemma3:4b"], 2, "leave 'model' out"),
        (["--accuracy", "--html", "/nonexistent/plan.html"], 1, "Name a file in a folder that is there"),
        (["gemma3:4b", "--html", "/nonexistent/plan.html"], 1, "Name a file in a folder that is there"),
        (["gemma3:4b", "--html", "/"], 1, "cannot be written"),
        (["gemma3:4b", "--html", "~nobody-of-that-name/plan.html"], 1, "cannot be written"),
    ],
)
def test_errors_end_with_a_code(capsys: pytest.CaptureFixture[str], asked: list[str], code: int, says: str) -> None:
    ended, out, err = run(capsys, *asked)
    assert (ended, out) == (code, "")
    assert says in err


def test_a_bar_of_parts() -> None:
    bar, legend = memory_bar({"weights": 50, "repack": 0, "KV cache": 25}, 100, 40)
    assert bar == "█" * 20 + "▒" * 10 + "·" * 10
    assert [piece[0] for piece in legend] == ["█", "▒"]


def test_a_bar_goes_on_behind_its_limit() -> None:
    bar, _ = memory_bar({"weights": 150, "KV cache": 50}, 100, 41)
    assert bar == "█" * 20 + "│" + "█" * 10 + "▒" * 10


def test_a_bar_shows_where_the_cards_end() -> None:
    bar, _ = memory_bar({"weights": 60}, 100, 41, edge=24)
    assert bar == "█" * 10 + "│" + "█" * 14 + "·" * 16


def test_a_bar_of_letters() -> None:
    bar, _ = memory_bar({"weights": 50, "KV cache": 100}, 100, 31, plain=True)
    assert bar.isascii()
    assert (len(bar), bar.count("|")) == (31, 1)


@pytest.mark.parametrize("parts", [{}, {"weights": 0}, {"weights": 1}, {"weights": 10**15, "output": 1}, dict.fromkeys("abc", 1)])
def test_a_bar_is_as_long_as_it_should(parts: dict[str, int]) -> None:
    for capacity in (1, 10**9):
        assert len(memory_bar(parts, capacity, 50)[0]) == 50


class _Page(HTMLParser):
    """What a page refers to, and whether its elements are closed."""

    VOID = frozenset({"meta", "br", "link", "img", "rect", "line", "circle", "polyline"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[tuple[str, str]] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        for name, value in attributes:
            if name in ("src", "srcset", "data", "poster", "background", "action") or (name.endswith("href") and tag != "a"):
                self.loads.append((tag, value or ""))
            assert not name.startswith("on")
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        if tag not in ("meta", "br"):
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def page(capsys: pytest.CaptureFixture[str], tmp_path: Path, *asked: str) -> str:
    file = tmp_path / "plan.html"
    code, out, err = run(capsys, *asked, "--html", str(file))
    assert (code, out) == (0, "")
    assert str(file) in err
    return file.read_text("utf-8")


def checked(text: str) -> _Page:
    read = _Page()
    read.feed(text)
    read.close()
    assert read.open == []
    assert read.loads == []
    assert not {"script", "iframe", "link", "img", "object", "embed", "form", "base"} & read.seen
    styles = "".join(re.findall(r"<style>(.*?)</style>", text, re.DOTALL))
    assert "url(" not in styles
    assert "@import" not in styles
    assert "prefers-color-scheme:dark" in styles
    for picture in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        told = ET.fromstring(picture).get("aria-label") or ""
        assert re.search(r"\d", told)
    assert text.count('<div class="broad">') == text.count('<div class="slim">') == text.count("<svg") / 2
    return read


def test_a_page_is_one_file_that_loads_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    text = page(capsys, tmp_path, "qwen3:8b", "--gpu", "RTX 3090", "--volume", "300M", "--cloud", "claude-sonnet-5-5")
    checked(text)
    assert text.count("<svg") == 2 * 5
    for said in ("Memory", "Speed over context", "Does it pay?", "Electricity, carbon, water", "Assumptions and sources", "paid back after"):
        assert said in text
    assert 'href="https://' in text


def test_a_page_of_many_users_under_vllm(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    text = page(capsys, tmp_path, "qwen3:8b", "--engine", "vllm", "--gpu", "RTX 3090", "--gpus", "2", "--users", "3")
    checked(text)
    for said in ("How many at once", "users at once</b>", "asked for: 3", "tensor parallel 2, pipeline parallel 1", "memory is the limit"):
        assert said in text
    text = page(capsys, tmp_path, "qwen3:8b", "--gpu", "RTX 3090", "--draft", "qwen3:0.6b", "--prompt-cache", "1GB")
    checked(text)
    assert "Without the draft model" in text
    for kind in ("draft", "remembered"):
        assert f'<i class="{kind}"></i>' in text
        assert f"i.{kind}{{background" in text


def test_a_page_of_several_and_of_what_to_buy(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    text = page(capsys, tmp_path, "gemma3:4b", "qwen3:8b", "llama3.1:405b")
    checked(text)
    assert "Side by side" in text
    assert "does not fit" in text
    text = page(capsys, tmp_path, "--for", "chat", "--budget", "2000")
    checked(text)
    assert "The least money" in text


def test_names_on_pages_are_text(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from hausgeist.engines.specimen.sparse import write_sparse
    from hausgeist.library.catalog import load as catalogue
    from hausgeist.serving.sizing.subjects import of_entry

    entry = catalogue().find("smollm2:135m")
    assert entry is not None
    header = of_entry(entry).header
    file = write_sparse(tmp_path / "<script>alert(1)<script>&.gguf", header.metadata, header.tensors.values())
    text = page(capsys, tmp_path, str(file))
    checked(text)
    assert "&lt;script&gt;" in text


def loaded(**changes: Any) -> Load:
    one = Load(
        model="gemma3:4b", digest="", architecture="gemma3", task="generate", context=4096, slots=2, cache_type="f16", engine="e", at=1.0,
        arithmetic=Footprint(host=3030 * 2**20), fit=Footprint(host=2970 * 2**20), peak=Footprint(host=3000 * 2**20), filled=4096,
    )  # fmt: skip
    return replace(one, **changes)


def test_accuracy_shows_each_load_and_the_medians(capsys: pytest.CaptureFixture[str]) -> None:
    print_accuracy(accuracy([loaded(), loaded(model="qwen3:8b", at=2.0, peak=None)]))
    out = capsys.readouterr().out
    assert re.search(r"gemma3:4b +4,096 +2 +100% +2.9 GiB +\+1.00% +-1.00%", out)
    assert "median error 1.00%" in out
    assert re.search(r"qwen3:8b +4,096 +2 +100%$", out, re.MULTILINE)


def remember(home: Path, *loads: Load) -> None:
    """As if these had been made on this machine."""
    database = Database.open(home)
    try:
        for load in loads:
            asyncio.run(database.write(partial(records.put, load_id=f"{load.model} {load.at}", plan=load.model, load=load)))
    finally:
        database.close()


def test_a_page_of_accuracy(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    odd = loaded(model="<b>odd</b>", at=4.0, fit=None, peak=Footprint(host=2000 * 2**20), filled=12)
    remember(tmp_path / "home", loaded(), loaded(model="qwen3:8b", at=2.0, peak=None), loaded(at=3.0), odd)
    text = page(capsys, tmp_path, "--accuracy")
    checked(text)
    assert "<h1>On this machine: 3 loads, median error 1.0% by arithmetic, 1.0% by the engine&#x27;s fit pass.</h1>" in text
    assert text.count("<svg") == 2
    assert text.count("<circle") == 2 * (3 + 2)
    assert text.count("s0 hollow") == 2
    assert "arithmetic, of 3 loads; worst +52% (&lt;b&gt;odd&lt;/b&gt;)" in text
    assert "arithmetic, of 2 loads of 1 GB and more whose context was full; worst +1.0%" in text
    assert re.search(r"gemma3:4b</td>.*?\+1\.0%</td>.*?-1\.0%</td>.*?2\.9 GiB</td>.*?4,096</td>", text)
    assert re.search(r'qwen3:8b</td><td class="n"></td><td class="n"></td><td class="n"></td><td class="n">4,096', text)


def test_a_page_of_accuracy_where_nothing_was_measured(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    text = page(capsys, tmp_path, "--accuracy")
    checked(text)
    assert "No model was measured on this machine yet." in text
    assert "<svg" not in text
    assert "hausgeist run" in text


def test_a_page_and_json_of_accuracy(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    remember(tmp_path / "home", loaded())
    file = tmp_path / "accuracy.html"
    code, out, _ = run(capsys, "--accuracy", "--json", "--html", str(file))
    assert code == 0
    assert json.loads(out)["fit"]["loads"] == 1
    assert "On this machine: 1 load, median error" in file.read_text("utf-8")


def test_a_page_of_a_plan_says_how_true_predictions_were(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    said = "on the machine where this was asked: 1 load, median error 1.0% by arithmetic, 1.0% by the engine&#x27;s fit pass."
    assert "where this was asked:" not in page(capsys, tmp_path, "gemma3:4b")
    remember(tmp_path / "home", loaded(peak=None))
    assert "where this was asked:" not in page(capsys, tmp_path, "gemma3:4b")
    remember(tmp_path / "home", loaded())
    for asked in (["gemma3:4b"], ["gemma3:4b", "qwen3:8b"], ["gemma3:4b", "--gpu", "RTX 3090"]):
        text = page(capsys, tmp_path, *asked)
        checked(text)
        assert text.count(said) == 1


def test_accuracy_where_nothing_was_loaded(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--accuracy")
    assert code == 0
    assert "no model was loaded" in out
    _, out, _ = run(capsys, "--accuracy", "--json")
    assert json.loads(out)["loads"] == []


def test_help_loads_no_planner() -> None:
    code = (
        "import sys; from hausgeist.cli.entry import build; build(); print([name for name in sys.modules if 'planner' in name or 'sizing' in name])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"

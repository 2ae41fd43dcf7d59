"""Memory by arithmetic against the engine's own fit pass, on headers of true shapes without weights."""

import asyncio
import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hausgeist.anatomy import Anatomy, Experts, Recurrent
from hausgeist.engines.llamacpp.parameters import parameters
from hausgeist.engines.llamacpp.process import Process
from hausgeist.engines.llamacpp.providers import Provider
from hausgeist.engines.specimen.sparse import write_sparse
from hausgeist.library.catalog.mix import tensor_type
from hausgeist.library.catalog.reader import load
from hausgeist.model import CacheType, InstalledModel, LaunchPlan, Task
from hausgeist.planner.memory import Header, Memory, Start, Tensor, describe, estimate, projector

MIB = 2**20
WHEEL = Provider("wheel", None, "", ("cpu",))

OTHERS = {
    "pythia:1.4b": Anatomy(
        architecture="gptneox", layers=24, hidden=2048, vocabulary=50304, heads=16, kv_heads=(16,), key_length=(128,), value_length=(128,),
        ffn=(8192,), gated=False, fused=True, qkv_bias=True, bias=True,
    ),
    "mamba:2.8b": Anatomy(
        architecture="mamba", layers=64, hidden=2560, vocabulary=50280, tied=True, norms=1, no_ffn=tuple(range(64)),
        recurrent=Recurrent(kind="mamba", layers=tuple(range(64)), inner=5120, state=16, rank=160),
    ),
    "jamba:52b": Anatomy(
        architecture="jamba", layers=32, hidden=4096, vocabulary=65536, heads=32, kv_heads=(8,), key_length=(128,), value_length=(128,), ffn=(14336,),
        experts=Experts(count=16, used=2, ffn=14336, every=2),
        recurrent=Recurrent(kind="mamba", layers=tuple(one for one in range(32) if one % 8 != 4), inner=8192, state=16, rank=256),
    ),
}  # fmt: skip
"""Models that the catalogue does not have, by their published configurations."""

MODELS = {
    "smollm2:135m": "Q4_K_M", "llama3.2:1b": "Q4_K_M", "llama3.1:8b": "Q8_0", "llama3.1:405b": "Q4_K_M", "llama2:7b": "Q4_0",
    "mistral:7b": "Q4_K_M", "mixtral:8x7b": "Q4_K_M", "gemma:2b": "Q4_K_M", "gemma2:9b": "Q4_K_M", "gemma3:270m": "Q8_0", "gemma3:4b": "Q4_K_M",
    "gemma3:12b": "Q4_K_M", "gemma4:e2b": "Q4_K_M", "gemma3n:e2b": "Q4_K_M", "qwen3-vl:2b": "Q4_K_M", "qwen2:0.5b": "Q8_0", "qwen2.5:7b": "Q5_K_M",
    "qwen3:0.6b": "F16", "qwen3:8b": "Q4_K_M", "qwen3:30b": "Q4_K_M", "dolphin-phi:2.7b": "Q4_K_M", "phi3:3.8b": "Q4_K_M", "gpt-oss:20b": "MXFP4",
    "deepseek-v2:16b": "Q4_K_M", "deepseek-r1:671b": "Q4_K_M", "command-r:35b": "Q4_K_M", "command-r7b:7b": "Q4_K_M", "falcon:7b": "Q4_0",
    "pythia:1.4b": "F16", "starcoder2:3b": "Q4_K_M", "granite4:350m": "Q8_0", "granite3-moe:1b": "Q4_K_M", "granite4:1b-h": "Q4_K_M",
    "glm4-0414:9b": "Q4_K_M", "mamba:2.8b": "F16", "mamba-codestral:7b": "Q4_K_M", "jamba:52b": "Q4_K_M", "falcon-h1:0.5b": "Q4_K_M",
    "nemotron-3-nano:4b": "Q4_K_M", "nemotron-3-nano:30b": "Q4_K_M", "lfm2.5:230m": "Q8_0", "lfm2:8b": "Q4_K_M", "qwen3.5:0.8b": "Q4_K_M",
    "qwen3-next:80b": "Q4_K_M", "olmo2:1b": "Q4_K_M", "llama4:scout": "Q4_K_M", "all-minilm:22m": "F16", "nomic-embed-text:v1.5": "F16",
    "bge-m3:567m": "F16", "exaone4:1.2b": "Q4_K_M", "seed-oss:36b": "Q4_K_M", "smollm3:3b": "Q4_K_M", "minimax-m2:230b": "Q4_K_M",
    "glm-4.7:355b": "Q4_K_M", "olmoe:7b": "Q4_K_M", "hunyuan:0.5b": "Q8_0", "ernie4.5:21b": "Q4_K_M", "qwen3-embedding:0.6b": "Q8_0",
    "embeddinggemma:300m": "Q8_0", "stable-code:3b": "Q4_K_M", "apertus:8b": "Q4_K_M", "gemma4:31b": "Q4_K_M", "qwen3.5:35b": "Q4_K_M",
    "trinity-nano:6b": "F16", "trinity-mini:26b": "F16", "ling-mini:16b": "F16", "deepseek-v3.2:671b": "F16", "glm-5:744b": "F16",
    "kimi-linear:48b": "F16", "granite-embedding-english:149m": "F16",
}  # fmt: skip
"""By name, at the precision in which they are tried."""

UNQUANTISED = {"dolphin-phi:2.7b", "stable-code:3b", "granite3-moe:1b"}
"""The engine refuses them a quantised cache: keys of 80 numbers; or, of the last, fails because its graph becomes longer than it allows."""

QUICK = ("smollm2:135m", "mixtral:8x7b", "gemma:2b", "gemma2:9b", "gemma3:12b", "qwen2:0.5b", "qwen3:0.6b", "qwen3:30b", "dolphin-phi:2.7b",
         "phi3:3.8b", "gpt-oss:20b", "deepseek-r1:671b", "command-r7b:7b", "falcon:7b", "pythia:1.4b", "starcoder2:3b", "granite4:350m",
         "glm4-0414:9b", "mamba:2.8b", "granite4:1b-h", "all-minilm:22m", "nomic-embed-text:v1.5", "ling-mini:16b", "kimi-linear:48b")  # fmt: skip


@dataclass
class Fit:
    """What the engine printed of its first layout. Bytes."""

    weights: int = 0
    repack: int = 0
    cache: float = 0.0
    compute: float = 0.0
    output: float = 0.0
    nodes: int = 0
    done: bool = False
    lines: list[str] = field(default_factory=list)

    def read(self, line: str) -> None:
        self.lines.append(line)
        if self.done:
            return
        if found := re.search(r"breakdown_print: \|\s+- (\S+).*?=\s*(\d+) \+\s*(\d+) \+\s*(\d+)", line):
            if "REPACK" in found[1]:
                self.repack += int(found[2]) * MIB
            else:
                self.weights += int(found[2]) * MIB
        elif found := re.search(r"(?:llama_kv_cache|llama_memory_recurrent): size =\s*([\d.]+) MiB", line):
            self.cache += float(found[1]) * MIB
        elif found := re.search(r"compute buffer size =\s*([\d.]+) MiB", line):
            self.compute += float(found[1]) * MIB
        elif found := re.search(r"output buffer size =\s*([\d.]+) MiB", line):
            self.output += float(found[1]) * MIB
        elif found := re.search(r"graph.*: nodes = (\d+)", line):
            self.nodes = int(found[1])
        self.done = bool(self.weights) and "params_fit_impl" in line

    @property
    def total(self) -> float:
        return self.weights + self.repack + self.cache + self.compute + self.output


@dataclass(frozen=True)
class Row:
    name: str
    setting: str
    planned: Memory
    fitted: Fit

    @property
    def kept(self) -> float:
        """Relative error of weights and caches. The engine cuts weights to whole MiB, in two places."""
        ours = self.planned.weights + self.planned.repack + self.planned.kv_cache
        return _error(ours, self.fitted.weights + self.fitted.repack + self.fitted.cache, slack=2 * MIB)

    @property
    def compute(self) -> float:
        return _error(self.planned.compute, self.fitted.compute, slack=MIB // 100)

    @property
    def total(self) -> float:
        return _error(self.planned.total, self.fitted.total, slack=2 * MIB)

    def __str__(self) -> str:
        return (
            f"{self.name:24}{self.setting:16}{self.fitted.total / MIB:12,.0f} MiB{self.kept:+9.2%}{self.compute:+9.2%}{self.total:+9.2%}"
            f"{self.planned.nodes:7} of {self.fitted.nodes}"
        )


def _error(ours: float, theirs: float, *, slack: float) -> float:
    """What the engine rounds away is no error."""
    difference = ours - theirs
    if 0 <= difference <= slack or abs(difference) <= slack / 2:
        return 0.0
    return difference / theirs if theirs else float("inf")


def header_of(name: str) -> Header:
    precision = MODELS[name]
    entry = load().find(name)
    anatomy = OTHERS.get(name) or (entry.anatomy if entry else None)
    assert anatomy is not None, name
    return describe(anatomy, lambda tensor: tensor_type(anatomy, tensor, precision))


def header_file(name: str, folder: Path) -> tuple[Header, Path]:
    header = header_of(name)
    path = folder / f"{name.replace(':', '-').replace('/', '-')}.gguf"
    if not path.exists():
        write_sparse(path, header.metadata, header.tensors.values())
    return header, path


async def fit_pass(path: Path, plan: LaunchPlan, folder: Path) -> Fit:
    fitted, done = Fit(), asyncio.Event()

    def read(line: str) -> None:
        fitted.read(line)
        if fitted.done:
            done.set()

    process = await Process.start(WHEEL, parameters(plan), folder=folder, fit=True)
    process.on_line = read
    try:
        ended, finished = asyncio.create_task(process.ended()), asyncio.create_task(done.wait())
        await asyncio.wait((ended, finished), timeout=60, return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        finished.cancel()
    finally:
        await process.close(patience=0)
    assert fitted.done, "\n".join([process.reason(), *fitted.lines[-12:]])
    return fitted


def compare(name: str, folder: Path, *, context: int, cache_type: CacheType, slots: int, flash: bool = True) -> Row:
    header, path = header_file(name, folder)
    task: Task = "embed" if header.cacheless or "embed" in name else "generate"
    model = InstalledModel(id=name, engine="llamacpp", path=path, digest="", modified=0)
    plan = LaunchPlan(model=model, task=task, context=context, slots=slots, cache_type=cache_type, flash_attention="auto" if flash else "off")
    told = parameters(plan)
    start = Start(
        context=context, slots=slots, cache_type=cache_type, batch=told["batch"], micro_batch=told["micro_batch"], task=task,
        pooling=told["pooling"] or "none", flash_attention=flash,
    )  # fmt: skip
    fitted = asyncio.run(fit_pass(path, plan, folder))
    return Row(name, f"{context // 1024}k {cache_type} x{slots}", estimate(header, start), fitted)


def told(rows: list[Row]) -> str:
    return "\n".join([f"{'model':24}{'context':16}{'fit pass':>16}{'kept':>9}{'compute':>9}{'total':>9}  nodes", *map(str, rows)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("headers")


@pytest.mark.parametrize("name", QUICK)
def test_arithmetic_says_what_the_fit_pass_says(name: str, folder: Path) -> None:
    row = compare(name, folder, context=8192, cache_type="q8_0" if len(name) % 2 else "f16", slots=4)
    assert row.planned.exact
    assert abs(row.kept) <= 0.01, str(row)
    assert abs(row.total) <= 0.03, str(row)


def vision(*, layers: int = 27, hidden: int = 1152, ffn: int = 4304, image: int = 896, patch: int = 14, length: int = 2560) -> Header:
    """The encoder of Gemma 3 4B."""
    sizes: dict[str, object] = {
        "image_size": image, "patch_size": patch, "embedding_length": hidden, "feed_forward_length": ffn, "projection_dim": length,
        "block_count": layers, "attention.head_count": 16, "attention.layer_norm_epsilon": 1e-6, "image_mean": [0.5] * 3, "image_std": [0.5] * 3,
    }  # fmt: skip
    tensors = [
        Tensor("v.patch_embd.weight", (patch, patch, 3, hidden), "F16"),
        Tensor("v.patch_embd.bias", (hidden,), "F32"),
        Tensor("v.position_embd.weight", (hidden, (image // patch) ** 2), "F32"),
        Tensor("mm.soft_emb_norm.weight", (hidden,), "F32"),
        Tensor("mm.input_projection.weight", (length, hidden), "F16"),
    ]
    norms = ["v.post_ln", *(f"v.blk.{layer}.{one}" for layer in range(layers) for one in ("ln1", "ln2"))]
    for name in norms:
        tensors += [Tensor(f"{name}.weight", (hidden,), "F32"), Tensor(f"{name}.bias", (hidden,), "F32")]
    for layer in range(layers):
        for name in ("attn_q", "attn_k", "attn_v", "attn_out", "ffn_up", "ffn_down"):
            row, rows = (ffn if name == "ffn_down" else hidden), (ffn if name == "ffn_up" else hidden)
            tensors += [Tensor(f"v.blk.{layer}.{name}.weight", (row, rows), "F16"), Tensor(f"v.blk.{layer}.{name}.bias", (rows,), "F32")]
    kinds = {"general.architecture": "clip", "clip.has_vision_encoder": True, "clip.projector_type": "gemma3", "clip.use_gelu": True}
    return Header.of(kinds | {f"clip.vision.{key}": value for key, value in sizes.items()}, tensors)


def test_weights_of_a_projector_are_what_the_engine_says(folder: Path) -> None:
    header, path = vision(), folder / "mmproj.gguf"
    write_sparse(path, header.metadata, header.tensors.values())
    _, model = header_file("gemma3:4b", folder)
    installed = InstalledModel(id="m", engine="llamacpp", path=model, digest="", modified=0)
    plan = LaunchPlan(model=installed, task="generate", context=2048, slots=1, projector=path)
    fitted = asyncio.run(fit_pass(path=model, plan=plan, folder=folder))
    said = next(float(found[1]) for line in fitted.lines if (found := re.search(r"usage of mmproj is ([\d.]+) MiB", line)))
    # Without a first run to warm up, the engine counts the weights alone.
    assert projector(header).weights / MIB == pytest.approx(said, rel=0.001)


@pytest.mark.parametrize("name", ["llama3.1:8b", "gemma2:9b", "deepseek-v2:16b"])
def test_without_flash_attention_too(name: str, folder: Path) -> None:
    row = compare(name, folder, context=8192, cache_type="f16", slots=2, flash=False)
    assert abs(row.kept) <= 0.01, str(row)
    assert abs(row.total) <= 0.03, str(row)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_every_architecture_at_every_setting(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = [(context, kind, slots) for context in (2048, 8192, 32768) for kind in ("f16", "q8_0") for slots in (1, 4)]
    rows = [
        compare(name, folder, context=context, cache_type=kind, slots=slots)
        for name in MODELS
        for context, kind, slots in settings
        if kind == "f16" or name not in UNQUANTISED
    ]
    with capsys.disabled():
        print(f"\n{told(rows)}")
    assert all(abs(row.kept) <= 0.01 and abs(row.total) <= 0.03 for row in rows)

"""One suite against every engine: the fake, llama.cpp from the wheel, and a remote upstream, which is a real llama-server over TCP."""

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from hausgeist.engines import Reply, Worker
from hausgeist.engines.contract import CHECKS, Check, ContractBroken, run_check, run_checks
from hausgeist.engines.fake import Fake
from hausgeist.engines.llamacpp.adapter import LlamaCpp
from hausgeist.engines.llamacpp.providers import Provider
from hausgeist.engines.remote import Remote
from hausgeist.engines.specimen import write_specimen
from hausgeist.errors import NotSupported
from hausgeist.model import InstalledModel, LaunchPlan, Task
from hausgeist.settings import UpstreamSection

pytestmark = pytest.mark.asyncio(loop_scope="module")

TASKS: tuple[Task, ...] = ("generate", "embed", "rerank")
CONTEXT, SLOTS = 1024, 2
MAY_LACK = {"remote": {"private cache", "stop told"}}
BY_NAME = {check.name: check for check in CHECKS}

SERVER = """
import sys, threading, xllamacpp
path, task = sys.argv[1:3]
p = xllamacpp.CommonParams()
p.model.path, p.model_alias = path, {"upstream-model"}
p.hostnames, p.port, p.api_keys = ["127.0.0.1"], 0, ["upstream-key"]
p.n_ctx, p.n_parallel, p.kv_unified, p.n_batch, p.n_ubatch = 2048, 2, False, 1024, 1024
p.warmup = p.ui = p.fit_params = False
p.use_jinja = True
p.verbosity = 0
p.cache_ram_mib = 0
p.embedding = task != "generate"
if task == "rerank":
    p.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_RANK
server = xllamacpp.Server(p)
print("listening", server.listening_address, flush=True)
threading.Thread(target=lambda: (sys.stdin.read(), __import__("os")._exit(0)), daemon=True).start()
threading.Event().wait()
"""


class PlainOutbound:
    """What `governance.egress` does, without its rules."""

    def __init__(self) -> None:
        self.session = aiohttp.ClientSession()

    def request(self, method, url, *, purpose, headers=None, data=None, timeout=None):
        return self.session.request(method, url, headers=headers, data=data, timeout=aiohttp.ClientTimeout(total=timeout))


@pytest.fixture(scope="module")
def specimens(tmp_path_factory: pytest.TempPathFactory) -> dict[Task, Path]:
    folder = tmp_path_factory.mktemp("specimens")
    return {task: write_specimen(folder / f"{task}.gguf", task=task) for task in TASKS}


def llama_server(path: Path, task: Task) -> Iterator[str]:
    process = subprocess.Popen([sys.executable, "-c", SERVER, str(path), task], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("listening"):
                address = line.split()[1]
                yield address if address.startswith("http") else f"http://{address}"
                break
        else:
            pytest.fail("llama-server did not start")
    finally:
        process.kill()
        process.communicate()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def workers(specimens: dict[Task, Path], tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[tuple[str, Task], Worker]]:
    async with contextlib.AsyncExitStack() as stack:
        made: dict[tuple[str, Task], Worker] = {}
        fake = Fake()
        llama = LlamaCpp(home=tmp_path_factory.mktemp("home"), provider=Provider("wheel", None, "", ("cpu",)))
        stack.push_async_callback(llama.close)
        outbound = PlainOutbound()
        stack.push_async_callback(outbound.session.close)
        for task in TASKS:
            for name in ("fake:echo", "fake:obeys"):
                made[name, task] = await fake.load(LaunchPlan(model=fake.model(name), task=task, context=CONTEXT, slots=SLOTS))
            model = InstalledModel(id="specimen", engine="llamacpp", path=specimens[task], digest="0" * 64, modified=0.0, tasks=(task,))
            made["llamacpp", task] = await llama.load(LaunchPlan(model=model, task=task, context=CONTEXT, slots=SLOTS))
            url = stack.enter_context(contextlib.contextmanager(llama_server)(specimens[task], task))
            remote = Remote(upstreams={"up": UpstreamSection(url=url, key="upstream-key", slots=SLOTS)}, outbound=outbound)
            stack.push_async_callback(remote.close)
            [offered] = await remote.models()
            assert offered.id == "up/upstream-model"
            assert offered.shape.context_length == CONTEXT
            made["remote", task] = await remote.load(LaunchPlan(model=offered, task=task, context=CONTEXT, slots=SLOTS))
        for worker in made.values():
            stack.push_async_callback(worker.close)
        yield made


@pytest.mark.parametrize("engine", ["fake:echo", "fake:obeys", "llamacpp", "remote"])
@pytest.mark.parametrize("check", CHECKS, ids=[check.name for check in CHECKS])
async def test_engine_keeps_the_contract(workers: dict[tuple[str, Task], Worker], engine: str, check: Check) -> None:
    worker = workers[engine, check.task]
    assert worker.alive
    try:
        await run_check(check, worker)
    except NotSupported:
        if check.name not in MAY_LACK.get(engine, ()):
            raise


async def test_run_checks_tells_how_each_went(workers: dict[tuple[str, Task], Worker]) -> None:
    outcomes = [outcome async for outcome in run_checks(CHECKS, workers["fake:echo", "embed"])]
    assert [outcome.check.name for outcome in outcomes] == [check.name for check in CHECKS if check.task == "embed"]
    assert {outcome.result for outcome in outcomes} == {"passed"}
    outcomes = [outcome async for outcome in run_checks([BY_NAME["private cache"]], workers["remote", "generate"])]
    assert [outcome.result for outcome in outcomes] == ["missing"]


class Spoiled:
    """A worker whose answers are changed on their way."""

    def __init__(self, worker: Worker, *, old: bytes = b"", new: bytes = b"", last: bytes | None = None, leaky: bool = False, deaf: str = "") -> None:
        self.worker, self.old, self.new, self.last, self.leaky, self.deaf = worker, old, new, last, leaky, deaf
        self.kept: list[AsyncGenerator[bytes]] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self.worker, name)

    async def call(self, operation, body):
        if self.deaf:
            fields = json.loads(body)
            fields.pop(self.deaf, None)
            body = json.dumps(fields).encode()
        return SpoiledReply(await self.worker.call(operation, body), self)


class SpoiledReply:
    def __init__(self, reply: Reply, by: Spoiled) -> None:
        self.reply, self.by = reply, by
        self.status, self.streaming = reply.status, reply.streaming

    async def chunks(self):
        chunks = self.reply.chunks()
        if self.by.leaky:
            self.by.kept.append(chunks)  # or garbage collection would close it
        async for chunk in chunks:
            if self.by.last is not None and chunk.endswith(b"data: [DONE]\n\n"):
                chunk = chunk.removesuffix(b"data: [DONE]\n\n") + self.by.last
            yield chunk.replace(self.by.old, self.by.new) if self.by.old else chunk

    async def read(self):
        return b"".join([chunk async for chunk in self.chunks()])

    async def close(self):
        if not self.by.leaky:
            await self.reply.close()


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("chat", {"old": b'"total_tokens":', "new": b'"total_tokens":9'}),
        ("chat stream", {"last": b""}),
        ("chat stream", {"last": b"data: [DONE]"}),
        ("chat stream", {"deaf": "stream_options"}),
        ("max_tokens", {"deaf": "max_tokens"}),
        ("stop", {"deaf": "stop"}),
        ("stop told", {"old": b'"stopping_word":"', "new": b'"stopping_word":"x'}),
        ("logprobs", {"deaf": "top_logprobs"}),
        ("json schema", {"deaf": "response_format"}),
        ("tools", {"deaf": "tool_choice"}),
        ("tools", {"deaf": "tools"}),
        ("tools stream", {"old": b'"tool_calls"', "new": b'"stop"'}),
        ("completion stream", {"old": b'"usage"', "new": b'"used"'}),
        ("infill", {"deaf": "n_predict"}),
        ("count", {"old": b'"input_tokens":', "new": b'"input_tokens":1'}),
        ("over context", {"old": b"n_ctx", "new": b"n", "deaf": "messages"}),
        ("bad body", {"old": b'"message":"', "new": b'"message":"","x":"'}),
        ("several", {"deaf": "n"}),
        ("several, stream", {"deaf": "n"}),
        ("unicode", {"old": "世".encode(), "new": "世".encode()[:2]}),
        ("private cache", {"deaf": "cache_prompt"}),
        ("parallel", {"old": b"answer-2", "new": b"answer-1"}),
        ("close early", {"leaky": True}),
    ],
)
async def test_checks_find_out_what_is_wrong(name: str, spoil: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hausgeist.engines.contract.checks.TIMEOUT", 3.0)
    fake = Fake(rate=40 if "leaky" in spoil else 0)
    worker = await fake.load(LaunchPlan(model=fake.model("fake:obeys"), task="generate", context=CONTEXT, slots=SLOTS))
    await run_check(BY_NAME[name], worker)
    spoiled = Spoiled(worker, **spoil)
    with pytest.raises(ContractBroken, match=f"^{name}: "):
        await run_check(BY_NAME[name], spoiled)
    await worker.close()
    await asyncio.gather(*(chunks.aclose() for chunks in spoiled.kept))


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("embeddings", {"old": b"[0.", "new": b"[1."}),
        ("embeddings, base64", {"deaf": "encoding_format"}),
        ("embeddings, batch", {"old": b'"index":1', "new": b'"index":0'}),
        ("rerank", {"deaf": "top_n"}),
        ("rerank", {"old": b'"index":1', "new": b'"index":0'}),
    ],
)
async def test_checks_find_out_wrong_vectors(name: str, spoil: dict) -> None:
    fake = Fake()
    worker = await fake.load(LaunchPlan(model=fake.model("fake:echo"), task=BY_NAME[name].task, context=CONTEXT, slots=SLOTS))
    with pytest.raises(ContractBroken, match=f"^{name}: "):
        await run_check(BY_NAME[name], Spoiled(worker, **spoil))


async def test_a_worker_that_dies_breaks_the_contract() -> None:
    fake = Fake()
    worker = await fake.load(LaunchPlan(model=fake.model("fake:dies"), task="generate", context=CONTEXT, slots=SLOTS))
    outcomes = [outcome async for outcome in run_checks(CHECKS, worker)]
    assert [(outcome.check.name, outcome.result) for outcome in outcomes] == [("chat", "broken")]
    assert "died" in outcomes[0].detail


async def test_a_check_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hausgeist.engines.contract.checks.TIMEOUT", 0.2)
    fake = Fake()
    worker = await fake.load(LaunchPlan(model=fake.model("fake:stalls"), task="generate", context=CONTEXT, slots=SLOTS))
    with pytest.raises(ContractBroken, match="no end within"):
        await run_check(BY_NAME["chat stream"], worker)
    assert not any(slot.busy for slot in await worker.slots())


async def test_close_early_holds_for_slow_answers() -> None:
    fake = Fake(rate=20)
    worker = await fake.load(LaunchPlan(model=fake.model("fake:obeys"), task="generate", context=CONTEXT, slots=SLOTS))
    async with asyncio.timeout(5):
        await run_check(BY_NAME["close early"], worker)

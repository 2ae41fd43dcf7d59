"""llama.cpp in its worker process: it answers, stops when told, dies with its parent, has no network, and its end is explained."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from hausgeist.engines.base import WorkerGone
from hausgeist.engines.llamacpp.adapter import LlamaCpp, LlamaCppWorker
from hausgeist.engines.llamacpp.parameters import PREFILL_BATCH, parameters
from hausgeist.engines.llamacpp.process import Process, run_folder
from hausgeist.engines.llamacpp.providers import Provider
from hausgeist.engines.specimen import ModelShape, write_adapter, write_projector, write_shaped, write_specimen
from hausgeist.errors import LoadFailed
from hausgeist.model import Adapter, InstalledModel, LaunchPlan, Task

WHEEL = Provider("wheel", None, "", ("cpu",))
SLOW = ModelShape(architecture="llama", layers=8, width=768, inner=2048, heads=12, kv_heads=4, head=64, vocabulary=1000, context=16384, rope_base=1e4)
"""Slow enough that a long prompt takes seconds, small enough to be written in no time."""

linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux only")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    tasks: tuple[Task, ...] = ("generate", "embed", "rerank")
    made = {task: write_specimen(folder / f"{task}.gguf", task=task) for task in tasks}
    made["draft"] = write_specimen(folder / "draft.gguf", seed=7)
    made["slow"] = write_shaped(folder / "slow.gguf", SLOW, "Q8_0")
    made["adapter"] = write_adapter(folder / "adapter.gguf")
    made["projector"] = write_projector(folder / "projector.gguf")
    return made


@pytest.fixture
def home() -> Iterator[Path]:
    """With a path so short that a socket in it can be bound, however pytest is started."""
    with tempfile.TemporaryDirectory(prefix="hg-") as folder:
        yield Path(folder)


@pytest.fixture
async def engine(home: Path) -> AsyncIterator[LlamaCpp]:
    engine = LlamaCpp(home=home, provider=WHEEL)
    yield engine
    await engine.close()


def plan(path: Path, task: Task = "generate", **changes: Any) -> LaunchPlan:
    model = InstalledModel(id=f"test/{path.stem}", engine="llamacpp", path=path, digest="", modified=0, tasks=(task,))
    return LaunchPlan(**{"model": model, "task": task, "context": 1024, "slots": 2, **changes})


async def ask(worker: LlamaCppWorker, operation: Any, **body: Any) -> Any:
    reply = await worker.call(operation, json.dumps(body).encode())
    try:
        assert reply.status == 200, await reply.read()
        return json.loads(await reply.read())
    finally:
        await reply.close()


async def eventually(condition: Callable[[], Awaitable[bool]], patience: float, pause: float = 0.1) -> float:
    """Seconds until it holds."""
    started = time.monotonic()
    while not await condition():
        if time.monotonic() - started > patience:
            pytest.fail(f"not within {patience} s")
        await asyncio.sleep(pause)
    return time.monotonic() - started


def exists(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


CHAT = {"messages": [{"role": "user", "content": "Hello there"}], "max_tokens": 12, "temperature": 0, "seed": 1}


async def test_it_answers_whole_and_as_a_stream_alike(engine: LlamaCpp, files: dict[str, Path]) -> None:
    worker = await engine.load(plan(files["generate"]))
    whole = await ask(worker, "chat", **CHAT)
    assert whole["object"] == "chat.completion"
    assert whole["model"] == "test/generate"
    reply = await worker.call("chat", json.dumps({**CHAT, "stream": True, "stream_options": {"include_usage": True}}).encode())
    assert reply.streaming
    events = [json.loads(line[6:]) for line in (await reply.read()).decode().split("\n\n") if line.startswith("data: {")]
    await reply.close()
    text = "".join(choice["delta"].get("content") or "" for event in events for choice in event["choices"])
    assert text == whole["choices"][0]["message"]["content"] != ""
    assert events[-1]["usage"]["completion_tokens"] == whole["usage"]["completion_tokens"]
    assert not any("prompt_progress" in event for event in events)
    assert {event["system_fingerprint"] for event in [whole, *events]} == {engine.provider.fingerprint}
    assert whole["system_fingerprint"] == "xllamacpp"


async def test_every_operation_is_there(engine: LlamaCpp, files: dict[str, Path]) -> None:
    worker = await engine.load(plan(files["generate"]))
    tokens = (await ask(worker, "tokenize", content="the house"))["tokens"]
    assert (await ask(worker, "detokenize", tokens=tokens))["content"] == "the house"
    assert (await ask(worker, "completion", prompt="a", max_tokens=3))["choices"]
    assert (await ask(worker, "infill", input_prefix="def a(", input_suffix=")", n_predict=3))["stop"] is True
    assert "Hello there<|im_end|>" in (await ask(worker, "apply_template", messages=CHAT["messages"]))["prompt"]
    counted = (await ask(worker, "count_chat", messages=CHAT["messages"]))["input_tokens"]
    assert counted == (await ask(worker, "chat", **CHAT))["usage"]["prompt_tokens"]
    embedder = await engine.load(plan(files["embed"], "embed"))
    vectors = (await ask(embedder, "embeddings", input=["a", "the house"]))["data"]
    assert [len(one["embedding"]) for one in vectors] == [64, 64]
    ranker = await engine.load(plan(files["rerank"], "rerank"))
    assert len((await ask(ranker, "rerank", query="house", documents=["the house", "a lamp"]))["results"]) == 2


async def test_tools_and_schemas_bind_the_answer(engine: LlamaCpp, files: dict[str, Path]) -> None:
    worker = await engine.load(plan(files["generate"], context=4096))
    schema = {"type": "object", "properties": {"on": {"type": "boolean"}, "level": {"type": "integer", "maximum": 9}}, "required": ["on", "level"]}
    lamp = {"type": "function", "function": {"name": "lamp", "description": "a lamp", "parameters": schema}}
    reply = await ask(
        worker, "chat", **{**CHAT, "temperature": 1, "max_tokens": 3000}, tools=[lamp], tool_choice="required", parallel_tool_calls=False
    )
    [choice] = reply["choices"]
    assert choice["finish_reason"] == "tool_calls"
    call = choice["message"]["tool_calls"][0]["function"]
    assert call["name"] == "lamp"
    assert set(json.loads(call["arguments"])) == {"on", "level"}
    bound = {"type": "json_schema", "json_schema": {"name": "lamp", "schema": schema}}
    reply = await ask(worker, "chat", **{**CHAT, "max_tokens": 500}, response_format=bound)
    assert set(json.loads(reply["choices"][0]["message"]["content"])) == {"on", "level"}


async def test_options_of_the_plan_take_effect(engine: LlamaCpp, files: dict[str, Path]) -> None:
    async def answer(**changes: Any) -> Any:
        worker = await engine.load(plan(files["generate"], **changes))
        try:
            return await ask(worker, "chat", **CHAT)
        finally:
            await worker.close()

    plain = (await answer())["choices"]
    assert (await answer(adapters=(Adapter(files["adapter"], 2.0),)))["choices"] != plain
    drafted = await answer(draft=files["draft"], speculation="draft")
    assert drafted["choices"] == plain, "drafting must not change the answer"
    assert drafted["timings"]["draft_n"] > 0
    assert (await answer(speculation="ngram"))["choices"] == plain
    assert (await answer(cache_type="q8_0", threads=1, flash_attention="on"))["choices"]
    template = plan(files["generate"])
    template = replace(template, model=replace(template.model, template="{% for m in messages %}{{ m.content }}{% endfor %}"))
    worker = await engine.load(template)
    assert (await ask(worker, "apply_template", messages=CHAT["messages"]))["prompt"] == "Hello there"


async def test_pictures_are_looked_at(engine: LlamaCpp, files: dict[str, Path]) -> None:
    import base64
    import io

    from PIL import Image

    worker = await engine.load(plan(files["generate"], projector=files["projector"]))
    answers = []
    for colour in ("red", "blue"):
        stream = io.BytesIO()
        Image.new("RGB", (120, 80), colour).save(stream, "PNG")
        url = "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()
        content = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": url}}]
        answers.append((await ask(worker, "chat", **{**CHAT, "messages": [{"role": "user", "content": content}]}))["choices"])
    assert answers[0] != answers[1]


async def test_context_is_exactly_as_planned(engine: LlamaCpp, files: dict[str, Path]) -> None:
    worker = await engine.load(plan(files["generate"], context=100, slots=3))
    reply = await worker.call("completion", b'{"prompt": "' + b"h" * 150 + b'"}')
    assert reply.status == 400
    error = json.loads(await reply.read())["error"]
    assert (error["type"], error["n_prompt_tokens"], error["n_ctx"]) == ("exceed_context_size_error", 150, 100)
    assert len(await worker.slots()) == 3
    full = await ask(worker, "completion", prompt="h" * 60, max_tokens=500, ignore_eos=True)
    assert full["usage"]["total_tokens"] == 100


@linux
async def test_a_worker_has_no_network_and_leaves_no_core(engine: LlamaCpp, files: dict[str, Path]) -> None:
    worker = await engine.load(plan(files["generate"]))
    statuses = [task.read_text() for task in Path(f"/proc/{worker.pid}/task").glob("*/status")]
    assert len(statuses) > 3
    assert all(re.search(r"^Seccomp:\t2$", status, re.MULTILINE) for status in statuses)
    assert all(re.search(r"^NoNewPrivs:\t1$", status, re.MULTILINE) for status in statuses)
    assert re.search(r"Max core file size +0 +0", Path(f"/proc/{worker.pid}/limits").read_text())
    families = {connection.family for connection in psutil.Process(worker.pid).net_connections("all")}
    assert {family.name for family in families} == {"AF_UNIX"}


async def test_only_we_can_speak_to_it(engine: LlamaCpp, files: dict[str, Path], home: Path) -> None:
    import aiohttp

    worker = await engine.load(plan(files["generate"]))
    [socket] = (home / "run").glob("*.sock")
    assert socket.stat().st_mode & 0o077 == 0
    assert (home / "run").stat().st_mode & 0o777 == 0o700
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(socket))) as session,
        session.post("http://x/tokenize", json={"content": "a"}) as reply,
    ):
        assert reply.status == 401
    await worker.close()
    assert not socket.exists()


@pytest.mark.skipif(os.name == "nt", reason="no signals")
async def test_a_crash_is_told_and_leaves_nothing(engine: LlamaCpp, files: dict[str, Path], home: Path) -> None:
    worker = await engine.load(plan(files["slow"], context=4096))
    reply = await worker.call("completion", b'{"prompt": "a", "stream": true, "ignore_eos": true, "max_tokens": 4000}')
    chunks = reply.chunks()
    await anext(chunks)
    whole = asyncio.create_task(worker.call("completion", b'{"prompt": "b", "ignore_eos": true, "max_tokens": 4000}'))
    await asyncio.sleep(0.2)
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGSEGV)
    with pytest.raises(WorkerGone):
        async for _ in chunks:
            pass
    with pytest.raises(WorkerGone):
        await whole
    await reply.close()
    assert "SIGSEGV" in await asyncio.wait_for(worker.wait(), 3)
    assert not worker.alive
    with pytest.raises(WorkerGone, match="SIGSEGV"):
        await worker.call("tokenize", b'{"content": "a"}')
    with pytest.raises(WorkerGone, match="SIGSEGV"):
        await worker.slots()
    await worker.close()
    assert not list((home / "run").iterdir())


async def test_what_cannot_be_loaded_is_explained(engine: LlamaCpp, files: dict[str, Path], tmp_path: Path) -> None:
    before = psutil.Process().children()
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(files["generate"].read_bytes()[:-3000])
    with pytest.raises(LoadFailed, match="not within the file bounds"):
        await engine.load(plan(bad))
    broken = plan(files["generate"])
    with pytest.raises(LoadFailed, match="could not load"):
        await engine.load(replace(broken, model=replace(broken.model, template="{% for %}")))
    with pytest.raises(LoadFailed, match="V cache"):
        await engine.load(plan(files["generate"], cache_type="q8_0", flash_attention="off"))
    assert not set(psutil.Process().children()) - set(before)


async def test_a_cancelled_load_leaves_no_process(engine: LlamaCpp, files: dict[str, Path]) -> None:
    before = set(psutil.Process().children())
    for pause in (0.0, 0.01, 0.05):
        load = asyncio.create_task(engine.load(plan(files["slow"])))
        await asyncio.sleep(pause)
        load.cancel()
        with pytest.raises(asyncio.CancelledError):
            await load
        await asyncio.sleep(0.05)
        assert not [child for child in set(psutil.Process().children()) - before if exists(child.pid)]


async def test_loading_does_not_hold_up_the_server(engine: LlamaCpp, files: dict[str, Path]) -> None:
    longest, seen = 0.0, []

    async def heart() -> None:
        nonlocal longest
        while True:
            started = time.perf_counter()
            await asyncio.sleep(0.005)
            longest = max(longest, time.perf_counter() - started)

    beating = asyncio.create_task(heart())
    await engine.load(plan(files["slow"]), seen.append)
    beating.cancel()
    assert longest < 0.5
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


async def test_closing_twice_and_at_once_is_closing(engine: LlamaCpp, files: dict[str, Path]) -> None:
    worker = await engine.load(plan(files["generate"]))
    await asyncio.gather(worker.close(), worker.close())
    await worker.close()
    assert not worker.alive
    assert await worker.wait() == "It was stopped."
    with pytest.raises(WorkerGone):
        await worker.call("tokenize", b"{}")


async def test_many_requests_at_once(engine: LlamaCpp, files: dict[str, Path]) -> None:
    worker = await engine.load(plan(files["generate"], slots=4))
    replies = await asyncio.gather(*(ask(worker, "chat", **{**CHAT, "seed": number}) for number in range(40)))
    assert {reply["usage"]["prompt_tokens"] for reply in replies} == {replies[0]["usage"]["prompt_tokens"]}
    assert not any(slot.busy for slot in await worker.slots())


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("phase", ["prefill", "generation"])
async def test_a_client_that_leaves_frees_its_slot_though_others_go_on(engine: LlamaCpp, files: dict[str, Path], phase: str, streaming: bool) -> None:
    """The engine by itself would not notice: it looks only when nothing has been said by any slot for a second."""
    worker = await engine.load(plan(files["slow"], context=16384))
    other = await worker.call("completion", b'{"id_slot": 0, "prompt": "a", "stream": true, "ignore_eos": true, "max_tokens": 15000}')

    async def read() -> None:
        async for _ in other.chunks():
            pass

    reading = asyncio.create_task(read())
    words = 5000 if phase == "prefill" else 1
    body = json.dumps({"id_slot": 1, "prompt": "the house " * words, "stream": streaming, "ignore_eos": True, "max_tokens": 15000}).encode()
    call = asyncio.create_task(worker.call("completion", body))

    async def at_work() -> bool:
        [slot] = [slot for slot in await worker.slots() if slot.id == 1]
        return slot.busy and (phase == "generation" or slot.prompt_done > 0)

    await eventually(at_work, 30, pause=0.05)
    if call.done():
        await (await call).close()
    call.cancel()
    done: list[int] = []

    async def free() -> bool:
        [slot] = [slot for slot in await worker.slots() if slot.id == 1]
        done.append(slot.prompt_done)
        return not slot.busy

    await eventually(free, 20, pause=0.25)
    if phase == "prefill":
        assert max(done) - done[0] <= 3 * PREFILL_BATCH, "it went on though its client had left"
    assert not reading.done()
    reading.cancel()
    await other.close()


PARENT = """
import asyncio, json, sys
from pathlib import Path
from hausgeist.engines.llamacpp.adapter import LlamaCpp
from hausgeist.engines.llamacpp.providers import Provider
from hausgeist.model import InstalledModel, LaunchPlan

async def main(home, path, binary):
    provider = Provider("binary", Path(binary), "", ("cpu",)) if binary else Provider("wheel", None, "", ("cpu",))
    engine = LlamaCpp(home=Path(home), provider=provider)
    model = InstalledModel(id="m", engine="llamacpp", path=Path(path), digest="", modified=0)
    plan = LaunchPlan(model=model, task="generate", context=512, slots=1)
    load = asyncio.create_task(engine.load(plan))
    if binary:
        while not engine._workers:
            await asyncio.sleep(0.01)
        pid = next(iter(engine._workers)).pid
    else:
        pid = (await load).pid
    print(pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main(*sys.argv[1:4]))
"""


@pytest.mark.skipif(os.name == "nt", reason="no signals")
@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_worker_outlives_its_parent(files: dict[str, Path], tmp_path: Path, ending: signal.Signals) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path), str(files["generate"]), ""], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        assert exists(worker)
        parent.send_signal(ending)
        until = time.monotonic() + 2
        while exists(worker) and time.monotonic() < until:
            time.sleep(0.02)
        assert not exists(worker)
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()  # type: ignore[union-attr]
    left = list((tmp_path / "run").glob("*.sock"))
    run_folder(tmp_path)
    assert not list((tmp_path / "run").glob("*.sock")), f"{left} of a server that is gone"


@linux
def test_no_llama_server_outlives_its_parent(files: dict[str, Path], tmp_path: Path) -> None:
    binary = tmp_path / "llama-server"
    binary.write_text("#!/bin/sh\nexec sleep 60\n")
    binary.chmod(0o755)
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path), str(files["generate"]), str(binary)], stdout=subprocess.PIPE)
    try:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        until = time.monotonic() + 5
        while "sleep" not in psutil.Process(worker).name() and time.monotonic() < until:
            time.sleep(0.02)
        assert psutil.Process(worker).name() == "sleep"
        assert re.search(r"Seccomp:\t2", Path(f"/proc/{worker}/status").read_text())
        parent.kill()
        until = time.monotonic() + 2
        while exists(worker) and time.monotonic() < until:
            time.sleep(0.02)
        assert not exists(worker)
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()  # type: ignore[union-attr]


@pytest.mark.skipif(os.name == "nt", reason="a shell script")
async def test_a_llama_server_that_does_not_start_is_explained(files: dict[str, Path], tmp_path: Path) -> None:
    binary = tmp_path / "llama-server"
    binary.write_text("#!/bin/sh\necho 'error: invalid argument: --sse-ping-interval' >&2\nexit 1\n")
    binary.chmod(0o755)
    engine = LlamaCpp(home=tmp_path, provider=Provider("binary", binary, "", ("cpu",)))
    with pytest.raises(LoadFailed, match="invalid argument"):
        await engine.load(plan(files["generate"]))
    binary.write_bytes(b"\x7fELF nonsense")
    with pytest.raises(LoadFailed, match="does not start"):
        await engine.load(plan(files["generate"]))
    await engine.close()


@pytest.mark.skipif(os.name == "nt", reason="a shell script")
async def test_what_a_worker_could_not_give_up_is_in_the_log(files: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    binary = tmp_path / "llama-server"
    binary.write_text("#!/bin/sh\necho 'worker: it can read what the server can read' >&2\nexit 1\n")
    binary.chmod(0o755)
    engine = LlamaCpp(home=tmp_path, provider=Provider("binary", binary, "", ("cpu",)))
    with pytest.raises(LoadFailed):
        await engine.load(plan(files["generate"]))
    assert "it can read what the server can read" in caplog.text
    await engine.close()


@linux
async def test_a_worker_is_confined_to_its_files(files: dict[str, Path], tmp_path: Path) -> None:
    binary, secret = tmp_path / "llama-server", tmp_path / "home" / "hausgeist.db"
    secret.parent.mkdir()
    secret.write_text("secret")
    binary.write_text(f"#!/bin/sh\nread score < /proc/self/oom_score_adj; echo $score >&2\ncat {secret} >&2 && echo it was read >&2\nexit 1\n")
    binary.chmod(0o755)
    engine = LlamaCpp(home=secret.parent, provider=Provider("binary", binary, "", ("cpu",)))
    process = await Process.start(engine.provider, parameters(plan(files["generate"])), folder=run_folder(secret.parent))
    await process.ended()
    if any("Landlock" in line for line in process._lines):
        pytest.skip("this kernel has no Landlock")
    assert "800" in process._lines
    assert "Permission denied" in process.last_words()
    await engine.close()


async def test_a_home_with_a_long_path(files: dict[str, Path], tmp_path: Path) -> None:
    home = tmp_path / ("long" * 30)
    engine = LlamaCpp(home=home, provider=WHEEL)
    worker = await engine.load(plan(files["generate"]))
    assert (await ask(worker, "tokenize", content="a"))["tokens"]
    [socket] = {one.laddr for one in psutil.Process(worker.pid).net_connections("unix") if one.laddr}
    assert Path(socket).parent.stat().st_mode & 0o777 == 0o700
    await engine.close()
    assert not worker.alive
    assert not Path(socket).parent.exists()


async def test_prompts_do_not_get_into_what_is_kept_of_the_log(engine: LlamaCpp, files: dict[str, Path]) -> None:
    worker = await engine.load(plan(files["generate"]))
    secret = "Xyzzy-confidential"
    for body in (
        {"messages": [{"role": "user", "content": secret}], "max_tokens": 4},
        {"messages": [{"role": "user", "content": secret}], "grammar": f'root ::= "{secret}" nowhere'},
        {"messages": [{"role": secret, "content": [{"type": secret}]}]},
    ):
        reply = await worker.call("chat", json.dumps(body).encode())
        await reply.read()
        await reply.close()
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    assert secret not in await worker.wait()
    assert secret not in "\n".join(worker._process._lines)


async def test_a_worker_gets_no_secrets_of_ours(engine: LlamaCpp, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAUSGEIST_UPSTREAMS__X__KEY", "secret")
    monkeypatch.setenv("LLAMA_ARG_CTX_SIZE", "16")
    monkeypatch.setenv("UNRELATED", "kept")
    worker = await engine.load(plan(files["generate"]))
    environment = psutil.Process(worker.pid).environ()
    assert not [name for name in environment if name.startswith(("HAUSGEIST_", "LLAMA_"))]
    assert environment["UNRELATED"] == "kept"


async def test_a_stale_connection_is_not_noticed(engine: LlamaCpp, files: dict[str, Path]) -> None:
    worker = await engine.load(plan(files["generate"]))
    assert (await ask(worker, "tokenize", content="a"))["tokens"]
    assert worker._connections is not None
    (kept,) = worker._connections._kept
    assert kept._transport is not None
    kept._transport.get_extra_info("socket").shutdown(2)
    started = time.monotonic()
    assert (await ask(worker, "tokenize", content="a"))["tokens"]
    for _ in range(3):
        reply = await worker.call("chat", json.dumps({**CHAT, "stream": True, "max_tokens": 1}).encode())
        assert await reply.read()
        await reply.close()
    assert time.monotonic() - started < 2

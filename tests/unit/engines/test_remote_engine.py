"""The remote engine against an upstream made for each test: lists, keys, refusals, streams, and nothing that is not the upstream's business."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from hausgeist.engines import WorkerGone
from hausgeist.engines.remote import Remote
from hausgeist.errors import EgressRefused, EngineFailed, LoadFailed, NotSupported
from hausgeist.model import InstalledModel, LaunchPlan
from hausgeist.settings import UpstreamSection

LIST = {"object": "list", "data": [{"id": "qwen/big", "object": "model", "created": 1700000000, "owned_by": "vllm", "max_model_len": 32768}]}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Outbound:
    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session
        self.refuse = False
        self.purposes: list[str] = []

    @asynccontextmanager
    async def request(self, method, url, *, purpose, headers=None, data=None, timeout=None):
        self.purposes.append(purpose)
        if self.refuse:
            raise EgressRefused("'upstream' is not on the list of allowed hosts.")
        async with self.session.request(method, url, headers=headers, data=data, timeout=aiohttp.ClientTimeout(total=timeout)) as response:
            yield response


class Upstream:
    """A server whose answers a test sets, and which keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Handler] = {"/v1/models": json_answer(LIST)}
        self.asked: list[tuple[str, dict[str, str], Any]] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.asked.append((request.path, dict(request.headers), json.loads(body) if body else None))
        if request.path not in self.answers:
            return web.json_response({"detail": "Not Found"}, status=404)
        return await self.answers[request.path](request)


def json_answer(value: object, status: int = 200) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.json_response(value, status=status)

    return answer


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    made = Upstream()
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", made.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.2)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture
async def outbound() -> AsyncIterator[Outbound]:
    async with aiohttp.ClientSession() as session:
        yield Outbound(session)


@pytest.fixture
async def remote(upstream: Upstream, outbound: Outbound) -> AsyncIterator[Remote]:
    engine = Remote(upstreams={"lab": UpstreamSection(url=upstream.url + "/v1/", key="secret", slots=3)}, outbound=outbound)
    yield engine
    await engine.close()


async def worker_of(remote: Remote):
    [model] = await remote.models()
    return await remote.load(LaunchPlan(model=model, task="generate", context=4096, slots=3))


async def ask(worker, operation: str, body: dict) -> tuple[int, Any]:
    reply = await worker.call(operation, json.dumps(body).encode())
    try:
        return reply.status, json.loads(await reply.read())
    finally:
        await reply.close()


async def test_models_are_listed_with_what_the_upstream_tells(remote: Remote, upstream: Upstream, outbound: Outbound) -> None:
    [model] = await remote.models()
    assert (model.id, model.upstream, model.engine) == ("lab/qwen/big", "lab/qwen/big", "remote")
    assert model.shape.context_length == 32768
    assert (model.options.context, model.options.slots) == (32768, 3)
    assert model.modified == 1700000000
    assert not model.removable
    assert "127.0.0.1" in model.notice
    assert upstream.asked[0][1]["Authorization"] == "Bearer secret"
    assert outbound.purposes == ["upstream lab"]


async def test_the_list_is_fetched_again_only_when_it_is_old(remote: Remote, upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    await remote.models()
    await remote.models()
    assert len(upstream.asked) == 1
    monkeypatch.setattr("hausgeist.engines.remote._FRESH", -1.0)
    upstream.answers["/v1/models"] = json_answer({"data": []})
    assert await remote.models() == []
    assert len(upstream.asked) == 2


async def test_an_upstream_that_is_away_harms_nobody(
    upstream: Upstream, outbound: Outbound, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    sections = {"gone": UpstreamSection(url="http://127.0.0.1:9"), "lab": UpstreamSection(url=upstream.url)}
    remote = Remote(upstreams=sections, outbound=outbound)
    monkeypatch.setattr("hausgeist.engines.remote._FRESH", -1.0)
    with caplog.at_level(logging.INFO, "hausgeist"):
        for _ in range(2):
            assert [model.id for model in await remote.models()] == ["lab/qwen/big"]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "upstream 'gone' (127.0.0.1:9): it cannot be reached" in caplog.text
    await remote.close()


async def test_a_slow_upstream_does_not_hold_up_the_start(remote: Remote, upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hausgeist.engines.remote._PATIENCE", 0.05)
    go = asyncio.Event()

    async def late(request: web.Request) -> web.StreamResponse:
        await go.wait()
        return web.json_response(LIST)

    upstream.answers["/v1/models"] = late
    assert await remote.models() == []
    go.set()
    await asyncio.sleep(0.1)
    assert [model.id for model in await remote.models()] == ["lab/qwen/big"]


@pytest.mark.parametrize(
    "told",
    [{}, [], {"data": 5}, {"data": [{"name": "x"}]}, {"data": ["x"]}, "text"],
)
async def test_a_list_that_is_none_is_named_in_the_log(remote: Remote, upstream: Upstream, told: object, caplog: pytest.LogCaptureFixture) -> None:
    upstream.answers["/v1/models"] = json_answer(told)
    assert await remote.models() == []
    assert "no list of models" in caplog.text


async def test_hostile_names_and_sizes_are_left_out(remote: Remote, upstream: Upstream) -> None:
    entries = [{"id": "a\nb"}, {"id": ""}, {"id": "x" * 257}, {"id": 7}, {"id": "fine", "max_model_len": -5, "meta": "x", "created": "now"}]
    upstream.answers["/v1/models"] = json_answer({"data": entries})
    [model] = await remote.models()
    assert (model.id, model.shape.context_length, model.options.context, model.modified) == ("lab/fine", 0, None, 0.0)


async def test_what_the_settings_refuse_stays_unlisted(
    remote: Remote, outbound: Outbound, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    worker = await worker_of(remote)
    outbound.refuse = True
    with pytest.raises(EgressRefused):
        await worker.call("chat", b"{}")
    engine = Remote(upstreams={"lab": UpstreamSection(url=upstream.url)}, outbound=outbound)
    assert await engine.models() == []
    assert "allowed hosts" in caplog.text


async def test_requests_go_out_under_the_upstreams_name_without_private_fields(remote: Remote, upstream: Upstream) -> None:
    upstream.answers["/v1/chat/completions"] = json_answer({"choices": []})
    worker = await worker_of(remote)
    assert not worker.private_fields
    body = {
        "model": "lab/qwen/big",
        "messages": [{"role": "user", "content": "Grüße \ud800"}],
        "id_slot": 1,
        "cache_prompt": True,
        "verbose": True,
        "top_k": 4,
    }
    assert await ask(worker, "chat", body) == (200, {"choices": []})
    path, headers, sent = upstream.asked[-1]
    assert path == "/v1/chat/completions"
    assert headers["Authorization"] == "Bearer secret"
    assert sent == {"model": "qwen/big", "messages": [{"role": "user", "content": "Grüße ?"}], "top_k": 4}


async def test_streams_pass_as_they_come_and_closing_ends_them(remote: Remote, upstream: Upstream) -> None:
    left = asyncio.Event()

    async def events(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        try:
            while True:
                await response.write(b'data: {"choices":[]}\n\n')
                await asyncio.sleep(0.02)
        finally:
            left.set()

    upstream.answers["/v1/chat/completions"] = events
    worker = await worker_of(remote)
    reply = await worker.call("chat", b'{"stream": true}')
    assert reply.streaming
    chunks = reply.chunks()
    assert (await anext(chunks)).startswith(b"data: ")
    await chunks.aclose()
    await reply.close()
    await reply.close()
    await asyncio.wait_for(left.wait(), 2)


async def test_a_connection_that_breaks_in_an_answer_is_a_worker_gone(remote: Remote, upstream: Upstream) -> None:
    async def torn(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"data: 1\n\n")
        assert request.transport is not None
        request.transport.abort()
        return response

    upstream.answers["/v1/chat/completions"] = torn
    worker = await worker_of(remote)
    reply = await worker.call("chat", b"{}")
    with pytest.raises(WorkerGone, match="'lab' broke"):
        async for _ in reply.chunks():
            pass
    await reply.close()
    assert worker.alive


async def test_a_kept_connection_that_was_closed_is_tried_once_more(remote: Remote, upstream: Upstream) -> None:
    drops = 1

    async def moody(request: web.Request) -> web.StreamResponse:
        nonlocal drops
        if drops:
            drops -= 1
            assert request.transport is not None
            request.transport.abort()
        return web.json_response({"fine": True})

    upstream.answers["/v1/chat/completions"] = moody
    worker = await worker_of(remote)
    assert await ask(worker, "chat", {}) == (200, {"fine": True})
    drops = 2
    with pytest.raises(EngineFailed, match="'lab'"):
        await worker.call("chat", b"{}")


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_key_names_upstream_and_setting(remote: Remote, upstream: Upstream, status: int) -> None:
    worker = await worker_of(remote)
    upstream.answers["/v1/chat/completions"] = json_answer({"error": {"message": "bad key"}}, status)
    with pytest.raises(EngineFailed, match=r"'lab'.*does not take the API key of upstreams\.lab\.key: bad key"):
        await worker.call("chat", b"{}")


async def test_nobody_there_is_an_engine_failed(outbound: Outbound) -> None:
    engine = Remote(upstreams={"gone": UpstreamSection(url="http://127.0.0.1:9")}, outbound=outbound)
    model = InstalledModel(id="gone/x", engine="remote", path=None, digest="0", modified=0.0, upstream="gone/x")
    worker = await engine.load(LaunchPlan(model=model, task="generate", context=64, slots=1))
    with pytest.raises(EngineFailed, match=r"'gone' \(127\.0\.0\.1:9\) cannot be reached"):
        await worker.call("chat", b"{}")
    await engine.close()


async def test_operations_that_are_not_there_are_not_supported(remote: Remote, upstream: Upstream) -> None:
    worker = await worker_of(remote)
    with pytest.raises(NotSupported, match="rerank"):
        await worker.call("rerank", b'{"query": "x"}')
    asked = len(upstream.asked)
    with pytest.raises(NotSupported, match="tokenize"):
        await worker.call("tokenize", b"{}")
    assert len(upstream.asked) == asked, "vLLM is not llama-server, so it is not even asked"


async def test_llama_servers_own_operations_are_tried_where_it_may_be_one(remote: Remote, upstream: Upstream) -> None:
    upstream.answers["/v1/models"] = json_answer({"data": [{"id": "m", "owned_by": "somebody"}]})
    worker = await worker_of(remote)
    upstream.answers["/tokenize"] = json_answer({"detail": "prompt: field required"}, 422)
    with pytest.raises(NotSupported, match="field required"):
        await worker.call("tokenize", b'{"content": "x"}')
    upstream.answers["/tokenize"] = json_answer({"tokens": [1, 2]})
    assert await ask(worker, "tokenize", {"content": "x"}) == (200, {"tokens": [1, 2]})


async def test_a_model_that_went_away_is_told_from_a_missing_operation(remote: Remote, upstream: Upstream) -> None:
    worker = await worker_of(remote)
    upstream.answers["/v1/chat/completions"] = json_answer({"error": {"message": "The model `qwen/big` does not exist.", "code": 404}}, 404)
    with pytest.raises(EngineFailed, match="no model 'qwen/big' any more"):
        await worker.call("chat", b"{}")


@pytest.mark.parametrize(
    ("message", "numbers"),
    [
        (
            "This model's maximum context length is 4096 tokens. However, you requested 5010 tokens (5000 in the messages, 10 in the completion).",
            (5000, 4096),
        ),
        ("This model's maximum context length is 4096 tokens. However, your request has 5000 input tokens. Please reduce the length.", (5000, 4096)),
        ("This model's maximum context length is 4096 tokens. However, your messages resulted in 5000 tokens.", (5000, 4096)),
        ("'max_tokens' is too large: 5000. This model's maximum context length is 4096 tokens and your request has 12 input tokens.", None),
        (
            "This model's maximum context length is 4096 tokens. However, you requested 5010 tokens (4000 in the messages, 1010 in the completion).",
            None,
        ),
        ("temperature must be at least 0", None),
    ],
)
async def test_a_prompt_too_long_is_said_as_llama_server_says_it(remote: Remote, upstream: Upstream, message: str, numbers: tuple | None) -> None:
    worker = await worker_of(remote)
    upstream.answers["/v1/chat/completions"] = json_answer({"error": {"message": message, "type": "BadRequestError", "code": 400}}, 400)
    status, body = await ask(worker, "chat", {})
    assert status == 400
    assert body["error"]["message"] == message
    assert (body["error"]["type"] == "exceed_context_size_error") is (numbers is not None)
    if numbers:
        assert (body["error"]["n_prompt_tokens"], body["error"]["n_ctx"]) == numbers


async def test_other_errors_pass_as_they_are(remote: Remote, upstream: Upstream) -> None:
    worker = await worker_of(remote)
    upstream.answers["/v1/chat/completions"] = json_answer({"error": {"message": "slow down"}}, 429)
    assert await ask(worker, "chat", {}) == (429, {"error": {"message": "slow down"}})


async def test_an_endless_answer_is_cut_off(remote: Remote, upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hausgeist.engines.remote._REPLY_LIMIT", 10_000)
    upstream.answers["/v1/embeddings"] = json_answer({"data": "x" * 50_000})
    worker = await worker_of(remote)
    reply = await worker.call("embeddings", b"{}")
    with pytest.raises(EngineFailed, match="larger than"):
        await reply.read()
    await reply.close()


async def test_a_closed_worker_is_gone_and_says_so(remote: Remote) -> None:
    worker = await worker_of(remote)
    waiting = asyncio.create_task(worker.wait())
    await worker.close()
    await worker.close()
    assert "closed" in await waiting
    assert not worker.alive
    with pytest.raises(WorkerGone):
        await worker.call("chat", b"{}")


async def test_a_model_of_an_unknown_upstream_does_not_load(remote: Remote) -> None:
    model = InstalledModel(id="other/x", engine="remote", path=None, digest="0", modified=0.0, upstream="other/x")
    with pytest.raises(LoadFailed, match=r"\[upstreams\.other\]"):
        await remote.load(LaunchPlan(model=model, task="generate", context=64, slots=1))

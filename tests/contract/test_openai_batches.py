"""Batches through the official SDK: a file of requests goes in, a file of answers comes out, whatever the endpoint."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types import Batch, CreateEmbeddingResponse
from openai.types.chat import ChatCompletion

from tests.contract.conftest import Live
from tests.contract.exact import exact

CHAT: Any = "/v1/chat/completions"
EMBED: Any = "/v1/embeddings"
SLOW = "fake:echo@20"


def lines(endpoint: str, bodies: Iterable[dict[str, Any]]) -> bytes:
    return b"\n".join(
        json.dumps({"custom_id": f"r{number}", "method": "POST", "url": endpoint, "body": body}).encode() for number, body in enumerate(bodies)
    )


def said(text: str, model: str = "fake:echo", **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}], **more}


def begin(client: openai.OpenAI, endpoint: Any, bodies: Iterable[dict[str, Any]], **more: Any) -> Batch:
    file = client.files.create(file=("requests.jsonl", lines(endpoint, bodies)), purpose="batch")
    return client.batches.create(input_file_id=file.id, endpoint=endpoint, completion_window="24h", **more)


def ended(client: openai.OpenAI, batch: Batch) -> Batch:
    until = time.monotonic() + 60
    while batch.status not in ("completed", "failed", "cancelled", "expired"):
        assert time.monotonic() < until, batch
        time.sleep(0.02)
        batch = client.batches.retrieve(batch.id)
    return batch


def answers(client: openai.OpenAI, file: str | None) -> dict[str, dict[str, Any]]:
    found = [json.loads(line) for line in client.files.content(file or "").text.splitlines()]
    assert len({line["custom_id"] for line in found}) == len(found)
    return {line["custom_id"]: line for line in found}


def _create(client: openai.OpenAI) -> None:
    begun = begin(client, CHAT, [said(f"say {number}") for number in range(5)], metadata={"colour": "red"})
    assert (begun.status, begun.expires_at, begun.metadata) == ("validating", begun.created_at + 86400, {"colour": "red"})
    done = ended(client, begun)
    assert (done.status, done.model, done.error_file_id) == ("completed", "fake:echo", None)
    assert done.request_counts is not None
    assert done.usage is not None
    assert (done.request_counts.total, done.request_counts.completed, done.request_counts.failed) == (5, 5, 0)
    assert done.usage.total_tokens == done.usage.input_tokens + done.usage.output_tokens > 0
    for number in range(5):
        reply = exact(ChatCompletion, answers(client, done.output_file_id)[f"r{number}"]["response"]["body"])
        assert reply.choices[0].message.content == f"say {number}"


def _list(client: openai.OpenAI) -> None:
    made = [begin(client, CHAT, [said("x")]) for _ in range(5)]
    assert [batch.id for batch in client.batches.list(limit=2)][:5] == [batch.id for batch in made[::-1]]
    for batch in made:
        ended(client, batch)


def _cancel(client: openai.OpenAI) -> None:
    begun = begin(client, CHAT, [said("one two three four", SLOW) for _ in range(50)])
    while (found := client.batches.retrieve(begun.id)).status != "in_progress":
        assert found.status == "validating"
    assert client.batches.cancel(begun.id).status in ("cancelling", "cancelled")
    done = ended(client, begun)
    assert done.status == "cancelled"
    assert done.cancelled_at is not None
    with pytest.raises(openai.ConflictError):
        client.batches.cancel(ended(client, begin(client, CHAT, [said("x")])).id)


ROUND_TRIPS: dict[str, Callable[[openai.OpenAI], None]] = {
    "batches.cancel": _cancel,
    "batches.create": _create,
    "batches.list": _list,
    "batches.retrieve": _create,
}
"""For `test_openai_surface`."""


def test_replies_are_exactly_those_of_the_sdk(live: Live) -> None:
    client = live.openai()
    file = client.files.create(file=("a", lines(CHAT, [said("x"), {"model": "fake:echo"}])), purpose="batch")
    raw = client.batches.with_raw_response
    begun = exact(Batch, raw.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h").http_response.json())
    done = ended(client, begun)
    exact(Batch, raw.retrieve(done.id).http_response.json())
    page = raw.list(limit=1).http_response.json()
    assert {"object", "data", "first_id", "last_id", "has_more"} == set(page)
    exact(Batch, page["data"][0])
    bad = client.files.create(file=b"{", purpose="batch")
    failed = ended(client, client.batches.create(input_file_id=bad.id, endpoint=CHAT, completion_window="24h"))
    exact(Batch, raw.retrieve(failed.id).http_response.json())
    assert failed.errors is not None
    assert failed.errors.data is not None
    assert [(error.code, error.line) for error in failed.errors.data] == [("invalid_json_line", 1)]


def test_each_line_is_checked_and_answered_as_any_request(live: Live) -> None:
    client = live.openai()
    bodies = [said("fine"), said("x", temperature=9), {"model": "fake:echo"}, said(""), said("x", n=2), said("x", web_search_options={})]
    done = ended(client, begin(client, CHAT, bodies))
    assert done.request_counts is not None
    assert (done.status, done.request_counts.completed, done.request_counts.failed) == ("completed", 3, 3)
    assert set(answers(client, done.output_file_id)) == {"r0", "r3", "r4"}
    wrong = answers(client, done.error_file_id)
    assert {name: line["response"]["status_code"] for name, line in wrong.items()} == {"r1": 400, "r2": 400, "r5": 501}
    assert wrong["r1"]["response"]["body"]["error"]["param"] == "temperature"
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(**bodies[1])
    assert refused.value.body == wrong["r1"]["response"]["body"]["error"]


def test_a_model_that_is_not_here(live: Live) -> None:
    done = ended(live.openai(), begin(live.openai(), EMBED, [{"model": "nobody", "input": "x"}]))
    (line,) = answers(live.openai(), done.error_file_id).values()
    assert (done.status, line["response"]["status_code"]) == ("completed", 404)
    assert line["response"]["body"]["error"]["code"] == "model_not_found"


def test_vectors_of_a_real_engine(live: Live) -> None:
    client = live.openai()
    done = ended(client, begin(client, EMBED, [{"model": "tiny-embed", "input": f"text {number}"} for number in range(40)]))
    assert done.status == "completed"
    found = answers(client, done.output_file_id)
    for number in (0, 17, 39):
        reply = exact(CreateEmbeddingResponse, found[f"r{number}"]["response"]["body"])
        alone = client.embeddings.create(model="tiny-embed", input=f"text {number}", encoding_format="float")
        assert reply.data[0].embedding == pytest.approx(alone.data[0].embedding, abs=1e-5)


def test_completions(live: Live) -> None:
    path: Any = "/v1/completions"
    done = ended(live.openai(), begin(live.openai(), path, [{"model": "tiny", "prompt": "one", "max_tokens": 3}] * 3))
    assert [line["response"]["body"]["object"] for line in answers(live.openai(), done.output_file_id).values()] == ["text_completion"] * 3


def test_what_cannot_be_a_batch(live: Live) -> None:
    client = live.openai()
    file = client.files.create(file=lines(CHAT, [said("x")]), purpose="batch")
    other = client.files.create(file=b"x", purpose="user_data")
    given: dict[str, Any] = {"input_file_id": file.id, "endpoint": CHAT, "completion_window": "24h"}
    for wrong, param in (
        ({"completion_window": "1h"}, "completion_window"),
        ({"endpoint": "/v1/images/generations"}, "endpoint"),
        ({"endpoint": "/v1/files"}, "endpoint"),
        ({"input_file_id": other.id}, "input_file_id"),
        ({"metadata": {"a": "x" * 513}}, "metadata.a"),
        ({"metadata": {f"{number}": "x" for number in range(17)}}, "metadata"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 60}}, "output_expires_after.seconds"),
    ):
        with pytest.raises(openai.BadRequestError) as refused:
            client.batches.create(**{**given, **wrong})
        assert refused.value.param == param
    with pytest.raises(openai.NotFoundError):
        client.batches.create(**{**given, "input_file_id": "file-none"})
    with pytest.raises(openai.NotFoundError):
        client.batches.retrieve("batch_none")


async def test_the_asynchronous_client(live: Live) -> None:
    async with live.async_openai() as client:
        file = await client.files.create(file=lines(CHAT, [said("x")]), purpose="batch")
        begun = await client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
        assert begun.id in [batch.id async for batch in client.batches.list()]
    assert ended(live.openai(), begun).status == "completed"


def test_people_come_first(live: Live) -> None:
    """While a batch has as much to ask as it likes, a person's question is answered as if there were none."""
    client = live.openai()
    begun = begin(client, CHAT, [said("one two three four", SLOW) for _ in range(500)])
    while client.batches.retrieve(begun.id).status != "in_progress":
        time.sleep(0.01)
    running: list[int] = []
    while len(running) < 20 or not any(running):
        time.sleep(0.02)
        running += [one.running for one in live.run(_loaded(live)) if one.model.id == SLOW]
    assert max(running) < live.app.settings.slots, "one slot is left"
    took = []
    for _ in range(5):
        began = time.monotonic()
        client.chat.completions.create(**said("one two three four", SLOW))
        took.append(time.monotonic() - began)
    client.batches.cancel(begun.id)
    done = ended(client, begun)
    alone = []
    for _ in range(5):
        began = time.monotonic()
        client.chat.completions.create(**said("one two three four", SLOW))
        alone.append(time.monotonic() - began)
    assert min(took) < 2 * min(alone) + 0.1, (took, alone)
    assert done.request_counts is not None
    assert done.request_counts.completed > 0


async def _loaded(live: Live) -> Any:
    return live.app.pool.loaded()


def test_a_revoked_key_does_not_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hausgeist.conversations.batches.run._RENEW_SECONDS", 0.1)
    server = Live(home=tmp_path / "home", settings={"keys_required": True})
    server.start()
    try:
        workspace = server.app.workspace
        key, secret = server.run(workspace.create_key(project="default", name="theirs", role="member"))
        _, other = server.run(workspace.create_key(project="default", name="other", role="reader"))
        with (
            openai.OpenAI(base_url=f"{server.url}/v1", api_key=secret, max_retries=0) as client,
            openai.OpenAI(base_url=f"{server.url}/v1", api_key=other, max_retries=0) as reader,
        ):
            begun = begin(client, CHAT, [said("one two", SLOW) for _ in range(500)])
            while (found := client.batches.retrieve(begun.id)).status != "in_progress":
                assert found.status == "validating"
            with pytest.raises(openai.PermissionDeniedError):
                reader.batches.create(input_file_id=begun.input_file_id, endpoint=CHAT, completion_window="24h")
            with pytest.raises(openai.PermissionDeniedError):
                reader.batches.cancel(begun.id)
            server.run(workspace.revoke_key(key.id))
            done = ended(reader, begun)
        assert done.status == "failed"
        assert done.errors is not None
        assert done.errors.data is not None
        assert done.errors.data[0].code == "not_allowed"
    finally:
        server.stop()

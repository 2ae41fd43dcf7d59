"""Webhooks through the official SDK: set up by those who own the project, told and signed as the SDK verifies, and their secrets shown once."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from openai.types.webhooks import (
    DeletedWebhookEndpoint,
    WebhookEndpoint,
    WebhookEndpointList,
    WebhookEndpointTestResult,
    WebhookEndpointWithSecret,
    WebhookEventTypeList,
)

from hausgeist.webhooks.events import EVENT_TYPES
from tests.contract.conftest import Live
from tests.contract.exact import exact
from tests.receiver import Receiver, receiving


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    """In a thread of its own, because the clients of these tests wait."""
    up, leave = threading.Event(), threading.Event()
    found: list[Receiver] = []

    async def serve() -> None:
        async with receiving() as one:
            found.append(one)
            up.set()
            while not leave.is_set():
                await asyncio.sleep(0.02)

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert up.wait(10)
    yield found[0]
    leave.set()
    thread.join(10)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[Live]:
    server = Live(home=tmp_path_factory.mktemp("home"), settings={"allow": (f"127.0.0.1:{receiver.port}",)})
    server.start()
    yield server
    server.stop()


@pytest.fixture
def client(live: Live) -> Iterator[openai.OpenAI]:
    client = live.openai()
    yield client
    for one in client.webhooks.list():
        client.webhooks.delete(one.id)


def make(client: openai.OpenAI, receiver: Receiver, *events: Any, name: str = "mine") -> Any:
    return client.webhooks.create(name=name, url=receiver.url, event_types=list(events) or ["response.completed"])


def test_what_is_sent_is_of_the_sdks_types(client: openai.OpenAI, receiver: Receiver) -> None:
    raw = client.webhooks.with_raw_response
    made = exact(WebhookEndpointWithSecret, json.loads(raw.create(name="mine", url=receiver.url, event_types=["batch.failed", "batch.failed"]).text))
    assert made.event_types == ["batch.failed"]
    found = exact(WebhookEndpoint, json.loads(raw.retrieve(made.id).text))
    assert found.model_dump() == made.model_dump(exclude={"signing_secret"})
    exact(WebhookEndpointList, json.loads(raw.list().text))
    exact(WebhookEndpointWithSecret, json.loads(raw.rotate_secret(made.id).text))
    exact(WebhookEndpoint, json.loads(raw.update(made.id, name="other").text))
    exact(WebhookEndpointTestResult, json.loads(raw.test(made.id, event_type="batch.failed").text))
    exact(DeletedWebhookEndpoint, json.loads(raw.delete(made.id).text))
    assert exact(WebhookEventTypeList, json.loads(client.webhooks.event_types.with_raw_response.list().text)).data == list(EVENT_TYPES)


def test_a_secret_is_shown_once(client: openai.OpenAI, receiver: Receiver, live: Live) -> None:
    made = make(client, receiver)
    rotated = client.webhooks.rotate_secret(made.id, keep_old_secret_active_for_24_hours=True)
    assert rotated.signing_secret != made.signing_secret
    later = [
        client.webhooks.with_raw_response.retrieve(made.id).text, client.webhooks.with_raw_response.list().text,
        client.webhooks.with_raw_response.update(made.id, name="x").text, client.webhooks.with_raw_response.update(made.id).text,
    ]  # fmt: skip
    for text in later:
        assert made.signing_secret[6:40] not in text
        assert rotated.signing_secret[6:40] not in text
    live.run(live.app.governor.flush())
    written = str(live.app.governor.audit.entries(limit=1000))
    assert made.signing_secret not in written
    assert "/hook" not in written, "addresses may hold secrets of their own"


async def test_what_happens_is_told(live: Live, receiver: Receiver) -> None:
    async with live.async_openai() as client:
        made = await client.webhooks.create(name="mine", url=receiver.url, event_types=["response.completed", "batch.completed"])
        before = len(receiver.told)
        await asyncio.to_thread(live.run, live.app.webhooks.notify("default", "response.completed", "resp_1"))
        told = (await receiver.wait(before + 1))[-1]
        event: Any = client.webhooks.unwrap(told.body, told.headers, secret=made.signing_secret)
        assert (event.type, event.data.id) == ("response.completed", "resp_1")
        result = await client.webhooks.test(made.id, event_type="batch.completed")
        assert (result.success, result.status_code) == (True, 200)
        told = receiver.told[-1]
        client.webhooks.verify_signature(told.body, told.headers, secret=made.signing_secret)
        assert [one.id async for one in client.webhooks.list()] == [made.id]
        assert (await client.webhooks.retrieve(made.id)).name == "mine"
        assert (await client.webhooks.update(made.id, event_types=["batch.failed"])).event_types == ["batch.failed"]
        rotated = await client.webhooks.rotate_secret(made.id)
        assert (await client.webhooks.retrieve(made.id)).signing_secret_hint == rotated.signing_secret_hint != made.signing_secret_hint
        assert (await client.webhooks.event_types.list()).data
        assert (await client.webhooks.delete(made.id)).deleted


def test_a_change_leaves_the_rest_and_its_time(client: openai.OpenAI, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make(client, receiver)
    monkeypatch.setattr("hausgeist.webhooks.service.time.time", lambda: made.created_at + 1000.0)
    same = client.webhooks.update(made.id, name="mine", url=receiver.url, event_types=["response.completed"])
    assert same.updated_at == made.updated_at
    client.webhooks.test(made.id, event_type="response.completed")
    assert client.webhooks.retrieve(made.id).updated_at == made.updated_at
    changed = client.webhooks.update(made.id, event_types=["batch.failed"])
    assert (changed.name, changed.url, changed.event_types) == ("mine", receiver.url, ["batch.failed"])
    assert changed.updated_at == made.created_at + 1000
    assert changed.created_at == made.created_at


def test_a_list_in_pages(client: openai.OpenAI, receiver: Receiver) -> None:
    made = [make(client, receiver, name=str(number)).id for number in range(5)][::-1]
    assert [one.id for one in client.webhooks.list(limit=2)] == made
    assert [one.id for one in client.webhooks.list(after=made[1], limit=2).data] == made[2:4]
    assert not client.webhooks.list(limit=5).has_more
    with pytest.raises(openai.NotFoundError):
        client.webhooks.list(after="we_nothing")


def test_what_is_wrong_is_said(client: openai.OpenAI, receiver: Receiver, live: Live) -> None:
    good: dict[str, Any] = {"name": "mine", "url": receiver.url, "event_types": ["response.completed"]}
    wrong: list[tuple[dict[str, Any], int, str | None]] = [
        ({"event_types": []}, 400, "event_types"),
        ({"event_types": ["nonsense"]}, 400, "event_types.0"),
        ({"event_types": ["response.completed", "fine_tuning.job.failed"]}, 501, "event_types"),
        ({"name": ""}, 400, "name"),
        ({"url": "x" * 3000}, 400, "url"),
        ({"url": receiver.url + "#part"}, 400, "url"),
        ({"url": "https://hooks.example/"}, 403, None),
        ({"url": "http://127.0.0.1:1/"}, 403, None),
        ({"nonsense": 1}, 400, "nonsense"),
    ]
    for change, status, param in wrong:
        answer = httpx.post(f"{live.url}/v1/webhook_endpoints", json={**good, **change})
        assert (answer.status_code, answer.json()["error"]["param"]) == (status, param), answer.text
    with pytest.raises(openai.PermissionDeniedError, match=r'allow = \["hooks.example"\]'):
        client.webhooks.create(name="mine", url="https://hooks.example/", event_types=["response.completed"])
    made = make(client, receiver)
    with pytest.raises(openai.PermissionDeniedError, match="allow"):
        client.webhooks.update(made.id, url="https://hooks.example/")
    assert client.webhooks.retrieve(made.id).url == receiver.url
    with pytest.raises(openai.InternalServerError, match="does not happen"):
        client.webhooks.test(made.id, event_type="eval.run.failed")
    for verb in (client.webhooks.retrieve, client.webhooks.delete, client.webhooks.rotate_secret, client.webhooks.update):
        with pytest.raises(openai.NotFoundError):
            verb("we_nothing")
    assert len(client.webhooks.list().data) == 1


def test_a_secret_is_rotated_without_a_body(client: openai.OpenAI, receiver: Receiver, live: Live) -> None:
    made = make(client, receiver)
    answer = httpx.post(f"{live.url}/v1/webhook_endpoints/{made.id}/rotate_secret")
    assert answer.status_code == 200
    assert answer.json()["signing_secret"] != made.signing_secret


def test_only_owners_of_the_project_have_addresses_told(live: Live, client: openai.OpenAI, receiver: Receiver) -> None:
    mine = make(client, receiver)
    workspace = live.app.workspace
    live.run(workspace.create_user("mia"))
    live.run(workspace.create_user("omar"))
    papers = live.run(workspace.create_project("papers", owner="omar")).id
    _, key = live.run(workspace.create_key(project="default", name="mia's", role="member", user="mia"))
    _, other = live.run(workspace.create_key(project=papers, name="omar's", role="owner", user="omar"))
    options: Any = {"base_url": f"{live.url}/v1", "max_retries": 0}
    with openai.OpenAI(api_key=key, **options) as member:
        forbidden: list[Any] = [
            lambda: make(member, receiver), member.webhooks.list, lambda: member.webhooks.retrieve(mine.id),
            lambda: member.webhooks.update(mine.id, name="x"), lambda: member.webhooks.delete(mine.id),
            lambda: member.webhooks.rotate_secret(mine.id), lambda: member.webhooks.test(mine.id, event_type="response.completed"),
        ]  # fmt: skip
        for verb in forbidden:
            with pytest.raises(openai.PermissionDeniedError, match="takes the role owner"):
                verb()
        assert member.webhooks.event_types.list().data
    with openai.OpenAI(api_key=other, **options) as elsewhere:
        assert elsewhere.webhooks.list().data == []
        with pytest.raises(openai.NotFoundError):
            elsewhere.webhooks.rotate_secret(mine.id)
        theirs = make(elsewhere, receiver)
        assert theirs.id not in [one.id for one in client.webhooks.list()]
    live.run(live.app.governor.flush())
    rows = [(row.outcome, row.project, row.target) for row in live.app.governor.audit.entries(action="webhook.create")]
    assert ("allowed", papers, "mine: response.completed") in rows
    assert any(outcome == "refused" for outcome, _, _ in rows)

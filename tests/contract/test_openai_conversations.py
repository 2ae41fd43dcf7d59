"""Conversations through the official SDK: their items, what belongs to whom, what is bounded."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import httpx
import openai
import pytest
from openai.types.conversations import Conversation, ConversationDeletedResource, ConversationItem, ConversationItemList

from hausgeist.identity import LOCAL_OWNER
from tests.contract.conftest import Live
from tests.contract.strictness import strictly
from tests.contract.test_openai_responses import picture


@pytest.fixture
def client(live: Live) -> openai.OpenAI:
    return live.openai()


@pytest.fixture
def raw(live: Live) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{live.url}/v1", timeout=60) as client:
        yield client


@pytest.fixture
def other(live: Live) -> openai.OpenAI:
    """Somebody else in the same project."""
    workspace = live.app.workspace
    try:
        workspace.user("grace")
    except Exception:
        live.run(workspace.create_user("grace"))
        live.run(workspace.set_member("default", "grace", "member"))
    _, key = live.run(workspace.create_key(project="default", name="theirs", role="member", user="grace"))
    return live.openai().with_options(api_key=key)


EVERY_ITEM: list[dict[str, Any]] = [
    {"role": "user", "content": "text"},
    {"role": "assistant", "content": "text"},
    {"role": "system", "content": [{"type": "input_text", "text": "t"}]},
    {"role": "developer", "content": "text", "type": "message"},
    {"role": "assistant", "id": "msg_a", "status": "completed", "content": [{"type": "output_text", "text": "t", "annotations": []}]},
    {"type": "message", "role": "assistant", "status": "completed", "id": "msg_no", "content": [{"type": "refusal", "refusal": "no"}]},
    {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "c1", "output": "ok"},
    {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]},
    {"type": "mcp_list_tools", "id": "mcpl_1", "server_label": "s", "tools": [{"name": "t", "input_schema": {"type": "object"}}]},
    {"type": "mcp_approval_request", "id": "mcpr_1", "server_label": "s", "name": "t", "arguments": "{}"},
    {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": True},
    {"type": "mcp_call", "id": "mcp_1", "server_label": "s", "name": "t", "arguments": "{}", "output": "o"},
    {"type": "file_search_call", "id": "fs_1", "queries": ["q"], "status": "completed"},
]  # fmt: skip


def test_every_kind_of_item(raw: httpx.Client) -> None:
    made = raw.post("/conversations", json={"items": EVERY_ITEM, "metadata": {"a": "b"}}).json()
    strictly(Conversation, made)
    page = raw.get(f"/conversations/{made['id']}/items?limit=100&order=asc").json()
    strictly(ConversationItemList, page)
    assert [item["type"] for item in page["data"]] == [item.get("type", "message") for item in EVERY_ITEM]
    for item in page["data"]:
        found = raw.get(f"/conversations/{made['id']}/items/{item['id']}").json()
        strictly(ConversationItem, found)
        assert found == item
    more = raw.post(f"/conversations/{made['id']}/items", json={"items": [{"role": "user", "content": "more"}]}).json()
    strictly(ConversationItemList, more)
    changed = raw.delete(f"/conversations/{made['id']}/items/{page['data'][0]['id']}").json()
    strictly(Conversation, changed)
    strictly(ConversationDeletedResource, raw.delete(f"/conversations/{made['id']}").json())


def test_a_conversation_goes_on(client: openai.OpenAI) -> None:
    conversation = client.conversations.create(items=[{"role": "user", "content": "the cat is Mia"}, {"role": "assistant", "content": "I see"}])
    counted = client.responses.input_tokens.count(model="fake:echo", input="and?", conversation=conversation.id)
    alone = client.responses.input_tokens.count(model="fake:echo", input="and?")
    assert counted.input_tokens > alone.input_tokens + 5
    answer = client.responses.create(model="fake:echo", input="and?", conversation={"id": conversation.id})
    assert answer.conversation is not None
    assert answer.conversation.id == conversation.id
    listed = list(client.conversations.items.list(conversation.id, order="asc"))
    assert [item.id for item in listed[-2:]] == [next(iter(client.responses.input_items.list(answer.id))).id, answer.output[0].id]
    # Deleted, a response leaves what it said where it was said.
    client.responses.delete(answer.id)
    assert len(list(client.conversations.items.list(conversation.id))) == 4


def test_an_item_twice_is_refused(client: openai.OpenAI) -> None:
    conversation = client.conversations.create(items=[{"role": "user", "content": "hi"}])
    (item,) = client.conversations.items.list(conversation.id)
    again: Any = {"type": "message", "id": item.id, "role": "user", "content": "hi"}
    with pytest.raises(openai.ConflictError):
        client.conversations.items.create(conversation.id, items=[again])
    with pytest.raises(openai.ConflictError):
        client.responses.create(model="fake:echo", input=[again], conversation=conversation.id)
    assert len(list(client.conversations.items.list(conversation.id))) == 1
    # The refusal leaves no lock behind.
    assert client.responses.create(model="fake:echo", input="x", conversation=conversation.id).status == "completed"


def test_what_belongs_to_others_is_not_there(client: openai.OpenAI, other: openai.OpenAI) -> None:
    conversation = client.conversations.create(items=[{"role": "user", "content": "mine"}])
    (item,) = client.conversations.items.list(conversation.id)
    answer = client.responses.create(model="fake:echo", input="mine")
    begun = client.responses.create(model="fake:stalls", input="x", background=True)
    attempts: list[Any] = [
        lambda: other.conversations.retrieve(conversation.id),
        lambda: other.conversations.update(conversation.id, metadata={}),
        lambda: other.conversations.delete(conversation.id),
        lambda: other.conversations.items.list(conversation.id),
        lambda: other.conversations.items.retrieve(str(item.id), conversation_id=conversation.id),
        lambda: other.conversations.items.create(conversation.id, items=[{"role": "user", "content": "x"}]),
        lambda: other.conversations.items.delete(str(item.id), conversation_id=conversation.id),
        lambda: other.responses.retrieve(answer.id),
        lambda: other.responses.retrieve(begun.id),
        lambda: list(other.responses.retrieve(begun.id, stream=True)),
        lambda: other.responses.cancel(begun.id),
        lambda: other.responses.delete(begun.id),
        lambda: other.responses.input_items.list(answer.id),
        lambda: other.responses.create(model="fake:echo", input="x", previous_response_id=answer.id),
        lambda: other.responses.create(model="fake:echo", input="x", conversation=conversation.id),
        lambda: other.responses.create(model="fake:echo", input=[{"type": "item_reference", "id": str(item.id)}]),
        lambda: other.responses.create(model="fake:echo", input=[{"type": "item_reference", "id": answer.output[0].id or ""}]),
    ]
    for attempt in attempts:
        with pytest.raises(openai.NotFoundError):
            attempt()
    assert client.responses.retrieve(begun.id).status in ("queued", "in_progress")
    client.responses.delete(begun.id)
    # Nor does what was sealed for one open for another.
    compacted = client.responses.compact(model="fake:echo", input="mine")
    with pytest.raises(openai.BadRequestError, match="encrypted_content"):
        other.responses.create(model="fake:echo", input=[compacted.output[0], {"role": "user", "content": "x"}])  # type: ignore[list-item]


def test_bounds(raw: httpx.Client) -> None:
    items = [{"role": "user", "content": "x"}] * 21
    assert raw.post("/conversations", json={"items": items}).status_code == 400
    made = raw.post("/conversations", json={}).json()
    assert raw.post(f"/conversations/{made['id']}/items", json={"items": items}).status_code == 400
    assert raw.post(f"/conversations/{made['id']}/items", json={"items": []}).status_code == 400
    assert raw.post(f"/conversations/{made['id']}", json={}).status_code == 400
    empty = raw.get(f"/conversations/{made['id']}/items").json()
    strictly(ConversationItemList, empty)
    assert empty["data"] == []
    assert raw.get(f"/conversations/{made['id']}/items?after=msg_x").status_code == 404


def test_images_are_kept_and_left_out_of_lists(client: openai.OpenAI, live: Live) -> None:
    shown: Any = {
        "role": "user",
        "content": [{"type": "input_text", "text": "what is this?"}, {"type": "input_image", "image_url": picture(), "detail": "auto"}],
    }
    conversation = client.conversations.create()
    answer = client.responses.create(model="fake:echo", input=[shown], conversation=conversation.id)
    assert "[image image/png" in answer.output_text
    (item,) = client.responses.input_items.list(answer.id)
    assert item.content[1].image_url is None  # type: ignore[union-attr]
    (item,) = client.responses.input_items.list(answer.id, include=["message.input_image.image_url"])
    assert item.content[1].image_url.startswith("data:image/png;base64,")  # type: ignore[union-attr]
    assert "[image" not in client.responses.create(model="fake:echo", input="and now?", conversation=conversation.id).output_text
    with pytest.raises(openai.BadRequestError, match="cannot see images"):
        client.responses.create(model="tiny", input=[shown])
    with pytest.raises(openai.BadRequestError, match="not an image"):
        client.responses.create(
            model="fake:echo",
            input=[{"role": "user", "content": [{"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "auto"}]}],
        )


def test_no_engine_fetches_an_address(raw: httpx.Client, live: Live) -> None:
    """Images that came in by another way than a request are held to the same."""
    address = "http://169.254.169.254/latest/meta-data?x=,"
    for url in (address, "file:///etc/passwd", "data:image/png;base64,AAAA"):
        part = {"type": "input_image", "image_url": url, "detail": "auto"}
        body = {"type": "message", "role": "user", "status": "completed", "content": [part]}
        made = live.run(live.app.conversations.create(LOCAL_OWNER, [body]))
        refused = raw.post("/responses", json={"model": "fake:echo", "input": "and?", "conversation": made.id})
        assert refused.status_code == 400, url
        assert refused.json()["error"]["param"] == "input"
        assert "fake engine" not in refused.text, "it was not asked"
    chat = {"messages": [{"role": "user", "content": [{"type": "input_image", "image_url": address}]}]}
    assert raw.post(f"{live.url}/house/v1/chats", json=chat).status_code == 400


def test_limits_are_numbers_that_are_small(raw: httpx.Client) -> None:
    made = raw.post("/conversations", json={}).json()
    for limit in ("0000000019999", "000000001" + "0" * 5000, "0", "101", "-1", "²"):
        assert raw.get(f"/conversations/{made['id']}/items", params={"limit": limit}).status_code == 400, limit[:20]
    assert raw.get("/chat/completions", params={f"metadata[k{number}]": "v" for number in range(17)}).status_code == 400
    assert raw.get("/chat/completions", params={f"metadata[k{number}]": "v" for number in range(16)}).status_code == 200
    after = f"1{'0' * 30}-1.0-x"
    assert raw.get(f"{str(raw.base_url).removesuffix('/v1/')}/house/v1/chats", params={"after": after}).status_code in (200, 400)


def test_many_references_read_a_response_once(raw: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Naming each of many items of one large response does not read it once for each."""
    said = [{"role": "user", "id": f"msg_{secrets.token_hex(4)}_{number}", "content": "x"} for number in range(300)]
    first = raw.post("/responses", json={"model": "fake:obeys", "input": [*said, {"role": "user", "content": "say k"}]}).json()
    assert first["status"] == "completed"
    names = [{"type": "item_reference", "id": one["id"]} for one in said]
    loads, read = 0, json.loads

    def counted(text: Any, **more: Any) -> Any:
        nonlocal loads
        loads += 1
        return read(text, **more)

    monkeypatch.setattr("hausgeist.conversations.responses.history.json", SimpleNamespace(loads=counted))
    answer = raw.post("/responses", json={"model": "fake:obeys", "input": [*names, {"role": "user", "content": "say j"}], "store": False}).json()
    assert answer["output"][0]["content"][0]["text"] == "j"
    assert loads < 10
    monkeypatch.setattr("hausgeist.conversations.responses.history._MOST_BYTES", 10_000)
    for more in ({"input": [*names, {"role": "user", "content": "say j"}]}, {"input": "say j", "previous_response_id": first["id"]}):
        assert raw.post("/responses", json={"model": "fake:obeys", **more}).status_code == 413


def test_a_chat_that_is_removed_is_removed_whole(raw: httpx.Client, live: Live) -> None:
    """What was asked and answered in it is also in the responses that were made in it."""
    made = raw.post("/conversations", json={}).json()
    answer = raw.post("/responses", json={"model": "fake:echo", "input": "Schweigepflicht", "conversation": made["id"]}).json()
    other = raw.post("/responses", json={"model": "fake:echo", "input": "elsewhere"}).json()
    assert raw.delete(f"/conversations/{made['id']}").status_code == 200
    assert raw.get(f"/responses/{answer['id']}").status_code == 404
    assert raw.get(f"/responses/{other['id']}").status_code == 200

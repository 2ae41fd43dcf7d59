"""The 210 operations of the SDK: an operation is served when a route says so and its round trips through the official SDK pass, here.

Every other one is answered 501 in OpenAI's shape; a path that OpenAI does not have, 404.
"""

from __future__ import annotations

import functools
import inspect
import io
import typing
from collections.abc import Callable
from typing import Any

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletionChunk
from pydantic import BaseModel

from hausgeist.gateway.openai import endpoints
from tests.contract import test_openai_batches, test_openai_files, test_openai_vector_stores
from tests.contract.conftest import Live
from tests.data.openai_surface import operations

OPERATIONS = operations(openai.OpenAI(api_key="x"))
SERVED = {operation for endpoint in endpoints(typing.cast("Any", None)) for operation in endpoint.operations}
MESSAGES: Any = [{"role": "user", "content": "hello there"}]


class Colour(BaseModel):
    name: typing.Literal["red", "blue"]
    strong: bool


def _chat_create(client: openai.OpenAI) -> None:
    for model in ("fake:echo", "tiny"):
        answer = client.chat.completions.create(model=model, messages=MESSAGES, max_tokens=5)
        assert answer.model == model
        assert answer.object == "chat.completion"
        assert answer.choices[0].message.role == "assistant"
        assert answer.usage is not None
        assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0
        chunks = list(client.chat.completions.create(model=model, messages=MESSAGES, max_tokens=5, stream=True))
        assert all(isinstance(chunk, ChatCompletionChunk) and chunk.model == model for chunk in chunks)
        assert chunks[-1].choices[0].finish_reason in ("length", "stop")


def _chat_parse(client: openai.OpenAI) -> None:
    for model in ("fake:obeys", "tiny"):
        messages: Any = [{"role": "user", "content": "json"}]
        answer = client.chat.completions.parse(model=model, messages=messages, response_format=Colour, max_tokens=200, temperature=0)
        assert isinstance(answer.choices[0].message.parsed, Colour)


def _chat_stream(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model="fake:echo", messages=MESSAGES) as stream:
        text = "".join(event.delta for event in stream if event.type == "content.delta")
        assert text == stream.get_final_completion().choices[0].message.content == "hello there"


def _kept(client: openai.OpenAI, **metadata: str) -> str:
    return client.chat.completions.create(model="fake:echo", messages=MESSAGES, store=True, metadata=metadata).id


def _chat_delete(client: openai.OpenAI) -> None:
    kept = _kept(client)
    assert client.chat.completions.delete(kept).deleted
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.retrieve(kept)


def _chat_list(client: openai.OpenAI) -> None:
    kept = [_kept(client, of="list") for _ in range(3)]
    assert [one.id for one in client.chat.completions.list(metadata={"of": "list"}, limit=2)] == kept


def _chat_messages_list(client: openai.OpenAI) -> None:
    assert [message.content for message in client.chat.completions.messages.list(_kept(client))] == ["hello there"]


def _chat_retrieve(client: openai.OpenAI) -> None:
    found = client.chat.completions.retrieve(_kept(client, a="b"))
    assert (found.metadata, found.choices[0].message.content) == ({"a": "b"}, "hello there")


def _chat_update(client: openai.OpenAI) -> None:
    assert client.chat.completions.update(_kept(client, a="b"), metadata={"c": "d"}).metadata == {"c": "d"}


def _webhook(client: openai.OpenAI) -> Any:
    return client.webhooks.create(name="mine", url="http://127.0.0.1:9/hook", event_types=["response.completed"])


def _webhooks_create(client: openai.OpenAI) -> None:
    made = _webhook(client)
    assert made.signing_secret.startswith("whsec_")
    client.webhooks.delete(made.id)


def _webhooks_delete(client: openai.OpenAI) -> None:
    made = _webhook(client)
    assert client.webhooks.delete(made.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.webhooks.retrieve(made.id)


def _webhooks_list(client: openai.OpenAI) -> None:
    made = [_webhook(client).id for _ in range(3)]
    assert [one.id for one in client.webhooks.list(limit=2)] == made[::-1]
    for one in made:
        client.webhooks.delete(one)


def _webhooks_retrieve(client: openai.OpenAI) -> None:
    made = _webhook(client)
    assert client.webhooks.retrieve(made.id).url == "http://127.0.0.1:9/hook"
    client.webhooks.delete(made.id)


def _webhooks_update(client: openai.OpenAI) -> None:
    made = _webhook(client)
    assert client.webhooks.update(made.id, name="other").name == "other"
    client.webhooks.delete(made.id)


def _webhooks_rotate_secret(client: openai.OpenAI) -> None:
    made = _webhook(client)
    assert client.webhooks.rotate_secret(made.id).signing_secret != made.signing_secret
    client.webhooks.delete(made.id)


def _webhooks_test(client: openai.OpenAI) -> None:
    made = _webhook(client)
    # Nothing listens there; tests/contract/test_openai_webhooks.py has somebody who does.
    with pytest.raises(openai.InternalServerError, match="cannot be reached"):
        client.webhooks.test(made.id, event_type="response.completed")
    client.webhooks.delete(made.id)


def _webhooks_event_types_list(client: openai.OpenAI) -> None:
    assert "response.completed" in client.webhooks.event_types.list().data


def _completions_create(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="tiny", prompt=["one", "two"], max_tokens=4, echo=True)
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert answer.choices[0].text.startswith("one")
    filled = client.completions.create(model="tiny", prompt="def f(a):", suffix="return a", max_tokens=4, temperature=0)
    streamed = client.completions.create(model="tiny", prompt="def f(a):", suffix="return a", max_tokens=4, temperature=0, stream=True)
    assert "".join(part.choices[0].text for part in streamed) == filled.choices[0].text


def _embeddings_create(client: openai.OpenAI) -> None:
    packed = client.embeddings.create(model="tiny-embed", input=["one", "two"])
    plain = client.embeddings.create(model="tiny-embed", input=["one", "two"], encoding_format="float")
    assert [entry.index for entry in packed.data] == [0, 1]
    for left, right in zip(packed.data, plain.data, strict=True):
        assert left.embedding == pytest.approx(right.embedding, abs=1e-6)
    assert packed.usage.prompt_tokens > 0


def _models_list(client: openai.OpenAI) -> None:
    assert {"tiny", "fake:echo"} <= {model.id for model in client.models.list()}


def _models_retrieve(client: openai.OpenAI) -> None:
    model = client.models.retrieve("tiny")
    assert (model.id, model.object, model.owned_by) == ("tiny", "model", "hausgeist")
    assert model.model_extra == {}


def _models_delete(client: openai.OpenAI) -> None:
    assert client.models.delete("to-be/deleted:now").deleted
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("to-be/deleted:now")


def _responses_create(client: openai.OpenAI) -> None:
    for model in ("fake:echo", "tiny"):
        answer = client.responses.create(model=model, input="hello there", max_output_tokens=5)
        assert (answer.model, answer.object) == (model, "response")
        assert answer.usage is not None
        assert answer.usage.output_tokens > 0
        events = list(client.responses.create(model=model, input="hello there", max_output_tokens=5, stream=True))
        assert events[0].type == "response.created"
        assert events[-1].type in ("response.completed", "response.incomplete")


def _responses_parse(client: openai.OpenAI) -> None:
    answer = client.responses.parse(model="fake:obeys", input="json", text_format=Colour)
    assert isinstance(answer.output_parsed, Colour)


def _responses_stream(client: openai.OpenAI) -> None:
    with client.responses.stream(model="fake:echo", input="hello there") as stream:
        assert stream.get_final_response().output_text == "hello there"


def _responses_retrieve(client: openai.OpenAI) -> None:
    made = client.responses.create(model="fake:echo", input="hello there")
    assert client.responses.retrieve(made.id) == made


def _responses_delete(client: openai.OpenAI) -> None:
    made = client.responses.create(model="fake:echo", input="hello there")
    client.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(made.id)


def _responses_cancel(client: openai.OpenAI) -> None:
    made = client.responses.create(model="fake:stalls", input="hello there", background=True)
    assert client.responses.cancel(made.id).status == client.responses.retrieve(made.id).status == "cancelled"


def _responses_input_items_list(client: openai.OpenAI) -> None:
    made = client.responses.create(model="fake:echo", input="hello there")
    (item,) = client.responses.input_items.list(made.id)
    assert item.type == "message"


def _responses_input_tokens_count(client: openai.OpenAI) -> None:
    made = client.responses.create(model="tiny", input="hello there", max_output_tokens=1)
    assert made.usage is not None
    assert client.responses.input_tokens.count(model="tiny", input="hello there").input_tokens == made.usage.input_tokens


def _responses_compact(client: openai.OpenAI) -> None:
    compacted = client.responses.compact(model="fake:echo", input="hello there")
    assert [item.type for item in compacted.output] == ["compaction"]


def _conversations_create(client: openai.OpenAI) -> None:
    made = client.conversations.create(metadata={"a": "b"}, items=[{"role": "user", "content": "hi"}])
    assert (made.object, made.metadata) == ("conversation", {"a": "b"})


def _conversations_retrieve(client: openai.OpenAI) -> None:
    made = client.conversations.create()
    assert client.conversations.retrieve(made.id) == made


def _conversations_update(client: openai.OpenAI) -> None:
    made = client.conversations.create(metadata={"a": "b"})
    assert client.conversations.update(made.id, metadata={"c": "d"}).metadata == {"c": "d"}


def _conversations_delete(client: openai.OpenAI) -> None:
    made = client.conversations.create()
    assert client.conversations.delete(made.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.conversations.retrieve(made.id)


def _conversations_items(client: openai.OpenAI) -> None:
    made = client.conversations.create(items=[{"role": "user", "content": "one"}])
    added = client.conversations.items.create(made.id, items=[{"role": "assistant", "content": "two"}])
    listed = list(client.conversations.items.list(made.id))
    assert listed[0] == added.data[0] == client.conversations.items.retrieve(str(added.data[0].id), conversation_id=made.id)
    assert client.conversations.items.delete(str(listed[0].id), conversation_id=made.id).id == made.id
    assert [item.id for item in client.conversations.items.list(made.id)] == [listed[1].id]


ROUND_TRIPS: dict[str, Callable[[openai.OpenAI], None]] = {
    "chat.completions.create": _chat_create,
    "chat.completions.delete": _chat_delete,
    "chat.completions.list": _chat_list,
    "chat.completions.messages.list": _chat_messages_list,
    "chat.completions.parse": _chat_parse,
    "chat.completions.retrieve": _chat_retrieve,
    "chat.completions.stream": _chat_stream,
    "chat.completions.update": _chat_update,
    "completions.create": _completions_create,
    "conversations.create": _conversations_create,
    "conversations.delete": _conversations_delete,
    "conversations.items.create": _conversations_items,
    "conversations.items.delete": _conversations_items,
    "conversations.items.list": _conversations_items,
    "conversations.items.retrieve": _conversations_items,
    "conversations.retrieve": _conversations_retrieve,
    "conversations.update": _conversations_update,
    "embeddings.create": _embeddings_create,
    "models.delete": _models_delete,
    "models.list": _models_list,
    "models.retrieve": _models_retrieve,
    "webhooks.create": _webhooks_create,
    "webhooks.delete": _webhooks_delete,
    "webhooks.event_types.list": _webhooks_event_types_list,
    "webhooks.list": _webhooks_list,
    "webhooks.retrieve": _webhooks_retrieve,
    "webhooks.rotate_secret": _webhooks_rotate_secret,
    "webhooks.test": _webhooks_test,
    "webhooks.update": _webhooks_update,
    **test_openai_files.ROUND_TRIPS,
    **test_openai_batches.ROUND_TRIPS,
    **test_openai_vector_stores.ROUND_TRIPS,
    "responses.cancel": _responses_cancel,
    "responses.compact": _responses_compact,
    "responses.create": _responses_create,
    "responses.delete": _responses_delete,
    "responses.input_items.list": _responses_input_items_list,
    "responses.input_tokens.count": _responses_input_tokens_count,
    "responses.parse": _responses_parse,
    "responses.retrieve": _responses_retrieve,
    "responses.stream": _responses_stream,
}


def test_there_are_as_many_operations_as_were_counted() -> None:
    assert len(OPERATIONS) == 210
    assert set(OPERATIONS) >= SERVED
    assert set(ROUND_TRIPS) == SERVED, "an operation is served when its round trip is here, and only then"


@pytest.mark.parametrize("operation", sorted(ROUND_TRIPS))
def test_what_is_served_comes_round(operation: str, live: Live) -> None:
    if operation == "models.delete":
        live.run(live.app.library.create("to-be/deleted:now", source="tiny", system="s"))
    ROUND_TRIPS[operation](live.openai())


ARGUMENTS: dict[str, dict[str, Any]] = {
    "fine_tuning.jobs.create": {"model": "m", "training_file": "file-1"},
}
"""Where what `_dummy` makes up from the signature does not do."""


def _dummy(name: str, annotation: str) -> Any:
    """Something that the SDK sends for a required argument."""
    if name == "file":
        return ("a.txt", io.BytesIO(b"x"))
    if name == "data":
        return io.BytesIO(b"x")
    if annotation == "int":
        return 1
    return [] if any(word in annotation for word in ("Iterable", "List", "Sequence")) else "x"


def call(client: openai.OpenAI, operation: str) -> Any:
    method = functools.reduce(getattr, operation.split("."), client)
    required = {
        name: _dummy(name, str(parameter.annotation))
        for name, parameter in inspect.signature(method).parameters.items()
        if parameter.default is inspect.Parameter.empty and parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    }
    result = method(**(ARGUMENTS.get(operation) or required))
    if hasattr(result, "__enter__"):
        with result as opened:
            return opened
    return result


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("operation", sorted(set(OPERATIONS) - SERVED))
def test_what_is_not_served_says_so(operation: str, live: Live) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        call(live.openai(admin_api_key="anything"), operation)
    assert caught.value.status_code == 501, caught.value
    assert caught.value.type == "not_supported_error"
    assert caught.value.code == "not_supported"
    # The SDK would try again otherwise.
    assert caught.value.response.headers["x-should-retry"] == "false"


async def test_moderation_says_why_not_and_what_else(live: Live) -> None:
    async with live.async_openai() as client:
        with pytest.raises(openai.InternalServerError, match=r"harassment.*harmless.*in a chat") as caught:
            await client.moderations.create(input="x", model="omni-moderation-latest")
    assert caught.value.status_code == 501


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1", "/v1/chat", "/v1/embeddings/x", "/v1/filesystem"])
def test_what_openai_does_not_have_is_unknown(path: str, live: Live) -> None:
    response = httpx.post(live.url + path, json={})
    assert response.status_code == 404
    assert response.json()["error"]["type"] == "invalid_request_error"


def test_a_wrong_method_is_named(live: Live) -> None:
    response = httpx.get(f"{live.url}/v1/embeddings")
    assert response.status_code == 405
    assert response.json()["error"]["message"]

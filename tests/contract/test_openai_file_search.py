"""The tool file_search through the official SDK: responses and chats, whole and streamed, each value strictly of the SDK's types."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response

from hausgeist.app import App
from hausgeist.errors import InvalidRequest
from tests.contract.conftest import Live
from tests.contract.strictness import strictly, strictly_event
from tests.shelf import Shelf, file_search, put_up

TOOL: Any = {"type": "file_search", "vector_store_ids": ["vs_house"]}
RENT = "The monthly rent is 1,450 euros."
PETS = "Pets are allowed in the house."
SAID = f'The lease says "{RENT}" [1]. {PETS} [1]'


class Attached:
    """Reads what no text file is, by turning it round."""

    async def text(self, body: bytes, filename: str) -> str:
        if body.startswith(b"%PDF-broken"):
            raise InvalidRequest(f"{filename} is broken.")
        return body[5:].decode()[::-1]


def wire(app: App) -> None:
    shelf = Shelf()
    shelf.put("file-lease", "lease.pdf", f"{RENT}\n\n{PETS}", kind="contract")
    put_up(app, file_search(shelf))
    folder = app.settings.home / "fake"
    folder.mkdir(exist_ok=True)
    (folder / "lease.jsonl").write_text(json.dumps(SAID))


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    home: Path = tmp_path_factory.mktemp("home")
    live = Live(home, wire=wire)
    live.start()
    yield live
    live.stop()


@pytest.fixture
def client(house: Live) -> openai.OpenAI:
    return house.openai()


def test_a_response_cites_its_files(client: openai.OpenAI, house: Live) -> None:
    response = client.responses.create(model="fake:lease.jsonl", input="What is the monthly rent, and are pets allowed?", tools=[TOOL])
    strictly(Response, json.loads(response.to_json(exclude_unset=True)))
    assert response.output_text == f'The lease says "{RENT}". {PETS}'
    search, message = response.output
    assert search.type == "file_search_call"
    assert message.type == "message"
    assert (search.status, search.results) == ("completed", None)
    part = message.content[0]
    assert part.type == "output_text"
    assert [(note.type, note.file_id) for note in part.annotations if note.type == "file_citation"] == [("file_citation", "file-lease")] * 2
    again = client.responses.retrieve(response.id, include=["file_search_call.results"])
    found = again.output[0]
    assert found.type == "file_search_call"
    assert found.results
    assert found.results[0].attributes == {"kind": "contract"}
    kept = httpx.get(f"{house.url}/house/v1/responses/{response.id}/citations").json()
    assert kept["mode"] == "whole"
    first, second = kept["data"]
    assert (first["quote"], first["verified"], first["page"]) == (RENT, True, 1)
    assert first["label"] == "lease.pdf, page 1"
    assert set(first["boxes"][0]) == {"page", "left", "top", "right", "bottom"}
    assert second["kind"] == "claim"
    client.responses.delete(response.id)
    assert httpx.get(f"{house.url}/house/v1/responses/{response.id}/citations").status_code == 404


def test_every_event_is_the_sdks(client: openai.OpenAI) -> None:
    kinds = []
    asked: Any = {"model": "fake:lease.jsonl", "input": "What is the monthly rent?", "tools": [TOOL], "include": ["file_search_call.results"]}
    with client.responses.create(**asked, stream=True) as events:
        for event in events:
            strictly_event(json.loads(event.to_json(exclude_unset=True)))
            kinds.append(event.type.removeprefix("response."))
    assert "output_text.annotation.added" in kinds
    assert kinds.index("file_search_call.completed") < kinds.index("output_text.delta")
    with client.responses.stream(**asked) as stream:
        final = stream.get_final_response()
    assert final.output_text == f'The lease says "{RENT}". {PETS}'


def test_a_background_response_says_the_same(client: openai.OpenAI) -> None:
    response = client.responses.create(model="fake:lease.jsonl", input="What is the monthly rent?", tools=[TOOL], background=True)
    while response.status in ("queued", "in_progress"):
        response = client.responses.retrieve(response.id)
    assert response.output_text.startswith("The lease says")
    assert response.metadata is not None
    assert response.metadata["mode"] == "whole"


def test_sentences_without_a_model(client: openai.OpenAI) -> None:
    asked: Any = {"model": "fake:echo", "input": "What is the monthly rent?", "tools": [TOOL], "metadata": {"mode": "extractive", "mine": "1"}}
    response = client.responses.create(**asked)
    assert response.output_text.startswith(f"“{RENT}” (lease.pdf, page 1)")
    assert response.metadata == {"mode": "extractive", "mine": "1"}


def test_an_answer_that_is_none_is_told_as_such(house: Live, client: openai.OpenAI) -> None:
    for question, answered in (("What is the monthly rent?", True), ("Who won the football world cup in 1994?", False)):
        asked: Any = {"model": "fake:echo", "input": question, "tools": [TOOL], "metadata": {"mode": "extractive"}}
        response = client.responses.create(**asked)
        assert httpx.get(f"{house.url}/house/v1/responses/{response.id}/citations").json()["answered"] is answered


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"vector_store_ids": ["vs_none"]}, openai.NotFoundError), ({"vector_store_ids": []}, openai.BadRequestError),
        ({"max_num_results": 0}, openai.BadRequestError), ({"what": 1}, openai.BadRequestError),
    ],
)  # fmt: skip
def test_what_cannot_be_searched_fails_before_the_answer(client: openai.OpenAI, fields: dict[str, Any], error: Any) -> None:
    for stream in (False, True):
        with pytest.raises(error):
            client.responses.create(model="fake:echo", input="rent?", tools=[{**TOOL, **fields}], stream=stream)
        with pytest.raises(error):
            client.chat.completions.create(
                model="fake:echo", messages=[{"role": "user", "content": "rent?"}], tools=[{**TOOL, **fields}], stream=stream
            )


def test_a_choice_of_no_tool_searches_nothing(client: openai.OpenAI) -> None:
    response = client.responses.create(model="fake:echo", input="What is the monthly rent?", tools=[TOOL], tool_choice="none")
    assert response.output_text == "What is the monthly rent?"
    chosen = client.responses.create(model="fake:lease.jsonl", input="What is the monthly rent?", tools=[TOOL], tool_choice={"type": "file_search"})
    assert [item.type for item in chosen.output] == ["file_search_call", "message"]
    required = client.responses.create(model="fake:lease.jsonl", input="What is the monthly rent?", tools=[TOOL], tool_choice="required")
    assert [item.type for item in required.output] == ["file_search_call", "message"]


def test_a_chat_cites_its_files(client: openai.OpenAI) -> None:
    messages: Any = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "What is the monthly rent? Are pets allowed?"}]
    reply = client.chat.completions.create(model="fake:lease.jsonl", messages=messages, tools=[TOOL])
    strictly(ChatCompletion, json.loads(reply.to_json(exclude_unset=True)))
    message = reply.choices[0].message
    assert message.content == f'The lease says "{RENT}" [1]. {PETS} [1]\n\n[1] lease.pdf'
    assert message.annotations is not None
    cited = message.annotations[0].url_citation
    assert (cited.title, cited.url) == ("lease.pdf", "/v1/files/file-lease/content")
    assert message.content[cited.start_index : cited.end_index] == "[1]"
    assert reply.usage is not None
    assert reply.usage.completion_tokens > 5
    text = ""
    stream = client.chat.completions.create(
        model="fake:lease.jsonl", messages=messages, tools=[TOOL], stream=True, stream_options={"include_usage": True}
    )
    for chunk in stream:
        strictly(ChatCompletionChunk, json.loads(chunk.to_json(exclude_unset=True)))
        text += chunk.choices[0].delta.content or "" if chunk.choices else ""
    assert text == message.content
    with pytest.raises(openai.APIStatusError, match="'n' together"):
        client.chat.completions.create(model="fake:echo", messages=messages, tools=[TOOL], n=2)


def test_any_document_can_be_attached_to_a_question(house: Live, client: openai.OpenAI) -> None:
    object.__setattr__(house.app.services, "attached", Attached())

    def attached(body: bytes) -> Any:
        data = "data:application/pdf;base64," + base64.b64encode(body).decode()
        file = {"type": "input_file", "filename": "a.pdf", "file_data": data}
        return [{"role": "user", "content": [file, {"type": "input_text", "text": "say it"}]}]

    response = client.responses.create(model="fake:echo", input=attached(b"%PDF-" + b"txet a"))
    assert response.output_text == "a.pdf:\n\na text\nsay it"
    with pytest.raises(openai.BadRequestError, match="is broken"):
        client.responses.create(model="fake:echo", input=attached(b"%PDF-broken"))
    with pytest.raises(openai.BadRequestError, match=r"\d+ tokens.*\d+"):
        client.responses.create(model="fake:echo", input=attached(b"%PDF-" + b"many words " * 200_000))
    with pytest.raises(openai.APIStatusError, match="6000000 bytes, and 4194304"):
        client.responses.create(model="fake:echo", input=attached(b"%PDF-" + b"x" * 6_000_000))

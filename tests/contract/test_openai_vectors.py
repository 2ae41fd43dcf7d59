"""Completions, embeddings, rerank and models through the official SDK, against a running server."""

from __future__ import annotations

import base64
import math
import struct
from typing import Any

import httpx
import openai
import pytest

from tests.contract.conftest import Live


@pytest.fixture
def client(live: Live) -> openai.OpenAI:
    return live.openai()


@pytest.mark.parametrize("model", ["fake:echo", "tiny"])
def test_prompts_are_answered_in_order(client: openai.OpenAI, model: str) -> None:
    prompts = [f"prompt {number}" for number in range(6)]
    answer = client.completions.create(model=model, prompt=prompts, n=2, max_tokens=2, echo=True)
    assert [choice.index for choice in answer.choices] == list(range(12))
    assert all(choice.text.startswith(prompts[number // 2]) for number, choice in enumerate(answer.choices))
    assert answer.object == "text_completion"
    assert answer.usage is not None
    # Each prompt is counted once, each answer for itself.
    single = client.completions.create(model=model, prompt=prompts[0], max_tokens=2)
    assert single.usage is not None
    assert answer.usage.prompt_tokens == pytest.approx(6 * single.usage.prompt_tokens, abs=6)
    assert 12 < answer.usage.completion_tokens <= 24


def test_prompts_in_a_stream(client: openai.OpenAI) -> None:
    options: Any = {"include_usage": True}
    chunks = list(client.completions.create(model="fake:echo", prompt=["a b", "c d"], n=2, echo=True, stream=True, stream_options=options))
    texts = [""] * 4
    for chunk in chunks:
        for choice in chunk.choices:
            texts[choice.index] += choice.text
    assert texts == ["a ba b", "a ba b", "c dc d", "c dc d"]
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason] == ["stop"] * 4
    assert len({chunk.id for chunk in chunks}) == 1
    assert [chunk.usage.total_tokens for chunk in chunks if chunk.usage] == [12]


def test_one_prompt_in_a_stream(client: openai.OpenAI) -> None:
    options: Any = {"include_usage": True}
    chunks = list(client.completions.create(model="tiny", prompt="hello", max_tokens=4, seed=1, stream=True, stream_options=options))
    whole = client.completions.create(model="tiny", prompt="hello", max_tokens=4, seed=1)
    assert "".join(choice.text for chunk in chunks for choice in chunk.choices) == whole.choices[0].text
    assert whole.usage is not None
    assert [chunk.usage.total_tokens for chunk in chunks if chunk.usage] == [whole.usage.total_tokens]
    assert all(chunk.model_extra == {} for chunk in chunks)
    chunks = list(client.completions.create(model="tiny", prompt="hello", max_tokens=4, stream=True))
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)


def test_sixteen_tokens_by_default(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="tiny", prompt="hello", extra_body={"ignore_eos": True})
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 16


def test_tokens_as_prompt(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="tiny", prompt=[[65, 66], [67]], max_tokens=1, echo=True, temperature=0)
    assert len(answer.choices) == 2
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 3
    with pytest.raises(openai.BadRequestError):
        client.completions.create(model="tiny", prompt=[1, 10**8], max_tokens=1)


def test_log_probabilities_of_a_completion(client: openai.OpenAI) -> None:
    for top in (0, 2):
        answer = client.completions.create(model="tiny", prompt="hello", max_tokens=3, logprobs=top, temperature=0)
        found = answer.choices[0].logprobs
        assert found is not None
        assert found.tokens is not None
        assert len(found.tokens) == len(found.token_logprobs or []) == len(found.text_offset or []) > 0
        assert all(len(tops) == top for tops in found.top_logprobs or [])
    streamed = client.completions.create(model="tiny", prompt="hello", max_tokens=3, logprobs=0, temperature=0, stream=True)
    assert [token for chunk in streamed for choice in chunk.choices if choice.logprobs for token in choice.logprobs.tokens or []] == found.tokens


def test_the_best_of_several(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="tiny", prompt="hello", max_tokens=6, best_of=4, n=1, seed=5)
    every = client.completions.create(model="tiny", prompt="hello", max_tokens=6, n=4, logprobs=0, seed=5)

    def likelihood(choice: Any) -> float:
        return sum(choice.logprobs.token_logprobs) / len(choice.logprobs.token_logprobs)

    (best,) = answer.choices
    assert best.index == 0
    assert best.logprobs is None
    assert best.text == max(every.choices, key=likelihood).text
    assert answer.usage is not None
    assert every.usage is not None
    assert answer.usage.completion_tokens == every.usage.completion_tokens


def test_a_prompt_of_nothing(client: openai.OpenAI) -> None:
    """The engine answers nothing, and does not say so."""
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError) as caught:
            client.completions.create(model="tiny", prompt="", max_tokens=3, stream=stream)
        assert caught.value.param == "prompt"


def test_a_prompt_that_is_too_long(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(model="tiny", prompt=["a", "word " * 9000])
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "prompt")


@pytest.mark.parametrize("model", ["fake:echo", "tiny"])
def test_a_gap_is_filled(client: openai.OpenAI, model: str) -> None:
    options: Any = {"prompt": "def add(a, b):\n    c =", "suffix": "\n    return c", "max_tokens": 5, "seed": 1}
    answer = client.completions.create(model=model, n=2, **options)
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert answer.usage is not None
    assert answer.usage.completion_tokens > 0
    assert answer.usage.prompt_tokens > 0
    chunks = list(client.completions.create(model=model, stream=True, stream_options={"include_usage": True}, **options))
    assert "".join(choice.text for chunk in chunks for choice in chunk.choices) == answer.choices[0].text
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens > 0


def test_log_probabilities_of_what_fills_a_gap(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="tiny", prompt="def add(a, b):", suffix="return c", max_tokens=5, logprobs=1)
    assert answer.choices[0].logprobs is not None
    assert answer.choices[0].logprobs.tokens


@pytest.mark.parametrize("model", ["fake:echo", "tiny-embed"])
def test_vectors_as_numbers_and_as_base64(client: openai.OpenAI, live: Live, model: str) -> None:
    plain = client.embeddings.create(model=model, input="hello world", encoding_format="float").data[0].embedding
    packed = httpx.post(f"{live.url}/v1/embeddings", json={"model": model, "input": "hello world", "encoding_format": "base64"}).json()
    assert packed["data"][0].keys() == {"object", "index", "embedding"}
    assert packed.keys() == {"object", "data", "model", "usage"}
    raw = base64.b64decode(packed["data"][0]["embedding"])
    assert struct.unpack(f"<{len(raw) // 4}f", raw) == pytest.approx(plain, abs=1e-6)
    assert math.hypot(*plain) == pytest.approx(1, abs=1e-3)


def test_shorter_vectors(client: openai.OpenAI) -> None:
    whole = client.embeddings.create(model="tiny-embed", input="hello").data[0].embedding
    for form in ("float", "base64"):
        options: Any = {"encoding_format": form}
        found = client.embeddings.create(model="tiny-embed", input="hello", dimensions=8, **options).data[0].embedding
        values = found if isinstance(found, list) else struct.unpack("<8f", base64.b64decode(found))
        length = math.hypot(*whole[:8])
        assert list(values) == pytest.approx([value / length for value in whole[:8]], abs=1e-5)
    with pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(model="tiny-embed", input="hello", dimensions=100_000)
    assert caught.value.param == "dimensions"


def test_many_inputs_keep_their_order(client: openai.OpenAI) -> None:
    texts = [f"text number {number}" for number in range(70)]
    many = client.embeddings.create(model="tiny-embed", input=texts)
    assert [entry.index for entry in many.data] == list(range(70))
    for number in (0, 31, 32, 69):
        alone = client.embeddings.create(model="tiny-embed", input=texts[number]).data[0].embedding
        assert many.data[number].embedding == pytest.approx(alone, abs=2e-2)
    assert many.usage.total_tokens == many.usage.prompt_tokens >= 70


def test_tokens_as_input(client: openai.OpenAI) -> None:
    one = client.embeddings.create(model="tiny-embed", input=[65, 66])
    two = client.embeddings.create(model="tiny-embed", input=[[65, 66], [67]])
    assert two.data[0].embedding == pytest.approx(one.data[0].embedding, abs=2e-2)
    assert len(two.data) == 2


@pytest.mark.parametrize("value", ["", [], ["a", ""], [[]], [-1]])
def test_nothing_cannot_be_embedded(client: openai.OpenAI, value: Any) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(model="tiny-embed", input=value)
    assert (caught.value.param or "").startswith("input")


def test_an_input_that_is_too_long(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(model="tiny-embed", input=["a", "word " * 9000])
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "input")


def test_models_do_what_they_are_made_for(live: Live, client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="cannot generate") as caught:
        client.completions.create(model="tiny-embed", prompt="hello")
    assert caught.value.param == "model"
    with pytest.raises(openai.BadRequestError, match="cannot make embeddings"):
        client.embeddings.create(model="tiny-rank", input="hello")
    response = rerank(live, model="tiny-embed", documents=["a"])
    assert (response.status_code, response.json()["error"]["param"]) == (400, "model")


def rerank(live: Live, path: str = "/v1/rerank", **body: Any) -> httpx.Response:
    return httpx.post(live.url + path, json={"model": "tiny-rank", "query": "ghosts", **body}, timeout=60)


@pytest.mark.parametrize("path", ["/v1/rerank", "/rerank"])
def test_documents_are_ranked(live: Live, path: str) -> None:
    texts = [f"document {number} about ghosts" for number in range(40)]
    response = rerank(live, path, documents=texts)
    assert response.status_code == 200
    results = response.json()["results"]
    assert sorted(entry["index"] for entry in results) == list(range(40))
    scores = [entry["relevance_score"] for entry in results]
    assert scores == sorted(scores, reverse=True)
    assert response.json()["usage"]["total_tokens"] > 40
    mixed = [texts[0], *({"text": text} for text in texts[1:])]
    best = rerank(live, path, documents=mixed, top_n=3, return_documents=True).json()["results"]
    assert [entry["index"] for entry in best] == [entry["index"] for entry in results[:3]]
    assert [entry["document"]["text"] for entry in best] == [texts[entry["index"]] for entry in best]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "documents"),
        ({"documents": []}, "documents"),
        ({"documents": ["a"], "top_n": 0}, "top_n"),
        ({"documents": ["a"], "top_n": -1}, "top_n"),
        ({"documents": ["a"], "query": ""}, "query"),
        ({"documents": [5]}, "documents.0"),
        ({"documents": ["a"], "texts": ["b"]}, "texts"),
        ({"documents": ["word " * 9000]}, "documents"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_rankings_that_make_no_sense(live: Live, body: dict[str, Any], param: str) -> None:
    response = rerank(live, **body)
    assert response.status_code == 400, response.text
    assert response.json()["error"]["param"] == param


def test_models_with_slashes(live: Live, client: openai.OpenAI) -> None:
    name = "hf.co/owner/repo:Q5"
    live.run(live.app.library.create(name, source="tiny", system="s"))
    assert client.models.retrieve(name).id == name
    for path in ("hf.co%2Fowner%2Frepo:Q5", "hf.co/owner/repo:Q5", "hf.co%2Fowner%2Frepo%3AQ5"):
        assert httpx.get(f"{live.url}/v1/models/{path}").json()["id"] == name
    answer = client.chat.completions.create(model=name, messages=[{"role": "user", "content": "hello"}], max_tokens=2)
    assert answer.model == name
    deleted = client.models.delete(name)
    assert (deleted.id, deleted.object, deleted.deleted) == (name, "model", True)
    with pytest.raises(openai.NotFoundError):
        client.models.delete(name)


def test_models_that_are_not_ours_to_delete(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="cannot be deleted"):
        client.models.delete("fake:echo")

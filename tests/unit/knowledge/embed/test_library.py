from __future__ import annotations

import asyncio
import base64
from typing import Any

import numpy as np
import pytest

from hausgeist.engines.fake.text import embed
from hausgeist.errors import ContextExceeded, EngineFailed, ModelNotFound, Unavailable
from hausgeist.identity import LOCAL_OWNER, Principal
from hausgeist.knowledge.embed.library import FromLibrary
from hausgeist.knowledge.embed.prefixes import prefixes
from hausgeist.model import InstalledModel, Shape, Usage
from hausgeist.serving.calls import Call


class Answering:
    """An answer that is there already."""

    request_id = ""
    context = 512
    usage = Usage()

    def __init__(self, model: InstalledModel, body: dict[str, Any]) -> None:
        self.model = model
        self.body = body
        self.left = False

    async def json(self) -> dict[str, Any]:
        await asyncio.sleep(0)
        return self.body

    async def __aenter__(self) -> Answering:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.left = True


class Door:
    """Embeds as the fake engine does. `context`: characters that a text may have."""

    def __init__(self, name: str = "embedder:small", *, length: int = 64, context: int = 10_000, packed: bool = True) -> None:
        self.installed = InstalledModel(
            id=name, engine="fake", path=None, digest="d" * 64, modified=0, shape=Shape(embedding_length=length), tasks=("embed",)
        )
        self.context = context
        self.packed = packed
        self.calls: list[Call] = []
        self.answers: list[Answering] = []
        self.reply: dict[str, Any] | None = None

    def model(self, who: Principal, name: str) -> InstalledModel:
        if name != self.installed.id:
            raise ModelNotFound(name)
        return self.installed

    async def call(self, who: Principal, call: Call) -> Any:
        assert who == LOCAL_OWNER
        self.calls.append(call)
        for text in call.body["input"]:
            assert text, "engines refuse empty texts"
            if len(text) > self.context:
                raise ContextExceeded(len(text), self.context)
        rows = [np.array(embed(text, 64), "<f4") * 3 for text in call.body["input"]]
        data = [
            {"index": index, "embedding": base64.b64encode(row.tobytes()).decode() if self.packed else row.tolist()} for index, row in enumerate(rows)
        ]
        self.answers.append(Answering(self.installed, self.reply or {"data": data[::-1]}))
        return self.answers[-1]


@pytest.mark.parametrize("packed", [True, False])
async def test_vectors_come_in_order_and_of_length_one(packed: bool) -> None:
    door = Door(packed=packed)
    embedder = FromLibrary(door, "embedder:small")
    texts = [f"text number {number} about {'cats' if number % 2 else 'dogs'}" for number in range(100)]
    found = await embedder.passages(texts, background=True)
    assert found.dtype == np.float32
    for row, text in zip(found, texts, strict=True):
        expected = np.array(embed(text, 64), np.float32)
        assert np.allclose(row, expected / np.linalg.norm(expected), atol=1e-5)
    assert [len(call.body["input"]) for call in door.calls] == [32, 32, 32, 4]
    assert all(call.origin.background and call.task == "embed" for call in door.calls)
    assert all(answer.left for answer in door.answers)
    await embedder.query("dogs")
    assert not door.calls[-1].origin.background
    assert (await embedder.passages([])).shape == (0, 64)


def test_its_name_tells_versions_apart() -> None:
    door = Door()
    embedder = FromLibrary(door, "embedder:small")
    assert (embedder.name, embedder.dimension, embedder.languages) == ("embedder:small@dddddddddddd", 64, frozenset())
    with pytest.raises(ModelNotFound):
        _ = FromLibrary(door, "another").name


async def test_the_length_is_learnt_where_the_model_does_not_say_it() -> None:
    embedder = FromLibrary(Door(length=0), "embedder:small")
    with pytest.raises(Unavailable):
        _ = embedder.dimension
    await embedder.query("hello")
    assert embedder.dimension == 64


async def test_a_text_beyond_the_context_is_read_in_parts() -> None:
    embedder = FromLibrary(Door(context=150), "embedder:small")
    long = "alpha beta gamma delta " * 20
    found = await embedder.passages(["short", long, "", "z" * 500])
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    similar = np.array(embed("alpha beta gamma delta " * 3, 64), np.float32)
    assert float(found[1] @ similar / np.linalg.norm(similar)) > 0.9
    with pytest.raises(ContextExceeded):
        await FromLibrary(Door(context=10), "embedder:small").passages(["x" * 500])


@pytest.mark.parametrize("data", [None, [], [{"embedding": "!!"}], [{"embedding": [float("nan")] * 4}], [{"index": 0}], "text", [{"embedding": {}}]])
async def test_a_reply_without_vectors_is_the_engines_failure(data: Any) -> None:
    door = Door()
    door.reply = {"data": data}
    with pytest.raises(EngineFailed):
        await FromLibrary(door, "embedder:small").query("hello")


@pytest.mark.parametrize(
    ("name", "question", "passage"),
    [
        ("nomic-embed-text:v1.5", "search_query: ", "search_document: "),
        ("hf.co/nomic-ai/nomic-embed-text-v2-moe-GGUF:Q8_0", "search_query: ", "search_document: "),
        ("hf.co/keisuke-miyako/multilingual-e5-small-gguf", "query: ", "passage: "),
        ("e5-large-v2", "query: ", "passage: "),
        ("multilingual-e5-large-instruct", "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery: ", ""),
        ("qwen3-embedding:0.6b", "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery:", ""),
        ("embeddinggemma:300m", "task: search result | query: ", "title: none | text: "),
        ("bge-m3", "", ""),
        ("bge-small-en-v1.5", "Represent this sentence for searching relevant passages: ", ""),
        ("snowflake-arctic-embed2", "query: ", ""),
        ("snowflake-arctic-embed:110m", "Represent this sentence for searching relevant passages: ", ""),
        ("all-minilm:22m", "", ""),
        ("granite-embedding:278m", "", ""),
    ],
)
async def test_families_get_the_prefixes_of_their_cards(name: str, question: str, passage: str) -> None:
    assert prefixes(name) == (question, passage)
    door = Door(name)
    embedder = FromLibrary(door, name)
    await embedder.query("what?")
    await embedder.passages(["this"])
    assert [call.body["input"] for call in door.calls] == [[question + "what?"], [passage + "this"]]

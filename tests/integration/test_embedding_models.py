"""Embedding and rerank models of the library behind a search, on the real engine: chosen, changed, killed in the middle, gone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openai
import pytest

from hausgeist.engines.specimen import write_specimen
from tests.acceptance.support import ServerProcess, until

_CODE = 7919


def text(number: int) -> bytes:
    said = "The house of the neighbour was old, and the people in it were kind to all who came."
    return "\n\n".join(f"Paragraph {part} of document {number} is about {number * _CODE + part}. {said}" for part in range(6)).encode()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    made = {"first": ("embed", 0), "second": ("embed", 1), "ranker": ("rerank", 0)}
    return {name: write_specimen(folder / f"{name}.gguf", task=task, seed=seed) for name, (task, seed) in made.items()}  # type: ignore[arg-type]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def serve(home: Path, models: dict[str, Path], wanted: str, *there: str) -> ServerProcess:
    return ServerProcess(home, *(models[name] for name in there), environment={"HAUSGEIST_EMBEDDING_MODEL": wanted}).start()


def sdk(server: ServerProcess) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)


def best(client: openai.OpenAI, store: str, number: int, **more: Any) -> str:
    return client.vector_stores.search(store, query=f"document {number} {number * _CODE + 2}", max_num_results=3, **more).data[0].filename


def of_vectors(home: Path, store: str) -> set[str]:
    return {path.name for path in (home / "indexes" / store).iterdir() if path.name.startswith("vectors-")}


def test_models_of_the_library_are_chosen_changed_and_missed(home: Path, models: dict[str, Path]) -> None:
    with serve(home, models, "first", "first", "ranker") as server:
        client = sdk(server)
        store = client.vector_stores.create(name="papers").id
        files = [client.files.create(file=(f"{number}.txt", text(number)), purpose="assistants").id for number in range(1, 8)]
        batch = client.vector_stores.file_batches.create_and_poll(store, file_ids=files, poll_interval_ms=50)
        assert batch.file_counts.completed == 7
        assert best(client, store, 5) == "5.txt"
        (first,) = of_vectors(home, store)
        # What its words say stays at the top whatever noise ranks it, and what is ranked has other scores.
        plain = client.vector_stores.search(store, query="who was kind", max_num_results=5).data
        ranked = client.vector_stores.search(store, query="who was kind", max_num_results=5, ranking_options={"ranker": "ranker"}).data
        assert [one.score for one in plain] != [one.score for one in ranked]
        assert all(0 <= one.score <= 1 for one in ranked)
        with pytest.raises(openai.NotFoundError, match="is not installed"):
            client.vector_stores.search(store, query="x", ranking_options={"ranker": "nobody"})
        said = client.vector_stores.search(store, query=f"Please tell me: document 5 {5 * _CODE + 2}", rewrite_query=True)
        assert said.search_query == [f"document 5 {5 * _CODE + 2}"]
        server.kill()
    with serve(home, models, "second", "first", "second") as server:
        # The old vectors serve while the new ones are made; it is killed in the middle of that.
        assert best(sdk(server), store, 5) == "5.txt"
        assert first in of_vectors(home, store)
        server.kill()
    with serve(home, models, "second", "first", "second") as server:
        client = sdk(server)
        assert best(client, store, 6) == "6.txt"
        until(lambda: first not in of_vectors(home, store), 60, "the new vectors take over", pause=0.1)
        assert len(of_vectors(home, store)) == 1
        assert best(client, store, 7) == "7.txt"
        server.kill()
    with serve(home, models, "second", "first") as server:
        client = sdk(server)
        assert best(client, store, 3) == "3.txt"
        fresh = client.files.create(file=("new.txt", b"A zebra stands at the gate."), purpose="assistants").id
        assert client.vector_stores.files.create_and_poll(fresh, vector_store_id=store, poll_interval_ms=50).status == "completed"
        assert client.vector_stores.search(store, query="zebra at the gate").data[0].filename == "new.txt"
        with server.client() as http:
            assert "second" in http.get(f"/house/v1/stores/{store}/progress").json()["trouble"]
        assert "searched by their words only" in server.text()

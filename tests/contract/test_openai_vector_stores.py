"""Vector stores through the official SDK: stores, files in them, batches, search; what is refused, and that no project sees another's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_type_hints

import httpx
import openai
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openai.types import (
    VectorStore,
    VectorStoreDeleted,
    VectorStoreSearchResponse,
    vector_store_create_params,
    vector_store_search_params,
    vector_store_update_params,
)
from openai.types.vector_stores import (
    FileContentResponse,
    VectorStoreFile,
    VectorStoreFileBatch,
    VectorStoreFileDeleted,
    file_batch_create_params,
    file_create_params,
    file_update_params,
)

from hausgeist.gateway.openai import vector_store_files, vector_stores
from tests.contract.conftest import Live
from tests.contract.exact import exact

PLANT = "The greenhouse is watered at six in the morning and again at eight in the evening."
CAR = "The car of the company is parked behind the church and goes to the workshop in March."


def _file(client: openai.OpenAI, text: str = PLANT, name: str = "plant.txt") -> str:
    return client.files.create(file=(name, text.encode()), purpose="assistants").id


def _store(client: openai.OpenAI, *texts: str, **options: Any) -> VectorStore:
    made = client.vector_stores.create(name="test", file_ids=[_file(client, text) for text in texts], **options)
    return _settled(client, made.id)


def _settled(client: openai.OpenAI, store: str) -> VectorStore:
    until = time.monotonic() + 90
    while (found := client.vector_stores.retrieve(store)).status == "in_progress":
        assert time.monotonic() < until
        time.sleep(0.02)
    return found


def _create(client: openai.OpenAI) -> None:
    file = _file(client)
    made = client.vector_stores.create(
        name="papers", description="of the house", metadata={"a": "b"}, expires_after={"anchor": "last_active_at", "days": 7}, file_ids=[file],
        chunking_strategy={"type": "static", "static": {"max_chunk_size_tokens": 200, "chunk_overlap_tokens": 50}},
    )  # fmt: skip
    assert (made.name, made.metadata, made.file_counts.total, made.status) == ("papers", {"a": "b"}, 1, "in_progress")
    assert made.expires_at == (made.last_active_at or 0) + 7 * 86400
    done = _settled(client, made.id)
    assert (done.status, done.file_counts.completed) == ("completed", 1)
    assert done.usage_bytes == len(PLANT)
    (listed,) = client.vector_stores.files.list(made.id)
    assert listed.chunking_strategy is not None
    assert listed.chunking_strategy.to_dict() == {"type": "static", "static": {"max_chunk_size_tokens": 200, "chunk_overlap_tokens": 50}}


def _retrieve(client: openai.OpenAI) -> None:
    made = client.vector_stores.create()
    assert client.vector_stores.retrieve(made.id) == made
    assert (made.status, made.name, made.expires_after, made.expires_at) == ("completed", "", None, None)


def _update(client: openai.OpenAI) -> None:
    made = client.vector_stores.create(name="old", metadata={"a": "b"})
    changed = client.vector_stores.update(made.id, name="new", expires_after={"anchor": "last_active_at", "days": 1})
    assert (changed.name, changed.metadata) == ("new", {"a": "b"})
    assert changed.expires_after is not None
    changed = client.vector_stores.update(made.id, metadata=None, expires_after=None)
    assert (changed.name, changed.metadata, changed.expires_after) == ("new", {}, None)


def _list(client: openai.OpenAI) -> None:
    made = [client.vector_stores.create(name=str(n)).id for n in range(4)]
    assert [one.id for one in client.vector_stores.list(limit=2)][:4] == made[::-1]
    assert [one.id for one in client.vector_stores.list(limit=2, order="asc")][-4:] == made
    assert [one.id for one in client.vector_stores.list(limit=2, before=made[1]).data] == [made[3], made[2]]
    assert [one.id for one in client.vector_stores.list(limit=2, before=made[0]).data] == [made[2], made[1]]
    assert [one.id for one in client.vector_stores.list(order="asc", after=made[0], before=made[3])] == made[1:3]


def _delete(client: openai.OpenAI) -> None:
    made = _store(client, PLANT)
    assert client.vector_stores.delete(made.id).deleted
    for use in (client.vector_stores.retrieve, client.vector_stores.delete, client.vector_stores.files.list):
        with pytest.raises(openai.NotFoundError):
            use(made.id)


def _search(client: openai.OpenAI) -> None:
    store = _store(client, PLANT, CAR)
    found = client.vector_stores.search(store.id, query="When is the greenhouse watered?", max_num_results=1)
    (hit,) = found.data
    assert (hit.content[0].text, hit.filename, hit.attributes) == (PLANT, "plant.txt", {})
    assert 0 < hit.score <= 1
    both = client.vector_stores.search(store.id, query=["greenhouse", "company car"], rewrite_query=True)
    assert {one.content[0].text for one in both} == {PLANT, CAR}
    none = client.vector_stores.search(store.id, query="greenhouse", ranking_options={"ranker": "none", "score_threshold": 0.999})
    assert none.data == []


def _files_create(client: openai.OpenAI) -> None:
    store = client.vector_stores.create()
    file = _file(client)
    done = client.vector_stores.files.create_and_poll(file, vector_store_id=store.id, attributes={"year": 2026, "signed": True, "by": "Ada"})
    assert (done.status, done.last_error, done.attributes) == ("completed", None, {"year": 2026, "signed": True, "by": "Ada"})
    assert client.vector_stores.files.create(store.id, file_id=file).status == "completed"


def _files_retrieve(client: openai.OpenAI) -> None:
    store = _store(client, PLANT)
    (file,) = client.vector_stores.files.list(store.id)
    assert client.vector_stores.files.retrieve(file.id, vector_store_id=store.id) == file
    assert client.vector_stores.files.poll(file.id, vector_store_id=store.id) == file


def _files_update(client: openai.OpenAI) -> None:
    store = _store(client, PLANT)
    (file,) = client.vector_stores.files.list(store.id)
    changed = client.vector_stores.files.update(file.id, vector_store_id=store.id, attributes={"kind": "plan"})
    assert changed.attributes == {"kind": "plan"}
    filters: Any = {"type": "eq", "key": "kind", "value": "plan"}
    assert len(client.vector_stores.search(store.id, query="greenhouse", filters=filters).data) == 1
    assert client.vector_stores.files.update(file.id, vector_store_id=store.id, attributes=None).attributes == {}
    assert client.vector_stores.search(store.id, query="greenhouse", filters=filters).data == []


def _files_list(client: openai.OpenAI) -> None:
    store = _store(client, *(f"{PLANT} {n}" for n in range(5)))
    found = [file.id for file in client.vector_stores.files.list(store.id, limit=2, order="asc")]
    assert len(found) == 5
    assert [file.id for file in client.vector_stores.files.list(store.id, limit=2)] == found[::-1]
    assert [file.id for file in client.vector_stores.files.list(store.id, filter="completed", limit=3, order="asc").data] == found[:3]
    assert client.vector_stores.files.list(store.id, filter="failed").data == []
    assert [file.id for file in client.vector_stores.files.list(store.id, before=found[2], order="asc").data] == found[:2]


def _files_delete(client: openai.OpenAI) -> None:
    store = _store(client, PLANT)
    (file,) = client.vector_stores.files.list(store.id)
    assert client.vector_stores.files.delete(file.id, vector_store_id=store.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.vector_stores.files.retrieve(file.id, vector_store_id=store.id)
    assert client.vector_stores.search(store.id, query="greenhouse").data == []
    assert client.files.retrieve(file.id).id == file.id


def _files_content(client: openai.OpenAI) -> None:
    store = _store(client, PLANT)
    (file,) = client.vector_stores.files.list(store.id)
    (part,) = client.vector_stores.files.content(file.id, vector_store_id=store.id)
    assert part.type == "text"
    assert (part.text or "").strip() == PLANT


def _files_upload(client: openai.OpenAI) -> None:
    store = client.vector_stores.create()
    begun = client.vector_stores.files.upload(vector_store_id=store.id, file=("car.txt", CAR.encode()))
    assert client.vector_stores.files.poll(begun.id, vector_store_id=store.id).status == "completed"
    done = client.vector_stores.files.upload_and_poll(vector_store_id=store.id, file=("plant.txt", PLANT.encode()), attributes={"n": 1})
    assert (done.status, done.attributes) == ("completed", {"n": 1})


def _batches_create(client: openai.OpenAI) -> None:
    store = client.vector_stores.create()
    files = [_file(client, f"{CAR} {n}") for n in range(3)]
    done = client.vector_stores.file_batches.create_and_poll(store.id, file_ids=files, attributes={"of": "all"})
    assert (done.status, done.file_counts.completed, done.file_counts.total) == ("completed", 3, 3)
    assert client.vector_stores.file_batches.retrieve(done.id, vector_store_id=store.id) == done
    assert client.vector_stores.file_batches.poll(done.id, vector_store_id=store.id) == done
    listed = list(client.vector_stores.file_batches.list_files(done.id, vector_store_id=store.id, limit=2, order="asc", filter="completed"))
    assert [one.id for one in listed] == files
    assert {str(one.attributes) for one in listed} == {"{'of': 'all'}"}
    own: Any = [{"file_id": _file(client), "attributes": {"n": 1}}, {"file_id": _file(client, CAR), "attributes": {"n": 2}}]
    single = client.vector_stores.file_batches.create(store.id, files=own)
    client.vector_stores.file_batches.poll(single.id, vector_store_id=store.id)
    listed = list(client.vector_stores.file_batches.list_files(single.id, vector_store_id=store.id, order="asc"))
    assert sorted((one.attributes or {})["n"] for one in listed) == [1, 2]


def _batches_cancel(client: openai.OpenAI) -> None:
    store = client.vector_stores.create()
    batch = client.vector_stores.file_batches.create(store.id, file_ids=[_file(client, f"{CAR} {n} " * 400) for n in range(20)])
    cancelled = client.vector_stores.file_batches.cancel(batch.id, vector_store_id=store.id)
    assert cancelled.status in ("cancelled", "completed")
    assert cancelled.file_counts.in_progress == 0
    assert cancelled.file_counts.total == 20


def _batches_upload(client: openai.OpenAI) -> None:
    store = client.vector_stores.create()
    files: Any = [("a.txt", PLANT.encode()), ("b.txt", CAR.encode())]
    done = client.vector_stores.file_batches.upload_and_poll(store.id, files=files)
    assert done.file_counts.completed == 2


ROUND_TRIPS: dict[str, Callable[[openai.OpenAI], None]] = {
    "vector_stores.create": _create,
    "vector_stores.retrieve": _retrieve,
    "vector_stores.update": _update,
    "vector_stores.list": _list,
    "vector_stores.delete": _delete,
    "vector_stores.search": _search,
    "vector_stores.files.create": _files_create,
    "vector_stores.files.create_and_poll": _files_create,
    "vector_stores.files.retrieve": _files_retrieve,
    "vector_stores.files.poll": _files_retrieve,
    "vector_stores.files.update": _files_update,
    "vector_stores.files.list": _files_list,
    "vector_stores.files.delete": _files_delete,
    "vector_stores.files.content": _files_content,
    "vector_stores.files.upload": _files_upload,
    "vector_stores.files.upload_and_poll": _files_upload,
    "vector_stores.file_batches.create": _batches_create,
    "vector_stores.file_batches.create_and_poll": _batches_create,
    "vector_stores.file_batches.retrieve": _batches_create,
    "vector_stores.file_batches.poll": _batches_create,
    "vector_stores.file_batches.list_files": _batches_create,
    "vector_stores.file_batches.cancel": _batches_cancel,
    "vector_stores.file_batches.upload_and_poll": _batches_upload,
}
"""For `test_openai_surface`."""


def test_replies_are_exactly_those_of_the_sdk(live: Live) -> None:
    client = live.openai()
    raw = client.vector_stores.with_raw_response
    made = exact(
        VectorStore, raw.create(name="exact", metadata={"a": "b"}, expires_after={"anchor": "last_active_at", "days": 2}).http_response.json()
    )
    assert exact(VectorStore, raw.retrieve(made.id).http_response.json()) == made
    exact(VectorStore, raw.update(made.id, name="exacter").http_response.json())
    page = raw.list(limit=1).http_response.json()
    assert set(page) == {"object", "data", "first_id", "last_id", "has_more"}
    exact(VectorStore, page["data"][0])
    files = client.vector_stores.files.with_raw_response
    good, bad = _file(client), _file(client, " ", "empty.txt")
    exact(VectorStoreFile, files.create(made.id, file_id=good, attributes={"a": 1.5, "b": True, "c": "d", "e": 7}).http_response.json())
    files.create(made.id, file_id=bad)
    _settled(client, made.id)
    failed = exact(VectorStoreFile, files.retrieve(bad, vector_store_id=made.id).http_response.json())
    assert failed.last_error.code == "invalid_file"
    exact(VectorStoreFile, files.update(good, vector_store_id=made.id, attributes={"a": 2}).http_response.json())
    for one in files.list(made.id).http_response.json()["data"]:
        exact(VectorStoreFile, one)
    content = files.content(good, vector_store_id=made.id).http_response.json()
    assert set(content) == {"object", "data", "has_more", "next_page"}
    exact(FileContentResponse, content["data"][0])
    found = raw.search(made.id, query="greenhouse").http_response.json()
    assert (found["object"], found["search_query"]) == ("vector_store.search_results.page", ["greenhouse"])
    exact(VectorStoreSearchResponse, found["data"][0])
    batches = client.vector_stores.file_batches.with_raw_response
    batch = exact(VectorStoreFileBatch, batches.create(made.id, file_ids=[good, bad]).http_response.json())
    _settled(client, made.id)
    exact(VectorStoreFileBatch, batches.retrieve(batch.id, vector_store_id=made.id).http_response.json())
    exact(VectorStoreFile, batches.list_files(batch.id, vector_store_id=made.id).http_response.json()["data"][0])
    exact(VectorStoreFileBatch, batches.cancel(batch.id, vector_store_id=made.id).http_response.json())
    exact(VectorStoreFileDeleted, files.delete(bad, vector_store_id=made.id).http_response.json())
    exact(VectorStoreDeleted, raw.delete(made.id).http_response.json())


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (vector_stores.VectorStoreCreate, vector_store_create_params.VectorStoreCreateParams),
        (vector_stores.VectorStoreUpdate, vector_store_update_params.VectorStoreUpdateParams),
        (vector_stores.VectorStoreSearch, vector_store_search_params.VectorStoreSearchParams),
        (vector_stores.RankingOptions, vector_store_search_params.RankingOptions),
        (vector_store_files.FileAttach, file_create_params.FileCreateParams),
        (vector_store_files.FileBatchCreate, file_batch_create_params.FileBatchCreateParams),
        (vector_store_files.BatchFile, file_batch_create_params.File),
    ],
)
def test_requests_have_the_fields_of_the_sdk(ours: Any, theirs: Any) -> None:
    assert set(ours.model_fields) == set(get_type_hints(theirs))


def test_updates_of_files_have_the_fields_of_the_sdk() -> None:
    theirs = set(get_type_hints(file_update_params.FileUpdateParams)) - {"vector_store_id"}
    assert set(vector_store_files.FileUpdate.model_fields) == theirs


async def test_the_asynchronous_client(live: Live, tmp_path: Path) -> None:
    (tmp_path / "plant.md").write_text(f"# Plants\n\n{PLANT}\n")
    async with live.async_openai() as client:
        store = await client.vector_stores.create(name="later")
        done = await client.vector_stores.files.upload_and_poll(vector_store_id=store.id, file=tmp_path / "plant.md")
        assert done.status == "completed", done.last_error
        found = await client.vector_stores.search(store.id, query="when is the greenhouse watered")
        assert found.data[0].filename == "plant.md"
        file_ids = [(await client.files.create(file=f"{CAR} {n}".encode(), purpose="assistants")).id for n in range(3)]
        batch = await client.vector_stores.file_batches.create_and_poll(store.id, file_ids=file_ids)
        assert batch.file_counts.completed == 3
        assert len([one async for one in client.vector_stores.files.list(store.id, limit=2)]) == 4
        results = await asyncio.gather(*(client.vector_stores.search(store.id, query="company car") for _ in range(8)))
        assert all(CAR in result.data[0].content[0].text for result in results)
        assert (await client.vector_stores.delete(store.id)).deleted


def test_bad_requests_are_told_so(live: Live) -> None:
    client, url = live.openai(), f"{live.url}/v1/vector_stores"
    store, file = client.vector_stores.create().id, _file(live.openai())
    static = {"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 60}}
    for path, body, param in (
        ("", {"expires_after": {"anchor": "created_at", "days": 1}}, "expires_after.anchor"),
        ("", {"expires_after": {"anchor": "last_active_at", "days": 0}}, "expires_after.days"),
        ("", {"chunking_strategy": static}, "chunking_strategy.static.chunk_overlap_tokens"),
        ("", {"mischief": 1}, "mischief"),
        ("", {"metadata": {"a": 1}}, "metadata.a"),
        (f"/{store}/files", {}, "file_id"),
        (f"/{store}/files", {"file_id": file, "attributes": {"a": [1]}}, "attributes.a"),
        (f"/{store}/files", {"file_id": file, "attributes": {str(n): n for n in range(17)}}, "attributes"),
        (f"/{store}/files/{file}", {}, "attributes"),
        (f"/{store}/file_batches", {}, "file_ids"),
        (f"/{store}/file_batches", {"file_ids": []}, "file_ids"),
        (f"/{store}/file_batches", {"file_ids": [file], "files": [{"file_id": file}]}, "file_ids"),
        (f"/{store}/search", {"query": ""}, "query"),
        (f"/{store}/search", {"query": "x", "max_num_results": 51}, "max_num_results"),
        (f"/{store}/search", {"query": "x", "ranking_options": {"score_threshold": 2}}, "ranking_options.score_threshold"),
        (f"/{store}/search", {"query": "x", "filters": {"type": "and", "filters": []}}, "filters"),
        (
            f"/{store}/search",
            {"query": "x", "filters": {"type": "or", "filters": [{"type": "is", "key": "a", "value": 1}]}},
            "filters.filters.0.type",
        ),
    ):
        answer = httpx.post(url + path, json=body)
        assert answer.status_code == 400, (path, body, answer.text)
        assert answer.json()["error"]["param"] == param, (path, body, answer.text)
    for query in ("limit=0", "limit=101", "order=up", "filter=done", "more=1"):
        assert httpx.get(f"{url}/{store}/files?{query}").status_code == 400
    for path in (f"/{store}/files/file-none", "/vs_none", "/..%2f..", "/%00", f"/{store}/file_batches/vsfb_none"):
        assert httpx.get(url + path).status_code in (400, 404)
    with pytest.raises(openai.NotFoundError):
        client.vector_stores.files.create(store, file_id="file-none")
    with pytest.raises(openai.NotFoundError, match="no-such-model"):
        client.vector_stores.search(_store(client, PLANT).id, query="greenhouse", ranking_options={"ranker": "no-such-model"})  # type: ignore[typeddict-item]


def test_a_changed_file_takes_the_place_of_the_old_one(live: Live) -> None:
    client = live.openai()
    store = _store(client, PLANT)
    (old,) = client.vector_stores.files.list(store.id)
    new = _file(client, PLANT + "\n\n" + CAR)
    client.vector_stores.files.create(store.id, file_id=new, extra_headers={"X-Hausgeist-Replaces": old.id})
    _settled(client, store.id)
    assert [one.id for one in client.vector_stores.files.list(store.id)] == [new]
    with pytest.raises(openai.NotFoundError):
        client.vector_stores.files.create(store.id, file_id=old.id, extra_headers={"X-Hausgeist-Replaces": "file-none"})


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Live, dict[str, openai.OpenAI]]]:
    server = Live(home=tmp_path_factory.mktemp("guarded"), settings={"keys_required": True})
    server.start()
    workspace = server.app.workspace
    keys = {role: server.run(workspace.create_key(project="default", name=role, role=role))[1] for role in ("owner", "member", "reader")}
    elsewhere = server.run(workspace.create_project("other"))
    keys["elsewhere"] = server.run(workspace.create_key(project=elsewhere.id, name="elsewhere", role="owner"))[1]
    clients = {name: openai.OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0) for name, key in keys.items()}
    yield server, clients
    for client in clients.values():
        client.close()
    server.stop()


def test_rights(guarded: tuple[Live, dict[str, openai.OpenAI]]) -> None:
    server, clients = guarded
    member, reader = clients["member"], clients["reader"]
    store = _store(member, PLANT)
    (file,) = reader.vector_stores.files.list(store.id)
    assert len(reader.vector_stores.search(store.id, query="greenhouse").data) == 1
    assert reader.vector_stores.files.content(file.id, vector_store_id=store.id).data
    for refused in (
        reader.vector_stores.create,
        lambda: reader.vector_stores.update(store.id, name="x"),
        lambda: reader.vector_stores.delete(store.id),
        lambda: reader.vector_stores.files.create(store.id, file_id=file.id),
        lambda: reader.vector_stores.files.update(file.id, vector_store_id=store.id, attributes={}),
        lambda: reader.vector_stores.files.delete(file.id, vector_store_id=store.id),
        lambda: reader.vector_stores.file_batches.create(store.id, file_ids=[file.id]),
    ):
        with pytest.raises(openai.PermissionDeniedError):
            refused()
    rows = {row.action for row in server.app.governor.audit.entries(outcome="allowed")}
    assert {"vector_store.create", "vector_store.search"} <= rows
    assert "vector_store.read" not in rows


SECRET = "nobody elsewhere may read about the purple submarine"


@pytest.fixture(scope="module")
def theirs(guarded: tuple[Live, dict[str, openai.OpenAI]]) -> Iterator[dict[str, Any]]:
    """What the other project has, and what this one has: ids of every kind, by whose they are."""
    _, clients = guarded
    owner, stranger = clients["owner"], clients["elsewhere"]
    store = owner.vector_stores.create(name="submarine", metadata={"about": "submarine"})
    file = _file(owner, SECRET, "submarine.txt")
    batch = owner.vector_stores.file_batches.create_and_poll(store.id, file_ids=[file], attributes={"colour": "purple"})
    own = stranger.vector_stores.create(name="mine")
    # The same bytes, name and attributes as in nothing of theirs: an own file that is only like it in its words.
    mine = _file(stranger, "my own words about gardens", "garden.txt")
    own_batch = stranger.vector_stores.file_batches.create_and_poll(own.id, file_ids=[mine], attributes={"colour": "green"})
    with httpx.Client() as http:
        yield {
            "client": stranger,
            "http": http,
            "stores": {"theirs": store.id, "own": own.id},
            "files": {"theirs": file, "own": mine},
            "batches": {"theirs": batch.id, "own": own_batch.id},
        }


WHOSE = st.sampled_from(["theirs", "own"])
VALUES = st.sampled_from(["purple", "green", "submarine", "%", "' OR 1=1 --", "submarine.txt"])
LEAVES = st.fixed_dictionaries(
    {"type": st.sampled_from(["eq", "ne", "gt", "gte", "lt", "lte"]), "key": st.sampled_from(["colour", "none", "store", "project"]), "value": VALUES}
) | st.fixed_dictionaries({"type": st.sampled_from(["in", "nin"]), "key": st.sampled_from(["colour", "none"]), "value": st.lists(VALUES, max_size=3)})
FILTERS = st.recursive(
    LEAVES,
    lambda inner: st.fixed_dictionaries({"type": st.sampled_from(["and", "or"]), "filters": st.lists(inner, min_size=1, max_size=3)}),
    max_leaves=6,
)
OPERATIONS = st.sampled_from(
    [
        ("GET", "/vector_stores"), ("GET", "/vector_stores/{store}"), ("POST", "/vector_stores/{store}"), ("POST", "/vector_stores/{store}/search"),
        ("GET", "/vector_stores/{store}/files"), ("POST", "/vector_stores/{store}/files"), ("GET", "/vector_stores/{store}/files/{file}"),
        ("POST", "/vector_stores/{store}/files/{file}"), ("GET", "/vector_stores/{store}/files/{file}/content"),
        ("POST", "/vector_stores/{store}/file_batches"), ("GET", "/vector_stores/{store}/file_batches/{batch}"),
        ("GET", "/vector_stores/{store}/file_batches/{batch}/files"), ("POST", "/vector_stores/{store}/file_batches/{batch}/cancel"),
        ("POST", "/vector_stores"), ("DELETE", "/vector_stores/{store}/files/{file}"), ("DELETE", "/vector_stores/{store}"),
    ]
)  # fmt: skip


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(operation=OPERATIONS, store=WHOSE, file=WHOSE, other=WHOSE, batch=WHOSE, filters=st.none() | FILTERS, data=st.data())
def test_no_project_reads_another(
    theirs: dict[str, Any], operation: tuple[str, str], store: str, file: str, other: str, batch: str, filters: Any, data: st.DataObject
) -> None:
    method, path = operation
    client: openai.OpenAI = theirs["client"]
    ids = {"store": theirs["stores"][store], "file": theirs["files"][file], "batch": theirs["batches"][batch]}
    if method == "DELETE" and "theirs" not in (store, file):
        return  # what is one's own would only be gone for the next example
    body: dict[str, Any] = {}
    if path.endswith("/search"):
        body = {"query": data.draw(st.sampled_from(["purple submarine", "submarine.txt", "words about gardens", '"purple submarine"']))}
        body |= {"filters": filters} if filters is not None else {}
    elif path.endswith("/files"):
        body = {"file_id": ids["file"]}
    elif path.endswith("/file_batches"):
        body = {"file_ids": [ids["file"], theirs["files"][other]]}
    elif path.endswith("/{file}"):
        body = {"attributes": {"colour": "green"}}
    elif path == "/vector_stores":
        body = {"file_ids": [ids["file"]]} if "file" in path or method == "POST" else {}
    query = data.draw(st.sampled_from(["", f"?after={ids['store']}", f"?before={ids['file']}", f"?after={theirs['files']['theirs']}"]))
    options: Any = {"headers": data.draw(st.sampled_from([{}, {"X-Hausgeist-Replaces": ids["file"]}, {"OpenAI-Project": "default"}]))}
    address = str(client.base_url).rstrip("/") + path.format(**ids) + (query if method == "GET" else "")
    headers = {"Authorization": f"Bearer {client.api_key}", **options["headers"]}
    answer = theirs["http"].request(method, address, json=body if method == "POST" else None, headers=headers)
    assert answer.status_code < 500, answer.text
    # Not the ids and questions that were asked, which an answer repeats; but nothing that is said or called so there.
    told = str(answer.json().get("data")) if path.endswith("/search") else answer.text
    for word in ("purple submarine", "submarine.txt", "nobody elsewhere", '"about"'):
        assert word not in told
    named = {"store": store, "file": file, "batch": batch}
    if any(f"{{{kind}}}" in path and whose == "theirs" for kind, whose in named.items()):
        assert answer.status_code in (400, 401, 403, 404), (method, path, answer.text)


def test_what_was_tried_changed_nothing(guarded: tuple[Live, dict[str, openai.OpenAI]], theirs: dict[str, Any]) -> None:
    owner = guarded[1]["owner"]
    store = owner.vector_stores.retrieve(theirs["stores"]["theirs"])
    assert (store.name, store.file_counts.completed, store.metadata) == ("submarine", 1, {"about": "submarine"})
    (hit,) = owner.vector_stores.search(store.id, query="purple submarine")
    assert (hit.content[0].text, hit.attributes) == (SECRET, {"colour": "purple"})
    for mine in theirs["client"].vector_stores.list():
        assert all(file.id != theirs["files"]["theirs"] for file in theirs["client"].vector_stores.files.list(mine.id))


def _holding(home: Path, word: str) -> list[str]:
    """Files of the home in which a word stands. What is being exchanged meanwhile is looked at the next time."""
    found = []
    for path in home.rglob("*"):
        try:
            if path.is_file() and word.encode() in path.read_bytes():
                found.append(str(path.relative_to(home)))
        except FileNotFoundError:
            continue
    return found


def test_what_is_deleted_is_in_no_byte_of_the_home(guarded: tuple[Live, dict[str, openai.OpenAI]]) -> None:
    """The file, its text, its passages, their words in the index; the rest of the store is found as ever."""
    server, clients = guarded
    owner, word = clients["owner"], "xylophonkonzert"
    secret = _file(owner, f"The {word} is on Monday. " * 400, f"{word}.txt")
    store = owner.vector_stores.create(name="concerts", file_ids=[secret, _file(owner, PLANT)])
    assert _settled(owner, store.id).file_counts.completed == 2
    assert word in owner.vector_stores.search(store.id, query=word).data[0].content[0].text
    assert len(_holding(server.home, word)) >= 2
    owner.files.delete(secret)
    assert word not in str(owner.vector_stores.search(store.id, query=word).data)
    until = time.monotonic() + 90
    while left := _holding(server.home, word):
        assert time.monotonic() < until, left
        time.sleep(0.1)
    assert owner.vector_stores.search(store.id, query="greenhouse").data[0].content[0].text == PLANT
    assert owner.vector_stores.retrieve(store.id).file_counts.total == 1

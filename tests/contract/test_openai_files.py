"""Files and uploads through the official SDK: what goes in comes out, whole or in parts, and nothing of it becomes a page of this server."""

from __future__ import annotations

import hashlib
import io
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import openai
import psutil
import pytest
from openai.types import FileDeleted, FileObject, Upload
from openai.types.uploads import UploadPart

from tests.contract.conftest import Live
from tests.contract.exact import exact

HOUR: Any = {"anchor": "created_at", "seconds": 3600}


def _files_create(client: openai.OpenAI) -> None:
    made = client.files.create(file=("notes.txt", b"hello"), purpose="user_data", expires_after=HOUR)
    assert (made.bytes, made.filename, made.purpose, made.status) == (5, "notes.txt", "user_data", "processed")
    assert made.expires_at == made.created_at + 3600


def _files_retrieve(client: openai.OpenAI) -> None:
    made = client.files.create(file=io.BytesIO(b"hello"), purpose="vision")
    assert client.files.retrieve(made.id) == made
    assert client.files.wait_for_processing(made.id, poll_interval=0.01, max_wait_seconds=5).status == "processed"


def _files_list(client: openai.OpenAI) -> None:
    made = [client.files.create(file=b"hello", purpose="fine-tune") for _ in range(5)]
    # The SDK asks for one page after the other by itself.
    found = [file.id for file in client.files.list(purpose="fine-tune", limit=2, order="asc")]
    assert found[-5:] == [file.id for file in made]
    assert client.files.list(purpose="fine-tune", limit=1).data == [made[-1]]
    assert client.files.list(purpose="none").data == []


def _files_delete(client: openai.OpenAI) -> None:
    made = client.files.create(file=b"hello", purpose="user_data")
    assert client.files.delete(made.id).deleted
    for use in (client.files.retrieve, client.files.content, client.files.delete):
        with pytest.raises(openai.NotFoundError):
            use(made.id)


def _files_content(client: openai.OpenAI) -> None:
    data = bytes(range(256)) * 1000
    made = client.files.create(file=data, purpose="user_data")
    assert client.files.content(made.id).read() == data
    with client.files.with_streaming_response.content(made.id) as streamed:
        assert b"".join(streamed.iter_bytes()) == data


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def _files_retrieve_content(client: openai.OpenAI) -> None:
    made = client.files.create(file="grün".encode(), purpose="user_data")
    with pytest.warns(DeprecationWarning, match="content"):
        assert client.files.retrieve_content(made.id) == "grün"


def _uploads_complete(client: openai.OpenAI) -> None:
    upload = client.uploads.create(bytes=11, filename="big.txt", mime_type="text/plain", purpose="assistants", expires_after=HOUR)
    assert (upload.status, upload.expires_at, upload.file) == ("pending", upload.created_at + 3600, None)
    world, hello = client.uploads.parts.create(upload.id, data=b" world"), client.uploads.parts.create(upload.id, data=b"hello")
    md5 = hashlib.md5(b"hello world").hexdigest()
    with pytest.raises(openai.BadRequestError, match="md5"):
        client.uploads.complete(upload.id, part_ids=[world.id, hello.id], md5=md5)
    done = client.uploads.complete(upload.id, part_ids=[hello.id, world.id], md5=md5)
    assert done.status == "completed"
    assert done.file is not None
    assert done.file.expires_at == done.file.created_at + 3600
    assert client.files.content(done.file.id).read() == b"hello world"


def _uploads_cancel(client: openai.OpenAI) -> None:
    upload = client.uploads.create(bytes=5, filename="big.txt", mime_type="text/plain", purpose="assistants")
    client.uploads.parts.create(upload.id, data=b"hello")
    assert client.uploads.cancel(upload.id).status == "cancelled"
    with pytest.raises(openai.ConflictError):
        client.uploads.parts.create(upload.id, data=b"x")


def _uploads_chunked(client: openai.OpenAI) -> None:
    data = bytes(range(256)) * 5000
    md5 = hashlib.md5(data).hexdigest()
    done = client.uploads.upload_file_chunked(
        file=data, filename="a", bytes=len(data), mime_type="text/plain", purpose="user_data", part_size=300_000, md5=md5
    )
    assert done.file is not None
    assert client.files.content(done.file.id).read() == data


ROUND_TRIPS: dict[str, Callable[[openai.OpenAI], None]] = {
    "files.content": _files_content,
    "files.create": _files_create,
    "files.delete": _files_delete,
    "files.list": _files_list,
    "files.retrieve": _files_retrieve,
    "files.retrieve_content": _files_retrieve_content,
    "files.wait_for_processing": _files_retrieve,
    "uploads.cancel": _uploads_cancel,
    "uploads.complete": _uploads_complete,
    "uploads.create": _uploads_complete,
    "uploads.parts.create": _uploads_complete,
    "uploads.upload_file_chunked": _uploads_chunked,
}
"""For `test_openai_surface`."""


def test_replies_are_exactly_those_of_the_sdk(live: Live) -> None:
    raw = live.openai()
    made = exact(FileObject, raw.files.with_raw_response.create(file=b"x", purpose="user_data").http_response.json())
    assert exact(FileObject, raw.files.with_raw_response.retrieve(made.id).http_response.json()) == made
    page = raw.files.with_raw_response.list(limit=1).http_response.json()
    assert {"object", "data", "first_id", "last_id", "has_more"} == set(page)
    assert (page["object"], page["first_id"], page["last_id"]) == ("list", made.id, made.id)
    exact(FileObject, page["data"][0])
    exact(FileDeleted, raw.files.with_raw_response.delete(made.id).http_response.json())
    begun = raw.uploads.with_raw_response.create(bytes=1, filename="a", mime_type="text/plain", purpose="vision").http_response.json()
    upload = exact(Upload, begun)
    part = exact(UploadPart, raw.uploads.parts.with_raw_response.create(upload.id, data=b"x").http_response.json())
    exact(Upload, raw.uploads.with_raw_response.complete(upload.id, part_ids=[part.id]).http_response.json())
    other = raw.uploads.create(bytes=1, filename="a", mime_type="text/plain", purpose="vision")
    exact(Upload, raw.uploads.with_raw_response.cancel(other.id).http_response.json())


async def test_the_asynchronous_client(live: Live, tmp_path: Path) -> None:
    (tmp_path / "long.txt").write_bytes(b"hello" * 1000)
    async with live.async_openai() as client:
        made = await client.files.create(file=tmp_path / "long.txt", purpose="user_data")
        assert (made.filename, made.bytes) == ("long.txt", 5000)
        assert (await client.files.content(made.id)).read() == b"hello" * 1000
        assert made.id in [file.id async for file in client.files.list(limit=3)]
        done = await client.uploads.upload_file_chunked(file=tmp_path / "long.txt", mime_type="text/plain", purpose="user_data", part_size=2000)
        assert done.file is not None
        assert done.file.bytes == 5000
        for file in (made, done.file):
            assert (await client.files.delete(file.id)).deleted


@pytest.fixture
def kept(live: Live) -> FileObject:
    return live.openai().files.create(file=('ev"il\n.html', b"<script>alert(1)</script>", "text/html"), purpose="user_data")


def test_what_comes_out_is_never_a_page(live: Live, kept: FileObject) -> None:
    answer = httpx.get(f"{live.url}/v1/files/{kept.id}/content")
    assert answer.text == "<script>alert(1)</script>"
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-disposition"].startswith("attachment; filename")
    assert "\n" not in answer.headers["content-disposition"]
    assert answer.headers["content-security-policy"].startswith("sandbox")
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("asked", "status", "got"),
    [
        ("bytes=0-7", 206, b"<script>"),
        ("bytes=-9", 206, b"</script>"),
        ("bytes=21-", 206, b"ipt>"),
        ("bytes=100-", 416, b""),
        ("bytes=7-3", 400, b""),
    ],
)
def test_ranges(live: Live, kept: FileObject, asked: str, status: int, got: bytes) -> None:
    answer = httpx.get(f"{live.url}/v1/files/{kept.id}/content", headers={"range": asked})
    assert answer.status_code == status
    if status == 206:
        assert answer.content == got
        assert answer.headers["content-range"].endswith("/25")


def test_bad_requests_are_told_so(live: Live) -> None:
    client = live.openai()
    purpose: Any = "mischief"
    with pytest.raises(openai.BadRequestError) as refused:
        client.files.create(file=b"x", purpose=purpose)
    assert refused.value.param == "purpose"
    with pytest.raises(openai.BadRequestError) as refused:
        client.files.create(file=b"x", purpose="vision", expires_after={"anchor": "created_at", "seconds": 10})
    assert refused.value.param == "expires_after.seconds"
    with pytest.raises(openai.BadRequestError, match="multipart"):
        client.post("/files", body={"purpose": "vision"}, cast_to=object)
    for order in ("up", ""):
        with pytest.raises(openai.BadRequestError):
            client.files.list(extra_query={"order": order})
    for limit in ("0", "10001", "x", "-1"):
        with pytest.raises(openai.BadRequestError):
            client.files.list(extra_query={"limit": limit})
    with pytest.raises(openai.NotFoundError):
        client.files.list(after="file-none")
    for file in ("file-none", "..%2f..%2fhausgeist.db", "%00", "x" * 3000):
        assert httpx.get(f"{live.url}/v1/files/{file}/content").status_code in (400, 404)
    with pytest.raises(openai.BadRequestError):
        client.uploads.create(bytes=0, filename="a", mime_type="text/plain", purpose="vision")
    with pytest.raises(openai.BadRequestError):
        client.uploads.create(bytes=9 << 30, filename="a", mime_type="text/plain", purpose="vision")
    with pytest.raises(openai.NotFoundError):
        client.uploads.parts.create("upload_none", data=b"x")


@pytest.fixture
def bounded(tmp_path: Path) -> Any:
    server = Live(home=tmp_path / "home", settings={"file_limit": 100_000, "project_files": 250_000, "keys_required": True})
    server.start()
    yield server
    server.stop()


def test_bounds_and_rights(bounded: Live) -> None:
    workspace = bounded.app.workspace
    keys = {role: bounded.run(workspace.create_key(project="default", name=role, role=role))[1] for role in ("owner", "member", "reader")}
    elsewhere = bounded.run(workspace.create_project("other"))
    keys["elsewhere"] = bounded.run(workspace.create_key(project=elsewhere.id, name="elsewhere", role="owner"))[1]
    clients = {name: openai.OpenAI(base_url=f"{bounded.url}/v1", api_key=key, max_retries=0) for name, key in keys.items()}
    nobody = httpx.post(f"{bounded.url}/v1/files", files={"file": b"x" * 1000}, data={"purpose": "vision"})
    assert nobody.status_code == 401
    made = clients["member"].files.create(file=b"x" * 100_000, purpose="user_data")
    assert clients["reader"].files.content(made.id).read() == b"x" * 100_000
    for refused in (lambda: clients["reader"].files.create(file=b"x", purpose="user_data"), lambda: clients["reader"].files.delete(made.id)):
        with pytest.raises(openai.PermissionDeniedError):
            refused()
    with pytest.raises(openai.NotFoundError):
        clients["elsewhere"].files.retrieve(made.id)
    with pytest.raises(openai.APIStatusError) as large:
        clients["member"].files.create(file=b"x" * 100_001, purpose="user_data")
    assert large.value.status_code == 413
    clients["owner"].files.create(file=b"x" * 100_000, purpose="user_data")
    with pytest.raises(openai.APIStatusError, match="project_files") as full:
        clients["member"].files.create(file=b"x" * 60_000, purpose="user_data")
    assert full.value.status_code == 413
    assert len(clients["elsewhere"].files.list().data) == 0
    clients["elsewhere"].files.create(file=b"x" * 60_000, purpose="user_data")
    assert clients["member"].files.delete(made.id).deleted
    assert clients["member"].files.create(file=b"x" * 60_000, purpose="user_data").bytes == 60_000
    rows = [row.action for row in bounded.app.governor.audit.entries(outcome="allowed")]
    assert "file.delete" in rows
    assert "file.read" not in rows
    for client in clients.values():
        client.close()


def test_large_files_take_little_memory(live: Live, tmp_path: Path) -> None:
    """160 MB in parts as large as the SDK makes them: the server's memory does not grow with the file."""
    size = 160 << 20
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(size)
    process = psutil.Process()
    before, began = process.memory_info().rss, time.monotonic()
    # In a process of its own, for what the client holds counts as ours otherwise.
    ended = psutil.Popen(
        [
            sys.executable,
            "-c",
            "import openai, pathlib, sys\n"
            "client = openai.OpenAI(base_url=sys.argv[1], api_key='x', max_retries=0)\n"
            "print(client.uploads.upload_file_chunked(file=pathlib.Path(sys.argv[2]), mime_type='text/plain', purpose='user_data').file.id)",
            f"{live.url}/v1",
            str(tmp_path / "sparse"),
        ],
        stdout=-1,
        text=True,
    )
    most = before
    while ended.poll() is None:
        most = max(most, process.memory_info().rss)
        time.sleep(0.02)
    found = ended.stdout.read().strip()
    ended.stdout.close()
    assert most - before < 48 << 20, f"{(most - before) / 2**20:.0f} MiB in {time.monotonic() - began:.1f} s"
    file = live.openai().files.retrieve(found)
    assert file.bytes == size
    with live.openai().files.with_streaming_response.content(found) as streamed:
        assert sum(len(chunk) for chunk in streamed.iter_bytes(1 << 20)) == size
    assert live.openai().files.delete(found).deleted

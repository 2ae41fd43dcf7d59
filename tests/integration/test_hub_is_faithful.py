"""The hub of the tests against the real client of the real hub: what that one downloads and lists is what was put there."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from hausgeist.library.sources.adoption import discover
from tests.hub import Hub

WEIGHTS = bytes(range(256)) * 5000

CLIENT = """
import json, sys
from huggingface_hub import HfApi, hf_hub_download, snapshot_download
from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError
try:
    print(json.dumps(eval(sys.argv[1]), default=str))
except HfHubHTTPError as error:
    print(json.dumps({"error": type(error).__name__}))
"""

Ask = Callable[..., object]


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as hub:
        hub.add("owner/model", {"README.md": b"---\nlicense: mit\n---\n", "sub/model-Q4_K_M.gguf": WEIGHTS}, card={"license": "mit"}, tags=["gguf"])
        yield hub


@pytest.fixture
def ask(hub: Hub, tmp_path: Path) -> Ask:
    """What the client says to an expression, in a process of its own: it reads its settings when it is imported."""

    def run(expression: str, **environment: str) -> object:
        names = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
        ended = subprocess.run(
            [sys.executable, "-c", CLIENT, expression],
            env={"PATH": "/usr/bin:/bin", "HF_HUB_DISABLE_PROGRESS_BARS": "1", **names, **environment},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr[-3000:]
        return json.loads(ended.stdout.splitlines()[-1])

    return run


def test_a_snapshot_is_downloaded(hub: Hub, ask: Ask) -> None:
    folder = Path(str(ask("snapshot_download('owner/model')")))
    assert folder.name == hub.repositories["owner/model"].commit
    assert (folder / "sub/model-Q4_K_M.gguf").read_bytes() == WEIGHTS
    assert (folder / "README.md").read_bytes().startswith(b"---")
    blob = (folder / "sub/model-Q4_K_M.gguf").resolve()
    assert blob.name == hub.repositories["owner/model"].files["sub/model-Q4_K_M.gguf"].sha256
    assert [one.path for one in hub.requests("cdn")] == [f"/{blob.name}"]
    assert "Authorization" not in hub.requests("cdn")[0].headers


def test_what_the_client_downloaded_can_be_adopted(hub: Hub, ask: Ask, tmp_path: Path) -> None:
    folder = Path(str(ask("snapshot_download('owner/model')")))
    (found,) = [one for one in discover({}, tmp_path, hf_home=tmp_path / "home") if one.tool == "huggingface"]
    assert found.name == "hf.co/owner/model:Q4_K_M"
    assert found.files == ((folder / "sub/model-Q4_K_M.gguf").resolve(),)
    assert found.release.version == hub.repositories["owner/model"].files["sub/model-Q4_K_M.gguf"].sha256


def test_what_there_is_can_be_listed(hub: Hub, ask: Ask) -> None:
    listed = ask("[(one.rfilename, one.size, one.lfs and one.lfs.sha256) for one in HfApi().model_info('owner/model', files_metadata=True).siblings]")
    files = hub.repositories["owner/model"].files
    assert listed == [[path, file.size, file.sha256 if file.lfs else None] for path, file in sorted(files.items())]
    assert ask("[one.path for one in HfApi().list_repo_tree('owner/model', recursive=True)]") == sorted(files)
    assert ask("HfApi().model_info('owner/model').card_data.license") == "mit"


def test_a_renamed_repository_is_followed(hub: Hub, ask: Ask) -> None:
    hub.rename("owner/model", "owner/better")
    assert Path(str(ask("hf_hub_download('owner/model', 'sub/model-Q4_K_M.gguf')"))).read_bytes() == WEIGHTS
    assert ask("HfApi().model_info('owner/model').id") == "owner/better"


def test_errors_are_told_apart(hub: Hub, ask: Ask) -> None:
    hub.add("owner/gated", {"model.gguf": WEIGHTS}, gated=True)
    hub.add("owner/private", {"model.gguf": WEIGHTS}, private=True)
    for expression, error in (
        ("hf_hub_download('owner/none', 'x.gguf')", "RepositoryNotFoundError"),
        ("hf_hub_download('owner/private', 'model.gguf')", "RepositoryNotFoundError"),
        ("hf_hub_download('owner/model', 'x.gguf')", "RemoteEntryNotFoundError"),
        ("HfApi().model_info('owner/model', revision='x')", "RevisionNotFoundError"),
        ("hf_hub_download('owner/gated', 'model.gguf')", "GatedRepoError"),
        ("HfApi().auth_check('owner/gated')", "GatedRepoError"),
        ("HfApi(token='hf_other').auth_check('owner/gated')", "GatedRepoError"),
        ("HfApi().auth_check('owner/none')", "RepositoryNotFoundError"),
    ):
        assert ask(expression) == {"error": error}, expression
    for name in ("gated", "private"):
        assert Path(str(ask(f"hf_hub_download('owner/{name}', 'model.gguf')", HF_TOKEN=Hub.READER))).read_bytes() == WEIGHTS
    assert "Authorization" in hub.requests("resolve")[-1].headers
    assert all("Authorization" not in one.headers for one in hub.requests("cdn"))


def test_the_client_gets_over_faults(hub: Hub, ask: Ask) -> None:
    hub.fault("cut", after=300_000)
    hub.fault("status", where="resolve", status=503)
    started = time.monotonic()
    assert Path(str(ask("hf_hub_download('owner/model', 'sub/model-Q4_K_M.gguf')"))).read_bytes() == WEIGHTS
    assert time.monotonic() - started < 30
    assert len(hub.requests("cdn")) == 2
    assert all(fault.times == 0 for fault in hub.faults)


def test_ranges_and_addresses_that_expire(hub: Hub) -> None:
    with httpx.Client(trust_env=False, timeout=10) as client:
        there = f"{hub.url}/owner/model/resolve/main/sub/model-Q4_K_M.gguf"
        found = client.get(there)
        assert (found.status_code, found.headers["X-Linked-Size"]) == (302, str(len(WEIGHTS)))
        signed = found.headers["Location"]
        for asked, status, expected in (
            ("bytes=0-9", 206, WEIGHTS[:10]),
            ("bytes=1279990-", 206, WEIGHTS[-10:]),
            ("bytes=-5", 206, WEIGHTS[-5:]),
            ("bytes=1280000-", 416, b""),
        ):
            answer = client.get(signed, headers={"Range": asked})
            assert (answer.status_code, answer.content) == (status, expected), asked
        assert client.get(signed, headers={"Range": "bytes=3-5"}).headers["Content-Range"] == "bytes 3-5/1280000"
        assert client.get(signed, headers={"Range": "bytes=3-5", "If-Range": '"another"'}).status_code == 200
        assert client.get(signed, headers={"Authorization": "Bearer x"}).status_code == 400
        hub.lifetime = -1
        assert client.get(client.get(there).headers["Location"]).status_code == 403
        assert client.get(f"{hub.url}/owner/model/resolve/main/README.md", headers={"Range": "bytes=0-2"}).content == b"---"


def test_each_fault_does_what_it_says(hub: Hub) -> None:
    with httpx.Client(trust_env=False, timeout=10) as client:
        signed = client.get(f"{hub.url}/owner/model/resolve/main/sub/model-Q4_K_M.gguf").headers["Location"]
        first = {"Range": "bytes=0-99"}
        hub.fault("status", status=429, retry_after="2")
        assert client.get(signed).headers["Retry-After"] == "2"
        hub.fault("whole")
        assert (answer := client.get(signed, headers=first)).status_code == 200
        assert answer.content == WEIGHTS
        hub.fault("shifted")
        assert (answer := client.get(signed, headers=first)).headers["Content-Range"] == "bytes 1-99/1280000"
        assert answer.content == WEIGHTS[1:100]
        hub.fault("flipped")
        assert client.get(signed, headers=first).content == bytes([WEIGHTS[0] ^ 1]) + WEIGHTS[1:100]
        hub.fault("expired")
        assert client.get(signed).status_code == 403
        before = client.get(signed, headers=first).headers["ETag"]
        hub.fault("etag")
        assert client.get(signed, headers=first).headers["ETag"] != before
        hub.fault("slow", rate=400)
        started = time.monotonic()
        assert client.get(signed, headers=first).content == WEIGHTS[:100]
        assert time.monotonic() - started > 0.15
        hub.fault("cut", after=50)
        got: list[bytes] = []
        with client.stream("GET", signed, headers=first) as stream, pytest.raises(httpx.RemoteProtocolError):
            got.extend(stream.iter_raw())
        assert b"".join(got) == WEIGHTS[:50]
        hub.fault("hang")
        with pytest.raises(httpx.ReadTimeout):
            client.get(signed, timeout=0.2)
        assert client.get(signed, headers=first).content == WEIGHTS[:100]

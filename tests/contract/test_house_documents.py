"""/house/v1/files/{id}/text, pages, pictures and boxes, /house/v1/stores and /house/v1/search, over HTTP, on a server that runs."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from hausgeist.cli.demo import PAPERS
from tests.contract.conftest import Live

LEASE = PAPERS / "Mietvertrag Kornspeicher.pdf"
SHEET = PAPERS / "Preisliste 2026.xlsx"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    live = Live(home=tmp_path_factory.mktemp("home"))
    live.start()
    yield live
    live.stop()


class House:
    """The owner in the project `default`, and a person of another project."""

    def __init__(self, live: Live) -> None:
        self.owner = httpx.Client(base_url=live.url, timeout=60)
        workspace = live.app.workspace
        user = live.run(workspace.create_user("ada"))
        project = live.run(workspace.create_project("abroad", owner=user.id))
        key = live.run(workspace.create_key(project=project.id, name="ada", role="owner", user=user.id))[1]
        self.ada = httpx.Client(base_url=live.url, headers={"authorization": f"Bearer {key}"}, timeout=60)
        self.store = self.made("POST", "/v1/vector_stores", json={"name": "documents"})["id"]
        self.lease, self.sheet = self.bring(LEASE), self.bring(SHEET)
        self.broken = self.bring(Path("broken.pdf"), b"%PDF-1.7\nthis is none")
        deadline = time.monotonic() + 90
        while self.made("GET", f"/house/v1/stores/{self.store}/progress")["counts"]["in_progress"]:
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def made(self, method: str, path: str, **more: Any) -> Any:
        answer = self.owner.request(method, path, **more)
        assert answer.status_code in (200, 201), answer.text
        return answer.json()

    def bring(self, path: Path, content: bytes | None = None) -> str:
        form = {"file": (path.name, io.BytesIO(path.read_bytes() if content is None else content))}
        file = str(self.made("POST", "/v1/files", data={"purpose": "assistants"}, files=form)["id"])
        self.made("POST", f"/v1/vector_stores/{self.store}/files", json={"file_id": file, "attributes": {"kind": path.suffix}})
        return file


@pytest.fixture(scope="module")
def house(server: Live) -> Iterator[House]:
    house = House(server)
    yield house
    house.owner.close()
    house.ada.close()


def refused(answer: httpx.Response, status: int, *words: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    error: dict[str, Any] = answer.json()["error"]
    for word in words:
        assert word in error["message"]
    return error


def test_text_comes_whole_and_in_parts(house: House) -> None:
    whole = house.owner.get(f"/house/v1/files/{house.lease}/text")
    assert whole.status_code == 200
    assert whole.headers["content-type"] == "text/plain; charset=utf-8"
    assert whole.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in whole.headers["content-security-policy"]
    assert "28. Februar 2029" in whole.text
    assert int(whole.headers["x-characters"]) == len(whole.text)
    start = whole.text.index("Kaution von")
    part = house.owner.get(f"/house/v1/files/{house.lease}/text", params={"start": start, "end": start + 11})
    assert part.text == "Kaution von"
    assert house.owner.get(f"/house/v1/files/{house.lease}/text", params={"start": start, "end": 10**9}).text == whole.text[start:]
    assert house.owner.get(f"/house/v1/files/{house.lease}/text", params={"start": 5, "end": 5}).text == ""


def test_pages_and_boxes_belong_together(house: House) -> None:
    told = house.made("GET", f"/house/v1/files/{house.lease}/pages")
    assert (told["media_type"], told["pictures"], told["file"]) == ("application/pdf", True, house.lease)
    assert [(page["number"], page["width"], page["height"], page["recognised"]) for page in told["pages"]] == [
        (number, 595, 842, False) for number in (1, 2, 3)
    ]
    text = house.owner.get(f"/house/v1/files/{house.lease}/text").text
    start = text.index("Bürgschaft der Förde-Bank")
    found = house.made("GET", f"/house/v1/files/{house.lease}/boxes", params={"start": start, "end": start + 25})
    assert (found["start"], found["end"]) == (start, start + 25)
    page = next(page for page in told["pages"] if page["start"] <= start < page["end"])
    assert found["boxes"]
    for box in found["boxes"]:
        assert box["page"] == page["number"]
        assert 60 <= box["left"] < box["right"] <= 540
        assert 0 < box["bottom"] - box["top"] < 20
        assert 400 < box["top"] < 842 or page["number"] != 1
    assert house.made("GET", f"/house/v1/files/{house.sheet}/boxes", params={"start": 0, "end": 5})["boxes"] == []


def test_a_page_is_a_picture(house: House) -> None:
    path = f"/house/v1/files/{house.lease}/pages/2.png"
    first = house.owner.get(path, params={"width": 300})
    assert (first.status_code, first.headers["content-type"]) == (200, "image/png")
    assert first.content[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(first.content[16:20], "big") == 300
    assert first.headers["cache-control"].startswith("private")
    again = house.owner.get(path, params={"width": 300}, headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert house.owner.get(path, params={"width": 301}, headers={"if-none-match": first.headers["etag"]}).status_code == 200
    other = house.owner.get(f"/house/v1/files/{house.lease}/pages/1.png", params={"width": 300})
    assert other.content != first.content
    assert house.ada.get(path, params={"width": 300}, headers={"if-none-match": first.headers["etag"]}).status_code == 404


def test_what_has_no_pages_says_so(house: House) -> None:
    assert house.made("GET", f"/house/v1/files/{house.sheet}/pages")["pictures"] is False
    refused(house.owner.get(f"/house/v1/files/{house.sheet}/pages/1.png"), 400, "has no pages of its own", "/text")
    refused(house.owner.get(f"/house/v1/files/{house.lease}/pages/4.png"), 404, "3 pages")
    for wrong in ("0", "-1", "1.5", "x", "٣", "99999999999"):
        assert house.owner.get(f"/house/v1/files/{house.lease}/pages/{wrong}.png").status_code == 404
    refused(house.owner.get(f"/house/v1/files/{house.broken}/text"), 400)
    refused(house.owner.get("/house/v1/files/file-nothing/text"), 404)


def test_parameters_are_strict(house: House) -> None:
    text, boxes, picture = (f"/house/v1/files/{house.lease}/{one}" for one in ("text", "boxes", "pages/1.png"))
    for path, query, param in (
        (text, "start=-1", "start"), (text, "start=a", "start"), (text, "start=5&end=4", "end"), (text, "start=99999999", "start"),
        (text, "begin=1", "begin"), (text, "start=1&start=2", "start"), (text, "start=٣", "start"), (text, f"start={'9' * 400}", "start"),
        (boxes, "start=1", "end"), (boxes, "", "start"), (picture, "width=0", "width"), (picture, "width=100000", "width"),
        (picture, "width=300.5", "width"), (picture, "height=3", "height"),
        (f"/house/v1/stores/{house.store}/files", "limit=0", "limit"), (f"/house/v1/stores/{house.store}/files", "status=x", "status"),
        (f"/house/v1/stores/{house.store}/files", "order=up", "order"),
    ):  # fmt: skip
        assert refused(house.owner.get(f"{path}?{query}"), 400)["param"] == param, (path, query)


def test_others_see_nothing(house: House) -> None:
    for path in ("text", "pages", "pages/1.png", "boxes?start=0&end=5"):
        refused(house.ada.get(f"/house/v1/files/{house.lease}/{path}"), 404)
    for path in ("files", "progress"):
        refused(house.ada.get(f"/house/v1/stores/{house.store}/{path}"), 404)
    refused(house.ada.post("/house/v1/search", json={"query": "Kaution", "stores": [house.store]}), 404)


def test_a_store_tells_of_its_files(house: House) -> None:
    listed = house.made("GET", f"/house/v1/stores/{house.store}/files", params={"order": "asc"})
    assert [one["filename"] for one in listed["data"]] == [LEASE.name, SHEET.name, "broken.pdf"]
    lease, sheet, broken = listed["data"]
    assert (lease["status"], lease["last_error"], lease["attributes"]) == ("completed", None, {"kind": ".pdf"})
    assert sheet["text_bytes"] > 0
    assert broken["status"] == "failed"
    assert broken["last_error"]["message"]
    assert not listed["has_more"]
    page = house.made("GET", f"/house/v1/stores/{house.store}/files", params={"order": "asc", "limit": 2})
    assert page["has_more"]
    rest = house.made("GET", f"/house/v1/stores/{house.store}/files", params={"order": "asc", "after": page["last_id"]})
    assert [one["id"] for one in rest["data"]] == [house.broken]
    failed = house.made("GET", f"/house/v1/stores/{house.store}/files", params={"status": "failed"})
    assert [one["id"] for one in failed["data"]] == [house.broken]
    told = house.made("GET", f"/house/v1/stores/{house.store}/progress")
    assert told["counts"] == {"in_progress": 0, "completed": 2, "failed": 1, "cancelled": 0, "total": 3}
    assert told["reading"] == []


def test_passages_have_their_places(house: House) -> None:
    found = house.made("POST", "/house/v1/search", json={"query": "Wie hoch ist die Kaution?", "stores": [house.store], "limit": 3})["data"]
    best = found[0]
    assert (best["file_id"], best["filename"], best["store"]) == (house.lease, LEASE.name, house.store)
    assert "11.880 Euro" in best["text"]
    assert best["heading"].endswith("§ 5 Kaution")
    assert best["page"] == 2
    text = house.owner.get(f"/house/v1/files/{house.lease}/text").text
    assert text[best["start"] : best["end"]] == best["text"]
    assert all(0 <= one["score"] <= 1 for one in found)
    only = {"type": "eq", "key": "kind", "value": ".xlsx"}
    sheets = house.made("POST", "/house/v1/search", json={"query": "Kaution Espresso", "stores": [house.store], "filters": only})["data"]
    assert {one["file_id"] for one in sheets} == {house.sheet}
    for wrong in ({"query": "", "stores": [house.store]}, {"query": "x", "stores": []}, {"query": "x"},
                  {"query": "x", "stores": [house.store], "limit": 51}, {"query": "x", "stores": [house.store], "more": 1}):  # fmt: skip
        assert house.owner.post("/house/v1/search", json=wrong).status_code == 400


def test_a_store_tells_of_itself(house: House) -> None:
    told = house.made("GET", f"/house/v1/stores/{house.store}")
    assert (told["id"], told["name"], told["project"]) == (house.store, "documents", "default")
    assert "MiniLM" in told["embedding_model"]
    refused(house.ada.get(f"/house/v1/stores/{house.store}"), 404)
    refused(house.owner.get("/house/v1/stores/vs_nothing"), 404)


def test_the_demos_papers_become_a_store(house: House, server: Live) -> None:
    made = house.made("POST", "/house/v1/stores/demo")
    assert house.made("GET", f"/v1/vector_stores/{made['id']}")["metadata"] == {"demo": "1"}
    files = house.made("GET", f"/house/v1/stores/{made['id']}/files")["data"]
    assert {one["attributes"]["path"] for one in files} >= {LEASE.name, "mails/Wasserschaden.eml"}
    assert {one["filename"]: one["attributes"]["size"] for one in files}[LEASE.name] == LEASE.stat().st_size
    assert house.made("GET", f"/v1/vector_stores/{made['id']}")["file_counts"]["total"] == len([*filter(Path.is_file, PAPERS.rglob("*"))])
    key = server.run(server.app.workspace.create_key(project="default", name="reader", role="reader"))[1]
    refused(httpx.post(f"{server.url}/house/v1/stores/demo", headers={"authorization": f"Bearer {key}"}), 403)

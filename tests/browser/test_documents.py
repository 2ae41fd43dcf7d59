"""The documents in the browser: a folder becomes an answer with a marked passage; what fails; who only reads; what names and texts may be."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import httpx
import pytest
from PIL import Image
from playwright.sync_api import BrowserContext, Locator, Page, Route, expect

from hausgeist.cli.demo import PAPERS
from tests.acceptance.support import ServerProcess, until
from tests.browser.conftest import DESKTOP, PHONE, Watch, overflowing, shoot, violations
from tests.browser.payloads import PAYLOADS

QUESTION = "Which grease is used for the drum bearings?"
SIGN_IN = """key => fetch("/house/v1/session", {method: "POST", headers: {"content-type": "application/json"}, body: JSON.stringify({key})})"""
MADE = """() => document.querySelectorAll(
    "#main img, #main iframe, #main object, #main script, #main a[href^=javascript], .viewer-column script, .viewer-column iframe").length"""
Opener = Callable[..., tuple[BrowserContext, Watch]]


class House:
    """What tests do beside the browser, over the API."""

    def __init__(self, server: ServerProcess) -> None:
        self.client = httpx.Client(base_url=server.url, timeout=60, trust_env=False)

    def store(self, name: str, files: dict[str, bytes] | None = None) -> str:
        """A collection with these files, read."""
        store = str(self.client.post("/v1/vector_stores", json={"name": name}).raise_for_status().json()["id"])
        ids = [self.file(one, content) for one, content in (files or {}).items()]
        if ids:
            self.client.post(f"/v1/vector_stores/{store}/file_batches", json={"file_ids": ids}).raise_for_status()
            self.read(store)
        return store

    def file(self, name: str, content: bytes) -> str:
        form = {"file": (name, io.BytesIO(content))}
        return str(self.client.post("/v1/files", data={"purpose": "assistants"}, files=form).raise_for_status().json()["id"])

    def read(self, store: str) -> None:
        until(lambda: self.counts(store)["in_progress"] == 0, 60, "all files are read", pause=0.1)

    def counts(self, store: str) -> dict[str, int]:
        return dict(self.client.get(f"/v1/vector_stores/{store}").raise_for_status().json()["file_counts"])

    def files(self, store: str) -> list[dict[str, Any]]:
        return list(self.client.get(f"/house/v1/stores/{store}/files", params={"limit": 1000}).raise_for_status().json()["data"])

    def answer(self, store: str, question: str) -> str:
        tool = {"type": "file_search", "vector_store_ids": [store]}
        return str(self.client.post("/v1/responses", json={"model": "guide", "input": question, "tools": [tool]}).raise_for_status().json()["id"])


@pytest.fixture(scope="module")
def house(server: ServerProcess) -> Iterator[House]:
    house = House(server)
    yield house
    house.client.close()


@pytest.fixture(scope="module")
def papers(house: House) -> str:
    """The demo's papers."""
    store = str(house.client.post("/house/v1/stores/demo").raise_for_status().json()["id"])
    house.read(store)
    return store


def drop(page: Page, *paths: Path) -> None:
    """Drop files and folders of the disk on the page, as from a file manager."""
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": 700, "y": 500, "data": data})


def ask(page: Page, question: str) -> None:
    page.get_by_label("Question", exact=True).fill(question)
    page.keyboard.press("Enter")


def states(store: str, answer: str) -> dict[str, tuple[str, str]]:
    """Addresses, each with what is there when the page is whole."""
    return {
        "list": ("/documents", ".store-card"),
        "files": (f"/documents/{store}?view=files", "tbody tr[data-file]"),
        "answer": (f"/documents/{store}?answer={answer}", ".citation"),
    }


def colours(page: Page, at: Locator) -> list[tuple[int, int, int]]:
    """The pixels of an element as it is on the screen."""
    picture = Image.open(io.BytesIO(at.screenshot())).convert("RGB")
    raw = picture.tobytes()
    return [(raw[at], raw[at + 1], raw[at + 2]) for at in range(0, len(raw), 3)]


def yellow(pixel: tuple[int, int, int]) -> bool:
    return pixel[0] > 200 and pixel[1] > 180 and pixel[2] < 190


def test_a_folder_becomes_an_answer_with_a_marked_passage(page: Page, house: House) -> None:
    page.goto("/documents")
    page.get_by_role("button", name="Add documents").click()
    page.wait_for_url("**/documents/vs_*")
    store = page.url.rpartition("/")[2]
    expect(page.get_by_text("Drop files or folders here")).to_be_visible()
    drop(page, PAPERS)
    expect(page.get_by_role("progressbar").first).to_be_visible()
    expect(page.get_by_role("tab", name="Files (9)")).to_be_visible()
    expect(page.locator("tbody tr[data-file]")).to_have_count(9)
    house.read(store)
    expect(page.locator(".store-line .badge.good")).to_have_text("Ready")
    paths = {one["attributes"]["path"] for one in house.files(store)}
    assert "papers/mails/Wasserschaden.eml" in paths
    assert all("machine" not in one["attributes"] for one in house.files(store))

    page.get_by_role("tab", name="Ask").click()
    ask(page, QUESTION)
    answer = page.get_by_role("article")
    expect(answer).to_contain_text("Thermolub 300")
    expect(answer).to_contain_text("No model was asked")
    expect(answer.locator(".citation").first).to_contain_text("Verified: word for word in the document")
    said = answer.locator(".answer-text").inner_text()
    answer.get_by_role("button", name=re.compile("^Citation 1 .*Vesta R15 manual.pdf, page 1.*Verified")).click()

    viewer = page.get_by_role("complementary", name="Page viewer")
    expect(viewer.get_by_role("heading")).to_have_text("Vesta R15 manual.pdf")
    expect(viewer.locator(".page-sheet:not(.waiting)")).to_be_visible()
    response = parse_qs(urlparse(page.url).query)["answer"][0]
    facts = house.client.get(f"/house/v1/responses/{response}/citations").json()["data"]
    boxes, pages = facts[0]["boxes"], house.client.get(f"/house/v1/files/{facts[0]['file_id']}/pages").json()["pages"]
    marks = viewer.locator(".page-mark")
    expect(marks).to_have_count(len(boxes))
    sheet, mark = viewer.locator(".page-sheet").bounding_box(), marks.first.bounding_box()
    assert sheet is not None
    assert mark is not None
    scale = sheet["width"] / pages[0]["width"]
    assert mark["x"] - sheet["x"] == pytest.approx(boxes[0]["left"] * scale, abs=3)
    assert mark["y"] - sheet["y"] == pytest.approx(boxes[0]["top"] * scale, abs=3)
    # What is seen there: letters on yellow; on the page around it, none.
    seen = colours(page, marks.first)
    assert sum(map(yellow, seen)) > 0.5 * len(seen)
    assert any(max(pixel) < 120 for pixel in seen)
    heading = colours(page, viewer.get_by_role("heading"))
    assert not any(map(yellow, heading))

    expect(viewer).to_contain_text("1 of 3")
    page.keyboard.press("n")
    expect(viewer).to_contain_text("2 of 3")
    expect(answer.locator(".cite[aria-current]")).to_have_text("2")
    viewer.get_by_role("button", name="Next page").click()
    expect(viewer).to_contain_text("Page 2 of 2")
    expect(viewer.locator(".page-mark")).to_have_count(0)
    viewer.get_by_role("button", name="As text").click()
    expect(viewer.locator(".reading")).to_contain_text("Brandt & Hollis")
    assert not violations(page)
    page.keyboard.press("Escape")
    expect(viewer).to_have_count(0)
    expect(answer.locator(".cite").first).to_be_focused()

    page.reload()
    expect(page.locator(".answer-text")).to_have_text(said, use_inner_text=True)
    page.get_by_text("Earlier questions in this browser").click()
    expect(page.get_by_role("link", name=QUESTION)).to_be_visible()
    assert "grease" not in page.evaluate("() => JSON.stringify(localStorage)")
    expect(page.get_by_role("heading", name=QUESTION)).to_be_visible()
    expect(page.locator(".citation")).to_have_count(3)


def test_the_same_folder_again_changes_nothing_and_a_new_version_takes_the_place_of_the_old(page: Page, house: House, tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    (folder / ".git").mkdir(parents=True)
    (folder / ".git" / "config").write_text("no document")
    (folder / "empty.txt").write_text("")
    (folder / "film.mp4").write_bytes(b"\0" * 64)
    (folder / "rules.txt").write_text("The lease ends in March 2031.")
    store = house.store("again")
    page.goto(f"/documents/{store}")
    expect(page.get_by_text("Drop files or folders here")).to_be_visible()
    drop(page, folder)
    expect(page.get_by_text("Not taken: 1 hidden file, 1 empty file, and 1 file that is no document")).to_be_visible()
    expect(page.locator("tbody tr[data-file] .badge")).to_have_text("Ready")
    first = house.files(store)[0]["id"]
    drop(page, folder)
    expect(page.get_by_text("1 file that is there already, unchanged")).to_be_visible()
    assert [one["id"] for one in house.files(store)] == [first]
    (folder / "rules.txt").write_text("The lease ends in October 2044.")
    drop(page, folder)
    until(lambda: [one["status"] for one in house.files(store) if one["id"] != first] == ["completed"], 20, "the new version is read", pause=0.1)
    until(lambda: "replaces" not in house.files(store)[0]["attributes"], 20, "the old version is cleared away", pause=0.1)
    assert len(house.files(store)) == 1
    assert house.client.get(f"/v1/files/{first}").status_code == 404


def test_a_folder_dropped_on_the_list_becomes_a_collection(page: Page, house: House, tmp_path: Path) -> None:
    house.store("another")
    folder = tmp_path / "Minutes 2026"
    folder.mkdir()
    (folder / "march.txt").write_text("The roof is to be repaired in May.")
    page.goto("/documents")
    expect(page.get_by_role("link", name="another").first).to_be_visible()
    drop(page, folder)
    expect(page.get_by_role("heading", name="Minutes 2026", level=1)).to_be_visible()
    expect(page.locator("tbody tr[data-file]")).to_have_count(1)
    assert house.files(page.url.split("?")[0].rpartition("/")[2])[0]["attributes"]["path"] == "Minutes 2026/march.txt"
    page.go_back()
    expect(page.get_by_role("heading", name="Documents", level=1)).to_be_visible()
    expect(page.get_by_role("link", name="Minutes 2026").first).to_be_visible()


def test_what_fails_says_why_and_can_be_tried_again(page: Page, house: House, tmp_path: Path) -> None:
    store = house.store("failing")
    broken, good = tmp_path / "broken.pdf", tmp_path / "good.txt"
    broken.write_bytes(b"%PDF-1.7 nothing else")
    good.write_text("Six weeks are the period of notice.")
    refused: list[str] = []

    def refuse(route: Route) -> None:
        refused.append(route.request.url)
        route.fulfill(status=413, json={"error": {"message": "The project has no room left.", "type": "invalid_request_error"}})

    page.goto(f"/documents/{store}")
    page.route("**/v1/files", refuse)
    page.locator("#pick-files").set_input_files([good])
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("One file did not arrive")
    expect(alert).to_contain_text("good.txt – The project has no room left.")
    page.unroute("**/v1/files")
    alert.get_by_role("button", name="Try again").click()
    expect(page.locator("tbody tr[data-file] .badge")).to_have_text("Ready")
    assert len(refused) == 1

    page.locator("#pick-files").set_input_files([broken])
    notice = page.locator(".notice.bad")
    expect(notice).to_contain_text("One file could not be read")
    expect(notice).to_contain_text("broken.pdf – The file is damaged")
    assert not violations(page)
    shoot(page, "documents-failed")
    notice.get_by_role("button", name="Try again").click()
    until(lambda: house.counts(store)["in_progress"] == 0 and house.counts(store)["failed"] == 1, 20, "it was tried again", pause=0.1)
    page.get_by_label("State").select_option("failed")
    expect(page.locator("tbody tr[data-file]")).to_have_count(1)
    page.get_by_label(re.compile("^Choose .*broken.pdf")).check()
    page.get_by_role("group", name="With the chosen files").get_by_role("button", name="Remove").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(page.get_by_text("1 file removed.")).to_be_visible()
    until(lambda: house.counts(store)["failed"] == 0, 10, "it is gone", pause=0.1)


def test_a_question_without_an_answer_says_so_and_passages_are_searched(page: Page, papers: str) -> None:
    page.goto(f"/documents/{papers}")
    ask(page, "Who won the football world cup in 1994?")
    expect(page.locator(".silent")).to_have_text("No answer in these documents")
    expect(page.get_by_role("heading", name="Nearest passages")).to_be_visible()
    page.get_by_label("Passages", exact=True).check()
    ask(page, "drum fire water")
    hits = page.locator(".found > li")
    expect(hits.first).to_contain_text("Vesta R15 manual.pdf")
    expect(hits.first.locator("mark").first).to_be_visible()
    expect(hits.first).to_contain_text("fit")
    hits.first.get_by_role("button").click()
    expect(page.locator(".page-mark").first).to_be_visible()
    assert not violations(page)
    page.reload()
    expect(hits.first).to_contain_text("Vesta R15 manual.pdf")
    page.go_back()
    expect(page.get_by_role("heading", name="Nearest passages")).to_be_visible()


def test_an_answer_whose_connection_breaks_goes_on(page: Page, house: House, papers: str) -> None:
    made: list[str] = []

    def breaking(route: Route) -> None:
        body = json.loads(route.request.post_data or "")
        assert body["background"] is True
        response = house.client.post("/v1/responses", json={**body, "stream": False}).json()
        made.append(response["id"])
        event = {"type": "response.created", "sequence_number": 0, "response": response}
        route.fulfill(content_type="text/event-stream", body=f"event: response.created\ndata: {json.dumps(event)}\n\nevent: response.in_pro")

    page.goto(f"/documents/{papers}")
    page.route("**/v1/responses", breaking)
    ask(page, QUESTION)
    expect(page.get_by_role("article")).to_contain_text("Thermolub 300")
    expect(page.locator(".citation").first).to_be_visible()
    assert page.url.endswith(made[0])
    assert len(made) == 1


def test_what_the_documents_do_not_bear_out_is_said(page: Page, house: House, papers: str) -> None:
    answer = house.answer(papers, QUESTION)
    response = house.client.get(f"/v1/responses/{answer}").json()
    facts = house.client.get(f"/house/v1/responses/{answer}/citations").json()
    part = response["output"][-1]["content"][0]
    text = "The grease is **Thermolub 300**. \U0001f600 \U0001f600 The seal [2] lasts a year. Never open it. It costs 40 euros."
    ends = [text.index(mark) for mark in (" \U0001f600", " Never")]
    annotations = [{**part["annotations"][0], "index": at} for at in ends]
    response["output"][-1]["content"][0] = {**part, "text": text, "annotations": annotations}
    response["metadata"] = {"mode": "model"}
    lost = {"kind": "claim", "verified": False, "moved": False, "said": "It costs <b>40</b> euros.", "file_id": None, "filename": None, "boxes": []}
    data = [{**facts["data"][0], "kind": "claim"}, {**facts["data"][1], "verified": False, "moved": True}, lost]
    page.route(f"**/v1/responses/{answer}", lambda route: route.fulfill(json=response))
    page.route(f"**/{answer}/citations", lambda route: route.fulfill(json={**facts, "mode": "model", "data": data}))
    page.goto(f"/documents/{papers}?answer={answer}")
    shown = page.get_by_role("article")
    said = "The grease is Thermolub 300.1 \U0001f600 \U0001f600 The seal [2] lasts a year.2? Never open it. It costs 40 euros."
    expect(shown.locator(".answer-text")).to_have_text(said)
    expect(shown.get_by_text("One statement has no basis in these documents")).to_be_visible()
    expect(shown.get_by_role("listitem").filter(has_text="It costs <b>40</b> euros.")).to_be_visible()
    expect(shown.get_by_role("button", name=re.compile("^Citation 1 .*Verified: the passage bears it out"))).to_be_visible()
    expect(shown.get_by_role("button", name=re.compile("^Citation 2 .*Not verified"))).to_be_visible()
    expect(shown.locator(".citation").nth(1)).to_contain_text("stands elsewhere than the answer said")
    expect(shown).to_contain_text("guide answered from passages of")
    assert not violations(page)


def test_a_reader_looks_and_asks(open_browser: Opener, house: House, papers: str) -> None:
    key = house.client.post("/house/v1/keys", json={"name": "reader", "role": "reader"}).raise_for_status().json()["key"]
    context, _ = open_browser()
    page = context.new_page()
    page.goto("/sign-in")
    page.evaluate(SIGN_IN, key)
    page.goto("/documents")
    expect(page.get_by_role("link", name="demo").first).to_be_visible()
    expect(page.get_by_role("button", name="New collection")).to_have_count(0)
    page.goto(f"/documents/{papers}?view=files")
    expect(page.locator("tbody tr[data-file]")).to_have_count(9)
    for name in ("Add files", "Choose files", "Choose a folder", "More"):
        expect(page.get_by_role("button", name=name, exact=True)).to_have_count(0)
    expect(page.get_by_role("checkbox")).to_have_count(0)
    page.get_by_role("button", name=re.compile("^More about .*Preisliste")).click()
    expect(page.get_by_role("menuitem")).to_have_text(["Open", "Download"])
    page.get_by_role("menuitem", name="Open").click()
    expect(page.locator(".reading td").first).to_have_text("Artikel")
    page.get_by_role("tab", name="Ask").click()
    ask(page, QUESTION)
    expect(page.get_by_role("article")).to_contain_text("Thermolub 300")


def test_collections_are_made_renamed_and_deleted(page: Page, house: House) -> None:
    kept = house.store("kept", {"shared.txt": b"It is in two collections."})
    page.goto("/documents")
    page.get_by_role("button", name="New collection").click()
    page.get_by_label("Name").fill("Contracts")
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_role("heading", name="Contracts")).to_be_visible()
    store = page.url.rpartition("/")[2]
    shared, own = house.files(kept)[0]["id"], house.file("own.txt", b"It is only here.")
    house.client.post(f"/v1/vector_stores/{store}/file_batches", json={"file_ids": [shared, own]}).raise_for_status()
    house.read(store)
    page.reload()
    page.get_by_role("button", name="More", exact=True).click()
    page.get_by_role("menuitem", name="Collection settings").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("MiniLM")
    expect(dialog).to_contain_text("everybody in the project default")
    dialog.get_by_label("Name").fill("Leases")
    dialog.get_by_label("Remove when unused").select_option("30")
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="Leases")).to_be_visible()
    assert house.client.get(f"/v1/vector_stores/{store}").json()["expires_after"] == {"anchor": "last_active_at", "days": 30}
    page.get_by_role("button", name="More", exact=True).click()
    page.get_by_role("menuitem", name="Delete collection").click()
    expect(dialog).to_contain_text("Also erase its 2 uploaded files")
    dialog.get_by_role("button", name="Delete").click()
    page.wait_for_url("**/documents")
    expect(page.get_by_role("link", name="kept").first).to_be_visible()
    expect(page.get_by_role("link", name="Leases")).to_have_count(0)
    assert house.client.get(f"/v1/files/{own}").status_code == 404
    assert house.client.get(f"/v1/files/{shared}").status_code == 200


def test_ten_thousand_files_are_a_list_that_scrolls_sorts_and_searches(page: Page, house: House) -> None:
    store = house.store("archive", {"one.txt": b"One."})
    total = 10_000
    name = "Report {0:05}.pdf".format

    def listed(route: Route) -> None:
        query = parse_qs(urlparse(route.request.url).query)
        first = int(query["after"][0].removeprefix("file-")) + 1 if "after" in query else 0
        last = min(total, first + int(query["limit"][0]))
        rows = [
            {"id": f"file-{number}", "filename": name(number), "status": "completed", "created_at": 1_790_000_000 - number, "text_bytes": 9,
             "pages_done": 3, "pages_total": 3, "attributes": {"size": number, "path": f"years/{number % 40}/{name(number)}"}, "last_error": None}
            for number in range(first, last)
        ]  # fmt: skip
        route.fulfill(json={"data": rows, "has_more": last < total, "last_id": f"file-{last - 1}"})

    page.route("**/house/v1/stores/*/files*", listed)
    page.goto(f"/documents/{store}?view=files")
    table = page.get_by_role("table")
    expect(table).to_have_attribute("aria-rowcount", str(total + 1))
    rows = page.locator("tbody tr[data-file]")
    assert rows.count() < 60
    page.locator("#main").evaluate("main => main.scrollTo(0, 280_000)")
    middle = page.get_by_role("button", name=re.compile(r"Report 049\d\d.pdf$")).first
    expect(middle).to_be_visible()
    assert rows.count() < 60
    page.get_by_role("button", name="Size").click()
    page.get_by_role("button", name="Size").click()
    page.locator("#main").evaluate("main => main.scrollTo(0, 0)")
    expect(rows.first).to_contain_text(name(total - 1))
    expect(page.get_by_role("columnheader", name="Size")).to_have_attribute("aria-sort", "descending")
    page.get_by_label("Search by name or folder").fill("years/7/report 00007")
    expect(rows).to_have_count(1)
    expect(page.get_by_text("1 of 10,000 shown")).to_be_visible()
    page.get_by_label("Choose all that are shown").check()
    expect(page.get_by_role("group", name="With the chosen files")).to_contain_text("1 chosen")


def test_names_and_texts_stay_text(page: Page, house: House) -> None:
    files = {
        f"{number} {payload[:200].replace('/', '-')}.md": f"The word of paper {number} is walrus: {payload}".encode()
        for number, payload in enumerate(PAYLOADS)
    }
    files["\u202egpj.exe.txt"] = b"The word is walrus."
    store = house.store("<img src=x onerror=alert(1)>\u202e")
    ids = []
    for name, content in files.items():
        with suppress(httpx.HTTPStatusError):  # names that no upload may have
            ids.append(house.file(name, content))
    assert len(ids) > 150
    house.client.post(f"/v1/vector_stores/{store}/file_batches", json={"file_ids": ids}).raise_for_status()
    house.read(store)
    page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
    page.goto(f"/documents/{store}?view=files")
    rows = page.locator("tbody tr[data-file]")
    expect(rows.first).to_be_visible()
    for top in range(0, 56 * len(ids), 1200):
        page.locator("#main").evaluate("(main, top) => main.scrollTo(0, top)", top)
    page.goto(f"/documents/{store}")
    for question in ("What is the word of paper 3?", "walrus script", "walrus img onerror", "walrus javascript link"):
        ask(page, question)
        expect(page.locator(".citation").first).to_be_visible()
        page.locator(".cite").first.click()
        expect(page.locator(".text-mark").first).to_be_visible()
    page.get_by_label("Passages", exact=True).check()
    ask(page, "walrus")
    expect(page.locator(".found > li").first).to_be_visible()
    assert page.evaluate(MADE) == 0


def test_the_pages_in_languages_sizes_and_lights(open_browser: Opener, house: House, papers: str) -> None:
    views = states(papers, house.answer(papers, QUESTION))
    looks = (
        ("de-DE", True, PHONE, "de-phone"), ("zh-CN", False, PHONE, "zh-phone"), ("fr-FR", True, DESKTOP, "fr"), ("es-ES", False, DESKTOP, "es"),
    )  # fmt: skip
    for locale, dark, size, name in looks:
        context, _ = open_browser(locale=locale, dark=dark, size=size)
        page = context.new_page()
        for what, (path, ready) in views.items():
            page.goto(path)
            expect(page.locator(ready).first).to_be_visible()
            # Who speaks what makes no difference to a screen reader's tree: once on a phone and once on a desktop is enough.
            assert not (name in ("de-phone", "fr") and violations(page)), f"{name} {what}"
            assert not overflowing(page), f"{name} {what}"
            shoot(page, f"documents-{what}-{name}")
        page.locator(".cite").first.click()
        expect(page.locator(".page-sheet:not(.waiting)")).to_be_visible()
        assert not (name in ("de-phone", "fr") and violations(page)), f"{name} viewer"
        assert not overflowing(page), f"{name} viewer"
        shoot(page, f"documents-viewer-{name}")
        assert not re.search(r"\b(documents|citations|common)\.[a-z_]+", page.locator("body").inner_text()), "a text is missing"


def test_at_320_pixels_nothing_scrolls_sideways(open_browser: Opener, house: House, papers: str) -> None:
    context, _ = open_browser(locale="de", size={"width": 320, "height": 640})
    page = context.new_page()
    for path, ready in states(papers, house.answer(papers, QUESTION)).values():
        page.goto(path)
        expect(page.locator(ready).first).to_be_visible()
        assert not overflowing(page)
    page.locator(".cite").first.click()
    expect(page.get_by_role("dialog")).to_be_visible()
    expect(page.locator(".page-sheet:not(.waiting)")).to_be_visible()
    assert not overflowing(page)
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)

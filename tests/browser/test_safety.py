"""Hostile texts on every way into a page: they stay text. No script of theirs runs, nothing is asked of anybody else, no link leads into a script.

The ways: what a model says while it streams, chats that were brought from elsewhere, titles, names of files and what is in them, names of models, of
projects, people, keys, personas and prompts.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from aiohttp import web
from playwright.sync_api import BrowserContext, Page, Route, expect

from tests.acceptance.support import ServerProcess, until
from tests.browser.conftest import Watch
from tests.browser.payloads import PAYLOADS

Browsers = Callable[..., tuple[BrowserContext, Watch]]
NAMES = [text for text in PAYLOADS if len(text) <= 200 and not set(text) & set("\x00\r\n")]
"""Those that may be names at all."""

SCROLL = """share => {
    const main = document.querySelector("#main");
    const scrolls = one => one.scrollHeight > one.clientHeight + 50 && ["auto", "scroll"].includes(getComputedStyle(one).overflowY);
    const box = [main, ...main.querySelectorAll("*")].find(scrolls) ?? main;
    box.scrollTop = box.scrollHeight * share / 10;
}"""


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    """A server of the OpenAI API whose models have hostile names."""
    names = [text for text in NAMES if "/" not in text or "evil" in text][:150]

    async def models(request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": name, "object": "model", "created": 1, "owned_by": name} for name in names]})

    loop = asyncio.new_event_loop()
    started = threading.Event()
    told: dict[str, str] = {}

    async def serve() -> None:
        app = web.Application()
        app.router.add_get("/v1/models", models)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        told["url"] = f"http://127.0.0.1:{runner.addresses[0][1]}"
        told_runner.append(runner)
        started.set()

    told_runner: list[web.AppRunner] = []
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(serve(), loop).result(10)
    assert started.wait(1)
    yield told["url"]
    asyncio.run_coroutine_threadsafe(told_runner[0].cleanup(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, upstream: str) -> Iterator[ServerProcess]:
    home = tmp_path_factory.mktemp("home") / "home"
    environment = {"HAUSGEIST_GUIDE": "1", "HAUSGEIST_FAKE": "1", "HAUSGEIST_UPSTREAMS": json.dumps({"odd": {"url": upstream}})}
    with ServerProcess(home, environment=environment) as process:
        yield process.start()


@pytest.fixture
def watched(open_browser: Browsers) -> Iterator[Page]:
    """A page that tells on every script of a payload, and on every dialog."""
    context, _ = open_browser()
    hits: list[str] = []
    context.expose_binding("hit", lambda source, *values: hits.append(source["page"].url))
    page = context.new_page()
    page.on("dialog", lambda dialog: (hits.append(f"dialog on {page.url}"), dialog.dismiss()))
    yield page
    assert not hits, f"a script of a payload ran: {hits[:5]}"


def harmless(page: Page) -> None:
    """Nothing on the page as it is now could become a script or a request by being clicked."""
    found = page.evaluate(
        """() => {
            const bad = [];
            for (const one of document.querySelectorAll("*")) {
                for (const {name, value} of one.attributes) {
                    if (name.startsWith("on") || name === "srcdoc" || name === "ping" || name === "formaction") bad.push(`${one.tagName} ${name}`);
                    if (["href", "src", "action", "xlink:href", "data", "poster"].includes(name)) {
                        const address = value.trim().toLowerCase();
                        const ours = /^(\\/(?!\\/)|#|\\?|https?:|mailto:|blob:)/.test(address) || /^data:image\\/(png|jpeg|gif|webp);/.test(address);
                        if (!ours) bad.push(`${one.tagName} ${name}=${value.slice(0, 60)}`);
                        const elsewhere = /^https?:/.test(address) && !address.startsWith(location.origin);
                        if (elsewhere && one.tagName !== "A") bad.push(`${one.tagName} loads`);
                    }
                }
                if (["IFRAME", "OBJECT", "EMBED", "FRAME", "BASE", "META"].includes(one.tagName) && one.closest("body")) bad.push(one.tagName);
            }
            return bad.concat([...document.querySelectorAll("a[target=_blank]")].filter(one => !one.rel.includes("noopener")).map(one => one.href));
        }"""
    )
    assert found == []


def test_what_would_run_is_noticed(watched: Page, open_browser: Browsers) -> None:
    """The other tests could not fail if this did not: without the pages' policy the first payload runs."""
    context, watch = open_browser()
    hits: list[str] = []
    context.expose_binding("hit", lambda source: hits.append("hit"))
    page = context.new_page()
    page.set_content("<img src='data:,' onerror=hit()>")
    until(lambda: page.evaluate("1") and hits, 10, "the payload runs")
    page.set_content("<img src=https://evil.example/pixel.png>")
    until(lambda: page.evaluate("1") and watch.strangers, 10, "the request is seen")
    watch.strangers.clear()
    watch.errors.clear()


def test_chats_from_elsewhere(watched: Page, server: ServerProcess) -> None:
    messages = [{"role": role, "content": text} for text in PAYLOADS for role in ("user", "assistant")]
    with server.client() as client:
        chat = client.post("/house/v1/chats", json={"title": PAYLOADS[0], "model": PAYLOADS[1], "messages": messages}).raise_for_status().json()
        for text in NAMES:
            client.post(
                "/house/v1/chats", json={"title": text, "model": text[:300], "messages": [{"role": "user", "content": text}]}
            ).raise_for_status()
        exported = client.get("/house/v1/chats/export").raise_for_status().content
        for one in client.get("/house/v1/chats?limit=200").json()["data"]:
            if one["id"] != chat["id"]:
                client.delete(f"/house/v1/chats/{one['id']}").raise_for_status()
        assert client.post("/house/v1/chats/import", content=exported).raise_for_status().json()["chats"] >= len(NAMES)
    watched.goto(f"/chat/{chat['id']}")
    expect(watched.get_by_text("hit()").first).to_be_attached()
    for share in range(11):
        watched.evaluate(SCROLL, share)
        watched.wait_for_timeout(150)
        harmless(watched)


def test_what_a_model_says(watched: Page, server: ServerProcess) -> None:
    with server.client() as client:
        for start in range(0, len(PAYLOADS), 40):
            said = "\n\n".join(PAYLOADS[start : start + 40])
            chat = client.post("/house/v1/chats", json={"model": "fake:echo@2000"}).raise_for_status().json()["id"]
            body = {"model": "fake:echo@2000", "conversation": chat, "input": said, "background": True}
            client.post("/v1/responses", json=body).raise_for_status()
            # Opened while it streams: replayed, followed, then read again at its end.
            watched.goto(f"/chat/{chat}")
            until(lambda chat=chat: not client.get(f"/house/v1/chats/{chat}").json()["running"], 60, "the answer ends")
            expect(watched.locator(".answer").first).to_contain_text(re.compile(r"hit\(\)|evil"))
            harmless(watched)


def test_names_and_contents_of_files(watched: Page, server: ServerProcess) -> None:
    with server.client() as client:
        store = client.post("/v1/vector_stores", json={"name": NAMES[0]}).raise_for_status().json()["id"]
        ids = []
        for number, name in enumerate(NAMES[:80]):
            text = f"The drum bearing number {number} is greased every {number} hours. {name}\n\n{PAYLOADS[number]}"
            file = client.post("/v1/files", data={"purpose": "user_data"}, files={"file": (f"{name}.md", text.encode(), "text/markdown")})
            ids.append(file.raise_for_status().json()["id"])
        batch = client.post(f"/v1/vector_stores/{store}/file_batches", json={"file_ids": ids}).raise_for_status().json()
        done = lambda: client.get(f"/v1/vector_stores/{store}/file_batches/{batch['id']}").json()["status"] != "in_progress"  # noqa: E731
        until(done, 60, "the files are taken in", pause=0.2)
    watched.goto("/documents")
    watched.wait_for_timeout(500)
    harmless(watched)
    watched.goto(f"/documents/{store}")
    watched.wait_for_timeout(1000)
    harmless(watched)
    watched.locator("select.small-select").first.select_option("extractive")
    box = watched.get_by_role("textbox").first
    box.fill("How often is the drum bearing number 7 greased? <img src=x onerror=hit()>")
    box.press("Enter")
    expect(watched.locator("#main")).to_contain_text("is greased every 7 hours", timeout=30_000)
    harmless(watched)


def test_names_of_models(watched: Page) -> None:
    for path in ("/models", "/plan", "/server", "/"):
        watched.goto(path)
        watched.wait_for_timeout(1500)
        harmless(watched)


PLACES = ("/server", "/server/people", "/server/keys", "/server/projects", "/server/usage", "/server/audit", "/server/settings", "/personas")

NAMING = ("/server/people", "/server/keys", "/server/projects", "/server/audit", "/personas")
"""Those that show the names themselves: where they did not, nothing would be shown by this."""


@pytest.mark.parametrize("path", PLACES)
def test_names_that_people_give(watched: Page, server: ServerProcess, named: None, path: str) -> None:
    watched.goto(path)
    if path in NAMING:
        expect(watched.locator("#main")).to_contain_text("hit()")
    watched.wait_for_timeout(1000)
    harmless(watched)


@pytest.fixture(scope="module")
def named(server: ServerProcess) -> None:
    """Everything that has a name, with hostile ones. What is refused as a name is no way in."""

    def make(client: httpx.Client, path: str, body: dict[str, Any]) -> int:
        return client.post(path, json=body).status_code

    with server.client() as client:
        made = 0
        for text in NAMES[::2]:
            made += make(client, "/house/v1/keys", {"name": text}) == 201
            made += make(client, "/house/v1/personas", {"name": text[:100], "instructions": text}) == 201
            made += make(client, "/house/v1/prompts", {"name": text[:100], "text": f"{text} {{{{{text[:20]}}}}}"}) == 201
        for text in NAMES[:30]:
            made += make(client, "/house/v1/projects", {"name": text}) == 201
            made += make(client, "/house/v1/users", {"name": text, "role": "member"}) == 201
        assert made > 150


def test_addresses(watched: Page) -> None:
    """Paths and queries are texts of others, too."""
    for text in ("<script>hit()</script>", "javascript:hit()", "%3Cimg src=x onerror=hit()%3E", "../../x", "'\"><svg onload=hit()>"):
        for path in ("/chat/", "/documents/", "/server/"):
            watched.goto(f"{path}{text.replace('/', '%2F')}")
            watched.wait_for_timeout(100)
            harmless(watched)
        watched.goto(f"/plan?model={text}&gpu={text}&country={text}#{text}")
        watched.wait_for_timeout(300)
        harmless(watched)


ENDLESS = {
    "quotations": "> " * 20_000, "lists": "- " * 20_000 + "x", "numbers": "1. " * 10_000 + "x", "dollars": "$" * 60_000, "brackets": "\\[\n" * 20_000,
    "pictures": "![" * 20_000, "cells": "a|" * 1000 + "\n" + "-|" * 1000 + "\n" + "a|\n" * 20_000, "definitions": "[\n" * 30_000,
}  # fmt: skip


@pytest.mark.parametrize("kind", ENDLESS)
def test_a_text_without_end_is_shown_as_it_was_written(watched: Page, server: ServerProcess, kind: str) -> None:
    """What nests without end, or takes for ever to read, neither stops the page nor hides what else was said."""
    messages = [{"role": "assistant", "content": ENDLESS[kind]}, {"role": "user", "content": "Still here?"}]
    with server.client() as client:
        chat = client.post("/house/v1/chats", json={"title": kind, "messages": messages}).raise_for_status().json()["id"]
    watched.goto(f"/chat/{chat}")
    expect(watched.locator("#turns").get_by_text("Still here?")).to_be_visible()
    expect(watched.locator(".turn.answer .prose")).not_to_be_empty()


def test_a_chat_whose_parts_are_none(watched: Page, server: ServerProcess) -> None:
    """What files bring is checked now; a chat that came before that says anything, and can be opened all the same."""
    odd: list[dict[str, object]] = [
        {"type": "file_search_call", "queries": "x", "results": {"a": 1}, "status": "completed"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "An answer", "annotations": 5}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Another", "annotations": [None, 1]}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Still here?"}]},
    ]
    sound = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "?"}]}
    items = [{"item": {**sound, "id": name}, "created": 1.0, "parent": parent} for name, parent in zip("abcd", [None, *"abc"], strict=True)]
    now = time.time()
    file = {"object": "hausgeist.chat", "version": 1, "id": "odd", "title": "odd", "created": now, "changed": now, "head": "d", "items": items}
    with server.client() as client:
        assert client.post("/house/v1/chats/import", content=json.dumps([file])).raise_for_status().json()["chats"] == 1
        chat = next(one for one in client.get("/house/v1/chats").json()["data"] if one["title"] == "odd")["id"]
        broken = {**file, "items": [{**items[0], "item": {**odd[0], "id": "a"}}], "head": "a"}
        refused = client.post("/house/v1/chats/import", content=json.dumps([broken]))
        assert refused.status_code == 400
        assert "queries" in refused.json()["error"]["message"]

    def older(route: Route) -> None:
        answer = route.fetch()
        told = answer.json()
        for entry, item in zip(told["items"], odd, strict=True):
            entry["item"] = {**item, "id": entry["item"]["id"]}
        route.fulfill(response=answer, json=told)

    watched.route(re.compile(rf"/house/v1/chats/{chat}(\?|$)"), older)
    watched.goto(f"/chat/{chat}")
    for text in ("An answer", "Another", "Still here?"):
        expect(watched.locator("#turns").get_by_text(text)).to_be_visible()


def test_attributes_of_a_file_are_no_address(watched: Page, server: ServerProcess) -> None:
    """Members write them; what the page of an owner removes for them is a file, and never a person or a project."""
    with server.client() as client:
        project = client.post("/house/v1/projects", json={"name": "kept"}).raise_for_status().json()["id"]
        store = client.post("/v1/vector_stores", json={"name": "attributes"}).raise_for_status().json()["id"]
        file = client.post("/v1/files", data={"purpose": "user_data"}, files={"file": ("a.txt", b"The lease ends in May.")}).json()["id"]
        attributes = {"replaces": f"../../house/v1/projects/{project}"}
        client.post(f"/v1/vector_stores/{store}/files", json={"file_id": file, "attributes": attributes}).raise_for_status()
        read = lambda: client.get(f"/v1/vector_stores/{store}/files/{file}").json()  # noqa: E731
        until(lambda: read()["status"] == "completed", 60, "the file is read")
        watched.goto(f"/documents/{store}")
        until(lambda: watched.evaluate("1") and "replaces" not in read()["attributes"], 15, "the attribute is cleared away")
        assert client.get(f"/house/v1/projects/{project}").status_code == 200

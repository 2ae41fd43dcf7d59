"""What becomes of a chat when something goes away in the middle of it: the network, the server, the key; and what a member may do who only reads."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.acceptance.support import ServerProcess, free_port
from tests.browser.conftest import Watch, violations

Browsers = Callable[..., tuple[BrowserContext, Watch]]

LONG = " ".join(f"Word {number}." for number in range(1, 200))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """It demands to know who asks, and comes back at the same address."""
    home: Path = tmp_path_factory.mktemp("home") / "home"
    (home / "fake").mkdir(parents=True)
    (home / "fake" / "long.jsonl").write_text(json.dumps(LONG))
    environment = {"HAUSGEIST_GUIDE": "1", "HAUSGEIST_FAKE": "1", "HAUSGEIST_KEYS_REQUIRED": "true"}
    with ServerProcess(home, environment=environment, port=free_port()) as process:
        yield process.start()


def local(server: ServerProcess) -> httpx.Client:
    """As the owner of this machine."""
    token = json.loads((server.home / "run" / "server.json").read_text())["token"]
    return httpx.Client(base_url=server.url, headers={"authorization": f"Bearer {token}"}, trust_env=False, timeout=30)


def signed_in(context: BrowserContext, server: ServerProcess, role: str) -> tuple[Page, str]:
    """A page of somebody with this role in the project, and the id of the key that they came with."""
    with local(server) as client:
        made = client.post("/house/v1/keys", json={"name": f"{role}'s", "role": role}).raise_for_status().json()
    page = context.new_page()
    page.goto("/sign-in")
    page.get_by_role("button", name="API key instead").click()
    page.get_by_label("API key").fill(made["key"])
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url(lambda url: "/sign-in" not in url)
    return page, str(made["id"])


def ask(page: Page, text: str, model: str) -> None:
    page.goto(f"/?model={model}")
    expect(page.locator("#model-name")).to_have_text(model)
    page.get_by_role("textbox", name="Message").fill(text)
    page.keyboard.press("Enter")


def answered(page: Page) -> None:
    expect(page.locator("#chat")).to_have_attribute("data-busy", "false", timeout=30_000)
    expect(page.locator(".turn.answer.last .doings")).not_to_be_empty()


def test_the_network_goes_and_comes_back(context: BrowserContext, server: ServerProcess) -> None:
    page, _ = signed_in(context, server, "member")
    ask(page, "Tell me a story", "fake:long.jsonl@60")
    expect(page.locator(".answer .prose")).to_contain_text("Word 8.")
    context.set_offline(True)
    page.wait_for_timeout(1500)
    context.set_offline(False)
    answered(page)
    assert page.locator(".answer .prose").inner_text() == LONG
    expect(page.locator(".answer")).to_have_count(1)
    # What is sent while nothing is there is sent when it is there again, once.
    context.set_offline(True)
    page.get_by_role("textbox", name="Message").fill("One more")
    page.keyboard.press("Enter")
    page.wait_for_timeout(1200)
    expect(page.locator(".question")).to_have_count(2)
    context.set_offline(False)
    answered(page)
    expect(page.locator(".question")).to_have_count(2)
    expect(page.locator(".answer")).to_have_count(2)


def test_the_server_is_killed_and_started_again(context: BrowserContext, server: ServerProcess) -> None:
    page, _ = signed_in(context, server, "member")
    ask(page, "Tell me a story", "fake:long.jsonl@30")
    expect(page.locator(".answer .prose")).to_contain_text("Word 8.")
    server.kill()
    expect(page.get_by_text("Connecting again")).to_be_visible()
    server.start()
    expect(page.locator("#chat")).to_have_attribute("data-busy", "false", timeout=30_000)
    # What was said is kept, and can be gone on with or made again.
    assert page.locator(".answer .parts").inner_text().startswith("Word 1. Word 2.")
    expect(page.get_by_role("alert")).to_contain_text("restarted")
    expect(page.locator(".question")).to_have_count(1)
    assert not violations(page)


def test_the_key_is_revoked(context: BrowserContext, server: ServerProcess) -> None:
    page, key = signed_in(context, server, "member")
    ask(page, "hello", "fake:echo")
    answered(page)
    chat = page.url
    with local(server) as client:
        client.delete(f"/house/v1/keys/{key}").raise_for_status()
    page.get_by_role("textbox", name="Message").fill("what I was about to say")
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "/sign-in" in url)
    back, _ = signed_in(context, server, "member")
    back.goto(chat)
    expect(back.get_by_role("textbox", name="Message")).to_have_value("what I was about to say")


def test_who_only_reads_asks(context: BrowserContext, server: ServerProcess) -> None:
    page, _ = signed_in(context, server, "reader")
    ask(page, "hello", "fake:echo")
    answered(page)
    page.get_by_role("button", name="Attach").click()
    expect(page.get_by_role("menuitem", name="Ask documents")).to_be_visible()
    expect(page.get_by_role("menuitem", name="File", exact=True)).to_have_count(0)


def test_a_slow_network(context: BrowserContext, server: ServerProcess) -> None:
    """Fifty kilobytes a second and .3 s each way: the page says what it does, the answer comes, and nothing is asked twice."""
    page, _ = signed_in(context, server, "member")
    wire = context.new_cdp_session(page)
    slow = {"offline": False, "latency": 300, "downloadThroughput": 50_000, "uploadThroughput": 20_000}
    wire.send("Network.emulateNetworkConditions", slow)
    ask(page, "Tell me a story", "fake:long.jsonl@200")
    # The question is shown at once, long before the server can have said anything.
    expect(page.locator(".question")).to_have_count(1)
    answered(page)
    assert page.locator(".answer .prose").inner_text() == LONG
    page.reload()
    expect(page.locator(".answer .prose")).to_have_text(LONG)
    expect(page.locator(".question")).to_have_count(1)

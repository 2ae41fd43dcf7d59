"""The first run: greeted, one model proposed and installed, on to the chat with it; and where there is no network."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from hausgeist.engines.specimen import write_specimen
from tests.acceptance.support import ServerProcess
from tests.browser.conftest import PHONE, overflowing, shoot, violations
from tests.hub import Hub
from tests.registry import Registry

Opened = Callable[..., Any]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with Registry(tmp_path_factory.mktemp("registry")) as registry:
        yield registry


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with Hub() as hub:
        hub.add("owner/slow-GGUF", {"slow-Q4_K_M.gguf": write_specimen(tmp_path_factory.mktemp("hub") / "slow.gguf", seed=3)})
        yield hub


def serving(folder: Path, registry: Registry, hub: Hub, **more: str) -> ServerProcess:
    environment = {
        "HAUSGEIST_GUIDE": "1",
        "HAUSGEIST_FAKE": "0",
        "HAUSGEIST_REGISTRY": registry.url,
        "HF_ENDPOINT": hub.url,
        "HAUSGEIST_ALLOW": "localhost",
    }
    return ServerProcess(folder / "home", environment={**environment, **more})


@pytest.fixture(scope="module")
def server(registry: Registry, hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with serving(tmp_path_factory.mktemp("home"), registry, hub) as process:
        yield process.start()


def test_a_phone_in_the_dark(open_browser: Opened) -> None:
    for locale in ("de", "zh-CN"):
        context, _ = open_browser(fresh=True, locale=locale, dark=True, size=PHONE)
        page = context.new_page()
        page.goto("/")
        expect(page.locator(".proposal input").first).to_be_checked(timeout=60_000)
        assert not violations(page)
        assert not overflowing(page)
        shoot(page, f"welcome-{locale}-phone")


def test_who_wants_to_look_around_first_may(open_browser: Opened, server: ServerProcess) -> None:
    context, _ = open_browser(fresh=True)
    page = context.new_page()
    page.goto("/")
    expect(page).to_have_url(f"{server.url}/welcome")
    page.get_by_role("button", name="Look around first").click()
    expect(page).to_have_url(f"{server.url}/")
    page.goto("/")
    expect(page).to_have_url(f"{server.url}/")


def test_from_the_first_run_to_the_chat(open_browser: Opened, server: ServerProcess, registry: Registry, tmp_path: Path) -> None:
    context, _ = open_browser(fresh=True)
    page = context.new_page()
    page.goto("/")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.locator("#machine")).to_contain_text(re.compile(r"\d\sGiB"))
    proposed = page.locator(".proposal input").first
    expect(proposed).to_be_checked(timeout=60_000)
    assert not violations(page)
    shoot(page, "welcome")
    # Whatever this machine runs well: that is what the registry shall have.
    name = str(proposed.input_value())
    model, _, tag = name.partition(":")
    registry.push(f"library/{model}", [("model", write_specimen(tmp_path / "tiny.gguf"))], tag=tag)
    page.get_by_role("button", name=re.compile("^Install ")).click()
    page.wait_for_url(re.compile(r"/\?model="), timeout=30_000)
    # And on to an answer. The model is tiny and of random weights, so its words may be any.
    expect(page.locator("#model-name")).to_have_text(name)
    page.get_by_role("textbox", name="Message").fill("Hello, who are you?")
    page.keyboard.press("Enter")
    expect(page.locator(".answer .parts")).not_to_be_empty(timeout=60_000)
    expect(page.locator(".question")).to_have_text(re.compile("Hello, who are you"))
    stop = page.get_by_role("button", name="Stop")
    if stop.count():
        stop.click()
    expect(page.locator("#chat")).to_have_attribute("data-busy", "false", timeout=30_000)
    with server.client() as client:
        assert name in {one["id"] for one in client.get("/house/v1/models").json()["data"]}
        client.request("DELETE", "/api/delete", json={"model": name})


def test_progress_survives_a_reload(open_browser: Opened, server: ServerProcess, hub: Hub) -> None:
    hub.fault("slow", rate=15_000, times=1000)
    context, _ = open_browser(fresh=True)
    page = context.new_page()
    page.goto("/welcome")
    with server.client() as client:
        pull = client.post("/house/v1/models/pulls", json={"model": "hf.co/owner/slow-GGUF"}).json()
    page.reload()
    for _ in range(2):
        expect(page.get_by_role("heading", name="Your model is on its way")).to_be_visible()
        expect(page.locator("#pull")).to_contain_text("kB of", timeout=20_000)
        page.reload()
    expect(page.get_by_role("progressbar")).to_be_visible()
    assert not violations(page)
    shoot(page, "welcome-progress")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("heading", name="A model to begin with")).to_be_visible()
    with server.client() as client:
        assert client.get(f"/house/v1/models/pulls/{pull['id']}").json()["status"] == "cancelled"
    hub.faults.clear()


def test_without_a_network(open_browser: Opened, registry: Registry, hub: Hub, tmp_path: Path) -> None:
    with serving(tmp_path, registry, hub, HAUSGEIST_OFFLINE="true") as process:
        url = process.start().url
        context, _ = open_browser(fresh=True, url=url)
        page = context.new_page()
        page.goto("/")
        expect(page.get_by_text("set to stay offline")).to_be_visible(timeout=60_000)
        page.get_by_role("button", name=re.compile("^Install ")).click()
        expect(page.get_by_role("heading", name="The model cannot be fetched at the moment")).to_be_visible(timeout=20_000)
        expect(page.locator("#pull").get_by_role("alert")).not_to_be_empty()
        assert not violations(page)
        shoot(page, "welcome-offline")
        page.get_by_role("button", name="Talk to the guide").click()
        expect(page).to_have_url(f"{url}/?model=guide")

"""Models in the browser: found, fetched, used, looked after, removed; and by whom."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, Route, expect

from hausgeist.engines.specimen import write_specimen
from tests.acceptance.support import ServerProcess
from tests.browser.conftest import PHONE, overflowing, shoot, violations
from tests.browser.payloads import PAYLOADS
from tests.hub import Hub
from tests.registry import Registry
from tests.unit.library.test_adoption import ollama

HOSTILE = "\n".join(["MIT License", *PAYLOADS]).encode()
"""A licence is a text from elsewhere."""


@dataclass
class Sources:
    hub: Hub
    registry: Registry
    server: ServerProcess


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sources]:
    """A server that fetches models from a registry and a hub on this machine."""
    folder = tmp_path_factory.mktemp("sources")
    with Hub() as hub, Registry(folder / "registry") as registry:
        registry.push("library/qwen3.5", [("model", write_specimen(folder / "a.gguf")), ("license", HOSTILE)], tag="4b")
        hub.add("owner/slow-GGUF", {"slow-Q4_K_M.gguf": write_specimen(folder / "b.gguf", seed=1)})
        hub.add("owner/gated-GGUF", {"gated-Q4_K_M.gguf": write_specimen(folder / "c.gguf", seed=2)}, gated=True)
        other = write_specimen(folder / "d.gguf", seed=4).read_bytes()
        ollama(folder / "user/.ollama/models", "registry.ollama.ai/library/there/1b", ("model", other), ("license", PAYLOADS[0].encode()))
        environment = {
            "HAUSGEIST_GUIDE": "1",
            "HAUSGEIST_FAKE": "0",
            "HAUSGEIST_REGISTRY": registry.url,
            "HF_ENDPOINT": hub.url,
            "HAUSGEIST_ALLOW": "localhost",
            # What the machine of the tests has itself does not count.
            "HOME": str(folder / "user"),
            "XDG_CACHE_HOME": str(folder / "user/.cache"),
            "HF_HOME": str(folder / "user/.cache/huggingface"),
            "OLLAMA_MODELS": str(folder / "user/.ollama/models"),
        }
        with ServerProcess(folder / "home", environment=environment) as server:
            yield Sources(hub, registry, server.start())


@pytest.fixture(scope="module")
def server(sources: Sources) -> ServerProcess:
    return sources.server


def row(page: Page, model: str) -> Any:
    return page.locator(f'#installed-list [data-model="{model}"]')


def settled(page: Page) -> None:
    """Until all of the catalogue was worked out."""
    expect(page.locator("#catalogue-status")).to_have_text(re.compile(r"^\d+ models?$"), timeout=60_000)


def test_from_the_catalogue_to_the_disk_and_off_it(page: Page, server: ServerProcess) -> None:
    page.goto("/models")
    expect(page.get_by_text("Only the guide is here")).to_be_visible()
    assert not violations(page)
    shoot(page, "models-empty")
    page.get_by_role("link", name="Catalogue", exact=True).click()
    settled(page)
    expect(page.locator(".entry-fit .badge").first).to_have_text("Fits")
    assert not violations(page)
    shoot(page, "models-catalogue")

    page.keyboard.press("/")
    page.keyboard.type("qwen3.5")
    expect(page.locator(".entry h3").first).to_contain_text("Qwen3.5")
    page.get_by_role("button", name="Qwen3.5-4B", exact=True).press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("row")).to_have_count(7)
    expect(dialog.get_by_text("Proposed").first).to_be_visible()
    assert not violations(page)
    shoot(page, "models-entry")
    dialog.locator("footer").get_by_role("button", name="Install").click()
    expect(page.get_by_text("qwen3.5:4b is ready.")).to_be_visible(timeout=20_000)
    expect(page.locator(".entry", has_text="qwen3.5:4b").get_by_role("link", name="Chat with Qwen3.5-4B")).to_have_attribute(
        "href", "/?model=qwen3.5%3A4b"
    )

    page.get_by_role("link", name="Installed", exact=True).click()
    one = row(page, "qwen3.5:4b")
    one.get_by_role("button", name="Load qwen3.5:4b").click()
    expect(one.get_by_text("In memory")).to_be_visible(timeout=20_000)
    expect(one.get_by_text(re.compile(r"takes .*MiB"))).to_be_visible()
    shoot(page, "models-installed")
    one.get_by_role("button", name="qwen3.5:4b", exact=True).click()
    expect(page.get_by_role("dialog").get_by_text(re.compile("measured, .* predicted"))).to_be_visible()
    page.get_by_role("dialog").locator("summary", has_text="MIT License").click()
    expect(page.locator(".licence")).to_contain_text(PAYLOADS[0])
    assert not violations(page)
    shoot(page, "models-model")
    page.keyboard.press("Escape")
    one.get_by_role("button", name="Unload qwen3.5:4b").click()
    expect(one.get_by_role("button", name="Load qwen3.5:4b")).to_be_visible()

    menu(page, "qwen3.5:4b", "Pin this version")
    expect(one.get_by_text("Pinned")).to_be_visible()
    menu(page, "qwen3.5:4b", "Check the files")
    expect(page.get_by_text(re.compile("file.* read: "))).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Look for updates").click()
    expect(one.get_by_text("Up to date")).to_be_visible()
    with page.expect_download() as downloading:
        menu(page, "qwen3.5:4b", "Export as a file")
    file = Path(downloading.value.path())
    assert downloading.value.suggested_filename == "qwen3.5-4b.tar"

    menu(page, "qwen3.5:4b", "Delete")
    expect(page.get_by_role("dialog")).to_contain_text("frees up to")
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(one).to_have_count(0)
    assert page.evaluate("document.activeElement !== document.body")

    page.get_by_role("button", name="Add a model").click()
    with page.expect_file_chooser() as choosing:
        page.get_by_role("menuitem", name="From a file").click()
    choosing.value.set_files(file)
    expect(page.get_by_text("Installed: qwen3.5:4b")).to_be_visible()
    page.keyboard.press("Escape")
    expect(one).to_be_visible()


def test_an_update_and_the_way_back(page: Page, sources: Sources, tmp_path: Path) -> None:
    name = "qwen3.5:4b"
    with sources.server.client() as client:
        assert '"done"' in client.post("/house/v1/models/pull", json={"model": name}).text
    sources.registry.push("library/qwen3.5", [("model", write_specimen(tmp_path / "new.gguf", seed=9))], tag="4b")
    page.goto("/models")
    page.get_by_role("button", name="Look for updates").click()
    one = row(page, name)
    expect(one.get_by_text("Update available")).to_be_visible()
    one.get_by_role("button", name="Update", exact=True).click()
    expect(page.get_by_text(f"{name} is ready.")).to_be_visible(timeout=20_000)
    one.get_by_role("button", name=name, exact=True).click()
    expect(page.get_by_role("dialog").get_by_role("table").get_by_role("row")).to_have_count(3)
    assert not violations(page)
    shoot(page, "models-versions")
    page.get_by_role("dialog").get_by_role("button", name="Go back a version").click()
    page.get_by_role("dialog").get_by_role("button", name="Go back a version").click()
    expect(page.get_by_text(f"{name} is back at the version before.")).to_be_visible()


def test_what_another_tool_has_is_used(page: Page) -> None:
    page.goto("/models#disk")
    expect(page.locator("#disk")).to_contain_text(re.compile("of .* free; models take"))
    found = page.locator("#elsewhere-list li", has_text="there:1b")
    expect(found).to_contain_text("Ollama")
    assert not violations(page)
    shoot(page, "models-disk")
    found.get_by_role("button", name="Use here: there:1b").click()
    expect(found.get_by_text("Installed")).to_be_visible()
    page.get_by_role("button", name="Tidy up").click()
    expect(page.get_by_text(re.compile("nothing to remove|no model needs"))).to_be_visible()


def menu(page: Page, model: str, entry: str) -> None:
    row(page, model).get_by_role("button", name=f"More for {model}").click()
    page.get_by_role("menuitem", name=entry).click()


def test_a_pull_survives_a_reload_is_stopped_and_goes_on(page: Page, sources: Sources) -> None:
    sources.hub.fault("slow", rate=15_000, times=1000)
    name = "hf.co/owner/slow-GGUF"
    page.goto("/models")
    page.get_by_role("button", name="Add a model").click()
    page.get_by_role("menuitem", name="By its name").click()
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_role("dialog").get_by_role("button", name="Install").click()
    pull = page.locator(".pull", has_text=name)
    bar = pull.get_by_role("progressbar")
    expect(pull).to_contain_text(re.compile(r"kB of .*kB/s"), timeout=20_000)
    before = float(bar.get_attribute("value") or 0)
    page.reload()
    expect(pull).to_contain_text("kB of", timeout=20_000)
    assert float(bar.get_attribute("value") or 0) >= before
    assert not violations(page)
    shoot(page, "models-pull")
    pull.get_by_role("button", name="Stop").click()
    expect(pull).to_contain_text("Stopped.")
    sources.hub.faults.clear()
    pull.get_by_role("button", name="Go on").click()
    expect(row(page, name)).to_be_visible(timeout=20_000)
    expect(page.locator("#pulls")).to_be_hidden()


def test_what_went_wrong_is_said_and_put_away(page: Page) -> None:
    page.goto("/models#catalogue")
    page.get_by_label("Search models").fill("hf.co/owner/gated-GGUF")
    page.get_by_role("button", name="Install hf.co/owner/gated-GGUF").click()
    pull = page.locator(".pull", has_text="gated")
    expect(pull.get_by_role("alert")).not_to_be_empty(timeout=20_000)
    expect(pull.get_by_role("button", name="Try again")).to_be_visible()
    assert not violations(page)
    shoot(page, "models-failed")
    pull.get_by_role("button", name="Close").click()
    expect(page.locator("#pulls")).to_be_hidden()
    page.reload()
    expect(page.locator("#catalogue-list .entry h3").first).to_be_visible()
    expect(page.locator("#pulls")).to_be_hidden()


def test_filters(page: Page) -> None:
    page.goto("/models#catalogue")
    settled(page)
    everything = page.locator("#catalogue-status").text_content()
    page.get_by_label("Good for").select_option(label="Embeddings")
    page.get_by_label("Licence").select_option(label="Commercial use allowed")
    page.get_by_label("Only what fits this machine").check()
    expect(page.locator(".entry").first).to_contain_text("Embeddings")
    expect(page.locator(".entry .badge.bad")).to_have_count(0)
    assert page.locator("#catalogue-status").text_content() != everything
    page.get_by_label("Sort by").select_option(label="Smallest")
    sizes = page.locator(".entry-size").all_text_contents()
    assert len(sizes) > 3


def test_who_only_reads_sees_no_button_that_is_not_theirs(open_browser: Callable[..., Any], server: ServerProcess) -> None:
    token = json.loads((server.home / "run" / "server.json").read_text())["token"]
    with httpx.Client(base_url=server.url, headers={"authorization": f"Bearer {token}"}, trust_env=False) as client:
        key = client.post("/house/v1/keys", json={"name": "reads", "role": "reader"}).raise_for_status().json()["key"]
    context, _ = open_browser()
    page = context.new_page()
    page.goto("/sign-in")
    assert context.request.post("/house/v1/session", data={"key": key}, headers={"origin": server.url}).ok
    page.goto("/models#catalogue")
    expect(page.locator(".entry h3").first).to_be_visible()
    for name in ("Add a model", "Install", "Load", "Look for updates"):
        expect(page.get_by_role("button", name=name)).to_have_count(0)
    expect(page.get_by_role("link", name="Disk")).to_have_count(0)
    page.get_by_role("link", name="Installed", exact=True).click()
    row(page, "guide").get_by_role("button", name="More for guide").click()
    expect(page.get_by_role("menuitem")).to_have_text(["Details"])
    assert not violations(page)


def test_the_list_in_the_chat_says_what_fits(page: Page, server: ServerProcess) -> None:
    token = json.loads((server.home / "run" / "server.json").read_text())["token"]
    with httpx.Client(base_url=server.url, headers={"authorization": f"Bearer {token}"}, trust_env=False) as client:
        for _ in range(200):
            pull = client.post("/house/v1/models/pulls", json={"model": "qwen3.5:4b"}).raise_for_status().json()
            if client.get(f"/house/v1/models/pulls/{pull['id']}").json()["status"] == "done":
                break
            time.sleep(0.05)
    page.goto("/")
    page.locator("#model").click()
    one = page.get_by_role("option", name="qwen3.5:4b")
    expect(one).to_contain_text("fits ·")
    page.keyboard.press("Escape")

    def too_large(route: Route) -> None:
        answer = route.fetch()
        said = answer.json()
        for found in said["data"]:
            found["fits"] = False
        route.fulfill(response=answer, json=said)

    page.evaluate("sessionStorage.clear()")
    page.route("**/house/v1/models/fits?*", too_large)
    page.reload()
    page.locator("#model").click()
    expect(one).to_contain_text("too large for this machine ·")
    expect(page.get_by_role("option", name="guide")).not_to_contain_text("fits")
    assert not violations(page)


@pytest.mark.parametrize(("locale", "dark"), [("de-DE", True), ("zh-CN", False), ("es", True), ("fr", False)])
def test_other_languages_on_a_phone(open_browser: Callable[..., Any], locale: str, dark: bool) -> None:
    context, _ = open_browser(locale=locale, dark=dark, size=PHONE)
    page = context.new_page()
    page.goto("/models#catalogue")
    expect(page.locator(".entry-fit .badge").first).to_be_visible(timeout=30_000)
    assert not violations(page)
    assert not overflowing(page)
    shoot(page, f"models-catalogue-{locale}-phone")
    page.goto("/models#installed")
    expect(row(page, "guide")).to_be_visible()
    assert not violations(page)
    assert not overflowing(page)
    shoot(page, f"models-installed-{locale}-phone")


def test_narrow_and_enlarged(open_browser: Callable[..., Any]) -> None:
    context, _ = open_browser(size={"width": 320, "height": 600})
    page = context.new_page()
    for view in ("catalogue", "installed", "disk"):
        page.goto(f"/models#{view}")
        page.reload()
        expect(page.locator("#installed-list [data-model=guide]")).to_have_count(1)
        assert not overflowing(page), view

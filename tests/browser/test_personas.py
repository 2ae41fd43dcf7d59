"""Personas and the prompt library: kept, changed, shared, tried and removed, by members and readers."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.acceptance.support import ServerProcess
from tests.browser.conftest import PHONE, overflowing, shoot, violations

PASSWORD = "correct horse battery"
Opened = Callable[..., tuple[BrowserContext, Any]]


@pytest.fixture(scope="module")
def everything(server: ServerProcess) -> None:
    """Both shelves full, with what does not look like a name among it."""
    with server.client() as client:
        for number in range(8):
            body = {"name": f"Persona {number}", "instructions": "Be exact. " * 30, "settings": {"temperature": 0.5}, "shared": number % 2 == 0}
            client.post("/house/v1/personas", json=body).raise_for_status()
        for name in ("<img src=x onerror=hit()>", "W" * 100, "Formular"):
            client.post("/house/v1/prompts", json={"name": name, "text": "Liebe {{Name}}, {{ein sehr langer Platzhalter}}"}).raise_for_status()
        client.post("/house/v1/users", json={"name": "rita", "role": "reader", "password": PASSWORD}).raise_for_status()


def test_a_persona_from_its_making_to_its_end(page: Page, server: ServerProcess) -> None:
    page.goto("/personas")
    expect(page.get_by_text("No persona yet.")).to_be_visible()
    assert not violations(page)
    shoot(page, "personas-empty")
    page.get_by_role("button", name="New persona").click()
    page.get_by_label("Name").fill("Short")
    page.get_by_label("Instructions").fill("Answer in one sentence.")
    page.get_by_label("Model").select_option("guide")
    page.get_by_text("Settings", exact=True).click()
    page.get_by_label("Temperature").fill("0.3")
    assert not violations(page)
    shoot(page, "personas-form")
    page.get_by_role("button", name="Save").click()
    card = page.get_by_role("listitem").filter(has_text="Short")
    expect(card).to_contain_text("Temperature 0.3")

    card.get_by_role("button", name="Edit").click()
    page.get_by_label("Name").fill("Shorter")
    page.get_by_label("Temperature").fill("")
    page.get_by_label("Share in the project").check()
    page.get_by_role("button", name="Save").click()
    card = page.get_by_role("listitem").filter(has_text="Shorter")
    expect(card).to_contain_text("Shared")
    expect(card).not_to_contain_text("Temperature")
    expect(card.get_by_role("button", name="More")).to_be_focused()

    card.get_by_role("button", name="Try it").click()
    page.wait_for_url(re.compile("/chat/"))
    with server.client() as client:
        chat = client.get(f"/house/v1/chats/{page.url.rpartition('/')[2]}").json()
        assert chat["model"] == "guide"
        assert chat["settings"]["instructions"] == "Answer in one sentence."
        persona = client.get("/house/v1/personas").json()["data"][0]
        assert chat["settings"]["persona"] == persona["id"]

    page.goto("/personas")
    page.get_by_role("button", name="More: Shorter").click()
    page.get_by_role("menuitem", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_text("No persona yet.")).to_be_visible()
    expect(page.get_by_role("button", name="New persona")).to_be_focused()


def test_a_prompt_asks_for_its_gaps(page: Page) -> None:
    page.goto("/personas#prompts")
    page.get_by_role("button", name="New prompt").click()
    page.get_by_label("Name").fill("Letter")
    expect(page.get_by_text("Nothing is asked for.")).to_be_visible()
    page.get_by_label("Text").fill("Dear {{who}},\nthank you for {{ what }}. Yours, {{who}}")
    expect(page.locator("dialog .gap")).to_have_text(["who", "what"])
    page.get_by_role("button", name="Save").click()
    card = page.get_by_role("listitem").filter(has_text="Letter")
    expect(card.locator(".gap")).to_have_text(["who", "what"])
    page.evaluate("localStorage.setItem('hausgeist.draft.new', 'Please:')")
    card.get_by_role("button", name="Use in a chat").click()
    page.get_by_label("who").fill("Ada")
    page.get_by_label("what").fill("the $& engine")
    page.get_by_role("button", name="Use", exact=True).click()
    page.wait_for_url(re.compile("/$"))
    draft = page.evaluate("localStorage.getItem('hausgeist.draft.new')")
    assert draft == "Please:\n\nDear Ada,\nthank you for the $& engine. Yours, Ada"


def test_readers_keep_their_own_and_use_what_is_shared(open_browser: Opened, everything: None) -> None:
    context, _ = open_browser()
    page = context.new_page()
    assert context.request.post("/house/v1/session", data={"name": "rita", "password": PASSWORD}).ok
    page.goto("/personas")
    shared = page.get_by_role("listitem").filter(has_text="Persona 2")
    expect(shared).to_contain_text("From the project")
    expect(shared.get_by_role("button", name="Edit")).to_have_count(0)
    expect(page.get_by_text("Persona 1")).to_have_count(0)
    page.get_by_role("button", name="New persona").click()
    expect(page.get_by_label("Share in the project")).to_have_count(0)
    page.get_by_label("Name").fill("Mine")
    page.get_by_role("button", name="Save").click()
    mine = page.get_by_role("listitem").filter(has_text="Mine")
    expect(mine.get_by_role("button", name="Edit")).to_be_visible()
    mine.get_by_role("button", name="More").click()
    expect(page.get_by_role("menuitem")).to_have_text(["Duplicate", "Delete"])


def test_full_shelves_in_each_light_and_size(open_browser: Opened, everything: None) -> None:
    for locale, dark, size in (("de", True, PHONE), ("zh", False, {"width": 320, "height": 700}), ("es", False, {"width": 1440, "height": 900})):
        context, _ = open_browser(locale=locale, dark=dark, size=size)
        page = context.new_page()
        for path in ("/personas", "/personas#prompts"):
            page.goto(path)
            page.reload()
            expect(page.get_by_role("listitem").first).to_be_visible()
            assert not violations(page), (locale, path)
            assert not overflowing(page), (locale, path)
            shoot(page, f"{path[1:].replace('#', '-')}-{locale}")


def test_words_narrow_a_shelf_down_and_arrows_change_it(page: Page, everything: None) -> None:
    page.goto("/personas")
    page.get_by_role("searchbox").fill("persona 3")
    expect(page.get_by_role("listitem")).to_have_count(1)
    page.get_by_role("searchbox").fill("no such words")
    expect(page.get_by_text("None has these words.")).to_be_visible()
    page.get_by_role("tab", name="Personas").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Prompts")).to_be_focused()
    expect(page.get_by_role("listitem").filter(has_text="Formular")).to_be_visible()
    expect(page).to_have_url(re.compile("#prompts$"))

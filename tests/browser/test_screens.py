"""Every page as people see it: light and dark, on a desk and on a phone, in five languages; a picture of each, and nothing that shuts anybody out.

The pictures are in build/screenshots (or where HAUSGEIST_SHOTS says), for those who look at the pages before a release.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.acceptance.support import ServerProcess, until
from tests.browser.conftest import DESKTOP, PHONE, Sizes, Watch, overflowing, shoot, violations

Browsers = Callable[..., tuple[BrowserContext, Watch]]
UNTRANSLATED = r"""() => document.body.innerText.match(
    /\b(common|chat|documents|citations|models|plan|personas|server|entrance|actions)\.[a-z]+_[a-z_]+\b/g)"""
"""Keys of texts that are shown instead of the texts."""
QUESTION = "Which grease is used for the drum bearings?"


@pytest.fixture(scope="module")
def places(server: ServerProcess) -> dict[str, str]:
    """Pages by name, with something on each: a chat, a store of papers, a persona, a key, a person."""
    with server.client(timeout=120) as client:
        chat = client.post("/house/v1/chats", json={"model": "guide"}).raise_for_status().json()["id"]
        asked = {"model": "guide", "conversation": chat, "input": "How do I install a model?"}
        client.post("/v1/responses", json=asked).raise_for_status()
        store = client.post("/house/v1/stores/demo").raise_for_status().json()["id"]
        done = lambda: client.get(f"/v1/vector_stores/{store}").json()["file_counts"]["in_progress"] == 0  # noqa: E731
        until(done, 90, "the papers are read", pause=0.3)
        client.post("/house/v1/personas", json={"name": "Editor", "instructions": "You shorten texts and keep their meaning.", "shared": True})
        client.post("/house/v1/prompts", json={"name": "Translate", "text": "Translate into {{language}}: {{text}}"})
        client.post("/house/v1/keys", json={"name": "laptop"}).raise_for_status()
        client.post("/house/v1/users", json={"name": "Anna", "role": "member"}).raise_for_status()
    return {
        "chat": f"/chat/{chat}",
        "chat-new": "/",
        "documents": "/documents",
        "store": f"/documents/{store}",
        "models": "/models",
        "plan": "/plan?model=gemma3:12b&gpu=RTX+4060+Ti+16GB",
        "personas": "/personas",
        "server": "/server",
        "usage": "/server/usage",
        "people": "/server/people",
        "audit": "/server/audit",
        "settings": "/server/settings",
        "welcome": "/welcome",
    }


def settled(page: Page, path: str) -> None:
    """Open a page, and wait until it has what it asks the server for."""
    page.goto(path)
    page.wait_for_load_state("networkidle")
    expect(page.get_by_role("heading").first).to_be_attached()
    page.wait_for_timeout(300)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_pages(open_browser: Browsers, places: dict[str, str], dark: bool, size: Sizes) -> None:
    context, _ = open_browser(dark=dark, size=size)
    page = context.new_page()
    found = {}
    for name, path in places.items():
        settled(page, path)
        found[name] = violations(page) + overflowing(page)
        shoot(page, f"{name}-{'phone' if size is PHONE else 'desktop'}-{'dark' if dark else 'light'}")
    assert not {name: wrong for name, wrong in found.items() if wrong}


@pytest.mark.parametrize("locale", ["de-DE", "es-ES", "fr-FR", "zh-CN"])
def test_languages_fit(open_browser: Browsers, places: dict[str, str], locale: str) -> None:
    """Long words break nothing, on the narrowest screen that is asked for (WCAG 1.4.10), and no text is missing."""
    context, _ = open_browser(locale=locale, size={"width": 320, "height": 640})
    page = context.new_page()
    wrong = {}
    for name, path in places.items():
        settled(page, path)
        bare = page.evaluate(UNTRANSLATED)
        if sticking := overflowing(page) + (bare or []):
            wrong[name] = sticking
    assert not wrong


def test_a_cited_passage_beside_its_answer(open_browser: Browsers, places: dict[str, str]) -> None:
    for dark in (False, True):
        context, _ = open_browser(dark=dark, size={"width": 1440, "height": 900})
        page = context.new_page()
        settled(page, places["store"])
        page.get_by_role("textbox").first.fill(QUESTION)
        page.get_by_role("textbox").first.press("Enter")
        page.get_by_role("button", name=re.compile("^Citation 1 ")).first.click()
        expect(page.locator("#main img, dialog img, aside img").first).to_be_visible()
        page.wait_for_load_state("networkidle")
        page.wait_for_timeout(500)
        shoot(page, f"citation-{'dark' if dark else 'light'}")
        assert not violations(page)

"""Every page as people see it: light and dark, on a desk and on a phone; a picture of each, and nothing that shuts anybody out.

The pictures are in build/screenshots (or where HAUSGEIST_SHOTS says), for those who look at the pages before a release.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.browser.conftest import DESKTOP, PHONE, Sizes, Watch, overflowing, shoot, violations
from tests.browser.places import settled

Browsers = Callable[..., tuple[BrowserContext, Watch]]
QUESTION = "Which grease is used for the drum bearings?"


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

"""Every page in every language, on the narrowest screen."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext

from tests.browser.conftest import Watch, overflowing
from tests.browser.places import settled

Browsers = Callable[..., tuple[BrowserContext, Watch]]
UNTRANSLATED = r"""() => document.body.innerText.match(
    /\b(common|chat|documents|citations|models|plan|personas|server|entrance|actions)\.[a-z]+_[a-z_]+\b/g)"""
"""Keys of texts that are shown instead of the texts."""


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

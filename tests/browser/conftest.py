"""Real pages in a real browser: Debian's Chromium, driven by Playwright, against a real server with the built-in guide.

Each file of tests gets a server with an empty home (`server`), each test a browser of its own (`page`, in `context`): no cookie and no stored choice
of another. What a page must never do fails the test that it happens in: a script error, a refused policy, a request to anywhere but the server.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, expect, sync_playwright

from tests.acceptance.support import ROOT, ServerProcess
from tests.browser.places import filled

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
AXE = ROOT / "build" / "pages" / "axe.min.js"
SHOTS = Path(os.environ.get("HAUSGEIST_SHOTS", ROOT / "build" / "screenshots"))
_ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--force-color-profile=srgb", "--font-render-hinting=none",
)  # fmt: skip
Sizes = dict[str, int]
DESKTOP: Sizes = {"width": 1280, "height": 800}
PHONE: Sizes = {"width": 390, "height": 844}


@dataclass
class Watch:
    """What a page did that no page of ours may do. `expected`: patterns of console messages that a test provokes."""

    errors: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)

    def on(self, page: Page, home: str) -> None:
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self._console)
        page.on("request", lambda request: self._request(request, home))

    def _console(self, message: ConsoleMessage) -> None:
        # That a request was refused is said by the browser itself; whether it should have been is for each test to say.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            self.errors.append(message.text)

    def _request(self, request: Request, home: str) -> None:
        if not request.url.startswith((home, "data:", f"blob:{home}", "about:")):
            self.strangers.append(request.url)

    def check(self) -> None:
        unexpected = [text for text in self.errors if not any(re.search(pattern, text) for pattern in self.expected)]
        assert not unexpected, f"the page complained: {unexpected[:5]}"
        assert not self.strangers, f"the page asked elsewhere: {self.strangers[:5]}"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """For one file of tests: while Playwright is there, its event loop runs in this thread, and other files have tests with loops of their own."""
    if CHROMIUM is None:
        reason = "chromium is not installed (Debian, Ubuntu: apt install chromium)"
        if os.environ.get("CI") == "true":
            pytest.fail(f"{reason}, and CI must not skip this (see .ci/run)")
        pytest.skip(reason)
    expect.set_options(timeout=15_000)  # busy machines
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=[*_ARGUMENTS])
        yield found
        found.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with the guide, as `hausgeist serve` starts it; its local owner looks at it."""
    home = tmp_path_factory.mktemp("home") / "home"
    with ServerProcess(home, environment={"HAUSGEIST_GUIDE": "1", "HAUSGEIST_FAKE": "0"}) as process:
        yield process.start()


@pytest.fixture
def open_browser(browser: Browser, server: ServerProcess) -> Iterator[Callable[..., tuple[BrowserContext, Watch]]]:
    """Makes a browser of somebody: `open_browser(locale="de", dark=True, size=PHONE)`. Greeted already, unless `fresh`."""
    made: list[tuple[BrowserContext, Watch]] = []

    def start(
        *, locale: str = "en-US", dark: bool = False, size: Sizes = DESKTOP, fresh: bool = False, url: str | None = None, **options: Any
    ) -> tuple[BrowserContext, Watch]:
        home = url or server.url
        context = browser.new_context(
            base_url=home,
            locale=locale,
            color_scheme="dark" if dark else "light",
            viewport=size,
            reduced_motion="reduce",
            **options,  # type: ignore[arg-type]
        )
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        context.set_default_timeout(15_000)
        if not fresh:
            context.add_cookies([{"name": "hausgeist_welcomed", "value": "1", "url": home}])
        watch = Watch()
        context.on("page", lambda page: watch.on(page, home))
        made.append((context, watch))
        return context, watch

    yield start
    for context, _ in made:
        context.close()
    for _, watch in made:
        watch.check()


@pytest.fixture(scope="module")
def places(server: ServerProcess) -> dict[str, str]:
    """Addresses of all pages by name, with something on each."""
    return filled(server)


@pytest.fixture
def context(open_browser: Callable[..., tuple[BrowserContext, Watch]]) -> BrowserContext:
    return open_browser()[0]


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


def violations(page: Page, *, leave_out: tuple[str, ...] = ()) -> list[str]:
    """What axe-core finds against WCAG 2.2 AA on the page as it is now: rule, help and the places."""
    # Put there by the debugger's protocol, which the page's policy does not bind.
    page.evaluate(AXE.read_text("utf-8"))
    found = page.evaluate(
        """async leaveOut => {
            const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
            const rules = Object.fromEntries(leaveOut.map(name => [name, {enabled: false}]));
            const result = await axe.run(document, {runOnly: {type: "tag", values: tags}, rules, resultTypes: ["violations"]});
            return result.violations.map(one => `${one.id}: ${one.help}: ${one.nodes.slice(0, 4).map(node => node.target.join(" ")).join(" | ")}`);
        }""",
        list(leave_out),
    )
    return [str(one) for one in found]


def overflowing(page: Page) -> list[str]:
    """Elements that stick out of the page sideways (WCAG 1.4.10), unless something around them scrolls."""
    found = page.evaluate(
        """() => [...document.querySelectorAll("body *")].filter(one => {
            const at = one.getBoundingClientRect();
            if (at.width === 0 || at.right <= innerWidth + 1 || getComputedStyle(one).position === "fixed") return false;
            for (let up = one.parentElement; up; up = up.parentElement)
                if (["auto", "scroll", "hidden", "clip"].includes(getComputedStyle(up).overflowX)) return false;
            return !one.closest(".visually-hidden");
        }).map(one => `${one.tagName}.${one.className}`).slice(0, 5)"""
    )
    return [str(one) for one in found]


def shoot(page: Page, name: str) -> None:
    """A picture for those who look at the pages: build/screenshots/NAME.png."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}.png")

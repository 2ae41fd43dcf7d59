"""The planner's page: a question in the address, an answer at once, in words, charts and money, for everybody who looks."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import PHONE, Watch, overflowing, shoot, violations

CARD = "/plan?model=qwen3:8b&gpu=RTX+3090&volume=300M&country=DE"
Opener = Callable[..., tuple[BrowserContext, Watch]]


def answered(page: Page) -> None:
    expect(page.locator("#results")).to_have_attribute("aria-busy", "false", timeout=40_000)


def verdict(page: Page) -> Any:
    return page.locator("#verdict")


def test_what_runs_here_then_one_of_them(page: Page) -> None:
    page.goto("/plan")
    expect(verdict(page)).to_contain_text("runs well", timeout=40_000)
    assert not violations(page)
    shoot(page, "plan-ranking")
    first = page.locator(".ranking a").first
    name = first.inner_text().split(" ")[0]
    first.click()
    answered(page)
    expect(verdict(page)).to_be_focused()
    expect(verdict(page)).to_contain_text("Fits")
    assert f"model={name}" in page.url
    page.go_back()
    expect(verdict(page)).to_contain_text("runs well", timeout=40_000)
    expect(page.locator(".chips li")).to_have_count(0)


def test_what_does_not_fit_says_what_would(page: Page) -> None:
    page.goto("/plan?model=llama3.1:405b")
    answered(page)
    expect(verdict(page)).to_contain_text("Does not fit")
    assert not violations(page)
    shoot(page, "plan-does-not-fit")
    machine = page.locator("button.way", has_text=re.compile(r"(new|used), about"))
    expect(machine).to_have_count(1)
    machine.click()
    expect(verdict(page)).to_contain_text("Fits")
    expect(verdict(page)).to_be_focused()
    assert "gpu=" in page.url
    expect(page.get_by_role("combobox", name="Machine")).not_to_have_value("This machine")


def test_the_context_by_keyboard_changes_memory_and_address(page: Page) -> None:
    page.goto(CARD)
    answered(page)
    before = verdict(page).inner_text()
    slider = page.get_by_label("Context, by doubling")
    slider.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(page).to_have_url(re.compile("context=32768"))
    expect(verdict(page)).not_to_have_text(before)
    expect(page.locator(".verdict")).to_contain_text("32,768 tokens of context")
    expect(slider).to_be_focused()
    field = page.get_by_label("Context (tokens)")
    field.fill("a lot")
    expect(page.get_by_role("alert").first).to_contain_text("context is a number")
    expect(field).to_have_attribute("aria-invalid", "true")
    field.fill("4k")
    expect(page.locator(".verdict")).to_contain_text("4,096 tokens of context")
    expect(field).not_to_have_attribute("aria-invalid", "true")


def test_a_shared_link_shows_the_same_and_prints_without_controls(page: Page, open_browser: Opener) -> None:
    page.goto(CARD)
    answered(page)
    page.get_by_role("button", name="Copy the link").click()
    link = page.evaluate("navigator.clipboard.readText()")
    other = open_browser()[0].new_page()
    other.goto(link)
    answered(other)
    assert other.locator(".verdict").inner_text() == page.locator(".verdict").inner_text()
    assert other.locator(".tiles").inner_text() == page.locator(".tiles").inner_text()
    other.emulate_media(media="print")
    for control in ("#question form", "#actions", ".ways", "aside.sidebar", "details.sources"):
        assert all(not one.is_visible() for one in other.locator(control).all()), control
    expect(other.locator(".only-print")).to_contain_text("Hausgeist")
    pages = other.pdf(format="A4", print_background=True).count(b"/Type /Page\n")
    assert pages == 1


def test_models_are_found_by_typing_and_put_side_by_side(page: Page) -> None:
    page.goto("/plan?model=qwen3:8b&gpu=RTX+3090")
    answered(page)
    field = page.get_by_role("combobox", name="Compare with another model")
    for typed, name in (("gemma3 27b", "gemma3:27b"), ("llama3.3", "llama3.3:70b"), ("gpt-oss:20", "gpt-oss:20b")):
        field.fill(typed)
        expect(page.get_by_role("option", name=name).first).to_be_visible()
        page.keyboard.press("Enter")
        expect(page.locator(".chips")).to_contain_text(name)
    answered(page)
    expect(verdict(page)).to_contain_text("of 4 run well")
    expect(field).to_be_hidden()
    assert not violations(page)
    shoot(page, "plan-side-by-side")
    page.get_by_role("button", name="Remove llama3.3:70b").click()
    expect(verdict(page)).to_contain_text("They all run well")
    expect(field).to_be_focused()
    machine = page.get_by_role("combobox", name="Machine")
    machine.click()
    machine.fill("4090")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"gpu=RTX\+4090"))
    expect(page.locator(".verdict")).to_contain_text("NVIDIA RTX 4090")


def test_what_to_buy(page: Page) -> None:
    page.goto("/plan?for=documents&users=10&budget=2500")
    expect(page.locator(".choice")).to_have_count(3, timeout=40_000)
    assert not violations(page)
    shoot(page, "plan-what-to-buy")
    expect(page.get_by_role("tab", name="What to buy?")).to_have_attribute("aria-selected", "true")
    page.get_by_label("Budget at most (USD)").fill("3")
    expect(verdict(page)).to_contain_text("cannot be planned", timeout=40_000)
    expect(page.get_by_label("Budget at most (USD)")).to_have_attribute("aria-invalid", "true")
    page.get_by_label("Budget at most (USD)").fill("3000")
    expect(page.locator(".choice")).to_have_count(3, timeout=40_000)
    page.get_by_role("link", name="Look closer").first.click()
    answered(page)
    expect(verdict(page)).to_contain_text("Fits")


def test_charts_are_read_out_by_keyboard(page: Page) -> None:
    page.goto(CARD)
    answered(page)
    plot = page.get_by_role("group", name="Writing, tokens per second")
    plot.focus()
    page.keyboard.press("Home")
    expect(plot.locator("[aria-live]")).to_have_text(re.compile(r"256.*; \d+"))
    page.keyboard.press("ArrowRight")
    expect(plot.locator("[aria-live]")).to_have_text(re.compile(r"512.*; \d+"))
    expect(plot.locator(".chart-tip")).to_be_visible()
    page.keyboard.press("Escape")
    expect(plot.locator(".chart-tip")).to_be_hidden()
    expect(page.locator(".part-cost")).to_contain_text("the purchase is back after")
    figure = page.locator(".part-cost figure")
    figure.get_by_text("As a table").click()
    expect(figure.locator("tbody tr")).to_have_count(61)


def test_the_answer_as_json_and_as_a_command(page: Page) -> None:
    page.goto(CARD)
    answered(page)
    page.get_by_role("button", name="More").click()
    page.get_by_role("menuitem", name="Copy as a command").click()
    assert page.evaluate("navigator.clipboard.readText()") == "hausgeist plan qwen3:8b --gpu 'RTX 3090' --country DE --volume 300M"
    page.get_by_role("button", name="More").click()
    with page.expect_download() as download:
        page.get_by_role("menuitem", name="Save as JSON").click()
    saved = json.loads(download.value.path().read_text("utf-8"))
    assert saved["model"] == "qwen3:8b"
    assert saved["memory_by_context"]


def test_the_last_answer_stays_while_the_next_is_worked_out_or_fails(page: Page) -> None:
    page.goto(CARD)
    answered(page)
    page.route("**/house/v1/plan?*", lambda route: route.abort())
    page.get_by_label("Users at once").fill("3")
    expect(page.locator(".verdict")).to_contain_text("The server does not answer")
    assert not violations(page)
    page.unroute("**/house/v1/plan?*")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".verdict")).to_contain_text("for each of 3 users at once")


def test_nothing_moves_when_answers_come(page: Page) -> None:
    """By layout shift: a tenth of what web.dev/cls counts as good."""
    page.add_init_script(
        """window.moved = [];
        const place = one => `${one.node?.outerHTML?.slice(0, 120)}: ${JSON.stringify(one.previousRect)} -> ${JSON.stringify(one.currentRect)}`;
        new PerformanceObserver(list => {
            for (const one of list.getEntries()) if (!one.hadRecentInput) window.moved.push([one.value, ...one.sources.map(place)]);
        }).observe({type: "layout-shift", buffered: true});"""
    )
    page.goto(CARD)
    answered(page)
    page.wait_for_load_state("networkidle")
    moved = page.evaluate("moved")
    assert sum(one[0] for one in moved) < 0.01, moved


def test_what_stands_in_the_address_is_text(page: Page) -> None:
    page.goto("/plan?model=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E&gpu=%22%3E%3Cscript%3Ealert(1)%3C/script%3E&country=javascript:alert(1)")
    answered(page)
    expect(verdict(page)).to_contain_text("cannot be planned")
    expect(page.locator(".chips li span").first).to_have_text("<img src=x onerror=alert(1)>")
    assert page.locator("#main img, #main script").count() == 0


@pytest.mark.parametrize(
    ("locale", "word", "dark"), [("de-DE", "Passt", False), ("es-ES", "Cabe", True), ("fr-FR", "Ça tient", False), ("zh-CN", "装得下", True)]
)
def test_on_a_phone_in_four_more_languages(open_browser: Opener, locale: str, word: str, dark: bool) -> None:
    page = open_browser(locale=locale, dark=dark, size=PHONE)[0].new_page()
    page.goto(CARD)
    answered(page)
    expect(verdict(page)).to_contain_text(word)
    text = page.locator("#main").inner_text()
    assert not re.findall(r"\bplan\.\w+|\{\w+\}", text)
    assert not violations(page)
    assert not overflowing(page)
    shoot(page, f"plan-{locale}")
    page.set_viewport_size({"width": 320, "height": 640})
    assert not overflowing(page)


def test_how_it_is_worked_out_and_how_true_it_was(page: Page) -> None:
    page.goto(CARD)
    answered(page)
    page.get_by_text("How this is worked out, and from what").click()
    expect(page.locator("details.sources")).to_contain_text("left free on each card")
    assert page.locator("details.sources tbody tr").count() > 10
    page.get_by_text("Was it true?").click()
    expect(page.locator("details.accuracy")).to_contain_text(re.compile("No model was loaded|loads took"))
    assert not violations(page)

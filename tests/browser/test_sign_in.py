"""Signing in, in the browser: by password, key and link; where one is led; in which language and light."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.acceptance.support import ServerProcess
from tests.browser.conftest import PHONE, overflowing, shoot, violations

PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One that demands to know who asks."""
    home: Path = tmp_path_factory.mktemp("home") / "home"
    environment = {"HAUSGEIST_GUIDE": "1", "HAUSGEIST_FAKE": "0", "HAUSGEIST_KEYS_REQUIRED": "true"}
    with ServerProcess(home, environment=environment) as process:
        yield process.start()


def test_a_page_leads_to_signing_in_and_back(page: Page, server: ServerProcess, owner_key: str) -> None:
    page.goto("/models?x=1")
    expect(page).to_have_url(f"{server.url}/sign-in?next=%2Fmodels%3Fx%3D1")
    assert not violations(page)
    page.get_by_role("button", name="API key instead").click()
    page.get_by_label("API key").fill("hg-wrong")
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_role("alert")).not_to_be_empty()
    page.get_by_label("API key").fill(owner_key)
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page).to_have_url(f"{server.url}/models?x=1")


@pytest.mark.parametrize(
    "elsewhere", ["https://example.org/", "//example.org/", "/.//example.org/", "/%5Cexample.org", "http://[", "javascript:alert(1)"]
)
def test_nobody_is_led_elsewhere(page: Page, server: ServerProcess, owner_key: str, elsewhere: str) -> None:
    page.goto(f"/sign-in?next={elsewhere}")
    page.get_by_role("button", name="API key instead").click()
    page.get_by_label("API key").fill(owner_key)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url(lambda url: "/sign-in" not in url)
    assert page.url.startswith(server.url)


def test_the_browsers_language_and_light(open_browser, owner_key: str) -> None:  # type: ignore[no-untyped-def]
    for locale, heading in (("de-AT", "Anmelden"), ("es-MX", "Iniciar sesión"), ("fr", "Se connecter"), ("zh-CN", "登录"), ("pt-BR", "Sign in")):
        context, _ = open_browser(locale=locale, dark=locale == "fr", size=PHONE)
        page = context.new_page()
        page.goto("/sign-in")
        expect(page.get_by_role("heading", name=heading)).to_be_visible()
        assert not violations(page)
        assert not overflowing(page)
        shoot(page, f"sign-in-{locale}")


def test_an_invitation_is_taken_once(open_browser, server: ServerProcess) -> None:  # type: ignore[no-untyped-def]
    token = json.loads((server.home / "run" / "server.json").read_text())["token"]
    with httpx.Client(base_url=server.url, headers={"authorization": f"Bearer {token}"}, trust_env=False) as client:
        link = str(client.post("/house/v1/users", json={"name": "ada", "role": "member"}).raise_for_status().json()["link"])
    page = open_browser(size=PHONE)[0].new_page()
    page.goto(link)
    expect(page.get_by_role("heading", name="Welcome")).to_be_visible()
    page.get_by_label("New password").fill(PASSWORD)
    page.get_by_label("The password again").fill("something else")
    page.get_by_role("button", name="Set the password").click()
    expect(page.get_by_role("alert")).to_contain_text("not the same")
    page.get_by_label("The password again").fill(PASSWORD)
    page.get_by_label("Show the password").check()
    expect(page.get_by_label("New password")).to_have_attribute("type", "text")
    assert not violations(page)
    shoot(page, "sign-in-invited")
    page.get_by_role("button", name="Set the password").click()
    expect(page).to_have_url(f"{server.url}/")

    again = open_browser()[0].new_page()
    again.goto(link)
    again.get_by_label("New password").fill(PASSWORD)
    again.get_by_label("The password again").fill(PASSWORD)
    again.get_by_role("button", name="Set the password").click()
    expect(again.get_by_role("alert")).to_contain_text("used already")
    again.get_by_role("button", name="password instead").click()
    again.get_by_label("Name").fill("ada")
    again.get_by_label("Password", exact=True).fill(PASSWORD)
    again.get_by_role("button", name="Sign in", exact=True).click()
    expect(again).to_have_url(f"{server.url}/")


def test_another_language_is_one_press_away(page: Page) -> None:
    page.goto("/sign-in")
    page.get_by_role("button", name="Français").click()
    expect(page.get_by_role("heading", name="Se connecter")).to_be_visible()
    expect(page.get_by_role("button", name="Français")).to_have_attribute("aria-current", "true")


@pytest.fixture(scope="module")
def owner_key(server: ServerProcess) -> str:
    token = json.loads((server.home / "run" / "server.json").read_text())["token"]
    with httpx.Client(base_url=server.url, headers={"authorization": f"Bearer {token}"}, trust_env=False) as client:
        return str(client.post("/house/v1/keys", json={"name": "pages", "role": "owner"}).raise_for_status().json()["key"])


def test_what_somebody_began_to_write_is_not_the_next_ones(page: Page, server: ServerProcess) -> None:
    def enter(name: str) -> None:
        page.goto("/sign-in")
        page.get_by_label("Name").fill(name)
        page.get_by_label("Password", exact=True).fill(PASSWORD)
        page.get_by_role("button", name="Sign in", exact=True).click()
        page.wait_for_url(f"{server.url}/")

    token = json.loads((server.home / "run" / "server.json").read_text())["token"]
    with httpx.Client(base_url=server.url, headers={"authorization": f"Bearer {token}"}, trust_env=False) as client:
        for name in ("first", "second"):
            client.post("/house/v1/users", json={"name": name, "password": PASSWORD}).raise_for_status()
    for name, found in (("first", ""), ("second", ""), ("first", "of first")):
        enter(name)
        box = page.get_by_role("textbox", name="Message")
        expect(box).to_have_value(found)
        box.fill(f"of {name}")
        page.wait_for_timeout(500)
        page.get_by_role("button", name=name).click()
        page.get_by_role("menuitem", name="Sign out").click()
        page.wait_for_url("**/sign-in")

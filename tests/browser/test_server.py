"""The page of the server: whole stories of an owner and of those who are not one, in browsers of their own, against a real server with the guide."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.acceptance.support import ServerProcess
from tests.browser.conftest import PHONE, overflowing, shoot, violations

PASSWORD = "correct horse battery"
PARTS = ("", "/usage", "/people", "/projects", "/keys", "/audit", "/settings")
Opened = Callable[..., tuple[BrowserContext, Any]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Keys are required here, so that those who sign in are told apart from the owner at the machine."""
    home: Path = tmp_path_factory.mktemp("home") / "home"
    environment = {"HAUSGEIST_GUIDE": "1", "HAUSGEIST_FAKE": "0", "HAUSGEIST_KEYS_REQUIRED": "true", "HAUSGEIST_HF_TOKEN": "hf_geheim"}
    with ServerProcess(home, environment=environment) as process:
        yield process.start()


@pytest.fixture(scope="module")
def local(server: ServerProcess) -> Iterator[httpx.Client]:
    """The owner at the machine itself, with the token that only this machine has; made an owner with a password on the way."""
    token = json.loads((server.home / "run" / "server.json").read_text())["token"]
    with server.client(headers={"authorization": f"Bearer {token}"}) as client:
        client.post("/house/v1/users", json={"name": "olga", "role": "owner", "password": PASSWORD}).raise_for_status()
        yield client


def signed_in(opened: Opened, name: str, path: str = "/server", **options: Any) -> Page:
    context, _ = opened(**options)
    page = context.new_page()
    answer = context.request.post("/house/v1/session", data={"name": name, "password": PASSWORD})
    assert answer.ok, answer.text()
    page.goto(path)
    return page


@pytest.fixture
def owner(open_browser: Opened, local: httpx.Client) -> Page:
    return signed_in(open_browser, "olga")


def part(page: Page, name: str) -> None:
    page.get_by_role("navigation", name="Parts").get_by_role("link", name=name, exact=True).click()


def test_an_invited_reader_sees_nothing_of_owners(owner: Page, open_browser: Opened, server: ServerProcess) -> None:
    part(owner, "Projects")
    owner.get_by_role("button", name="New project").click()
    owner.get_by_label("Name").fill("Office")
    owner.get_by_role("button", name="Create").click()
    expect(owner.locator("summary", has_text="Office")).to_be_visible()

    part(owner, "People")
    expect(owner).to_have_url(f"{server.url}/server/people")
    owner.get_by_role("button", name="Invite a person").first.click()
    assert not violations(owner)
    owner.get_by_label("Name").fill("rita")
    owner.get_by_label("Role").select_option("reader")
    owner.get_by_label("Also in the project").select_option(label="Office")
    owner.get_by_role("button", name="Invite", exact=True).click()
    link = owner.get_by_label("Sign-in link").input_value()
    assert link.startswith(f"{server.url}/sign-in#")
    owner.get_by_role("dialog").get_by_role("button", name="Copy").click()
    assert owner.evaluate("navigator.clipboard.readText()") == link
    assert not violations(owner)
    owner.get_by_role("button", name="I have it").click()
    row = owner.get_by_role("row", name=re.compile("rita"))
    expect(row).to_contain_text("Link not used yet")
    expect(row).to_contain_text("Office (Reader)")

    context, _ = open_browser()
    rita = context.new_page()
    rita.goto(link)
    rita.get_by_label("New password").fill(PASSWORD)
    rita.get_by_label("The password again").fill(PASSWORD)
    rita.get_by_role("button", name="Set the password").click()
    rita.wait_for_url(lambda url: "/sign-in" not in url)
    rita.goto("/server")
    parts = rita.get_by_role("navigation", name="Parts").get_by_role("link")
    expect(parts.filter(visible=True)).to_have_text(["Overview", "Usage", "Projects"])
    expect(rita.get_by_role("button", name="Make a key")).to_have_count(0)
    expect(rita.get_by_role("heading", name="What leaves this server")).to_be_visible()
    expect(rita.get_by_text("nothing was sent anywhere")).to_have_count(0)
    assert not violations(rita)
    for name in ("people", "audit", "settings", "keys"):
        rita.goto(f"/server/{name}")
        expect(rita.get_by_role("link", name="To the overview")).to_be_visible()
    rita.goto("/server/projects")
    rita.locator("summary", has_text="Office").click()
    expect(rita.get_by_role("table", name="Members")).to_contain_text("rita")
    expect(rita.get_by_role("button", name="Add a member")).to_have_count(0)
    assert not violations(rita)

    # The password is changed by herself, and the session goes on.
    rita.goto("/server")
    rita.get_by_role("button", name="Change the password").click()
    rita.get_by_label("Password so far").fill("wrong wrong wrong")
    for label in ("New password", "The new password again"):
        rita.get_by_label(label, exact=True).fill(PASSWORD + " 2")
    rita.get_by_role("button", name="Save").click()
    expect(rita.get_by_role("dialog").get_by_role("alert")).not_to_be_empty()
    rita.get_by_label("Password so far").fill(PASSWORD)
    rita.get_by_role("button", name="Save").click()
    expect(rita.get_by_text("Your password was changed.")).to_be_visible()
    rita.reload()
    expect(rita.get_by_role("heading", name="You", exact=True)).to_be_visible()

    owner.reload()
    owner.get_by_role("button", name="What to do with rita").click()
    assert not violations(owner)
    owner.get_by_role("menuitem", name="Remove").click()
    owner.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(owner.get_by_role("heading", name="rita was removed")).to_be_visible()
    owner.get_by_role("dialog").get_by_role("button", name="Close").click()
    expect(owner.get_by_role("row", name=re.compile("rita"))).to_have_count(0)
    rita.reload()
    expect(rita).to_have_url(re.compile("/sign-in"))


def test_a_key_from_its_making_to_its_end(owner: Page, server: ServerProcess) -> None:
    part(owner, "Keys")
    owner.get_by_role("button", name="New key").click()
    owner.get_by_label("Name").fill("Editor")
    owner.get_by_role("button", name="Create").click()
    secret = owner.get_by_label("API key").input_value()
    owner.mouse.click(5, 5)  # beside the dialog: it stays, since the key is shown only now
    expect(owner.get_by_label("API key")).to_be_visible()
    owner.get_by_role("button", name="I have it").click()
    row = owner.get_by_role("row", name=re.compile("Editor"))
    expect(row).to_contain_text("never")
    assert secret not in owner.content()

    question = {"model": "guide", "messages": [{"role": "user", "content": "How do I install a model?"}]}
    with server.client(headers={"authorization": f"Bearer {secret}"}) as program:
        assert program.post("/v1/chat/completions", json=question).status_code == 200
        assert program.post("/v1/images/generations", json={}).status_code >= 400
        part(owner, "Usage")
        owner.get_by_role("button", name="Key", exact=True).click()
        table = owner.get_by_role("table", name="By key")
        expect(table.get_by_role("row", name=re.compile("Editor"))).to_be_visible()
        assert not violations(owner)
        shoot(owner, "server-usage")
        with owner.expect_download() as download:
            owner.get_by_role("button", name="As CSV").click()
        rows = list(csv.DictReader(download.value.path().read_text("utf-8-sig").splitlines()))
        assert [(one["name"], one["calls"], one["failed"]) for one in rows] == [("Editor", "1", "0")]
        owner.reload()  # what was chosen stays in the address
        expect(owner.get_by_role("table", name="By key")).to_be_visible()

        part(owner, "Keys")
        owner.get_by_role("button", name="Revoke Editor").click()
        assert not violations(owner)
        owner.get_by_role("dialog").get_by_role("button", name="Revoke").click()
        expect(owner.get_by_text("Editor was revoked.")).to_be_visible()
        expect(owner.get_by_role("button", name="New key")).to_be_focused()
        assert program.post("/v1/chat/completions", json=question).status_code == 401

    part(owner, "Audit")
    owner.get_by_role("group", name="Ready filters").get_by_role("button", name="Keys").click()
    rows_ = owner.get_by_role("list", name="Audit").get_by_role("listitem")
    expect(rows_).to_have_count(2)
    expect(rows_.nth(0)).to_contain_text("revoke a key")
    expect(rows_.nth(1)).to_contain_text("make a key")
    rows_.nth(1).locator("summary").click()
    expect(rows_.nth(1)).to_contain_text("key.create")
    assert not violations(owner)


def test_one_click_makes_a_key_and_the_lines_to_use_it(owner: Page, server: ServerProcess) -> None:
    owner.get_by_role("button", name="Make a key").click()
    secret = owner.locator(".secret").inner_text()
    owner.get_by_role("group", name="API").get_by_role("button", name="Anthropic").click()
    code = owner.get_by_role("region", name="Example for Anthropic")
    expect(code).to_contain_text(secret)
    expect(code).to_contain_text(f'base_url="{server.url}"')
    with server.client(headers={"x-api-key": secret, "anthropic-version": "2023-06-01"}) as program:
        assert program.get("/v1/models").status_code == 200


def test_what_was_refused_is_told(owner: Page, local: httpx.Client) -> None:
    expect(owner.get_by_text("In the last 30 days nothing was sent anywhere.")).to_be_visible()
    expect(owner.get_by_text("No connection had to be refused.")).to_be_visible()
    local.post("/api/pull", json={"model": "https://models.example/tiny.gguf", "stream": False})
    owner.reload()
    expect(owner.get_by_text("1 connection was refused.")).to_be_visible()
    shoot(owner, "server-overview")
    owner.get_by_role("link", name="See which").click()
    entries = owner.get_by_role("list", name="Audit").get_by_role("listitem")
    expect(entries).to_have_count(1)
    expect(entries).to_contain_text("https://models.example:443")
    expect(entries).to_contain_text("refused")
    chosen = owner.get_by_role("group", name="Ready filters").get_by_role("button", name="Refused connections")
    expect(chosen).to_have_attribute("aria-pressed", "true")
    owner.get_by_role("button", name="Export").click()
    with owner.expect_download() as download:
        owner.get_by_role("menuitem", name="As NDJSON").click()
    assert [json.loads(line)["action"] for line in download.value.path().read_text().splitlines()] == ["egress.connect"]
    owner.go_back()
    expect(owner.get_by_role("heading", name="What leaves this server")).to_be_visible()


def test_settings_are_found_and_secrets_kept(owner: Page, server: ServerProcess) -> None:
    part(owner, "Settings")
    owner.get_by_role("searchbox").fill("hub token")
    row = owner.locator(".settings details").first
    expect(row).to_contain_text("hf_token")
    expect(row).to_contain_text("set (secret)")
    assert "hf_geheim" not in owner.content()
    owner.get_by_role("searchbox").fill("offline")
    owner.locator(".settings summary").first.click()
    expect(owner.get_by_role("region", name="Line for offline")).to_have_text("offline = true")
    expect(owner.get_by_role("region", name="HAUSGEIST_OFFLINE")).to_have_text("HAUSGEIST_OFFLINE=true")
    assert not violations(owner)
    owner.get_by_role("searchbox").fill("")
    owner.get_by_label("Only what was changed").check()
    shown = owner.locator(".settings summary code")
    assert {"home", "port", "guide", "hf_token", "keys_required"} <= set(shown.all_inner_texts())
    assert "slots" not in shown.all_inner_texts()


def test_a_project_is_kept_as_its_owners_say(owner: Page) -> None:
    part(owner, "Projects")
    owner.get_by_role("button", name="New project").click()
    owner.get_by_label("Name").fill("Archive")
    owner.get_by_role("button", name="Create").click()
    card = owner.locator("details", has_text="Archive")
    card.get_by_role("button", name="Change how long it is kept").click()
    owner.get_by_label("Days").fill("30")
    owner.get_by_role("button", name="Save").click()
    expect(card).to_contain_text("for 30 days are removed")
    card.get_by_role("button", name="Add a member").click()
    owner.get_by_label("Name").fill("nobody at all")
    owner.get_by_role("button", name="Add", exact=True).click()
    expect(owner.get_by_role("dialog").get_by_role("alert")).not_to_be_empty()
    owner.get_by_label("Name").fill("olga")
    owner.get_by_role("button", name="Add", exact=True).click()
    expect(card.get_by_role("table", name="Members")).to_contain_text("olga")
    card.get_by_role("button", name="Rename").click()
    owner.get_by_role("textbox", name="Name").fill("Attic")
    owner.get_by_role("button", name="Save").click()
    attic = owner.locator("details", has_text="Attic")
    attic.get_by_role("button", name="Delete the project").click()
    owner.get_by_role("dialog").get_by_role("button", name="Delete the project").click()
    receipt = owner.get_by_role("dialog", name="Attic was deleted")
    expect(receipt).to_contain_text("There was nothing to erase.")
    expect(receipt).to_contain_text(re.compile(r"Receipt erasure_\w{24}, "))
    receipt.get_by_role("button", name="Close").click()
    expect(owner.get_by_role("heading", name="Projects", exact=True)).to_be_focused()
    expect(owner.locator("summary", has_text="Attic")).to_have_count(0)


def test_who_owns_one_project_makes_its_keys(open_browser: Opened, local: httpx.Client) -> None:
    local.post("/house/v1/users", json={"name": "pia", "role": "reader", "password": PASSWORD}).raise_for_status()
    project = local.post("/house/v1/projects", json={"name": "Lab"}).json()["id"]
    local.put(f"/house/v1/projects/{project}/members/pia", json={"role": "owner"}).raise_for_status()
    page = signed_in(open_browser, "pia", "/server/projects")
    page.locator("summary", has_text="Lab").click()
    page.get_by_role("link", name="Keys").filter(visible=True).click()
    page.get_by_role("button", name="New key").click()
    page.get_by_label("Name").fill("Bench")
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_label("API key")).to_have_value(re.compile("^hg-"))
    page.get_by_role("button", name="I have it").click()
    expect(page.get_by_role("row", name=re.compile("Bench"))).to_contain_text("pia")
    page.get_by_label("Project").select_option(label="default")
    expect(page.get_by_text(re.compile("takes the role member"))).to_be_visible()


def test_each_part_in_each_light_and_size(open_browser: Opened, local: httpx.Client) -> None:
    for locale, dark, size in (("de", True, PHONE), ("zh", False, {"width": 320, "height": 700}), ("fr", False, {"width": 1440, "height": 900})):
        page = signed_in(open_browser, "olga", locale=locale, dark=dark, size=size)
        for path in PARTS:
            page.goto(f"/server{path}")
            expect(page.locator("#part > section > *").first).to_be_visible()
            expect(page.locator(".outside:empty, .spinner")).to_have_count(0)
            assert not violations(page), (locale, path)
            assert not overflowing(page), (locale, path)
            assert not re.search(r"\b(server|actions|common)\.[a-z_]+\b", page.inner_text("main")), (locale, path)
            shoot(page, f"server{path.replace('/', '-')}-{locale}")


def test_a_part_that_could_not_be_had_is_had_the_second_time(owner: Page) -> None:
    owner.route("**/house/v1/audit*", lambda route: route.abort())
    part(owner, "Audit")
    expect(owner.get_by_role("alert")).to_contain_text("does not answer")
    owner.unroute("**/house/v1/audit*")
    owner.get_by_role("button", name="Try again").click()
    expect(owner.get_by_role("list", name="Audit").get_by_role("listitem").first).to_be_visible()

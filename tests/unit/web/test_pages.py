"""Pages as they leave the server: what they may load, in which language they speak, how their files are kept."""

from __future__ import annotations

import gzip
import json
import re
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.requests import Request

from hausgeist.errors import NotFound
from hausgeist.identity import LOCAL_OWNER
from hausgeist.web.pages import entrance
from hausgeist.web.pages.assets import Assets
from hausgeist.web.pages.rendering import Rendering
from hausgeist.web.pages.strings import LANGUAGES, negotiate

PAGES = {page.name: page for page in (*(one[1] for one in entrance._PAGES), entrance.SIGN_IN)}


def asked(path: str = "/", **headers: str) -> Request:
    fields = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": fields, "path_params": {}})


@pytest.fixture(scope="module")
def rendering() -> Rendering:
    return Rendering(Assets())


class Reading(HTMLParser):
    """What a page has that its policy would refuse, and what it loads."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: list[str] = []
        self.loaded: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        self.refused += [f"{tag} {name}" for name in known if name.startswith("on") or name == "style"]
        if tag == "style" or (tag == "script" and "src" not in known and known.get("type") != "application/json"):
            self.refused.append(tag)
        if tag in {"script", "link", "img"} and (address := known.get("src") or known.get("href")):
            self.loaded.append(address)
        if name := known.get("id"):
            self.ids.append(name)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_holds_to_its_policy_and_loads_what_is_there(rendering: Rendering, name: str, language: str) -> None:
    response = rendering.page(asked(accept_language=language), PAGES[name], who=LOCAL_OWNER)
    text = bytes(response.body).decode()
    page = Reading()
    page.feed(text)
    assert not page.refused
    assert len(set(page.ids)) == len(page.ids)
    assert f'lang="{"zh-Hans" if language == "zh" else language}"' in text
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "require-trusted-types-for 'script'" in policy
    assert "unsafe" not in policy
    for address in page.loaded:
        _, _, digest, path = address.split("/", 3)
        request = asked(f"/static/{digest}/{path}")
        request.scope["path_params"] = {"digest": digest, "path": path}
        assert rendering._assets.answer(request).status_code == 200


def test_what_a_page_is_told_cannot_end_its_element(rendering: Rendering) -> None:
    who = SimpleNamespace(kind="user", id="u", name="</script><script>alert(1)</script><!--", user="u", role="owner", house_role="owner", project="p")
    text = bytes(rendering.page(asked(), PAGES["chat"], who=who).body).decode()  # type: ignore[arg-type]
    assert "<script>alert" not in text
    told = re.search(r'<script type="application/json" id="told">(.*?)</script>', text, re.DOTALL)
    assert told is not None
    assert json.loads(told[1])["me"]["name"] == who.name


def test_pages_are_packed_for_those_who_can_unpack(rendering: Rendering) -> None:
    response = rendering.page(asked(accept_encoding="gzip, br"), PAGES["chat"], who=LOCAL_OWNER)
    assert response.headers["content-encoding"] == "gzip"
    assert gzip.decompress(bytes(response.body)).startswith(b"<!doctype html>")
    assert "content-encoding" not in rendering.page(asked(), PAGES["chat"], who=LOCAL_OWNER).headers


def test_the_chosen_light_is_there_from_the_start(rendering: Rendering) -> None:
    def made(cookie: str) -> str:
        return bytes(rendering.page(asked(cookie=cookie), PAGES["chat"], who=LOCAL_OWNER).body).decode()

    assert 'data-theme="dark"' in made("hausgeist_theme=dark")
    assert "data-theme" not in made("hausgeist_theme=%22onload%3D")
    assert 'lang="fr"' in made("hausgeist_language=fr")


@pytest.mark.parametrize(
    ("accepted", "chosen", "language"),
    [
        ("", "", "en"),
        ("de-AT,de;q=0.9,en;q=0.8", "", "de"),
        ("pt-BR,es;q=0.7,fr;q=0.9", "", "fr"),
        ("ZH-hant-TW", "", "zh"),
        ("en;q=0, de;q=0.1", "", "de"),
        ("xx, *;q=0.1", "", "en"),
        ("de;q=much, es", "", "es"),
        ("de", "fr", "fr"),
        ("de", "../../etc", "de"),
        ("," * 10000 + "de", "", "en"),
    ],
)
def test_which_language(accepted: str, chosen: str, language: str) -> None:
    assert negotiate(accepted, chosen) == language


def file(assets: Assets, digest: str, path: str, **headers: str) -> Any:
    request = asked(f"/static/{digest}/{path}", **headers)
    request.scope["path_params"] = {"digest": digest, "path": path}
    return assets.answer(request)


def test_files_are_kept_for_as_long_as_they_are_right() -> None:
    assets = Assets()
    digest = assets.base.split("/")[2]
    known = file(assets, digest, "js/dom.js", accept_encoding="gzip")
    assert "immutable" in known.headers["cache-control"]
    assert known.headers["content-type"].startswith("text/javascript")
    assert gzip.decompress(known.body).startswith(b"/**")
    assert file(assets, "000000000000", "js/dom.js").headers["cache-control"] == "no-cache"
    for path in ("../rendering.py", "js/../../strings.py", "vendor/.versions", "js", "", "/etc/passwd"):
        with pytest.raises(NotFound):
            file(assets, digest, path)


def test_a_script_brings_all_that_it_imports() -> None:
    graph = Assets().graph("js/pages/sign-in.js")
    assert graph[0] == "js/pages/sign-in.js"
    assert {"js/dom.js", "js/text.js", "js/told.js"} <= set(graph)


def test_who_signed_out_leaves_no_page_behind(rendering: Rendering) -> None:
    who = SimpleNamespace(kind="user", id="u", name="Anna", user="u", role="member", house_role="member", project="p")
    assert rendering.page(asked(), PAGES["chat"], who=who).headers["cache-control"] == "private, no-store"  # type: ignore[arg-type]
    assert rendering.page(asked(), PAGES["chat"], who=LOCAL_OWNER).headers["cache-control"] == "private, no-cache"

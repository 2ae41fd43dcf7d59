"""The binding rules as a table: what a request brings, and who it is taken for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hausgeist.errors import HausgeistError, InvalidRequest, NotAllowed, NotAuthenticated, NotFound
from hausgeist.http.access import identify
from hausgeist.http.facts import UNIX, RequestFacts
from hausgeist.http.rules import BindingRules
from hausgeist.settings import Settings
from hausgeist.store.database import Database
from hausgeist.workspace.service import Workspace


@dataclass
class People:
    workspace: Workspace
    key: str
    revoked: str
    session: str
    project: str


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[People]:
    database = Database.open(tmp_path_factory.mktemp("home"))

    async def make() -> People:
        workspace = Workspace(database)
        project = await workspace.create_project("papers")
        await workspace.create_user("ada", role="member", password="correct horse battery")
        _, key = await workspace.create_key(project="default", name="laptop", role="member", user="ada")
        gone, revoked = await workspace.create_key(project="default", name="old", role="member", user="ada")
        await workspace.revoke_key(gone.id)
        session, _ = await workspace.sign_in("ada", "correct horse battery")
        return People(workspace, key, revoked, session, project.id)

    yield asyncio.run(make())
    database.close()


HOME = Path("/nonexistent")
LOOPBACK = Settings(home=HOME)
NAMED = Settings(
    home=HOME,
    names=("spirit.example", "10.9.8.7"),
    origins=("https://chat.example", "http://notes.example:3000", "chrome-extension://abc", "vscode-webview://*"),
)
DEMANDING = Settings(home=HOME, keys_required=True)
ANY_PAGE = Settings(home=HOME, origins=("*",))
FILES = Settings(home=HOME, origins=("null",))
PROXY = Settings(home=HOME, behind_proxy=True, names=("ai.example",), trusted_proxies=("127.0.0.1", "::1", "10.0.0.0/8"))
PUBLIC = Settings(home=HOME, host="0.0.0.0", names=("ai.example",))
ONE_ADDRESS = Settings(home=HOME, host="192.168.1.20")

LOCAL, KEY, USER = "local", "key", "user"
REFUSED, NOBODY, BAD, MISSING = NotAllowed, NotAuthenticated, InvalidRequest, NotFound

H = {"host": "localhost:4287"}
OUT = {"host": "ai.example"}

CASES: list[tuple[str, Settings, dict[str, Any], dict[str, str], Any]] = [
    # loopback, without a browser
    ("plain", LOOPBACK, {}, H, LOCAL),
    ("ipv4 host", LOOPBACK, {}, {"host": "127.0.0.1:4287"}, LOCAL),
    ("other loopback address", LOOPBACK, {}, {"host": "127.8.9.1"}, LOCAL),
    ("ipv6 host", LOOPBACK, {"peer": "::1"}, {"host": "[::1]:4287"}, LOCAL),
    ("ipv6 host spelled out", LOOPBACK, {"peer": "::1"}, {"host": "[0:0:0:0:0:0:0:1]:4287"}, LOCAL),
    ("mapped peer", LOOPBACK, {"peer": "::ffff:127.0.0.1"}, H, LOCAL),
    ("unix socket", LOOPBACK, {"peer": UNIX}, {"host": "localhost"}, LOCAL),
    ("unknown peer", LOOPBACK, {"peer": ""}, H, NOBODY),
    ("peer from elsewhere on a loopback bind", LOOPBACK, {"peer": "172.17.0.2"}, H, NOBODY),
    ("upper case host", LOOPBACK, {}, {"host": "LOCALHOST:4287"}, LOCAL),
    ("trailing dot", LOOPBACK, {}, {"host": "localhost.:4287"}, LOCAL),
    ("name below localhost", LOOPBACK, {}, {"host": "ghost.localhost:4287"}, LOCAL),
    ("another port in host", LOOPBACK, {}, {"host": "localhost:9"}, LOCAL),
    ("no host", LOOPBACK, {}, {}, BAD),
    ("empty host", LOOPBACK, {}, {"host": ""}, BAD),
    ("host with path", LOOPBACK, {}, {"host": "localhost/evil"}, BAD),
    ("host with user", LOOPBACK, {}, {"host": "localhost@evil.example"}, BAD),
    ("host with port too large", LOOPBACK, {}, {"host": "localhost:99999"}, BAD),
    ("host with broken brackets", LOOPBACK, {}, {"host": "[::1:4287"}, BAD),
    ("foreign host", LOOPBACK, {}, {"host": "evil.example"}, REFUSED),
    ("host that begins like ours", LOOPBACK, {}, {"host": "localhost.evil.example"}, REFUSED),
    ("host that ends like ours", LOOPBACK, {}, {"host": "notlocalhost"}, REFUSED),
    ("address as a name", LOOPBACK, {}, {"host": "127.0.0.1.evil.example"}, REFUSED),
    ("lan address on a loopback bind", LOOPBACK, {}, {"host": "192.168.1.5:4287"}, REFUSED),
    ("unspecified address", LOOPBACK, {}, {"host": "0.0.0.0:4287"}, REFUSED),
    ("address as a number", LOOPBACK, {}, {"host": "2130706433"}, REFUSED),
    ("configured name", NAMED, {}, {"host": "Spirit.Example:4287"}, LOCAL),
    ("configured address", NAMED, {}, {"host": "10.9.8.7"}, LOCAL),
    ("below a configured name", NAMED, {}, {"host": "x.spirit.example"}, REFUSED),
    # keys
    ("key of ours", LOOPBACK, {}, {**H, "authorization": "Bearer {key}"}, KEY),
    ("key as x-api-key", LOOPBACK, {}, {**H, "x-api-key": "{key}"}, KEY),
    ("scheme in lower case", LOOPBACK, {}, {**H, "authorization": "bearer   {key}"}, KEY),
    ("bare key", LOOPBACK, {}, {**H, "authorization": "{key}"}, KEY),
    ("both, the same", LOOPBACK, {}, {**H, "authorization": "Bearer {key}", "x-api-key": "{key}"}, KEY),
    ("both, different", LOOPBACK, {}, {**H, "authorization": "Bearer {key}", "x-api-key": "sk-other"}, NOBODY),
    ("both foreign, different", LOOPBACK, {}, {**H, "authorization": "Bearer a", "x-api-key": "b"}, NOBODY),
    ("foreign key", LOOPBACK, {}, {**H, "authorization": "Bearer sk-no-key-needed"}, LOCAL),
    ("foreign x-api-key", LOOPBACK, {}, {**H, "x-api-key": "ollama"}, LOCAL),
    ("empty bearer", LOOPBACK, {}, {**H, "authorization": "Bearer "}, LOCAL),
    ("basic", LOOPBACK, {}, {**H, "authorization": "Basic aGc6aGc="}, LOCAL),
    ("unknown key of ours", LOOPBACK, {}, {**H, "authorization": "Bearer hg-wrong"}, NOBODY),
    ("cut key", LOOPBACK, {}, {**H, "authorization": "Bearer hg-"}, NOBODY),
    ("revoked key", LOOPBACK, {}, {**H, "authorization": "Bearer {revoked}"}, NOBODY),
    ("huge key", LOOPBACK, {}, {**H, "authorization": "Bearer hg-" + "a" * 5000}, NOBODY),
    ("bare unknown key", LOOPBACK, {}, {**H, "authorization": "hg-wrong"}, NOBODY),
    ("key of ours, foreign host", LOOPBACK, {}, {"host": "evil.example", "authorization": "Bearer {key}"}, REFUSED),
    ("project of the local owner", LOOPBACK, {}, {**H, "openai-project": "papers"}, LOCAL),
    ("unknown project", LOOPBACK, {}, {**H, "openai-project": "nowhere"}, MISSING),
    ("key in another project", LOOPBACK, {}, {**H, "authorization": "Bearer {key}", "openai-project": "papers"}, REFUSED),
    # keys demanded on loopback
    ("demanded, none", DEMANDING, {}, H, NOBODY),
    ("demanded, foreign", DEMANDING, {}, {**H, "authorization": "Bearer sk-x"}, NOBODY),
    ("demanded, ours", DEMANDING, {}, {**H, "authorization": "Bearer {key}"}, KEY),
    # proxies that nobody told us about
    ("x-forwarded-for", LOOPBACK, {}, {**H, "x-forwarded-for": "203.0.113.9"}, NOBODY),
    ("x-forwarded-for loopback", LOOPBACK, {}, {**H, "x-forwarded-for": "127.0.0.1"}, NOBODY),
    ("x-forwarded-for empty", LOOPBACK, {}, {**H, "x-forwarded-for": ""}, NOBODY),
    ("x-forwarded-proto", LOOPBACK, {}, {**H, "x-forwarded-proto": "https"}, NOBODY),
    ("forwarded", LOOPBACK, {}, {**H, "forwarded": "for=203.0.113.9"}, NOBODY),
    ("via", LOOPBACK, {}, {**H, "via": "1.1 proxy"}, NOBODY),
    ("x-real-ip", LOOPBACK, {}, {**H, "x-real-ip": "203.0.113.9"}, NOBODY),
    ("tunnel", LOOPBACK, {}, {**H, "cf-connecting-ip": "203.0.113.9"}, NOBODY),
    ("forwarded with key", LOOPBACK, {}, {**H, "x-forwarded-for": "203.0.113.9", "authorization": "Bearer {key}"}, KEY),
    ("forwarded with foreign key", LOOPBACK, {}, {**H, "x-forwarded-for": "203.0.113.9", "authorization": "Bearer sk-x"}, NOBODY),
    ("forwarded host does not count", LOOPBACK, {}, {"host": "evil.example", "x-forwarded-host": "localhost"}, REFUSED),
    # a configured proxy
    ("proxied, none", PROXY, {}, {**OUT, "x-forwarded-for": "203.0.113.9"}, NOBODY),
    ("proxied, client here", PROXY, {}, {**OUT, "x-forwarded-for": "127.0.0.1"}, NOBODY),
    ("proxy that does not say so", PROXY, {}, H, NOBODY),
    ("proxied, unix", PROXY, {"peer": UNIX}, H, NOBODY),
    ("proxied with key", PROXY, {}, {**OUT, "x-forwarded-for": "203.0.113.9", "authorization": "Bearer {key}"}, KEY),
    ("proxied, host rewritten", PROXY, {}, {**H, "x-forwarded-host": "ai.example", "authorization": "Bearer {key}"}, KEY),
    ("proxied for a foreign name", PROXY, {}, {**H, "x-forwarded-host": "evil.example", "authorization": "Bearer {key}"}, REFUSED),
    (
        "own page through the proxy",
        PROXY,
        {},
        {**OUT, "x-forwarded-proto": "https", "origin": "https://ai.example", "cookie": "__Host-hausgeist_session={session}"},
        USER,
    ),
    (
        "own page, host rewritten",
        PROXY,
        {},
        {**H, "origin": "https://ai.example", "sec-fetch-site": "same-origin", "cookie": "hausgeist_session={session}"},
        USER,
    ),
    ("foreign page, host rewritten", PROXY, {}, {**H, "origin": "https://evil.example", "sec-fetch-site": "same-origin"}, REFUSED),
    # web pages
    ("own page", LOOPBACK, {"method": "POST"}, {**H, "origin": "http://localhost:4287"}, LOCAL),
    ("page of this machine", LOOPBACK, {"method": "POST"}, {**H, "origin": "http://localhost:3000"}, LOCAL),
    (
        "page of this machine, other name",
        LOOPBACK,
        {"method": "POST"},
        {**H, "origin": "http://127.0.0.1:3000", "sec-fetch-site": "cross-site"},
        LOCAL,
    ),
    (
        "page of this machine, keys demanded",
        DEMANDING,
        {"method": "POST"},
        {**H, "origin": "http://localhost:3000", "authorization": "Bearer {key}"},
        REFUSED,
    ),
    ("foreign page", LOOPBACK, {"method": "POST"}, {**H, "origin": "https://evil.example"}, REFUSED),
    ("foreign page with key", LOOPBACK, {"method": "POST"}, {**H, "origin": "https://evil.example", "authorization": "Bearer {key}"}, REFUSED),
    ("foreign page, upper case", LOOPBACK, {"method": "POST"}, {**H, "origin": "HTTPS://EVIL.EXAMPLE"}, REFUSED),
    ("page that begins like ours", LOOPBACK, {"method": "POST"}, {**H, "origin": "http://localhost.evil.example"}, REFUSED),
    ("page with a user in it", LOOPBACK, {"method": "POST"}, {**H, "origin": "http://localhost@evil.example"}, REFUSED),
    ("null page", LOOPBACK, {"method": "POST"}, {**H, "origin": "null"}, REFUSED),
    ("null page, allowed", FILES, {"method": "POST"}, {**H, "origin": "null"}, LOCAL),
    ("own form under no-referrer", LOOPBACK, {"method": "POST"}, {**H, "origin": "null", "sec-fetch-site": "same-origin"}, LOCAL),
    ("null page from a sandbox", LOOPBACK, {"method": "POST"}, {**H, "origin": "null", "sec-fetch-site": "cross-site"}, REFUSED),
    ("empty origin", LOOPBACK, {"method": "POST"}, {**H, "origin": ""}, REFUSED),
    ("other scheme on loopback", LOOPBACK, {"method": "POST"}, {**H, "origin": "chrome-extension://abc"}, REFUSED),
    ("named page", NAMED, {"method": "POST"}, {**H, "origin": "https://chat.example"}, LOCAL),
    ("named page, default port spelled out", NAMED, {"method": "POST"}, {**H, "origin": "https://chat.example:443"}, LOCAL),
    ("named page, other port", NAMED, {"method": "POST"}, {**H, "origin": "https://chat.example:444"}, REFUSED),
    ("named page, other scheme", NAMED, {"method": "POST"}, {**H, "origin": "http://chat.example"}, REFUSED),
    ("named page with port", NAMED, {"method": "POST"}, {**H, "origin": "http://notes.example:3000"}, LOCAL),
    ("named extension", NAMED, {"method": "POST"}, {**H, "origin": "chrome-extension://abc"}, LOCAL),
    ("another extension", NAMED, {"method": "POST"}, {**H, "origin": "chrome-extension://abd"}, REFUSED),
    ("named scheme", NAMED, {"method": "POST"}, {**H, "origin": "vscode-webview://xyz"}, LOCAL),
    ("any page without key", ANY_PAGE, {"method": "POST"}, {**H, "origin": "https://evil.example"}, NOBODY),
    ("any page with key", ANY_PAGE, {"method": "POST"}, {**H, "origin": "https://evil.example", "authorization": "Bearer {key}"}, KEY),
    (
        "rebound page",
        LOOPBACK,
        {"method": "POST"},
        {"host": "evil.example:4287", "origin": "http://evil.example:4287", "sec-fetch-site": "same-origin"},
        REFUSED,
    ),
    (
        "image in a foreign page",
        LOOPBACK,
        {"path": "/api/tags"},
        {**H, "sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"},
        REFUSED,
    ),
    (
        "foreign link to a page",
        LOOPBACK,
        {"path": "/"},
        {**H, "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"},
        LOCAL,
    ),
    (
        "foreign link to the api",
        LOOPBACK,
        {"path": "/api/tags"},
        {**H, "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"},
        REFUSED,
    ),
    (
        "foreign frame",
        LOOPBACK,
        {"path": "/"},
        {**H, "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"},
        REFUSED,
    ),
    (
        "foreign form",
        LOOPBACK,
        {"method": "POST", "path": "/"},
        {**H, "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"},
        REFUSED,
    ),
    ("typed address", LOOPBACK, {"path": "/"}, {**H, "sec-fetch-site": "none", "sec-fetch-mode": "navigate"}, LOCAL),
    ("strange sec-fetch-site", LOOPBACK, {}, {**H, "sec-fetch-site": "banana"}, REFUSED),
    # sessions
    ("session, reading", LOOPBACK, {}, {**H, "cookie": "a=b; hausgeist_session={session}; c=d"}, USER),
    ("session beside a strange cookie", LOOPBACK, {}, {**H, "cookie": 'x="; y z; hausgeist_session={session}'}, USER),
    ("session, own page", LOOPBACK, {"method": "POST"}, {**H, "origin": "http://localhost:4287", "cookie": "hausgeist_session={session}"}, USER),
    ("session, same-origin", LOOPBACK, {"method": "POST"}, {**H, "sec-fetch-site": "same-origin", "cookie": "hausgeist_session={session}"}, USER),
    (
        "session from another port counts not",
        LOOPBACK,
        {"method": "POST"},
        {**H, "origin": "http://localhost:3000", "cookie": "hausgeist_session={session}"},
        LOCAL,
    ),
    ("session ended, on loopback", LOOPBACK, {}, {**H, "cookie": "hausgeist_session=gone"}, LOCAL),
    ("session and key: the key", LOOPBACK, {}, {**H, "authorization": "Bearer {key}", "cookie": "hausgeist_session={session}"}, KEY),
    ("session ended, keys demanded", DEMANDING, {}, {**H, "cookie": "hausgeist_session=gone"}, NOBODY),
    ("session, changing without a browser's word", DEMANDING, {"method": "POST"}, {**H, "cookie": "hausgeist_session={session}"}, NOBODY),
    ("session, same site only", DEMANDING, {"method": "GET"}, {**H, "sec-fetch-site": "same-site", "cookie": "hausgeist_session={session}"}, NOBODY),
    # other binds
    ("public, none", PUBLIC, {"peer": "192.168.1.7"}, OUT, NOBODY),
    ("public, from this machine", PUBLIC, {}, H, NOBODY),
    ("public, foreign key", PUBLIC, {"peer": "192.168.1.7"}, {**OUT, "authorization": "Bearer sk-x"}, NOBODY),
    ("public, key", PUBLIC, {"peer": "192.168.1.7", "tls": True}, {**OUT, "authorization": "Bearer {key}"}, KEY),
    ("public, by address", PUBLIC, {"peer": "192.168.1.7", "tls": True}, {"host": "192.168.1.5:4287", "x-api-key": "{key}"}, KEY),
    ("public, by ipv6 address", PUBLIC, {"peer": "fe80::1%eth0", "tls": True}, {"host": "[fd00::5]:4287", "x-api-key": "{key}"}, KEY),
    ("public, unknown name", PUBLIC, {"peer": "192.168.1.7", "tls": True}, {"host": "other.example", "x-api-key": "{key}"}, REFUSED),
    ("public, session", PUBLIC, {"peer": "192.168.1.7", "tls": True}, {**OUT, "cookie": "__Host-hausgeist_session={session}"}, USER),
    ("public, session without prefix", PUBLIC, {"peer": "192.168.1.7", "tls": True}, {**OUT, "cookie": "hausgeist_session={session}"}, NOBODY),
    (
        "public, own page",
        PUBLIC,
        {"peer": "192.168.1.7", "tls": True, "method": "POST"},
        {**OUT, "origin": "https://ai.example", "cookie": "__Host-hausgeist_session={session}"},
        USER,
    ),
    (
        "public, page without tls",
        PUBLIC,
        {"peer": "192.168.1.7", "tls": True, "method": "POST"},
        {**OUT, "origin": "http://ai.example", "cookie": "__Host-hausgeist_session={session}"},
        REFUSED,
    ),
    (
        "public, foreign page with key",
        PUBLIC,
        {"peer": "192.168.1.7", "tls": True, "method": "POST"},
        {**OUT, "origin": "https://evil.example", "x-api-key": "{key}"},
        REFUSED,
    ),
    (
        "public, page on loopback",
        PUBLIC,
        {"peer": "192.168.1.7", "tls": True, "method": "POST"},
        {**OUT, "origin": "http://localhost:3000", "x-api-key": "{key}"},
        REFUSED,
    ),
    ("one address, itself", ONE_ADDRESS, {"peer": "192.168.1.20", "tls": True}, {"host": "192.168.1.20:4287"}, NOBODY),
]


@pytest.mark.parametrize(("setup", "about", "headers", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_table(people: People, setup: Settings, about: dict[str, Any], headers: dict[str, str], expected: Any) -> None:
    filled = {
        name: [value.replace("{key}", people.key).replace("{revoked}", people.revoked).replace("{session}", people.session)]
        for name, value in headers.items()
    }
    facts = RequestFacts(
        peer=about.get("peer", "127.0.0.1"),
        method=about.get("method", "GET"),
        path=about.get("path", "/v1/models"),
        tls=about.get("tls", False),
        headers=filled,
    )
    rules = BindingRules.of(setup)
    if isinstance(expected, str):
        who, origin = identify(facts, rules, people.workspace)
        assert who.kind == expected
        assert origin.address
    else:
        with pytest.raises(expected):
            identify(facts, rules, people.workspace)


def test_the_project_header_places_the_local_owner(people: People) -> None:
    facts = RequestFacts(peer="127.0.0.1", headers={"host": ["localhost"], "openai-project": ["papers"]})
    assert identify(facts, BindingRules.of(LOOPBACK), people.workspace)[0].project == people.project


@pytest.mark.parametrize(
    ("header", "value", "address"),
    [
        ("x-forwarded-for", "203.0.113.9", "203.0.113.9"),
        ("x-forwarded-for", "203.0.113.9, 10.1.1.1", "203.0.113.9"),
        ("x-forwarded-for", "1.1.1.1, 203.0.113.9, 10.1.1.1, 127.0.0.1", "203.0.113.9"),
        ("x-forwarded-for", "203.0.113.9:4711", "203.0.113.9"),
        ("x-forwarded-for", "[2001:db8::1]:4711", "2001:db8::1"),
        ("x-forwarded-for", "203.0.113.9, nonsense", "127.0.0.1"),
        ("x-forwarded-for", "10.2.2.2, 10.1.1.1", "10.2.2.2"),
        ("forwarded", 'for="[2001:db8::1]:4711";proto=https, for=10.1.1.1', "2001:db8::1"),
        ("forwarded", "for=_hidden", "127.0.0.1"),
    ],
)
def test_the_client_behind_trusted_proxies(people: People, header: str, value: str, address: str) -> None:
    facts = RequestFacts(peer="127.0.0.1", headers={"host": ["ai.example"], header: [value], "x-api-key": [people.key]})
    assert identify(facts, BindingRules.of(PROXY), people.workspace)[1].address == address


def test_an_untrusted_peer_cannot_choose_its_address(people: People) -> None:
    facts = RequestFacts(peer="192.0.2.1", headers={"host": ["ai.example"], "x-forwarded-for": ["9.9.9.9"], "x-api-key": [people.key]})
    assert identify(facts, BindingRules.of(PROXY), people.workspace)[1].address == "192.0.2.1"


def test_the_secret_of_this_start_is_the_local_owner_unless_forwarded(people: People) -> None:
    rules = BindingRules.of(PUBLIC, owner_token="s3cret")
    headers = {"host": ["localhost"], "authorization": ["Bearer s3cret"]}
    assert identify(RequestFacts(peer="127.0.0.1", headers=headers), rules, people.workspace)[0].kind == "local"
    with pytest.raises(NotAuthenticated):
        identify(RequestFacts(peer="127.0.0.1", headers={**headers, "x-forwarded-for": ["1.2.3.4"]}), rules, people.workspace)
    with pytest.raises(NotAuthenticated):
        identify(RequestFacts(peer="127.0.0.1", headers={**headers, "authorization": ["Bearer "]}), rules, people.workspace)
    with pytest.raises(NotAuthenticated):
        identify(RequestFacts(peer="127.0.0.1", headers={**headers, "authorization": ["Bearer s3crét"]}), rules, people.workspace)


def test_a_header_that_came_twice(people: People) -> None:
    rules = BindingRules.of(LOOPBACK)
    same = RequestFacts(peer="127.0.0.1", headers={"host": ["localhost", "localhost"]})
    assert identify(same, rules, people.workspace)[0].kind == "local"
    for name, values in (("host", ["localhost", "evil.example"]), ("origin", ["http://localhost:4287", "https://evil.example"])):
        with pytest.raises(InvalidRequest):
            identify(RequestFacts(peer="127.0.0.1", headers={"host": ["localhost"], name: values}), rules, people.workspace)


@pytest.mark.parametrize("field", [{"names": ("a b",)}, {"origins": ("chat.example",)}, {"trusted_proxies": ("nobody",)}])
def test_settings_that_cannot_be_understood_are_named(field: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        BindingRules.of(Settings(home=HOME, **field))
    assert caught.value.param == next(iter(field))


NAMES = ["host", "origin", "authorization", "x-api-key", "cookie", "forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "via"]
NAMES += ["x-real-ip", "sec-fetch-site", "sec-fetch-mode", "sec-fetch-dest", "openai-project", "user-agent"]
JUNK = st.text(st.characters(max_codepoint=0xFF), max_size=40) | st.sampled_from(
    [
        *("localhost", "localhost:4287", "127.0.0.1", "[::1]", "evil.example", "null", "http://localhost:4287", "https://evil.example", "cross-site"),
        *("same-origin", "navigate", "document", "hg-x", "Bearer hg-x", "for=1.2.3.4", "1.2.3.4", "hausgeist_session=x", "https"),
    ]
)
SETTINGS = st.sampled_from([LOOPBACK, NAMED, DEMANDING, ANY_PAGE, PROXY, PUBLIC])


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    headers=st.dictionaries(st.sampled_from(NAMES), st.lists(JUNK, min_size=1, max_size=3), max_size=8),
    setup=SETTINGS,
    peer=st.sampled_from(["127.0.0.1", "::1", UNIX, "", "10.0.0.1", "not an address"]),
    method=st.sampled_from(["GET", "POST", "OPTIONS", "PURGE"]),
)
def test_junk_never_gets_in(people: People, headers: dict[str, list[str]], setup: Settings, peer: str, method: str) -> None:
    facts = RequestFacts(peer=peer, method=method, path="/v1/models", headers=headers)
    try:
        who, _ = identify(facts, BindingRules.of(setup), people.workspace)
    except HausgeistError:
        return
    # No key and no session in the junk is valid, so this can only be the local owner.
    assert who.kind == "local"
    assert setup in (LOOPBACK, NAMED, ANY_PAGE)
    assert peer in ("127.0.0.1", "::1", UNIX)
    assert not {"forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "via", "x-real-ip"} & set(headers)
    hosts = {host.lower() for host in headers["host"]}
    assert hosts <= {"localhost", "localhost:4287", "127.0.0.1", "[::1]", "localhost.", "localhost:"}
    assert set(headers.get("origin", ())) <= {"http://localhost:4287", "null"}

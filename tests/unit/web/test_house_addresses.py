"""Which address is handed on, and what of addresses in the settings is shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request

from hausgeist.http.rules import BindingRules
from hausgeist.settings import Settings, UpstreamSection
from hausgeist.web.house import addresses
from hausgeist.web.house.addresses import address_of
from hausgeist.web.house.settings import rows


def asked(settings: Settings, host: str, *, scheme: str = "http", **headers: str) -> Request:
    fields = [(name.replace("_", "-").encode(), value.encode()) for name, value in {"host": host, **headers}.items()]
    scope: dict[str, Any] = {"type": "http", "method": "GET", "path": "/", "scheme": scheme, "headers": fields, "client": ("127.0.0.1", 1)}
    scope["state"] = {"rules": BindingRules.of(settings)}
    return Request(scope)


async def test_what_others_asked_for_is_what_others_are_told() -> None:
    settings = Settings(home=Path("/nonexistent"), host="0.0.0.0", names=("box.lan",))
    assert await address_of(asked(settings, "box.lan:4287", scheme="https"), settings) == "https://box.lan:4287"
    assert await address_of(asked(settings, "[2001:db8::1]:4287"), settings) == "http://[2001:db8::1]:4287"


async def test_on_the_machine_itself_it_is_one_that_others_can_use(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(home=Path("/nonexistent"), host="0.0.0.0")
    for others, told in ((["box.lan"], "http://box.lan:4287"), (["2001:db8::1"], "http://[2001:db8::1]:4287"), ([], "http://localhost:4287")):
        monkeypatch.setattr(addresses, "reach", lambda _, others=others: (others, []))
        assert await address_of(asked(settings, "localhost:4287"), settings) == told


async def test_behind_a_proxy_it_is_the_proxys() -> None:
    settings = Settings(home=Path("/nonexistent"), behind_proxy=True, names=("ai.example",))
    through = asked(settings, "127.0.0.1:4287", x_forwarded_host="ai.example", x_forwarded_proto="https")
    assert await address_of(through, settings) == "https://ai.example"


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://ada:SECRET@gpu:8000/base?token=SECRET#SECRET", "http://gpu:8000/base?…"),
        ("ada:SECRET@gpu:8000", "gpu:8000"),
        ("gpu/v1?key=SECRET", "gpu/v1"),
        ("http://[SECRET", "…"),
        ("http://gpu:8000", "http://gpu:8000"),
    ],
)
def test_addresses_are_shown_without_what_may_be_secret(url: str, told: str) -> None:
    settings = Settings(home=Path("/nonexistent"), upstreams={"gpu": UpstreamSection(url=url)})
    (row,) = [row for row in rows(settings) if row["name"] == "upstreams.gpu.url"]
    assert row["value"] == told

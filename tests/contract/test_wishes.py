"""Who may only ask a model does not decide how it is loaded: a wish that would change that is refused, in each tongue's own shape."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import ollama
import openai
import pytest

from hausgeist.identity import Role
from tests.contract.conftest import Live

HI: Any = [{"role": "user", "content": "Hello"}]
USUAL = 300.0


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    live = Live(home=tmp_path_factory.mktemp("home"), settings={"keep_alive": USUAL, "context": 4096})
    live.start()
    yield live
    live.stop()


def key(live: Live, role: Role) -> str:
    return live.run(live.app.workspace.create_key(project="default", name=role, role=role))[1]


def ask(live: Live, role: Role, **more: Any) -> httpx.Response:
    body = {"model": "fake:echo", "messages": HI, "stream": False, **more}
    return httpx.post(f"{live.url}/api/chat", json=body, headers={"Authorization": f"Bearer {key(live, role)}"}, timeout=60)


CHANGES: list[dict[str, Any]] = [{"keep_alive": -1}, {"keep_alive": 0}, {"options": {"num_ctx": 8192}}]


@pytest.mark.parametrize("wish", CHANGES)
def test_a_reader_changes_nothing(guarded: Live, wish: dict[str, Any]) -> None:
    assert ask(guarded, "reader").status_code == 200
    refused = ask(guarded, "reader", **wish)
    assert refused.status_code == 403
    assert "role member" in refused.json()["error"]
    assert "'keep_alive' and 'num_ctx'" in refused.json()["error"]
    [loaded] = guarded.app.pool.loaded()
    assert (loaded.plan.context, loaded.running) == (4096, 0)


def test_what_changes_nothing_is_nobodys_business(guarded: Live) -> None:
    assert ask(guarded, "reader").status_code == 200
    for wish in ({"keep_alive": USUAL}, {"options": {"num_ctx": 4096}}, {"options": {"num_ctx": 1024}}):
        assert ask(guarded, "reader", **wish).status_code == 200, wish


def test_the_sdks_understand_it(guarded: Live) -> None:
    secret = key(guarded, "reader")
    with openai.OpenAI(base_url=f"{guarded.url}/v1", api_key=secret, max_retries=0) as client, pytest.raises(openai.PermissionDeniedError):
        client.chat.completions.create(model="fake:echo", messages=HI, extra_body={"num_ctx": 9000})
    with (
        ollama.Client(host=guarded.url, headers={"Authorization": f"Bearer {secret}"}) as ollamas,
        pytest.raises(ollama.ResponseError) as caught,
    ):
        ollamas.chat("fake:echo", HI, keep_alive="2h")
    assert caught.value.status_code == 403


def test_a_prompt_to_be_cached_is_no_wish_to_keep_the_model(guarded: Live) -> None:
    """Claude's tools mark prompts for an hour with every request; for a reader they are cached as long as the model stays anyway."""
    content: Any = [{"type": "text", "text": "Hello", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]
    with anthropic.Anthropic(base_url=guarded.url, api_key=key(guarded, "reader"), max_retries=0) as client:
        assert client.messages.create(model="fake:echo", max_tokens=5, messages=[{"role": "user", "content": content}]).content
    stays = next(shown.expires_at - shown.loaded_at for shown in guarded.app.pool.loaded() if shown.expires_at)
    assert stays < 3600


def test_a_member_may(guarded: Live) -> None:
    assert ask(guarded, "member", keep_alive=7200).status_code == 200
    assert ask(guarded, "member", options={"num_ctx": 8192}).status_code == 200
    assert guarded.app.pool.loaded()[0].plan.context == 8192

"""A server that is killed or stopped in the middle of responses loses nothing that was said: they fail with what there is, or are made anew."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests.acceptance.support import ServerProcess, needs_linux, until

pytestmark = pytest.mark.timeout(180)
SLOW = "fake:obeys@40"


@pytest.fixture(autouse=True)
def _linux() -> None:
    needs_linux()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path / "home", arguments=["--offline"], environment={"HAUSGEIST_BACKGROUND": "1", "HAUSGEIST_DRAIN": "1"}) as one:
        yield one.start()


def client_of(server: ServerProcess) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="anything", max_retries=0, timeout=60)


def ended(client: openai.OpenAI, response: str) -> Any:
    def look() -> Any:
        found = client.responses.retrieve(response)
        return found if found.status not in ("queued", "in_progress") else None

    return until(look, 40, f"{response} did not end", pause=0.05)


def speaking(client: openai.OpenAI, response: str) -> int:
    """Wait until some words have been said; returns the number of the last event seen."""
    seen = 0
    for event in client.responses.retrieve(response, stream=True):
        seen = event.sequence_number
        if seen > 20:
            break
    return seen


def test_killed_in_the_middle(server: ServerProcess) -> None:
    with client_of(server) as client:
        conversation = client.conversations.create()
        talking = client.responses.create(model=SLOW, input="count 4000", background=True, conversation=conversation.id)
        waiting = client.responses.create(model=SLOW, input="count 5", background=True)
        stream = client.responses.create(model=SLOW, input="count 3000", stream=True)
        for event in stream:
            if event.type == "response.created":
                foreground = event.response.id
            if event.sequence_number > 20:
                break
        speaking(client, talking.id)
        time.sleep(0.3)  # what was told is written down within a tenth of a second
        server.kill()
        stream.close()
    server.start()
    with client_of(server) as client:
        for response in (talking.id, foreground):
            failed = ended(client, response)
            assert failed.status == "failed"
            assert failed.error.code == "server_error"
            assert "restarted" in failed.error.message
            assert failed.output_text.startswith("1 2 3 4 5")
            assert failed.output[0].status == "incomplete"
        events = list(client.responses.retrieve(talking.id, stream=True))
        assert [event.sequence_number for event in events] == list(range(len(events)))
        assert events[-1].type == "response.failed"
        deltas = "".join(event.delta for event in events if event.type == "response.output_text.delta")
        assert deltas == client.responses.retrieve(talking.id).output_text
        # The one that had not begun is made.
        assert ended(client, waiting.id).output_text == "1 2 3 4 5"
        numbers = [event.sequence_number for event in client.responses.retrieve(waiting.id, stream=True)]
        assert numbers == list(range(len(numbers)))
        # The conversation is free again, and knows what was said.
        assert client.responses.create(model=SLOW, input="say on", conversation=conversation.id).output_text == "on"
        assert len(list(client.conversations.items.list(conversation.id))) == 4


def test_stopped_in_the_middle(server: ServerProcess) -> None:
    with client_of(server) as client:
        talking = client.responses.create(model=SLOW, input="count 4000", background=True)
        waiting = client.responses.create(model=SLOW, input="count 5", background=True)
        speaking(client, talking.id)
        server.send(signal.SIGTERM)
        server.wait(30)
    server.start()
    with client_of(server) as client:
        failed = ended(client, talking.id)
        assert (failed.status, failed.error.code) == ("failed", "server_error")
        assert failed.output_text.startswith("1 2 3 4 5")
        assert ended(client, waiting.id).output_text == "1 2 3 4 5"


def test_one_that_kills_the_server_each_time_is_given_up(server: ServerProcess) -> None:
    with client_of(server) as client:
        begun = client.responses.create(model=SLOW, input="wait 600\nsay x", background=True)
    for _ in range(4):
        server.kill()
        server.start()
        with client_of(server) as client:
            found = client.responses.retrieve(begun.id)
    assert found.status == "failed"


def test_a_revoked_key_stops_what_it_asked_for(server: ServerProcess) -> None:
    with httpx.Client(base_url=server.url) as owner:
        key = owner.post("/house/v1/keys", json={"name": "k", "role": "member", "project": "default"}).json()
        with openai.OpenAI(base_url=f"{server.url}/v1", api_key=key["key"], max_retries=0) as client:
            begun = client.responses.create(model=SLOW, input="count 4000", background=True)
            speaking(client, begun.id)
        assert owner.delete(f"/house/v1/keys/{key['id']}").status_code in (200, 204)
        with client_of(server) as client:
            failed = ended(client, begun.id)
            assert failed.status == "failed"
            assert "may not ask any more" in failed.error.message

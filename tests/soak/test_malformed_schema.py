"""Requests made from the server's own OpenAPI document by schemathesis: what the document allows, and what it does not.

`make soak` sends 10,000 malformed requests in all (`SOAK_REQUESTS`, a part of them here). schemathesis is installed by `make soak`; without it
`make test` says so and leaves its small part out, and the generator behind `test_malformed` is what runs there.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import requests
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed; 'make soak' does that")

from tests.acceptance.support import ServerProcess, needs_linux, tiny  # noqa: E402
from tests.soak.amounts import amount, report  # noqa: E402
from tests.soak.judge import Watch, judge  # noqa: E402

REQUESTS = 4000
"""Of the 10,000; the rest is `test_malformed`'s."""
SMOKE = 60
_READ = 256 * 1024
_MODELS = ("fake:echo", "tiny", "fake:obeys", "nobody/has:this")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    needs_linux()
    home = tmp_path_factory.mktemp("schema") / "home"
    arguments = ["--offline", "--log-level", "warning", "--context", "512", "--slots", "4", "--keep-alive", "-1"]
    with ServerProcess(home, tiny(), arguments=arguments) as one:
        yield one.start()


@pytest.fixture(scope="module")
def client(server: ServerProcess) -> Iterator[httpx.Client]:
    with server.client() as one:
        yield one


class Gun:
    """Sends cases and judges what comes back."""

    def __init__(self, server: ServerProcess, watch: Watch, number: int) -> None:
        self._url = server.url
        self._watch = watch
        self.session = requests.Session()
        self.session.trust_env = False
        self.random = random.Random(number)
        self.kinds: Counter[str] = Counter()

    def fire(self, case: Any) -> None:
        # Random names of models lead to 404 and no further.
        if isinstance(case.body, dict) and isinstance(case.body.get("model"), str) and self.random.random() < 0.8:
            case.body["model"] = self.random.choice(_MODELS)
        try:
            wanted = case.as_transport_kwargs(base_url=self._url)
            headers = {name.lower(): str(value) for name, value in dict(wanted.get("headers") or {}).items()}
            with self.session.request(**wanted, stream=True, timeout=60) as answer:
                body = answer.raw.read(_READ, decode_content=True) or b""
        except (requests.exceptions.InvalidHeader, requests.exceptions.InvalidURL, UnicodeError):
            self.kinds["not possible for the client"] += 1
            return
        except requests.exceptions.ReadTimeout:
            self._watch.wrong.append(f"no answer within 60 s: {case.as_curl_command()[:600]}")
            return
        self._watch.answers[answer.status_code] += 1
        wrong = judge(case.method, case.formatted_path, headers, answer.status_code, answer.headers.get("content-type", ""), body)
        if wrong:
            self._watch.wrong.append(f"{wrong}\n    {case.as_curl_command()[:600]}")


def bombard(server: ServerProcess, client: httpx.Client, count: int, number: int) -> None:
    schema = schemathesis.openapi.from_dict(client.get("/openapi.json").json())
    operations = [result.ok() for result in schema.get_all_operations()]
    assert len(operations) > 50
    # What takes a body is where most can go wrong; all the addresses that are planned share one handler.
    weights = {id(one): 40 if one.body else 1 if len([other for other in operations if other.path == one.path]) > 3 else 4 for one in operations}
    share = count / 2 / sum(weights.values())
    chance = random.Random(number)
    with Watch(server, client) as watch:
        gun = Gun(server, watch, number)
        with gun.session:
            for operation in operations:
                for mode in schemathesis.GenerationMode:
                    wanted = share * weights[id(operation)]
                    # Fractions of a request add up to whole ones over all operations.
                    cases = int(wanted) + (chance.random() < wanted % 1)
                    if cases:
                        _fire(gun, operation, mode, cases, number)
    report(
        "requests by the OpenAPI document",
        [
            ("requests", sum(watch.answers.values())),
            ("operations", len(operations)),
            ("seed", number),
            ("seconds", round(watch.seconds)),
            ("answers by status", dict(sorted(watch.answers.items()))),
            ("of them", dict(gun.kinds)),
            ("more open files afterwards", watch.more_descriptors),
            ("more memory afterwards (MiB)", round(watch.more_memory / 2**20)),
            ("wrong", len(watch.wrong)),
        ],
    )


def _fire(gun: Gun, operation: Any, mode: Any, cases: int, number: int) -> None:
    @seed(number)
    @settings(max_examples=cases, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck), print_blob=False)
    @given(data=st.data())
    def send(data: st.DataObject) -> None:
        case = data.draw(operation.as_strategy(generation_mode=mode))
        gun.kinds[mode.value] += 1
        gun.fire(case)

    if mode == schemathesis.GenerationMode.POSITIVE or operation.body or operation.path_parameters:
        with contextlib.suppress(Unsatisfiable if mode == schemathesis.GenerationMode.NEGATIVE else ()):
            send()


@pytest.mark.timeout(200)
def test_a_few_requests(server: ServerProcess, client: httpx.Client) -> None:
    bombard(server, client, SMOKE, 5)


@pytest.mark.soak
def test_many_requests(server: ServerProcess, client: httpx.Client) -> None:
    bombard(server, client, int(amount("REQUESTS", 10_000) * REQUESTS / 10_000), amount("SEED", time.time()))

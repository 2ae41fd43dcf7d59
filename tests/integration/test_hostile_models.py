"""Model files made to do harm, and engines that hang: they cost their own requests, and nobody else's."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from hausgeist.engines.llamacpp.adapter import LlamaCpp
from hausgeist.engines.llamacpp.providers import Provider
from hausgeist.engines.specimen import write_specimen
from hausgeist.errors import EngineFailed, LoadFailed
from hausgeist.hardware import probe
from hausgeist.model import InstalledModel, LaunchPlan
from hausgeist.serving import pool as pools
from hausgeist.serving.memory import Ledger
from hausgeist.serving.planning import launch_plan
from hausgeist.serving.pool import Pool
from hausgeist.settings import Settings
from hausgeist.telemetry import Metrics

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

WITHOUT_END = "{% for a in range(3000) %}{% for b in range(3000) %}{% for c in range(3000) %}{% endfor %}{% endfor %}{% endfor %}"
WITHOUT_BOUND = "{% set ns = namespace(x='a' * 32) %}{% for a in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x }}"
PLAIN = "{% for m in messages %}{{ m.content }}{% endfor %}"


def late(harm: str) -> str:
    """Harmless while it is loaded."""
    return "{% if messages[0].content == 'boom' %}" + harm + "{% endif %}" + PLAIN


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_specimen(tmp_path_factory.mktemp("models") / "m.gguf")


Make = Callable[..., Pool]


@pytest.fixture
async def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Make]:
    monkeypatch.setattr(pools, "_ASTRAY", 128 * 2**20)
    engine = LlamaCpp(home=tmp_path, provider=Provider("wheel", None, "", ("cpu",)))
    made: list[Pool] = []

    def make(**settings: Any) -> Pool:
        chosen = Settings(home=tmp_path, context=512, slots=2, **settings)
        made.append(Pool(settings=chosen, engines=lambda _: engine, ledger=Ledger(chosen, probe.memory), metrics=Metrics()))
        return made[-1]

    yield make
    for pool in made:
        await pool.close()
    await engine.close()


def plan(file: Path, template: str = PLAIN) -> LaunchPlan:
    model = InstalledModel(id="m", engine="llamacpp", path=file, digest="", modified=0, template=template)
    return launch_plan(model, "generate", Settings(context=512, slots=2))


async def ask(pool: Pool, wanted: LaunchPlan, text: str) -> Any:
    lease = await pool.lease(wanted, user="u", project="p")
    try:
        body = {"messages": [{"role": "user", "content": text}], "max_tokens": 2, "id_slot": lease.slots[0]}
        reply = await lease.call("chat", json.dumps(body).encode())
        try:
            return json.loads(await reply.read())
        finally:
            await reply.close()
    finally:
        await pool.give_back(lease, complete=False)


OTHERS: set[psutil.Process] = set()
"""Workers of servers that other tests keep in this process."""


@pytest.fixture(autouse=True)
def _others() -> None:
    OTHERS.clear()
    OTHERS.update(psutil.Process().children())


def workers() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if child not in OTHERS and child.status() != psutil.STATUS_ZOMBIE]


async def test_a_template_without_an_end_is_not_waited_for_when_it_is_loaded(make: Make, file: Path) -> None:
    pool = make(load_timeout=3.0)
    with pytest.raises(LoadFailed, match="not loaded within 3 s"):
        await pool.lease(plan(file, WITHOUT_END), user="u", project="p")
    assert not workers()


async def test_a_template_that_takes_all_memory_is_stopped_when_it_is_loaded(make: Make, file: Path) -> None:
    pool = make()
    with pytest.raises(LoadFailed, match="of memory and was stopped"):
        await pool.lease(plan(file, WITHOUT_BOUND), user="u", project="p")
    assert not workers()


@pytest.mark.parametrize(("harm", "why"), [(WITHOUT_END, "did not begin"), (WITHOUT_BOUND, "of memory where it should take at most")])
async def test_or_when_it_is_used(make: Make, file: Path, harm: str, why: str) -> None:
    pool = make(stall=2.0) if harm is WITHOUT_END else make()
    wanted = plan(file, late(harm))
    assert (await ask(pool, wanted, "hello"))["choices"]
    [before] = workers()
    with pytest.raises(EngineFailed, match=why):
        await ask(pool, wanted, "boom")
    assert (await ask(pool, wanted, "hello"))["choices"]
    [after] = workers()
    assert after.pid != before.pid


async def test_though_whoever_asked_has_left(make: Make, file: Path) -> None:
    pool = make(stall=2.0)
    wanted = plan(file, late(WITHOUT_END))
    assert (await ask(pool, wanted, "hello"))["choices"]
    asking = asyncio.create_task(ask(pool, wanted, "boom"))
    await asyncio.sleep(0.5)
    [before] = workers()
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    deadline = time.monotonic() + 15
    while before in workers():
        assert time.monotonic() < deadline, "it goes on for nobody"
        await asyncio.sleep(0.1)


async def test_an_engine_that_stands_still_is_ended(make: Make, file: Path) -> None:
    pool = make(stall=3.0)
    wanted = plan(file)
    failures = []
    for _ in range(5):  # on a busy machine it may be ended before the request reaches it, which a fresh one then answers
        assert (await ask(pool, wanted, "hello"))["choices"]
        [before] = workers()
        os.kill(before.pid, signal.SIGSTOP)
        started = time.monotonic()
        try:
            await ask(pool, wanted, "hello")
        except EngineFailed as error:
            failures.append(error.message)
        assert time.monotonic() - started < 20
        assert (await ask(pool, wanted, "hello"))["choices"]
        [after] = workers()
        assert after.pid != before.pid
        if failures:
            break
    assert failures
    assert "has not answered" in failures[0]


async def test_a_worker_keeps_to_its_promise_while_it_works(make: Make, file: Path) -> None:
    """What is measured stays below the limit, so that no honest worker is ended."""
    pool = make(stall=1.0)
    wanted = replace(plan(file), slots=2)
    lease = await pool.lease(wanted, user="u", project="p")
    body = {"prompt": "a", "max_tokens": 400, "ignore_eos": True, "id_slot": lease.slots[0]}
    for _ in range(5):
        reply = await lease.call("completion", json.dumps(body).encode())
        await reply.read()
        await reply.close()
    limit = lease.worker.plan.memory
    assert limit is not None
    assert lease.worker.measured().parts["anonymous"] < limit - 64 * 2**20
    assert lease.worker.alive
    await pool.give_back(lease, complete=True)

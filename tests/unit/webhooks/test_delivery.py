"""Events on their way to real servers on loopback: signed, tried again, left alone, given up; and what may be told at all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import pytest

from hausgeist.errors import Conflict, EgressRefused, HausgeistError, InvalidRequest, NotFound, Unavailable
from hausgeist.governance import Egress, Governor
from hausgeist.identity import LOCAL_OWNER, Origin
from hausgeist.settings import Settings, UpstreamSection
from hausgeist.store.database import Database
from hausgeist.store.jobs import Job, Jobs
from hausgeist.webhooks import Webhooks, delivery
from hausgeist.webhooks.delivery import Courier
from hausgeist.webhooks.events import EVENT_TYPES
from hausgeist.webhooks.records import Endpoint
from hausgeist.webhooks.signing import headers, hint, new_secret
from tests.receiver import HANG, receiving

ORIGIN = Origin("192.0.2.7", "curl", "req_9")


@dataclass
class House:
    """Webhooks with pauses of milliseconds."""

    database: Database
    governor: Governor
    jobs: Jobs
    webhooks: Webhooks

    async def endpoint(self, url: str, *events: str) -> Endpoint:
        return await self.webhooks.create(LOCAL_OWNER, name="n", url=url, events=events or ("response.completed",), origin=ORIGIN)

    async def ended(self, count: int = 1, seconds: float = 10.0) -> list[Job]:
        """The jobs, once so many of them are finished."""
        async with asyncio.timeout(seconds):
            while sum(job.finished is not None for job in self.jobs.list(kind=delivery.KIND)) < count:
                await asyncio.sleep(0.01)
        return self.jobs.list(kind=delivery.KIND)

    async def rows(self, action: str) -> list[tuple[str, str, str]]:
        await self.governor.flush()
        return [(row.outcome, row.target, row.detail) for row in self.governor.audit.entries(action=action)]


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[Any]:
    made: list[tuple[House, Egress]] = []

    async def make(*, seconds: float = 5.0, rest: float = 0.0, own_port: int = 0, **fields: Any) -> House:
        database = Database.open(tmp_path)
        governor, jobs = Governor(database), Jobs(database, at_once=delivery.AT_ONCE, pause=0.02, poll=0.05)
        egress = Egress(Settings(home=tmp_path, **{"allow": ("127.0.0.1",), **fields}), governor)
        courier = Courier(database, egress, governor, own_port=own_port, seconds=seconds, rest=rest)
        courier.register(jobs)
        await jobs.start()
        made.append((House(database, governor, jobs, Webhooks(database, jobs, courier)), egress))
        return made[-1][0]

    yield make
    for one, egress in made:
        await one.jobs.stop()
        await egress.close()
        await one.governor.flush()
        one.database.close()


async def test_an_event_is_told_as_the_sdk_reads_it(house: Any) -> None:
    async with receiving() as receiver:
        here: House = await house()
        endpoint = await here.endpoint(receiver.url, *EVENT_TYPES)
        for kind in EVENT_TYPES:
            await here.webhooks.notify("default", kind, f"thing_{kind}")
        told = await receiver.wait(len(EVENT_TYPES))
        jobs = await here.ended(len(EVENT_TYPES))
        events = {event.type: event for event in (one.unwrap(endpoint.secret) for one in told)}
        assert set(events) == set(EVENT_TYPES)
        for kind, event in events.items():
            assert (event.object, event.data.id) == ("event", f"thing_{kind}")
            assert abs(event.created_at - time.time()) < 10
            assert set(event.to_dict()) == {"id", "object", "created_at", "type", "data"}
            assert event.data.model_extra == {}
        assert {one.headers["webhook-id"] for one in told} == {event.id for event in events.values()}
        assert {one.headers["content-type"] for one in told} == {"application/json"}
        assert [job.result for job in jobs] == [{"status": 200}] * len(EVENT_TYPES)
        with pytest.raises(openai.InvalidWebhookSignatureError):
            told[0].unwrap(new_secret())


async def test_only_who_wants_to_know_is_told(house: Any) -> None:
    async with receiving() as receiver:
        here: House = await house()
        await here.endpoint(receiver.url, "batch.completed")
        await here.endpoint(receiver.url, "response.failed", "batch.completed")
        await here.webhooks.notify("default", "response.completed", "resp_1")
        await here.webhooks.notify("other", "batch.completed", "batch_other")
        assert here.jobs.list(kind=delivery.KIND) == []
        await here.webhooks.notify("default", "batch.completed", "batch_1")
        told = await receiver.wait(2)
        await here.ended(2)
        assert [one.event["data"] for one in told] == [{"id": "batch_1"}] * 2
        # One event, told to two: whoever reads both knows it by its id.
        assert told[0].event == told[1].event


async def test_what_fails_is_tried_again_under_the_same_id(house: Any) -> None:
    async with receiving(500, 404, 302) as receiver:
        here: House = await house()
        endpoint = await here.endpoint(receiver.url)
        await here.webhooks.notify("default", "response.completed", "resp_1")
        told = await receiver.wait(4)
        (job,) = await here.ended()
        assert (job.status, job.attempts) == ("done", 4)
        assert {one.path for one in told} == {"/hook"}, "a redirect is not followed"
        assert len({one.headers["webhook-id"] for one in told}) == 1
        assert len({one.body for one in told}) == 1
        for one in told:
            one.unwrap(endpoint.secret)


async def test_who_hangs_is_given_up_for_this_time(house: Any) -> None:
    async with receiving(HANG) as receiver:
        here: House = await house(seconds=0.2)
        await here.endpoint(receiver.url)
        await here.webhooks.notify("default", "response.completed", "resp_1")
        (job,) = await here.ended()
        assert (job.status, job.attempts) == ("done", 2)
        assert job.error is not None
        assert "no answer in time" in job.error


async def test_who_is_away_is_told_when_back(house: Any) -> None:
    async with receiving() as receiver:
        gone = receiver.url
    here: House = await house()
    endpoint = await here.endpoint(gone)
    await here.webhooks.notify("default", "response.completed", "resp_1")
    async with asyncio.timeout(5):
        while not here.jobs.list(kind=delivery.KIND)[0].error:
            await asyncio.sleep(0.01)
    async with receiving() as receiver:
        await here.webhooks.update(LOCAL_OWNER, endpoint.id, url=receiver.url, origin=ORIGIN)
        await receiver.wait(1)
        await here.ended()


async def test_who_fails_is_left_alone_for_a_while(house: Any) -> None:
    async with receiving(500) as receiver:
        here: House = await house(rest=0.5)
        await here.endpoint(receiver.url)
        await here.webhooks.notify("default", "response.completed", "resp_1")
        await receiver.wait(1)
        failed = time.monotonic()
        for number in range(5):
            await here.webhooks.notify("default", "response.completed", f"resp_{number}")
        await asyncio.sleep(0.3)
        assert len(receiver.told) == 1
        await receiver.wait(6)
        assert time.monotonic() - failed > 0.45
        assert {job.status for job in await here.ended(6)} == {"done"}


async def test_several_failures_at_once_are_one(house: Any) -> None:
    async with receiving(*[500] * 6) as receiver:
        receiver.together = 6
        here: House = await house(rest=0.3)
        await here.endpoint(receiver.url)
        for number in range(6):
            await here.webhooks.notify("default", "response.completed", f"resp_{number}")
        await receiver.wait(6)
        failed = time.monotonic()
        # Were each to double the rest, it would be 9.6 seconds.
        await receiver.wait(12)
        assert time.monotonic() - failed < 5.0
        await here.ended(6)


async def test_addresses_that_hang_do_not_hold_up_the_others(house: Any) -> None:
    async with receiving(always=HANG) as hanging, receiving() as receiver:
        here: House = await house(seconds=1.0, rest=30.0)
        for _ in range(3):
            await here.endpoint(hanging.url, "batch.failed")
        await here.endpoint(receiver.url, "batch.completed")
        for number in range(60):
            await here.webhooks.notify("default", "batch.failed", f"batch_{number}")
        await hanging.wait(3)
        started = time.monotonic()
        await here.webhooks.notify("default", "batch.completed", "batch_ok")
        await receiver.wait(1)
        # Were each tried each time, 180 of them with 16 at once, it would be 12 seconds.
        assert time.monotonic() - started < 6.0


async def test_after_a_day_it_is_given_up_and_written_down(house: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr("hausgeist.webhooks.service.ATTEMPTS", 3)
    async with receiving(always=503) as receiver:
        # Left alone or not, the last time it is tried.
        here: House = await house(rest=30.0)
        endpoint = await here.endpoint(receiver.url)
        await here.webhooks.notify("default", "response.completed", "resp_1")
        (job,) = await here.ended()
        assert (job.status, job.attempts, job.error) == ("failed", 3, "It answered with status 503.")
        assert len(receiver.told) == 2
        event = receiver.told[0].event["id"]
        ((outcome, target, detail),) = await here.rows("webhook.deliver")
        assert (outcome, target) == ("failed", f"{endpoint.id} in default: response.completed {event}")
        assert detail == "3 tries; It answered with status 503."
        assert event in caplog.text


def test_it_is_tried_for_about_a_day() -> None:
    pauses = [min(3600.0, delivery.PAUSE * 2.0**number) for number in range(delivery.ATTEMPTS - 1)]
    assert 23 < sum(pauses) / 3600 < 26


async def test_what_was_removed_or_is_not_wanted_any_more_is_not_told(house: Any) -> None:
    async with receiving(500, 500) as receiver:
        here: House = await house(rest=30.0)
        gone, changed = await here.endpoint(receiver.url), await here.endpoint(receiver.url)
        await here.webhooks.notify("default", "response.completed", "resp_1")
        await receiver.wait(2)
        await here.webhooks.delete(LOCAL_OWNER, gone.id)
        await here.webhooks.update(LOCAL_OWNER, changed.id, events=("batch.failed",), origin=ORIGIN)
        jobs = await here.ended(2)
        assert {str(job.result) for job in jobs} == {
            "{'skipped': 'the endpoint was removed'}", "{'skipped': 'the endpoint does not want such events any more'}"
        }  # fmt: skip
        assert len(receiver.told) == 2


async def test_a_new_secret_signs_beside_the_old_one_for_a_day(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiving() as receiver:
        here: House = await house()
        old = await here.endpoint(receiver.url)
        new = await here.webhooks.rotate_secret(LOCAL_OWNER, old.id, keep_old=True)
        assert new.secret != old.secret
        await here.webhooks.test(LOCAL_OWNER, old.id, "response.completed", origin=ORIGIN)
        for secret in (old.secret, new.secret):
            receiver.told[-1].unwrap(secret)
        assert new.keys(time.time() + 86_300) == [new.secret, old.secret]
        assert new.keys(time.time() + 86_500) == [new.secret]
        newest = await here.webhooks.rotate_secret(LOCAL_OWNER, old.id, keep_old=False)
        await here.webhooks.test(LOCAL_OWNER, old.id, "response.completed", origin=ORIGIN)
        receiver.told[-1].unwrap(newest.secret)
        for secret in (old.secret, new.secret):
            with pytest.raises(openai.InvalidWebhookSignatureError):
                receiver.told[-1].unwrap(secret)


async def test_a_trial_says_what_came_of_it(house: Any) -> None:
    async with receiving(200, 500, 302, HANG) as receiver:
        here: House = await house(seconds=0.2)
        endpoint = await here.endpoint(receiver.url)
        trial = here.webhooks.test
        assert await trial(LOCAL_OWNER, endpoint.id, "batch.completed", origin=ORIGIN) == 200
        assert receiver.told[0].unwrap(endpoint.secret).data.id == "batch_test"
        assert await trial(LOCAL_OWNER, endpoint.id, "batch.completed", origin=ORIGIN) == 500
        with pytest.raises(Unavailable, match="redirects"):
            await trial(LOCAL_OWNER, endpoint.id, "batch.completed", origin=ORIGIN)
        with pytest.raises(Unavailable, match="no answer in time"):
            await trial(LOCAL_OWNER, endpoint.id, "batch.completed", origin=ORIGIN)
        assert here.jobs.list(kind=delivery.KIND) == [], "a trial is not tried again"


REFUSED: list[tuple[dict[str, Any], str, type[HausgeistError], str]] = [
    ({}, "http://10.0.0.7/hook", EgressRefused, 'allow = ["10.0.0.7"]'),
    ({}, "https://hooks.example/x", EgressRefused, 'allow = ["hooks.example"]'),
    ({}, "http://169.254.169.254/latest/meta-data", EgressRefused, "169.254.169.254"),
    ({}, "http://[::1]:80/", EgressRefused, "::1"),
    ({}, "http://localhost:80/", EgressRefused, "localhost"),
    ({}, "http://0x7f.1/", EgressRefused, "0x7f.1"),
    ({"allow": ("hooks.example",)}, "https://user:pw@hooks.example/x", EgressRefused, "user name"),
    ({"allow": ("hooks.example",)}, "ftp://hooks.example/x", EgressRefused, "http"),
    ({"allow": ("hooks.example",)}, "hooks.example/x", EgressRefused, "http"),
    ({"allow": ("hooks.example",)}, "https://hooks.example/x#y", InvalidRequest, "#"),
    ({"allow": ("hooks.example",)}, "http://hooks.example/x", InvalidRequest, "https://"),
    ({"allow": ("8.8.8.8",)}, "http://8.8.8.8/x", InvalidRequest, "https://"),
    ({"own_port": 4287}, "http://127.0.0.1:4287/v1/files", InvalidRequest, "this server itself"),
    ({"offline": True}, "https://hooks.example/x", EgressRefused, "offline"),
    ({"offline": True, "allow": ("127.0.0.1",)}, "http://127.0.0.1:80/x", EgressRefused, "offline"),
    # Whom this server asks for answers, it does not tell what happens here.
    ({"upstreams": {"gpu": UpstreamSection(url="http://10.0.0.7:8000")}}, "http://10.0.0.7:8000/load", EgressRefused, "allow"),
]


@pytest.mark.parametrize(("fields", "url", "error", "told"), REFUSED, ids=str)
async def test_what_may_not_be_told_is_refused_with_what_to_do(
    house: Any, fields: dict[str, Any], url: str, error: type[HausgeistError], told: str
) -> None:
    here: House = await house(**fields)
    with pytest.raises(error) as caught:
        await here.endpoint(url)
    assert told in caught.value.message
    assert here.webhooks.page(LOCAL_OWNER)[0] == []
    if error is EgressRefused:
        ((outcome, target, detail),) = await here.rows("egress.connect")
        assert outcome == "refused"
        assert detail.startswith("webhook: ")
        assert "pw" not in target + detail


@pytest.mark.parametrize("url", ["http://nas.local:8080/x", "http://nas/x", "http://192.168.1.5/x", "https://hooks.example:8443/x?y=1"])
async def test_what_may_be_told(house: Any, url: str) -> None:
    here: House = await house(allow=("nas.local", "nas", "192.168.1.0/24", "hooks.example"))
    assert (await here.endpoint(url)).url == url


async def test_a_host_that_is_not_allowed_any_more_is_not_told(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hausgeist.webhooks.service.ATTEMPTS", 2)
    async with receiving() as receiver:
        here: House = await house()
        await here.endpoint(receiver.url)
        strict: House = await house(allow=())
        await here.jobs.stop()
        await strict.webhooks.notify("default", "response.completed", "resp_1")
        (job,) = await strict.ended()
        assert job.status == "failed"
        assert job.error is not None
        assert 'allow = ["127.0.0.1"]' in job.error
        assert receiver.told == []
        assert [row[0] for row in await strict.rows("egress.connect")] == ["refused"] * 2
        assert len(await strict.rows("webhook.deliver")) == 1


async def test_a_project_has_so_many_endpoints(house: Any) -> None:
    here: House = await house()
    for _ in range(20):
        await here.endpoint("http://127.0.0.1/x")
    with pytest.raises(Conflict, match="at most 20"):
        await here.endpoint("http://127.0.0.1/x")


async def test_endpoints_belong_to_their_project(house: Any) -> None:
    from dataclasses import replace

    here: House = await house()
    endpoint = await here.endpoint("http://127.0.0.1/x")
    other = replace(LOCAL_OWNER, project="other")
    assert here.webhooks.page(other) == ([], False)
    with pytest.raises(NotFound):
        here.webhooks.get(other, endpoint.id)
    with pytest.raises(NotFound):
        here.webhooks.page(other, after=endpoint.id)
    for verb in (
        here.webhooks.update(other, endpoint.id, name="x", origin=ORIGIN),
        here.webhooks.rotate_secret(other, endpoint.id, keep_old=False),
        here.webhooks.delete(other, endpoint.id),
        here.webhooks.test(other, endpoint.id, "batch.failed", origin=ORIGIN),
    ):
        with pytest.raises(NotFound):
            await verb
    assert here.webhooks.get(LOCAL_OWNER, endpoint.id) == endpoint


async def test_nobody_tells_of_what_does_not_happen(house: Any) -> None:
    here: House = await house()
    with pytest.raises(InvalidRequest, match="no event"):
        await here.webhooks.notify("default", "response.done", "resp_1")


async def test_within_a_transaction_it_is_told_if_that_is_committed(house: Any) -> None:
    async with receiving() as receiver:
        here: House = await house()
        await here.endpoint(receiver.url)

        def undone(connection: Any) -> None:
            here.webhooks.tell(connection, "default", "response.completed", "resp_undone")
            raise Conflict("no")

        with pytest.raises(Conflict):
            await here.database.write(undone)
        await here.database.write(lambda connection: here.webhooks.tell(connection, "default", "response.completed", "resp_1"))
        await receiver.wait(1)
        await here.ended()
        assert [one.event["data"]["id"] for one in receiver.told] == ["resp_1"]


def test_secrets_are_not_shown() -> None:
    secret = new_secret()
    endpoint = Endpoint(id="we_1", project="p", user="u", created=0, changed=0, name="n", url="u", events=(), secret=secret, before=secret)
    assert secret not in repr(endpoint)
    assert secret.removeprefix("whsec_")[:39] not in hint(secret)
    assert len(hint(secret)) == len("whsec_...abcd")


def test_signatures_are_those_of_standard_webhooks() -> None:
    """The specification's own example."""
    body = b'{"test": 2432232314}'
    signed = headers("msg_p5jXN8AQM9LWM0D4loKWxJek", body, 1614265330, ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])
    assert signed["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

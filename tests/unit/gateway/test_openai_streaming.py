"""Streams: errors before the first event are responses, errors after it events; whoever leaves, or stops reading, ends the work at once."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from hausgeist.errors import EngineCrashed, NotFound
from hausgeist.http import streaming
from hausgeist.http.streaming import EventStream, attend

SCOPE: dict[str, Any] = {"type": "http", "method": "POST", "path": "/", "headers": [], "query_string": b""}


def said(error: Exception) -> bytes:
    return f"error: {type(error).__name__}\n\n".encode()


class Client:
    """One side of a connection: takes messages, and leaves when told."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.left = asyncio.Event()
        self.reads = asyncio.Event()
        self.reads.set()
        self._body = True

    async def receive(self) -> dict[str, Any]:
        if self._body:
            self._body = False
            return {"type": "http.request", "body": b"{}", "more_body": False}
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        await self.reads.wait()
        self.got.append(message)

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.got)

    @property
    def ended(self) -> bool:
        return bool(self.got) and self.got[-1].get("more_body") is False


class Work:
    """Events, and whether their generator was closed."""

    def __init__(self, events: list[bytes], *, then: Exception | None = None, wait: bool = False) -> None:
        self.closed = asyncio.Event()
        self._events, self._then, self._wait = events, then, wait

    async def __call__(self) -> AsyncGenerator[bytes, None]:
        try:
            for event in self._events:
                yield event
            if self._then is not None:
                raise self._then
            if self._wait:
                await asyncio.sleep(60)
        finally:
            self.closed.set()


async def served(stream: EventStream, client: Client) -> None:
    client._body = False
    await stream(SCOPE, client.receive, client.send)


async def test_events_pass_as_they_are() -> None:
    work, client = Work([b"data: 1\n\n", b"data: 2\n\n"]), Client()
    await served(await EventStream.begin(work(), failure=said), client)
    start, *bodies = client.got
    headers = dict(start["headers"])
    assert start["status"] == 200
    assert headers[b"content-type"].startswith(b"text/event-stream")
    assert headers[b"cache-control"] == b"no-cache"
    assert b"content-length" not in headers
    assert [message["body"] for message in bodies] == [b"data: 1\n\n", b"data: 2\n\n", b""]
    assert client.ended
    assert work.closed.is_set()


async def test_another_media_type_and_further_headers() -> None:
    stream = await EventStream.begin(Work([b"{}\n"])(), failure=said, media_type="application/x-ndjson", headers={"x-a": "b"})
    assert stream.headers["content-type"] == "application/x-ndjson"
    assert stream.headers["x-a"] == "b"
    client = Client()
    await served(stream, client)


async def test_an_error_before_the_first_event_is_raised() -> None:
    work = Work([], then=NotFound())
    with pytest.raises(NotFound):
        await EventStream.begin(work(), failure=said)
    assert work.closed.is_set()


@pytest.mark.parametrize(("error", "name"), [(EngineCrashed(), b"EngineCrashed"), (ZeroDivisionError("secret"), b"ZeroDivisionError")])
async def test_an_error_in_the_middle_is_an_event(error: Exception, name: bytes, caplog: pytest.LogCaptureFixture) -> None:
    client = Client()
    await served(await EventStream.begin(Work([b"data: 1\n\n"], then=error)(), failure=said), client)
    assert client.body == b"data: 1\n\nerror: " + name + b"\n\n"
    assert client.ended
    # What nobody foresaw is in the log; what was foreseen is the caller's.
    assert bool(caplog.records) == isinstance(error, ZeroDivisionError)


async def test_a_client_that_leaves_ends_the_work() -> None:
    work, client = Work([b"data: 1\n\n"], wait=True), Client()
    serving = asyncio.create_task(served(await EventStream.begin(work(), failure=said), client))
    await asyncio.sleep(0.01)
    assert not serving.done()
    started = time.monotonic()
    client.left.set()
    await asyncio.wait_for(serving, 1)
    assert work.closed.is_set()
    assert time.monotonic() - started < 0.5


async def test_a_client_that_stops_reading_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "_STALLED", 0.05)
    monkeypatch.setattr(streaming, "_LOOK", 0.02)
    work, client = Work([b"data: 1\n\n", b"data: 2\n\n"]), Client()
    stream = await EventStream.begin(work(), failure=said)
    client.reads.clear()
    await asyncio.wait_for(served(stream, client), 2)
    assert work.closed.is_set()


async def test_a_broken_connection_is_no_error() -> None:
    work, client = Work([b"data: 1\n\n"], wait=True), Client()

    async def send(message: Any) -> None:
        raise ConnectionResetError

    stream = await EventStream.begin(work(), failure=said)
    await asyncio.wait_for(stream(SCOPE, client.receive, send), 1)
    assert work.closed.is_set()


async def test_a_server_that_stops_cancels_the_stream() -> None:
    work, client = Work([b"data: 1\n\n"], wait=True), Client()
    serving = asyncio.create_task(served(await EventStream.begin(work(), failure=said), client))
    await asyncio.sleep(0.01)
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert work.closed.is_set()


def handler(work: Callable[[Request], Any]) -> Callable[[Client], Any]:
    attended = attend(work)

    async def call(client: Client) -> Response:
        return await attended(Request(SCOPE, client.receive, client.send))

    return call


async def test_an_attended_handler_answers() -> None:
    async def work(request: Request) -> Response:
        return PlainTextResponse((await request.body()).decode())

    response = await handler(work)(Client())
    assert response.body == b"{}"


async def test_an_attended_handler_raises_what_it_raises() -> None:
    async def work(request: Request) -> Response:
        raise NotFound

    with pytest.raises(NotFound):
        await handler(work)(Client())


async def test_an_attended_handler_stops_when_its_client_leaves() -> None:
    cleaned = []

    async def work(request: Request) -> Response:
        try:
            await asyncio.sleep(60)
        finally:
            cleaned.append(True)
        return Response()

    client = Client()
    answering = asyncio.create_task(handler(work)(client))
    await asyncio.sleep(0.01)
    client.left.set()
    response = await asyncio.wait_for(answering, 1)
    assert response.status_code == 499
    assert cleaned


async def test_an_attended_handler_is_cancelled_with_its_server() -> None:
    cleaned = []

    async def work(request: Request) -> Response:
        try:
            await asyncio.sleep(60)
        finally:
            cleaned.append(True)
        return Response()

    answering = asyncio.create_task(handler(work)(Client()))
    await asyncio.sleep(0.01)
    answering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await answering
    assert cleaned


async def test_an_event_costs_little() -> None:
    """The stream's own part; the limit for the whole gateway, 40 microseconds, is measured by the benchmarks."""
    count = 20_000
    work, client = Work([b"data: {}\n\n"] * count), Client()
    stream = await EventStream.begin(work(), failure=said)
    started = time.process_time()
    await served(stream, client)
    assert (time.process_time() - started) / count < 20e-6

"""Batches: checked line by line, asked a few at a time, each line answered once whatever is killed when, ended in every way that there is."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, MutableSequence, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hausgeist.conversations.batches import Batch, Batches
from hausgeist.conversations.batches.lines import check
from hausgeist.conversations.batches.results import Results
from hausgeist.conversations.erasure import leave
from hausgeist.errors import Conflict, DiskFull, InvalidRequest, NotAuthenticated, NotFound, TooLarge, Unavailable
from hausgeist.identity import LOCAL_OWNER, Origin, Principal
from hausgeist.store.space import Space
from hausgeist.workspace.service import Workspace
from tests.unit.files.test_files import BOB, House, chunks

ANN = LOCAL_OWNER
ORIGIN = Origin("127.0.0.1", "test/1")
PATH = "/v1/embeddings"
Said = tuple[int, Mapping[str, Any]]


class Model:
    """Answers what it is asked, after `seconds`; `how` may say something else."""

    endpoints = ("/v1/embeddings", "/v1/chat/completions")

    def __init__(self, seconds: float = 0.0, how: Callable[[str], Said | None] = lambda _: None) -> None:
        self.asked: MutableSequence[str] = []
        self.origins: list[Origin] = []
        self.running = self.most = 0
        self._seconds = seconds
        self._how = how

    async def __call__(self, who: Principal, origin: Origin, endpoint: str, body: Mapping[str, Any]) -> Said:
        self.asked.append(body["input"])
        self.origins.append(origin)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(self._seconds)
        finally:
            self.running -= 1
        return self._how(body["input"]) or (200, {"echo": body["input"], "usage": {"prompt_tokens": 2, "total_tokens": 2}})


class Place(House):
    """Files and batches of a home."""

    def __init__(self, home: Path, model: Model, **more: Any) -> None:
        super().__init__(home)
        self.model = model
        self.told: list[tuple[str, str, str]] = []
        self.batches = Batches(
            self.database, self.files, home, perform=lambda: self.model,
            **{"longest": 10_000, "still": lambda who: who, "at_once": 3, "notify": self._tell, "pause": 0.001, **more},
        )  # fmt: skip

    async def _tell(self, project: str, kind: str, batch: str) -> None:
        self.told.append((project, kind, batch))

    async def begin(self, lines: Sequence[object] | int, who: Principal = ANN, **more: Any) -> Batch:
        wanted = [line(number) for number in range(lines)] if isinstance(lines, int) else lines
        file = await self.file(who, b"\n".join(one if isinstance(one, bytes) else json.dumps(one).encode() for one in wanted), purpose="batch")
        return await self.batches.create(who, ORIGIN, **{"input_file": file.id, "endpoint": PATH, **more})

    async def until(self, batch: Batch, *status: str) -> Batch:
        async with asyncio.timeout(20):
            while (found := self.batches.get(replace(ANN, user=batch.user), batch.id)).status not in status:
                await asyncio.sleep(0.01)
        return found

    async def ended(self, batch: Batch) -> Batch:
        """And everybody was told."""
        ended = await self.until(batch, "completed", "failed", "cancelled", "expired")
        async with asyncio.timeout(20):
            while not ended.told:
                await asyncio.sleep(0.01)
                ended = self.batches.get(replace(ANN, user=batch.user), batch.id)
        return ended

    def lines(self, file: str | None) -> list[dict[str, Any]]:
        return [json.loads(one) for one in self.files.open(ANN, file).read_bytes().splitlines()] if file is not None else []

    @property
    def drafts(self) -> list[str]:
        return sorted(path.name for path in (self.home / "batches").iterdir())


def line(number: int, **more: Any) -> dict[str, Any]:
    return {"custom_id": f"r{number}", "method": "POST", "url": PATH, "body": {"model": "m", "input": str(number)}, **more}


@asynccontextmanager
async def at_work(home: Path, model: Model, **more: Any) -> AsyncIterator[Place]:
    place = Place(home, model, **more)
    await place.batches.start()
    try:
        yield place
    finally:
        await place.batches.stop()
        place.database.close()


async def test_a_batch_from_its_file_to_its_answers(tmp_path: Path) -> None:
    def how(text: str) -> Said | None:
        return (400, {"error": {"message": "no"}}) if text == "3" else None

    async with at_work(tmp_path, Model(how=how)) as place:
        begun = await place.begin(10, metadata={"a": "b"}, output_seconds=3600)
        assert (begun.status, begun.expires) == ("validating", pytest.approx(begun.created + 86400))
        done = await place.ended(begun)
        assert (done.status, done.total, done.completed, done.failed, done.model) == ("completed", 10, 9, 1, "m")
        assert done.usage == {"input": 18, "cached": 0, "output": 0, "reasoning": 0}
        assert list(done.times) == ["in_progress", "finalizing", "completed"]
        said = place.lines(done.output_file)
        assert sorted(one["custom_id"] for one in said) == sorted(f"r{number}" for number in range(10) if number != 3)
        assert all(one["response"]["body"]["echo"] == one["custom_id"][1:] and one["error"] is None for one in said)
        assert len({one["id"] for one in said} | {one["response"]["request_id"] for one in said}) == 18
        (failed,) = place.lines(done.error_file)
        assert (failed["custom_id"], failed["response"]["status_code"]) == ("r3", 400)
        output = place.files.get(ANN, done.output_file or "")
        assert (output.purpose, output.filename) == ("batch_output", f"{done.id}_output.jsonl")
        assert output.expires == pytest.approx(output.created + 3600)
        assert place.told == [("default", "batch.completed", done.id)]
        assert place.drafts == []
        assert all(origin.background and done.id[:24] in origin.agent and origin.address == ORIGIN.address for origin in place.model.origins)
        assert place.model.most <= 3


FAULTS: list[tuple[object, str, str | None]] = [
    (b"{", "invalid_json_line", None),
    (b"[1]", "invalid_json_line", None),
    (b'{"custom_id": "\\ud800"}', "invalid_json_line", None),
    (b'{"a": NaN}', "invalid_json_line", None),
    (line(1, custom_id=""), "missing_required_parameter", "custom_id"),
    (line(1, custom_id=7), "missing_required_parameter", "custom_id"),
    (line(1, custom_id="x" * 513), "missing_required_parameter", "custom_id"),
    (line(0), "duplicate_custom_id", "custom_id"),
    (line(1, method="GET"), "invalid_method", "method"),
    (line(1, url="/v1/chat/completions"), "invalid_url", "url"),
    (line(1, body=None), "missing_required_parameter", "body"),
    (line(1, body={"input": "x"}), "missing_required_parameter", "body.model"),
    (line(1, body={"model": "other", "input": "x"}), "mismatched_model", "body.model"),
    (line(1, body={"model": "m", "input": "x", "stream": True}), "invalid_request", "body.stream"),
    (line(1, more=1), "unknown_parameter", "more"),
    (line(1, custom_id="y" * 10_001), "line_too_long", None),
]


@pytest.mark.parametrize(("fault", "code", "param"), FAULTS)
async def test_lines_are_checked_before_anything_is_asked(tmp_path: Path, fault: object, code: str, param: str | None) -> None:
    async with at_work(tmp_path, Model()) as place:
        failed = await place.ended(await place.begin([line(0), b"", fault, line(2)]))
        assert failed.status == "failed"
        assert [(error["code"], error["line"], error["param"]) for error in failed.errors] == [(code, 3, param)]
        assert failed.errors[0]["message"]
        assert code not in ("invalid_method", "invalid_url") or "should be" in failed.errors[0]["message"]
        assert (failed.output_file, failed.error_file, place.model.asked) == (None, None, [])


async def test_files_are_checked_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hausgeist.conversations.batches.lines.MOST_LINES", 20)
    async with at_work(tmp_path, Model()) as place:
        empty = await place.ended(await place.begin([b"", b"  "]))
        assert [error["code"] for error in empty.errors] == ["empty_file"]
        many = await place.ended(await place.begin(21))
        assert [error["code"] for error in many.errors] == ["too_many_requests"]
        wrong = await place.ended(await place.begin([b"x"] * 20))
        assert [error["line"] for error in wrong.errors] == list(range(1, 21))
        assert (await place.ended(await place.begin(20))).status == "completed"


def test_errors_are_bounded(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x\n" * 1000)
    assert len(check(tmp_path / "file", PATH, longest=100).errors) == 100


def test_lines_hold_so_many_values(tmp_path: Path) -> None:
    """A few megabytes of them keep everybody else waiting, each time that they are read."""
    many = {**line(0), "body": {"model": "m", "input": [0] * 400_001}}
    text = {**line(1), "body": {"model": "m", "input": "," * 400_001}}
    (tmp_path / "file").write_text(f"{json.dumps(many)}\n{json.dumps(text)}\n")
    found = check(tmp_path / "file", PATH, longest=64 << 20)
    assert [(error["code"], error["line"]) for error in found.errors] == [("line_too_long", 1)]


async def test_what_cannot_be_a_batch_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with at_work(tmp_path, Model(seconds=60)) as place:
        with pytest.raises(InvalidRequest, match="/v1/chat/completions, /v1/embeddings") as refused:
            await place.begin(1, endpoint="/v1/images/generations")
        assert refused.value.param == "endpoint"
        other = await place.file(purpose="user_data")
        with pytest.raises(InvalidRequest, match="purpose") as refused:
            await place.batches.create(ANN, ORIGIN, input_file=other.id, endpoint=PATH)
        with pytest.raises(NotFound):
            await place.batches.create(ANN, ORIGIN, input_file="file-none", endpoint=PATH)
        monkeypatch.setattr("hausgeist.conversations.batches.service._MOST_WAITING", 1)
        await place.begin(1)
        with pytest.raises(TooLarge, match="not finished"):
            await place.begin(1)
        monkeypatch.setattr("hausgeist.conversations.batches.service.MOST_BYTES", 10)
        with pytest.raises(TooLarge, match="10 bytes"):
            await place.begin(1)


async def test_a_batch_belongs_to_a_person(tmp_path: Path) -> None:
    async with at_work(tmp_path, Model()) as place:
        ours = [await place.begin(1) for _ in range(3)]
        theirs = await place.begin(1, BOB)
        assert [batch.id for batch in place.batches.list(ANN)] == [batch.id for batch in ours[::-1]]
        first = place.batches.list(ANN, limit=2)
        assert first.more
        assert [batch.id for batch in place.batches.list(ANN, after=first[-1].id)] == [ours[0].id]
        for who in (BOB, replace(ANN, project="other")):
            with pytest.raises(NotFound):
                place.batches.get(who, ours[0].id)
            with pytest.raises(NotFound):
                await place.batches.cancel(who, ours[0].id)
        assert (await place.ended(theirs)).user == BOB.user


async def test_its_answers_belong_to_the_same_person(tmp_path: Path) -> None:
    """Files are the project's, but what somebody was answered is nobody else's."""
    async with at_work(tmp_path, Model()) as place:
        ended = await place.ended(await place.begin(2))
        assert ended.output_file is not None
        assert place.files.get(ANN, ended.output_file).purpose == "batch_output"
        assert place.files.get(BOB, ended.input_file).purpose == "batch"
        assert [file.id for file in place.files.list(BOB)] == [ended.input_file]
        for read in (place.files.get, place.files.open):
            with pytest.raises(NotFound):
                read(BOB, ended.output_file)
        with pytest.raises(NotFound):
            place.files.list(BOB, after=ended.output_file)
        with pytest.raises(NotFound):
            await place.files.delete(BOB, ended.output_file)


async def test_cancelled_in_the_middle_what_was_answered_is_kept(tmp_path: Path) -> None:
    async with at_work(tmp_path, Model(seconds=0.02)) as place:
        begun = await place.begin(500)
        while len(place.model.asked) < 20:
            await asyncio.sleep(0.01)
        stopping = await place.batches.cancel(ANN, begun.id)
        assert stopping.status in {"cancelling", "cancelled"}
        done = await place.ended(begun)
        assert (done.status, list(done.times)) == ("cancelled", ["in_progress", "cancelling", "cancelled"])
        said = place.lines(done.output_file)
        assert 0 < len(said) == done.completed < 500
        assert (await place.batches.cancel(ANN, begun.id)).status == "cancelled"
        assert place.told == [("default", "batch.cancelled", done.id)]
        finished = await place.ended(await place.begin(1))
        with pytest.raises(Conflict, match="completed"):
            await place.batches.cancel(ANN, finished.id)


async def test_cancelled_before_anybody_began(tmp_path: Path) -> None:
    place = Place(tmp_path, Model())
    begun = await place.begin(5)
    done = await place.batches.cancel(ANN, begun.id)
    assert (done.status, done.output_file, place.model.asked) == ("cancelled", None, [])
    await place.batches.start()
    await asyncio.sleep(0.1)
    await place.batches.stop()
    assert place.model.asked == []
    place.database.close()


async def test_after_a_restart_it_goes_on_where_it_was(tmp_path: Path) -> None:
    async with at_work(tmp_path, Model(seconds=0.01)) as place:
        begun = await place.begin(200)
        while len(place.model.asked) < 50:
            await asyncio.sleep(0.01)
    first = len(place.model.asked)
    assert first < 150
    # What a killed process may leave: a line that was cut off.
    with (tmp_path / "batches" / f"{begun.id}.output").open("ab") as file:
        file.write(b'{"id":"batch_req_' + b"x" * 50)
    async with at_work(tmp_path, Model()) as place:
        done = await place.ended(begun)
        assert (done.status, done.completed, done.usage["input"]) == ("completed", 200, 400)
        assert sorted(one["custom_id"] for one in place.lines(done.output_file)) == sorted(f"r{number}" for number in range(200))
        # Asked again were those only that were in the air.
        assert first + len(place.model.asked) <= 200 + 3
        assert place.told == [("default", "batch.completed", begun.id)]


async def test_time_is_up(tmp_path: Path) -> None:
    async with at_work(tmp_path, Model(seconds=0.1), window=3.0, at_once=1) as place:
        done = await place.ended(await place.begin(100))
        assert done.status == "expired"
        said, left = place.lines(done.output_file), place.lines(done.error_file)
        assert 0 < len(said) < 100
        assert len(said) + len(left) == 100 == done.completed + done.failed
        assert {(one["response"], one["error"]["code"]) for one in left} == {(None, "batch_expired")}
        assert "expired" in done.times
        assert place.told == [("default", "batch.expired", done.id)]


async def test_a_full_queue_is_waited_for_and_what_passes_is_tried_again(tmp_path: Path) -> None:
    tries: dict[str, int] = {}

    def how(text: str) -> Said | None:
        tries[text] = tries.get(text, 0) + 1
        if text == "0" and tries[text] < 8:
            return 429, {"error": {}}
        if text == "1" and tries[text] < 3:
            return 503, {"error": {}}
        return (502, {"error": {}}) if text == "2" else None

    async with at_work(tmp_path, Model(how=how)) as place:
        done = await place.ended(await place.begin(4))
        assert (done.completed, done.failed) == (3, 1)
        assert (tries["0"], tries["1"], tries["2"], tries["3"]) == (8, 3, 4, 1)


async def test_a_model_that_cannot_be_loaded_does_not_take_all_day(tmp_path: Path) -> None:
    async with at_work(tmp_path, Model(how=lambda _: (503, {"error": {}})), pause=0.02) as place:
        done = await place.ended(await place.begin(200))
        assert (done.status, done.completed, done.failed) == ("completed", 0, 200)
        assert 200 + 3 <= len(place.model.asked) <= 200 + 3 * 3


async def test_a_full_queue_until_time_is_up(tmp_path: Path) -> None:
    async with at_work(tmp_path, Model(how=lambda _: (429, {"error": {}})), window=0.3) as place:
        done = await place.ended(await place.begin(3))
        assert (done.status, done.failed, len(place.lines(done.error_file))) == ("expired", 3, 3)


async def test_a_revoked_key_does_not_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hausgeist.conversations.batches.run._RENEW_SECONDS", 0.05)
    revoked = False

    def still(who: Principal) -> Principal:
        if revoked:
            raise NotAuthenticated("This API key was revoked.")
        return who

    async with at_work(tmp_path, Model(seconds=0.01), still=still) as place:
        begun = await place.begin(1000)
        while len(place.model.asked) < 20:
            await asyncio.sleep(0.01)
        revoked = True
        done = await place.ended(begun)
        assert (done.status, done.errors[0]["code"]) == ("failed", "not_allowed")
        assert "revoked" in done.errors[0]["message"]
        assert 0 < len(place.lines(done.output_file)) < 1000


async def test_a_file_that_was_removed(tmp_path: Path) -> None:
    place = Place(tmp_path, Model())
    begun = await place.begin(5)
    await place.files.delete(ANN, begun.input_file)
    await place.batches.start()
    done = await place.ended(begun)
    assert (done.status, done.errors[0]["code"], place.model.asked) == ("failed", "input_file_missing", [])
    await place.batches.stop()
    place.database.close()


async def test_a_full_disk_is_not_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = True

    def require(self: Space, size: int, **more: Any) -> None:
        if full:
            raise DiskFull

    async with at_work(tmp_path, Model()) as place:
        begun = await place.begin(5)
        monkeypatch.setattr(Space, "require", require)
        monkeypatch.setattr(place.batches._jobs, "_pause", 0.05)
        while not place.model.asked:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        assert place.batches.get(ANN, begun.id).status == "in_progress"
        full = False
        done = await place.ended(begun)
        assert (done.status, done.completed) == ("completed", 5)


async def test_a_batch_whose_job_was_given_up_ends(tmp_path: Path) -> None:
    async with at_work(tmp_path, Model(seconds=60)) as place:
        begun = await place.begin(5)
        await place.until(begun, "in_progress")
        await place.batches._jobs.cancel(begun.job)
        await place.batches._jobs.wait(begun.job, timeout=10)
        assert place.batches.get(ANN, begun.id).status == "in_progress"
        await place.batches.settle()
        assert place.batches.get(ANN, begun.id).status == "failed"
        assert place.drafts == []


async def test_who_wants_to_know_is_told_once_it_can_be(tmp_path: Path) -> None:
    calls: list[str] = []

    async def notify(project: str, kind: str, batch: str) -> None:
        calls.append(kind)
        if len(calls) == 1:
            raise Unavailable

    async with at_work(tmp_path, Model(), notify=notify) as place:
        place.batches._jobs._pause = 0.05
        done = await place.ended(await place.begin(2))
        assert calls == ["batch.completed"] * 2
        assert len(place.lines(done.output_file)) == 2


async def test_many_batches_share_what_there_is(tmp_path: Path) -> None:
    """A small one that comes late does not wait for the end of a large one."""
    async with at_work(tmp_path, Model(seconds=0.01), at_once=2) as place:
        large = await place.begin(2000)
        while len(place.model.asked) < 20:
            await asyncio.sleep(0.01)
        small = await place.ended(await place.begin(5))
        assert small.status == "completed"
        assert place.batches.get(ANN, large.id).status == "in_progress"
        assert place.model.most == 2
        await place.batches.cancel(ANN, large.id)


async def test_erasure(tmp_path: Path) -> None:
    async with at_work(tmp_path, Model(seconds=0.05)) as place:
        ours, theirs = await place.begin(100), await place.begin(3, BOB)
        await place.until(ours, "in_progress")
        assert await place.batches.erase(user=ANN.user) == 1
        asked = len(place.model.asked)
        with pytest.raises(NotFound):
            place.batches.get(ANN, ours.id)
        assert not [name for name in place.drafts if name.startswith(ours.id)]
        assert (await place.ended(theirs)).status == "completed"
        assert len(place.model.asked) <= asked + 3
        with suppress(NotFound):
            await place.files.erase(user=ANN.user)
        with pytest.raises(ValueError, match="whose"):
            await place.batches.erase()


async def test_a_person_is_removed_with_files_and_batches(tmp_path: Path) -> None:
    async with at_work(tmp_path, Model()) as place:
        workspace = Workspace(place.database, leaving=[leave])
        user = await workspace.create_user("cleo")
        cleo = replace(BOB, id=user.id, user=user.id, name="cleo")
        ended = await place.ended(await place.begin(2, cleo))
        await place.uploads.create(cleo, bytes=10, filename="a", media_type="", purpose="user_data")
        ours = await place.ended(await place.begin(1))
        await workspace.remove_user("cleo")
        await place.files.collect()
        await place.batches.settle()
        with pytest.raises(NotFound):
            place.batches.get(cleo, ended.id)
        assert place.on_disk == sorted(name for name in (ours.input_file, ours.output_file) if name is not None)
        left = "SELECT (SELECT count(*) FROM batches) + (SELECT count(*) FROM uploads) + (SELECT count(*) FROM files)"
        assert place.database.read(lambda connection: connection.exec_driver_sql(left).scalar()) == 1 + 0 + 2
        assert place.drafts == []


async def test_the_results_of_a_batch_whose_person_leaves_go(tmp_path: Path) -> None:
    """By another process, which removes rows and nothing else; the server is told to settle."""
    async with at_work(tmp_path, Model(seconds=0.05)) as place:
        ours, theirs = await place.begin(100), await place.begin(3, BOB)
        await place.until(ours, "in_progress")
        await place.database.write(lambda connection: leave(connection, ANN.user, None))
        await place.batches.settle()
        assert not [name for name in place.drafts if name.startswith(ours.id)]
        assert (await place.ended(theirs)).status == "completed"
        assert not [name for name in place.drafts if name.startswith(ours.id)]


def test_results_belong_to_one_process(tmp_path: Path) -> None:
    space = Space(tmp_path, reserve=0)
    first = Results(tmp_path, "batch_1", space=space)
    with pytest.raises(Unavailable):
        Results(tmp_path, "batch_1", space=space)
    first.close()
    Results(tmp_path, "batch_1", space=space).close()


def test_a_line_that_could_not_be_written_whole_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = Results(tmp_path, "batch_1", space=Space(tmp_path, reserve=0))
    results.answered(0, "a", status=200, request="req_1", body={})
    write, calls = __import__("os").write, []

    def short(fd: int, data: bytes) -> int:
        calls.append(len(data))
        if len(calls) > 1:
            raise OSError(28, "No space left on device")
        return int(write(fd, data[:5]))

    monkeypatch.setattr("hausgeist.conversations.batches.results.os.write", short)
    with pytest.raises(DiskFull):
        results.answered(1, "b", status=200, request="req_2", body={})
    monkeypatch.undo()
    results.answered(2, "c", status=200, request="req_3", body={})
    results.close()
    again = Results(tmp_path, "batch_1", space=Space(tmp_path, reserve=0))
    assert again.done == {0, 2}
    again.close()


async def test_large_files_take_little_memory(tmp_path: Path) -> None:
    """Neither the requests nor the answers are ever held whole."""
    text = "x" * 10_000
    async with at_work(tmp_path, Model(how=lambda _: (200, {"vector": "0" * 10_000})), longest=20_000) as place:
        place.files.limit = 1 << 30
        lines = b"\n".join(json.dumps(line(number, body={"model": "m", "input": text})).encode() for number in range(2_000))
        file = await place.files.create(ANN, chunks(lines), filename="a", purpose="batch")
        del lines
        place.model.asked = deque(maxlen=1)
        tracemalloc.start()
        done = await place.ended(await place.batches.create(ANN, ORIGIN, input_file=file.id, endpoint=PATH))
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert done.completed == 2_000
        assert file.bytes > 20_000_000 < place.files.get(ANN, done.output_file or "").bytes
        assert most < 10_000_000, f"{most / 1e6:.1f} MB"

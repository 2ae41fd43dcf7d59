"""Queues are bounded, fair between users, and lose no slot to those who give up."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hausgeist.errors import Busy
from hausgeist.serving.admission import Admission


async def _settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_as_many_run_as_there_are_slots() -> None:
    admission = Admission(2, 10)
    await admission.acquire("a")
    await admission.acquire("a")
    third = asyncio.create_task(admission.acquire("a"))
    await _settle()
    assert not third.done()
    assert (admission.running, admission.waiting) == (2, 1)
    admission.release("a")
    await third
    assert (admission.running, admission.waiting) == (2, 0)


async def test_a_full_queue_says_when_to_come_back() -> None:
    admission = Admission(1, 1)
    await admission.acquire("a")
    waiting = asyncio.create_task(admission.acquire("a"))
    await _settle()
    with pytest.raises(Busy) as refused:
        await admission.acquire("b")
    assert refused.value.retry_after >= 1
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert admission.waiting == 0


async def test_one_busy_user_does_not_keep_the_others_out() -> None:
    admission = Admission(1, 100)
    await admission.acquire("busy")
    order: list[str] = []

    async def ask(user: str) -> None:
        await admission.acquire(user)
        order.append(user)
        await asyncio.sleep(0)
        admission.release(user)

    tasks = [asyncio.create_task(ask("busy")) for _ in range(5)]
    await _settle()
    tasks.append(asyncio.create_task(ask("quiet")))
    await _settle()
    admission.release("busy")
    await asyncio.gather(*tasks)
    assert order.index("quiet") <= 1


async def test_one_user_alone_may_have_the_whole_queue_but_makes_room_for_others() -> None:
    admission = Admission(1, 4)
    await admission.acquire("greedy")
    greedy = [asyncio.create_task(admission.acquire("greedy")) for _ in range(4)]
    await _settle()
    assert admission.waiting == 4
    with pytest.raises(Busy, match="waiting for this model already"):
        await admission.acquire("greedy")
    others = [asyncio.create_task(admission.acquire(user)) for user in ("quiet", "quiet", "quiet")]
    await _settle()
    assert [task.done() for task in greedy] == [False, False, True, True], "the youngest of the greedy one's leave"
    assert all(isinstance(task.exception(), Busy) for task in greedy[2:])
    assert [task.done() for task in others] == [False, False, True], "and only as far as both have the same"
    assert isinstance(others[2].exception(), Busy)
    assert admission.waiting == 4
    admission.release("greedy")
    await others[0]
    for task in (*greedy, *others):
        task.cancel()
    await asyncio.gather(*greedy, *others, return_exceptions=True)


async def test_giving_up_in_the_moment_of_being_displaced_frees_nothing_twice() -> None:
    admission = Admission(1, 2)
    await admission.acquire("greedy")
    waiting = [asyncio.create_task(admission.acquire("greedy")) for _ in range(2)]
    await _settle()
    quiet = asyncio.create_task(admission.acquire("quiet"))
    await asyncio.sleep(0)
    waiting[1].cancel()
    await _settle()
    assert (admission.running, admission.waiting) == (1, 2)
    for task in (waiting[0], quiet):
        task.cancel()
    await asyncio.gather(*waiting, quiet, return_exceptions=True)


async def test_two_busy_users_take_turns() -> None:
    admission = Admission(1, 100)
    await admission.acquire("a")
    order: list[str] = []

    async def ask(user: str) -> None:
        await admission.acquire(user)
        order.append(user)
        await asyncio.sleep(0)
        admission.release(user)

    tasks = [asyncio.create_task(ask(user)) for user in "aaaabbbb"]
    await _settle()
    admission.release("a")
    await asyncio.gather(*tasks)
    assert "".join(order) == "babababa"


async def test_slots_held_count_against_a_user() -> None:
    admission = Admission(3, 100)
    for _ in range(2):
        await admission.acquire("busy")
    await admission.acquire("quiet")
    waiters = [asyncio.create_task(admission.acquire(user)) for user in ("busy", "new")]
    await _settle()
    admission.release("quiet")
    await _settle()
    assert waiters[1].done()
    assert not waiters[0].done()
    waiters[0].cancel()
    await asyncio.gather(*waiters, return_exceptions=True)


async def test_a_large_request_is_not_overtaken_for_ever() -> None:
    admission = Admission(2, 100)
    await admission.acquire("a")
    large = asyncio.create_task(admission.acquire("b", 2))
    await _settle()
    small = asyncio.create_task(admission.acquire("b", 1))
    await _settle()
    assert not small.done()
    admission.release("a")
    await large
    assert not small.done()
    admission.release("b", 2)
    await small


async def test_giving_up_gives_back() -> None:
    admission = Admission(1, 10)
    await admission.acquire("a")
    waiting = asyncio.create_task(admission.acquire("b"))
    await _settle()
    admission.release("a")
    waiting.cancel()  # its turn has come in the same moment
    await asyncio.gather(waiting, return_exceptions=True)
    assert (admission.running, admission.waiting) == (0, 0)


async def test_paused_lets_nobody_in() -> None:
    admission = Admission(1, 10, paused=True)
    waiting = asyncio.create_task(admission.acquire("a"))
    await _settle()
    assert not waiting.done()
    admission.resume()
    await waiting


async def test_giving_up_just_before_the_turn_comes_loses_no_slot() -> None:
    admission = Admission(1, 10)
    await admission.acquire("a")
    leaving, staying = asyncio.create_task(admission.acquire("b")), asyncio.create_task(admission.acquire("c"))
    await _settle()
    leaving.cancel()  # it has not run since, and stands in the queue still
    admission.release("a")
    await staying
    assert leaving.cancelled()
    admission.release("c")
    assert (admission.running, admission.waiting) == (0, 0)


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 2), st.sampled_from(["run", "cancel", "cancel all"]), st.integers(0, 2)), max_size=30)
)
def test_whatever_happens_all_slots_come_back(script: list[tuple[str, int, str, int]]) -> None:
    """Requests of one or two slots come, run and are given up, several in one round of the loop and before or after others end."""

    async def play() -> None:
        admission = Admission(3, 1000)

        async def ask(user: str, share: int) -> None:
            await admission.acquire(user, share)
            try:
                assert admission.running <= 3
                await asyncio.sleep(0)
            finally:
                admission.release(user, share)

        tasks: list[asyncio.Task[None]] = []
        for user, share, fate, rounds in script:
            tasks.append(asyncio.create_task(ask(user, share)))
            for _ in range(rounds):
                await asyncio.sleep(0)
            for task in {"run": [], "cancel": tasks[-1:], "cancel all": tasks}[fate]:
                task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            assert result is None or isinstance(result, asyncio.CancelledError)
        assert (admission.running, admission.waiting) == (0, 0)

    asyncio.run(play())


async def test_the_background_leaves_a_slot_and_comes_last() -> None:
    admission = Admission(3, 10)
    await admission.acquire("a", background=True)
    await admission.acquire("a", background=True)
    third = asyncio.create_task(admission.acquire("b", background=True))
    await _settle()
    assert not third.done(), "one slot is left for those who wait"
    await admission.acquire("a")
    assert (admission.running, admission.waiting) == (3, 1)
    person = asyncio.create_task(admission.acquire("a"))
    await _settle()
    admission.release("a", background=True)
    await person
    assert not third.done(), "a person came later and goes first"
    admission.release("a")
    await third
    admission.release("a")
    fourth = asyncio.create_task(admission.acquire("b", background=True))
    await _settle()
    assert (admission.running, fourth.done()) == (2, False), "the slot that is left stays left"
    admission.release("a", background=True)
    await fourth
    for _ in range(2):
        admission.release("b", background=True)
    assert (admission.running, admission.waiting) == (0, 0)


async def test_with_one_slot_the_background_has_it_while_nobody_waits() -> None:
    admission = Admission(1, 10)
    await admission.acquire("a", background=True)
    order: list[str] = []

    async def ask(user: str, background: bool) -> None:
        await admission.acquire(user, background=background)
        order.append(user)
        admission.release(user, background=background)

    tasks = [asyncio.create_task(ask(f"batch {number}", True)) for number in range(3)]
    await _settle()
    tasks += [asyncio.create_task(ask(f"person {number}", False)) for number in range(3)]
    await _settle()
    admission.release("a", background=True)
    await asyncio.gather(*tasks)
    assert order == ["person 0", "person 1", "person 2", "batch 0", "batch 1", "batch 2"]


async def test_people_take_the_places_of_the_background_in_a_full_queue() -> None:
    admission = Admission(1, 3)
    await admission.acquire("a")
    batches = [asyncio.create_task(admission.acquire("a", background=True)) for _ in range(3)]
    await _settle()
    with pytest.raises(Busy):
        await admission.acquire("a", background=True)
    person = asyncio.create_task(admission.acquire("a"))
    await _settle()
    assert [task.done() for task in batches] == [False, False, True]
    others = [asyncio.create_task(admission.acquire("b")) for _ in range(2)]
    await _settle()
    assert [task.done() for task in batches] == [True, True, True]
    assert not any(isinstance(task, asyncio.Task) and task.done() for task in (person, *others))
    with pytest.raises(Busy):
        await admission.acquire("c", background=True)
    admission.release("a")
    await others[0]
    for task in (person, others[1], *batches):
        task.cancel()
    ended = await asyncio.gather(person, others[1], *batches, return_exceptions=True)
    assert [type(one) for one in ended[2:]] == [Busy, Busy, Busy]


async def test_those_in_the_background_are_fair_among_themselves() -> None:
    admission = Admission(2, 100)
    await admission.acquire("busy", background=True)
    order: list[str] = []

    async def ask(user: str) -> None:
        await admission.acquire(user, background=True)
        order.append(user)
        await asyncio.sleep(0)
        admission.release(user, background=True)

    tasks = [asyncio.create_task(ask("busy")) for _ in range(5)]
    await _settle()
    tasks.append(asyncio.create_task(ask("quiet")))
    await _settle()
    admission.release("busy", background=True)
    await asyncio.gather(*tasks)
    assert order.index("quiet") <= 1

"""The work queue: what its docstrings promise, and what the peers' queues have stumbled over (docs/parity.md)."""

from __future__ import annotations

import asyncio
import gc
import weakref
from itertools import count
from random import Random
from typing import NamedTuple

import pytest

from disvc.runtime.objects import Key
from disvc.runtime.workqueue import LOW_PRIORITY, LOW_TURN, MAX_DELAY_SECONDS, Durations, ShutDown, Workqueue
from disvc.testing.clock import VirtualClock, in_virtual_time

A, B, C = (Key("default", name) for name in "abc")


def new_queue() -> Workqueue[Key]:
    return Workqueue("test", clock=VirtualClock())


async def take(queue: Workqueue[Key]) -> Key:
    key, _ = await queue.get()
    return key


async def take_all(queue: Workqueue[Key]) -> list[Key]:
    """Get and finish every key that waits."""
    keys = []
    while len(queue):
        keys.append(await take(queue))
        queue.done(keys[-1])
    return keys


async def settle() -> None:
    """Let every task run that can."""
    for _ in range(5):
        await asyncio.sleep(0)


@in_virtual_time
async def test_keys_come_out_in_the_order_of_arrival() -> None:
    queue = new_queue()
    for key in (A, B, C):
        queue.add(key)
    assert await take_all(queue) == [A, B, C]


@in_virtual_time
async def test_a_key_added_twice_waits_once() -> None:
    queue = new_queue()
    queue.add(A)
    queue.add(B)
    queue.add(A)
    assert (len(queue), queue.adds) == (2, 2)
    assert await take_all(queue) == [A, B]


@in_virtual_time
async def test_a_key_added_while_in_work_runs_once_more_and_not_before_that_work_is_done() -> None:
    queue = new_queue()
    queue.add(A)
    assert await take(queue) == A
    queue.add(A)
    queue.add(A)
    assert (len(queue), queue.adds) == (1, 2)
    second = asyncio.create_task(take(queue))
    await settle()
    assert not second.done()
    queue.done(A)
    assert await second == A
    queue.done(A)
    assert len(queue) == 0


@in_virtual_time
async def test_a_key_in_work_holds_up_no_other_key() -> None:
    queue = new_queue()
    queue.add(A)
    await take(queue)
    queue.add(A)
    queue.add(B)
    assert await take(queue) == B
    assert len(queue) == 1
    queue.add(C)
    queue.done(A)
    assert [await take(queue), await take(queue)] == [C, A]


@in_virtual_time
async def test_done_with_a_key_that_is_not_in_work_is_an_error() -> None:
    queue = new_queue()
    queue.add(A)
    with pytest.raises(KeyError):
        queue.done(A)


@in_virtual_time
async def test_the_higher_priority_comes_first_and_the_order_of_arrival_within_it() -> None:
    queue = new_queue()
    queue.add(Key("default", "relisted"), LOW_PRIORITY)
    for n in range(3):
        for priority in (5, -5, 10, 0):
            queue.add(Key("default", f"{priority} {n:02}"), priority)
    keys = [key.name for key in await take_all(queue)]
    assert keys == [f"{priority} {n:02}" for priority in (10, 5, 0, -5) for n in range(3)] + ["relisted"]


@in_virtual_time
async def test_a_higher_priority_moves_a_waiting_key_up_behind_those_that_have_it_already() -> None:
    queue = new_queue()
    queue.add(A, 0)
    queue.add(B, 1)
    queue.add(C, 0)
    queue.add(A, 1)
    assert queue.depths() == {1: 2, 0: 1}
    assert [await queue.get(), await queue.get(), await queue.get()] == [(B, 1), (A, 1), (C, 0)]
    assert queue.adds == 3


@in_virtual_time
async def test_a_later_add_never_lowers_a_priority_wherever_the_key_is() -> None:
    queue = new_queue()
    queue.add(A, 2)
    queue.add(A, LOW_PRIORITY)  # it waits
    assert await queue.get() == (A, 2)
    queue.add(A, 3)
    queue.add(A, 1)  # it is in work
    queue.done(A)
    assert await queue.get() == (A, 3)
    queue.done(A)
    queue.add_after(A, 5, 4)
    queue.add_after(A, 1, LOW_PRIORITY)  # it is delayed
    assert await queue.get() == (A, 4)
    queue.done(A)
    queue.add_after(A, 5, 6)
    queue.add(A, 0)  # the delay is over
    assert await queue.get() == (A, 6)


@in_virtual_time
async def test_a_later_add_raises_the_priority_of_a_key_that_is_in_work_or_delayed() -> None:
    queue = new_queue()
    queue.add(A)
    await take(queue)
    queue.add(A, 1)
    queue.add(A, 2)
    queue.done(A)
    assert await queue.get() == (A, 2)
    queue.done(A)
    queue.add_after(A, 1, 0)
    queue.add_after(A, 9, 3)
    assert await queue.get() == (A, 3)
    assert asyncio.get_running_loop().time() == pytest.approx(1)


@in_virtual_time
async def test_a_namespace_with_5000_keys_delays_a_key_of_another_one_by_one_turn() -> None:
    queue = new_queue()
    for n in range(5_000):
        queue.add(Key("big", str(n)))
    assert await take(queue) == Key("big", "0")
    queue.add(Key("small", "x"))
    taken = [await take(queue), await take(queue), await take(queue)]
    assert taken == [Key("big", "1"), Key("small", "x"), Key("big", "2")]


@in_virtual_time
async def test_namespaces_take_turns_while_keys_within_each_keep_their_order() -> None:
    queue = new_queue()
    for namespace, names in {"x": "123", "y": "1", "z": "12"}.items():
        for name in names:
            queue.add(Key(namespace, name))
    assert ["".join(key) for key in await take_all(queue)] == ["x1", "y1", "z1", "x2", "z2", "x3"]


@in_virtual_time
async def test_requeueing_does_not_give_a_namespace_more_turns() -> None:
    """A namespace whose only key comes back at once stands behind the others each time."""
    queue = new_queue()
    for n in range(4):
        queue.add(Key("other", str(n)))
    hot = Key("hot", "x")
    queue.add(hot)
    order = []
    while any(key.namespace == "other" for key in queue._waiting):
        key = await take(queue)
        if key == hot:
            queue.add(hot)
        queue.done(key)
        order.append(key.namespace)
    assert order == ["other", "hot"] * 3 + ["other"]


@in_virtual_time
async def test_a_turn_given_up_by_a_move_to_another_priority_is_not_taken_twice() -> None:
    queue = new_queue()
    moved = Key("x", "moved")
    queue.add(moved, LOW_PRIORITY)
    queue.add(Key("y", "1"), LOW_PRIORITY)
    queue.add(moved, 0)  # the line of x at the low priority is gone
    queue.add(Key("x", "2"), LOW_PRIORITY)
    queue.add(Key("x", "3"), LOW_PRIORITY)
    queue.add(Key("y", "4"), LOW_PRIORITY)
    assert [key.name for key in await take_all(queue)] == ["moved", "1", "2", "4", "3"]


@in_virtual_time
async def test_a_delayed_key_does_not_wait_before_its_time() -> None:
    queue = new_queue()
    loop = asyncio.get_running_loop()
    queue.add_after(A, 0.05)
    assert (len(queue), queue.depths(), queue.adds) == (0, {}, 0)
    assert await take(queue) == A
    assert loop.time() == pytest.approx(0.05)
    queue.done(A)
    await asyncio.sleep(10)
    assert len(queue) == 0


@in_virtual_time
async def test_of_several_delays_of_a_key_the_earliest_counts_and_the_others_add_nothing() -> None:
    queue = new_queue()
    loop = asyncio.get_running_loop()
    for first, second in ((0.05, 0.07), (0.05, 0.03)):
        started = loop.time()
        queue.add_after(A, first)
        queue.add_after(A, second)
        assert await take(queue) == A
        assert loop.time() - started == pytest.approx(min(first, second))
        queue.done(A)
        await asyncio.sleep(1)
        assert len(queue) == 0


@in_virtual_time
async def test_delayed_keys_come_in_the_order_of_their_times() -> None:
    queue = new_queue()
    queue.add_after(A, 1)
    queue.add_after(B, 0.5)
    queue.add_after(C, 0.25)
    await asyncio.sleep(2)
    assert await take_all(queue) == [C, B, A]


@in_virtual_time
async def test_an_earlier_delay_set_while_a_later_one_runs_rings_in_time() -> None:
    queue = new_queue()
    loop = asyncio.get_running_loop()
    queue.add_after(A, 1)
    queue.add_after(B, 0.05)
    assert await take(queue) == B
    assert loop.time() == pytest.approx(0.05)
    queue.add_after(C, 2)
    assert await take(queue) == A
    assert loop.time() == pytest.approx(1)
    assert await take(queue) == C
    assert loop.time() == pytest.approx(2.05)


@in_virtual_time
async def test_a_plain_add_ends_a_delay() -> None:
    queue = new_queue()
    queue.add_after(A, 60)
    getter = asyncio.create_task(take(queue))
    await settle()
    assert not getter.done()
    queue.add(A)
    assert await getter == A
    assert asyncio.get_running_loop().time() == 0
    queue.done(A)
    await asyncio.sleep(120)
    assert len(queue) == 0


@in_virtual_time
async def test_a_delay_of_a_key_that_waits_already_or_is_due_again_adds_no_second_run() -> None:
    queue = new_queue()
    queue.add(A)
    queue.add_after(A, 1)
    await take(queue)
    queue.add(A)
    queue.add_after(A, 1)
    queue.done(A)
    await take(queue)
    queue.done(A)
    await asyncio.sleep(10)
    assert (len(queue), queue.adds) == (0, 2)


@in_virtual_time
async def test_a_delay_that_ends_while_the_key_is_in_work_runs_it_again_afterwards() -> None:
    queue = new_queue()
    queue.add(A)
    await take(queue)
    queue.add_after(A, 1)
    await asyncio.sleep(2)
    assert len(queue) == 1
    queue.done(A)
    assert await take(queue) == A


@in_virtual_time
async def test_a_delay_of_no_time_is_a_plain_add() -> None:
    queue = new_queue()
    queue.add_after(A, 0)
    queue.add_after(B, -1)
    assert await take_all(queue) == [A, B]
    assert queue.retried == 0


@in_virtual_time
async def test_a_key_of_high_priority_whose_delay_ended_overtakes_what_waits() -> None:
    queue = new_queue()
    queue.add(A, LOW_PRIORITY)
    queue.add_after(B, 1, 0)
    await asyncio.sleep(1)
    assert await queue.get() == (B, 0)
    assert queue.depths() == {LOW_PRIORITY: 1}


@in_virtual_time
async def test_back_off_doubles_from_5_ms_and_starts_over_after_forget() -> None:
    queue = new_queue()
    loop = asyncio.get_running_loop()
    for n in range(6):
        started = loop.time()
        assert queue.add_rate_limited(A) == pytest.approx(0.005 * 2**n)
        await take(queue)
        assert loop.time() - started == pytest.approx(0.005 * 2**n)
        queue.done(A)
    assert (queue.failures(A), queue.failures(B), queue.retried) == (6, 0, 6)
    assert queue.add_rate_limited(B) == 0.005
    queue.forget(A)
    assert queue.failures(A) == 0
    assert queue.add_rate_limited(A) == 0.005


@in_virtual_time
async def test_back_off_never_exceeds_1000_s_however_often_a_key_failed() -> None:
    queue = new_queue()
    delays = [queue.add_rate_limited(A) for _ in range(5_000)]
    assert delays[-1] == MAX_DELAY_SECONDS == 1000
    assert delays == sorted(delays)
    assert delays[17] == pytest.approx(0.005 * 2**17)


@in_virtual_time
async def test_the_back_off_of_one_key_does_not_delay_another() -> None:
    queue = new_queue()
    loop = asyncio.get_running_loop()
    for _ in range(7):
        queue.add_rate_limited(B)
        queue.done(await take(queue))
    started = loop.time()
    queue.add_rate_limited(A)
    queue.add_rate_limited(B)
    assert await take(queue) == A
    assert loop.time() - started == pytest.approx(0.005)
    assert await take(queue) == B
    assert loop.time() - started == pytest.approx(0.64)


@in_virtual_time
async def test_forgetting_ends_no_delay() -> None:
    queue = new_queue()
    queue.add_rate_limited(A)
    queue.forget(A)
    assert await take(queue) == A


@in_virtual_time
async def test_a_waiting_getter_gets_a_key_as_soon_as_it_is_added() -> None:
    queue = new_queue()
    getter = asyncio.create_task(take(queue))
    await settle()
    queue.add(A)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert getter.done()
    assert getter.result() == A


@in_virtual_time
async def test_getters_are_served_in_the_order_in_which_they_came() -> None:
    queue = new_queue()
    getters = [asyncio.create_task(take(queue)) for _ in range(3)]
    await settle()
    for key in (A, B, C):
        queue.add(key)
    assert [await getter for getter in getters] == [A, B, C]


@in_virtual_time
async def test_a_key_taken_by_another_before_the_woken_getter_runs_does_not_end_its_wait() -> None:
    queue = new_queue()
    getter = asyncio.create_task(take(queue))
    await settle()
    queue.add(A)
    assert await take(queue) == A
    await settle()
    assert not getter.done()
    queue.add(B)
    assert await getter == B


@in_virtual_time
async def test_a_cancelled_getter_takes_no_key_with_it() -> None:
    queue = new_queue()
    getter = asyncio.create_task(take(queue))
    await settle()
    getter.cancel()
    await settle()
    assert getter.cancelled()
    other = asyncio.create_task(take(queue))
    await settle()
    queue.add(A)
    assert await other == A


@pytest.mark.parametrize("first", ["cancelled", "added"])
@in_virtual_time
async def test_a_getter_cancelled_in_the_same_moment_as_a_key_comes_leaves_it_to_the_next(first: str) -> None:
    queue = new_queue()
    getter, other = (asyncio.create_task(take(queue)) for _ in range(2))
    await settle()
    if first == "cancelled":
        getter.cancel()
        queue.add(A)
    else:
        queue.add(A)
        getter.cancel()
    assert await other == A
    with pytest.raises(asyncio.CancelledError):
        await getter


@in_virtual_time
async def test_a_getter_that_ran_out_of_time_takes_no_key_with_it() -> None:
    queue = new_queue()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await queue.get()
    other = asyncio.create_task(take(queue))
    await settle()
    queue.add(A)
    assert await other == A


@in_virtual_time
async def test_getters_that_gave_up_are_forgotten() -> None:
    queue = new_queue()
    for _ in range(100):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await queue.get()
    assert not queue._getters


@pytest.mark.parametrize("seed", range(50))
@in_virtual_time
async def test_no_wake_up_is_lost_however_getters_are_cancelled(seed: int) -> None:
    """As long as a key waits, at least one of the getters that are left gets it."""
    random = Random(seed)
    queue = new_queue()
    added = taken = 0
    getters: list[asyncio.Task[Key]] = []
    for n in range(500):
        match random.randrange(4):
            case 0:
                getters.append(asyncio.create_task(take(queue)))
            case 1 if getters:
                random.choice(getters).cancel()
            case 2:
                queue.add(Key(str(random.randrange(3)), str(n)))
                added += 1
            case _:
                await asyncio.sleep(0)
        if random.random() < 0.1:
            await settle()
            taken += sum(getter.done() and not getter.cancelled() for getter in getters)
            getters = [getter for getter in getters if not getter.done()]
            assert len(queue) == added - taken
            assert not getters or not len(queue), "a getter sleeps while a key waits"
    queue.shut_down()
    await asyncio.gather(*getters, return_exceptions=True)


@in_virtual_time
async def test_shutting_down_wakes_all_getters_and_drops_what_waits() -> None:
    queue = new_queue()
    getters = [asyncio.create_task(take(queue)) for _ in range(3)]
    await settle()
    queue.add_after(C, 1)
    queue.shut_down()
    results = await asyncio.gather(*getters, return_exceptions=True)
    assert [type(result) for result in results] == [ShutDown] * 3
    await queue.wait_idle()

    queue = new_queue()
    queue.add(A)
    queue.shut_down()
    assert (len(queue), queue.depths()) == (0, {})
    for _ in range(2):  # controller-runtime issue 3239: get hung once it was shut down
        with pytest.raises(ShutDown):
            await queue.get()


@in_virtual_time
async def test_a_queue_that_is_shut_down_takes_no_keys() -> None:
    queue = new_queue()
    queue.shut_down(drain=True)
    queue.add(A)
    queue.add_after(B, 1)
    queue.add_rate_limited(C)
    await asyncio.sleep(10)
    assert (len(queue), queue.adds) == (0, 0)
    with pytest.raises(ShutDown):
        await queue.get()


@in_virtual_time
async def test_draining_hands_out_what_waits_and_drops_what_is_delayed() -> None:
    queue = new_queue()
    queue.add(A)
    queue.add(B)
    queue.add_after(C, 1)
    queue.shut_down(drain=True)
    idle = asyncio.create_task(queue.wait_idle())
    assert await take_all(queue) == [A, B]
    await asyncio.sleep(10)
    assert idle.done()
    with pytest.raises(ShutDown):
        await queue.get()


@in_virtual_time
async def test_idle_means_that_the_work_on_every_key_has_ended() -> None:
    queue = new_queue()
    queue.add(A)
    queue.add(B)
    await take(queue)
    await take(queue)
    idle = asyncio.create_task(queue.wait_idle())
    queue.done(A)
    queue.done(B)
    await settle()
    assert not idle.done(), "idle before it is shut down"
    queue.add(A)
    await take(queue)
    queue.shut_down(drain=True)
    await settle()
    assert not idle.done()
    queue.done(A)
    await settle()
    assert idle.done()


@in_virtual_time
async def test_draining_runs_a_key_again_that_was_added_while_in_work() -> None:
    queue = new_queue()
    queue.add(A)
    await take(queue)
    queue.add(A)
    queue.shut_down(drain=True)
    with pytest.raises(ShutDown):  # nothing waits for a worker yet
        await queue.get()
    queue.done(A)
    assert not queue._idle.is_set()
    assert await take(queue) == A
    queue.done(A)
    await queue.wait_idle()
    with pytest.raises(ShutDown):
        await queue.get()


@in_virtual_time
async def test_shutting_down_without_drain_runs_no_key_again() -> None:
    queue = new_queue()
    queue.add(A)
    await take(queue)
    queue.add(A)
    queue.shut_down()
    queue.done(A)
    await queue.wait_idle()
    assert len(queue) == 0


@in_virtual_time
async def test_a_drain_can_be_cut_short() -> None:
    """As by a second SIGTERM: what waits is dropped, and only what is in work is still waited for."""
    queue = new_queue()
    for key in (A, B, C):
        queue.add(key)
    await take(queue)
    queue.shut_down(drain=True)
    queue.shut_down()
    with pytest.raises(ShutDown):
        await queue.get()
    queue.done(A)
    await queue.wait_idle()


@pytest.mark.parametrize("drain", [False, True])
@in_virtual_time
async def test_workers_all_return_when_it_is_shut_down_at_any_moment(drain: bool) -> None:
    """controller-runtime issue 3538: a key handed out during a shutdown left every worker blocked."""
    for moment in range(40):
        queue = new_queue()
        random = Random(moment)

        async def work(queue: Workqueue[Key] = queue, random: Random = random) -> None:
            while True:
                queue.add(Key("default", str(random.randrange(1_000))), random.randrange(100))
                try:
                    key = await take(queue)
                except ShutDown:
                    return
                await asyncio.sleep(0)
                queue.done(key)

        workers = [asyncio.create_task(work()) for _ in range(20)]
        for _ in range(moment):
            await asyncio.sleep(0)
        queue.shut_down(drain=drain)
        await asyncio.gather(*workers)
        await queue.wait_idle()
        assert len(queue) == 0


@pytest.mark.parametrize("drain", [False, True])
@in_virtual_time
async def test_many_producers_and_workers_lose_nothing_and_never_share_a_key(drain: bool) -> None:
    queue = new_queue()
    versions = dict.fromkeys((Key(str(n % 5), str(n)) for n in range(50)), 0)
    seen = dict.fromkeys(versions, 0)
    in_work: set[Key] = set()

    async def produce(key: Key) -> None:
        for _ in range(50):
            versions[key] += 1
            queue.add(key)
            await asyncio.sleep(0.001)

    async def work() -> None:
        while True:
            try:
                key = await take(queue)
            except ShutDown:
                return
            assert key not in in_work
            in_work.add(key)
            seen[key] = versions[key]
            await asyncio.sleep(0.003)
            in_work.remove(key)
            queue.done(key)

    workers = [asyncio.create_task(work()) for _ in range(10)]
    await asyncio.gather(*map(produce, versions))
    if not drain:
        await asyncio.sleep(60)  # long enough for all of it
        assert not in_work
    queue.shut_down(drain=drain)
    queue.add(Key("late", "late"))
    await asyncio.gather(*workers)
    assert seen == versions


@in_virtual_time
async def test_a_key_leaves_no_trace_when_its_work_is_done() -> None:
    class Name(str):
        __slots__ = ("__weakref__",)

    queue = new_queue()
    key = Key("default", Name("x"))
    trace = weakref.ref(key.name)
    queue.add_after(key, 3600)
    queue.add(key, 1)
    queue.done(await take(queue))
    queue.add_rate_limited(key)
    queue.done(await take(queue))
    queue.forget(key)
    for n in range(200):  # the void alarm of an hour goes when enough of them have come together
        queue.add_after(Key("default", str(n)), 60)
        queue.add(Key("default", str(n)))
        queue.done(await take(queue))
    del key
    gc.collect()
    assert trace() is None


@pytest.mark.parametrize("end_by_add", [True, False])
@in_virtual_time
async def test_alarms_do_not_pile_up_however_often_keys_are_delayed(end_by_add: bool) -> None:
    """A controller that requeues a key for tomorrow and gets an event for it each second."""
    queue = new_queue()
    most = 0
    for n in range(20_000):
        queue.add_after(A, 86_400 - n)
        queue.add_after(A, 90_000 + n)
        if end_by_add:
            queue.add(A)
            queue.done(await take(queue))
        most = max(most, len(queue._alarms))
    assert most < 100
    if not end_by_add:
        started = asyncio.get_running_loop().time()
        assert await take(queue) == A
        assert asyncio.get_running_loop().time() - started == pytest.approx(86_400 - 19_999)


@in_virtual_time
async def test_clearing_void_alarms_away_loses_none_that_count() -> None:
    queue = new_queue()
    due = {Key("default", str(n)): 10 + n / 10 for n in range(100)}
    for key, seconds in reversed(due.items()):
        queue.add_after(key, seconds)
    for _ in range(1_000):
        queue.add_after(A, 5_000)
        queue.add(A)
        queue.done(await take(queue))
    started = asyncio.get_running_loop().time()
    for key, seconds in due.items():
        assert await take(queue) == key
        assert asyncio.get_running_loop().time() - started == pytest.approx(seconds)
        queue.done(key)


@in_virtual_time
async def test_nothing_grows_over_many_cycles() -> None:
    queue = new_queue()
    random = Random(0)
    for n in range(20_000):
        key = Key(f"namespace-{n}", "x")
        random.choice([queue.add, queue.add_rate_limited])(key, random.randrange(-3, 3))
        queue.add(key, random.randrange(-3, 3))
        got = await take(queue)
        queue.forget(got)
        queue.done(got)
    sizes = {
        name: len(value)
        for name, value in vars(queue).items()
        if isinstance(value, (dict, list)) or hasattr(value, "popleft")
    }
    assert sizes.pop("_alarms") < 100
    assert set(sizes.values()) == {0}, sizes


@in_virtual_time
async def test_the_counters_tell_adds_retries_waiting_time_and_working_time() -> None:
    queue = new_queue()
    queue.add(A)
    assert (queue.adds, queue.depths()) == (1, {0: 1})
    await asyncio.sleep(50e-6)
    await take(queue)
    assert queue.queue_durations.total == pytest.approx(50e-6)
    for _ in range(5):
        queue.add(A)
    assert (queue.adds, queue.depths(), len(queue)) == (2, {0: 1}, 1)
    await asyncio.sleep(25e-6)
    assert list(queue.running_seconds()) == [pytest.approx(25e-6)]
    queue.done(A)
    assert queue.work_durations.total == pytest.approx(25e-6)
    assert queue.depths() == {0: 1}
    await take(queue)
    assert queue.queue_durations.total == pytest.approx(75e-6)  # it has waited since it was added
    assert queue.depths() == {}
    await asyncio.sleep(1e-3)
    queue.done(A)
    assert queue.work_durations.total == pytest.approx(1.025e-3)
    assert (sum(queue.queue_durations.counts), sum(queue.work_durations.counts)) == (2, 2)
    queue.add_after(A, 1)
    queue.add_rate_limited(B)
    assert (queue.retried, queue.adds) == (2, 2)


@in_virtual_time
async def test_a_delayed_key_counts_as_waiting_from_the_moment_when_its_time_has_come() -> None:
    queue = new_queue()
    for _ in range(2):
        queue.add_after(A, 0.5)
        queue.add(B)
        queue.add_after(C, 0.5, 7)
        assert (len(queue), queue.depths()) == (1, {0: 1})
        await asyncio.sleep(1)
        assert (len(queue), queue.depths()) == (3, {7: 1, 0: 2})
        queue.add(A)
        assert (len(queue), queue.depths()) == (3, {7: 1, 0: 2})
        await take_all(queue)
        assert (len(queue), queue.depths()) == (0, {})
    assert queue.adds == 6


def test_a_duration_counts_in_the_first_bucket_that_holds_it() -> None:
    durations = Durations()
    for seconds in (0.0, 1e-8, 1.1e-8, 1.0, 1000.0, 1001.0):
        durations.observe(seconds)
    assert durations.counts == [2, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 1]
    assert durations.total == pytest.approx(2002)


class Pending(NamedTuple):
    priority: int
    arrival: int
    since: float


class Model:
    """The queue again, slow and plain: whoever comes next is found by looking at every key."""

    def __init__(self) -> None:
        self.waiting: dict[Key, Pending] = {}
        self.processing: set[Key] = set()
        self.again: dict[Key, int] = {}
        self.delayed: dict[Key, tuple[float, int, int]] = {}  # when, number, priority
        self.turn: dict[tuple[int, str], int] = {}  # of a line: when it was served last, or came to be
        self.passed_over: dict[int, int] = {}  # of a priority
        self.ticks = count()

    def add(self, key: Key, priority: int) -> None:
        if key in self.delayed:
            priority = max(priority, self.delayed.pop(key)[2])
        if key in self.processing:
            self.again[key] = max(priority, self.again.get(key, priority))
        elif key not in self.waiting or self.waiting[key].priority < priority:
            self.join(key, priority)

    def join(self, key: Key, priority: int) -> None:
        self.waiting.pop(key, None)
        if not any(other.priority == priority for other in self.waiting.values()):
            self.passed_over[priority] = 0
        line = (priority, key.namespace)
        if not any((other.priority, k.namespace) == line for k, other in self.waiting.items()):
            self.turn[line] = next(self.ticks)
        self.waiting[key] = Pending(priority, next(self.ticks), 0)

    def add_after(self, key: Key, when: float, priority: int) -> None:
        if key in self.waiting or key in self.again:
            self.add(key, priority)
            return
        _, _, known = self.delayed.get(key, (0, 0, priority))
        earliest = min(self.delayed.get(key, (when, 1 << 60, 0))[:2], (when, next(self.ticks)))
        self.delayed[key] = (*earliest, max(known, priority))

    def advance(self, now: float) -> None:
        for when, _, key in sorted((when, number, key) for key, (when, number, _) in self.delayed.items()):
            if when <= now:
                self.add(key, self.delayed[key][2])

    def get(self) -> tuple[Key, int]:
        def rank(key: Key) -> tuple[int, int, int]:
            pending = self.waiting[key]
            return -pending.priority, self.turn[pending.priority, key.namespace], pending.arrival

        highest, *lower = sorted({pending.priority for pending in self.waiting.values()}, reverse=True)
        for priority in lower:
            self.passed_over[priority] += 1
        turn = next((p for p in lower if self.passed_over[p] >= LOW_TURN), highest)
        self.passed_over[turn] = 0
        key = min((key for key, pending in self.waiting.items() if pending.priority == turn), key=rank)
        priority = self.waiting.pop(key).priority
        self.turn[priority, key.namespace] = next(self.ticks)
        self.processing.add(key)
        return key, priority

    def done(self, key: Key) -> None:
        self.processing.remove(key)
        if key in self.again:
            self.join(key, self.again.pop(key))


class Both:
    """A queue and its model, which get the same calls and must give the same answers."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.queue, self.model = new_queue(), Model()
        namespaces = "wxyz"[: random.randint(1, 4)]
        self.keys = [Key(namespace, str(n)) for namespace in namespaces for n in range(random.randint(1, 6))]
        self.priorities = [0, LOW_PRIORITY, 5][: random.randint(1, 3)]
        self.failures = dict.fromkeys(self.keys, 0)
        self.loop = asyncio.get_running_loop()

    def draw(self) -> tuple[Key, int]:
        return self.random.choice(self.keys), self.random.choice(self.priorities)

    async def add(self) -> None:
        key, priority = self.draw()
        self.queue.add(key, priority)
        self.model.add(key, priority)

    async def add_after(self) -> None:
        key, priority = self.draw()
        seconds = self.random.choice([0.5, 1.0, 2.0, self.random.random()])
        self.queue.add_after(key, seconds, priority)
        self.model.add_after(key, self.loop.time() + seconds, priority)

    async def add_rate_limited(self) -> None:
        key, priority = self.draw()
        seconds = self.queue.add_rate_limited(key, priority)
        assert seconds == min(0.005 * 2 ** self.failures[key], MAX_DELAY_SECONDS)
        self.failures[key] += 1
        self.model.add_after(key, self.loop.time() + seconds, priority)

    async def get(self) -> None:
        if self.model.waiting:
            assert await self.queue.get() == self.model.get()

    async def done(self) -> None:
        if not self.model.processing:
            return
        key = self.random.choice(sorted(self.model.processing))
        self.queue.done(key)
        self.model.done(key)
        if self.random.random() < 0.5:
            self.queue.forget(key)
            self.failures[key] = 0

    async def wait(self) -> None:
        await asyncio.sleep(self.random.choice([0, 0.01, 0.3, 1.0]))
        self.model.advance(self.loop.time())

    def compare(self) -> None:
        assert len(self.queue) == len(self.model.waiting) + len(self.model.again)
        assert set(self.queue._processing) == self.model.processing
        assert set(self.queue._delayed) == set(self.model.delayed)
        assert len(self.queue._alarms) <= 2 * len(self.queue._delayed) + 100


@pytest.mark.parametrize("seed", range(100))
@in_virtual_time
async def test_any_history_of_calls_gives_what_the_plain_model_gives(seed: int) -> None:
    random = Random(seed)
    both = Both(random)
    steps = [both.add, both.add, both.add_after, both.add_rate_limited, both.get, both.get, both.done, both.wait]
    for _ in range(800):
        await random.choice(steps)()
        both.compare()
    both.queue.shut_down(drain=True)
    while both.model.waiting or both.model.processing:
        await both.get()
        await both.done()
    await both.queue.wait_idle()


@pytest.mark.parametrize("seed", range(30))
@in_virtual_time
async def test_a_key_is_served_after_at_most_one_turn_of_each_namespace_for_each_key_ahead_in_its_line(
    seed: int,
) -> None:
    random = Random(seed)
    namespaces = [f"n{n}" for n in range(random.randint(2, 8))]
    queue = new_queue()
    bound: dict[Key, int] = {}  # → after how many takes it must have been served
    takes = 0
    for n in range(3_000):
        if random.random() < 0.52 or not bound:
            namespace = random.choices(namespaces, weights=[4**i for i in range(len(namespaces))])[0]
            ahead = sum(key.namespace == namespace for key in bound)
            key = Key(namespace, str(n))
            bound[key] = takes + (ahead + 1) * len(namespaces)
            queue.add(key)
        else:
            key = await take(queue)
            takes += 1
            assert takes <= bound.pop(key)
            queue.done(key)

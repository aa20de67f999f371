"""Work is limited as by `asyncio.timeout`, with one timer for all of it."""

import asyncio

import pytest

from newswire.concurrency.shared_timeout import SharedTimeout


async def test_work_that_ends_in_time_returns_its_result_and_its_task_goes_on() -> None:
    limit = SharedTimeout(0.02)
    assert await limit.limit(asyncio.sleep(0, "a")) == "a"
    await asyncio.sleep(0.04)  # the timer of the first piece of work
    assert await limit.limit(asyncio.sleep(0, "b")) == "b"
    with pytest.raises(ZeroDivisionError):
        await limit.limit(_fail())


async def test_each_piece_of_work_ends_by_its_own_limit() -> None:
    limit, ended = SharedTimeout(0.05), list[tuple[str, float]]()
    began = asyncio.get_running_loop().time()

    async def work(name: str, after: float) -> None:
        await asyncio.sleep(after)
        with pytest.raises(TimeoutError):
            await limit.limit(asyncio.Event().wait())
        ended.append((name, asyncio.get_running_loop().time() - began))

    await asyncio.gather(work("late", 0.03), work("early", 0.0), limit.limit(asyncio.sleep(0)))
    assert [name for name, _ in ended] == ["early", "late"]
    assert all(at >= expected for (_, at), expected in zip(ended, (0.05, 0.08), strict=True))


async def test_a_cancelled_task_is_cancelled_even_if_its_limit_ends_meanwhile() -> None:
    limit = SharedTimeout(0.01)
    waiting = asyncio.create_task(limit.limit(asyncio.Event().wait()))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    async def slow_to_stop() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.02)

    stopping = asyncio.create_task(limit.limit(slow_to_stop()))
    await asyncio.sleep(0)
    stopping.cancel()  # it stops, which takes longer than its limit
    with pytest.raises(asyncio.CancelledError):
        await stopping


async def test_a_watched_future_fails_by_the_limit_unless_it_is_done_or_forgotten() -> None:
    limit, loop = SharedTimeout(0.02), asyncio.get_running_loop()
    late, done, forgotten = loop.create_future(), loop.create_future(), loop.create_future()
    for each in (done, forgotten, late):
        limit.watch(each)
    done.set_result("a")
    limit.forget(forgotten)
    with pytest.raises(TimeoutError):
        await late
    assert await done == "a"
    assert not forgotten.done()
    with pytest.raises(TimeoutError):  # tasks and futures share the timer
        await limit.limit(asyncio.Event().wait())


async def _fail() -> None:
    await asyncio.sleep(0)
    raise ZeroDivisionError

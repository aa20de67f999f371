"""Who asks at the same time shares a reading, and nobody gets one that began before they asked."""

import asyncio

import pytest

from newswire.concurrency.shared_reading import SharedReading


class Source:
    """Something that is read slowly."""

    def __init__(self) -> None:
        self.value = self.readings = 0
        self.proceed = asyncio.Event()

    async def read(self) -> int:
        self.readings += 1
        found = self.value
        await self.proceed.wait()
        if found < 0:
            raise OSError("cannot be read")
        return found


async def test_a_reading_is_shared_by_those_who_asked_before_it_began() -> None:
    source = Source()
    shared = SharedReading(source.read)
    first = [asyncio.create_task(shared()) for _ in range(3)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert source.readings == 1
    source.value = 1
    later = [asyncio.create_task(shared()) for _ in range(3)]
    await asyncio.sleep(0)
    source.proceed.set()
    assert await asyncio.gather(*first, *later) == [0, 0, 0, 1, 1, 1]
    assert source.readings == 2


async def test_one_who_leaves_does_not_end_the_reading_of_the_others() -> None:
    source = Source()
    shared = SharedReading(source.read)
    left, stays = asyncio.create_task(shared()), asyncio.create_task(shared())
    await asyncio.sleep(0)
    left.cancel()
    source.proceed.set()
    assert await stays == 0
    assert left.cancelled()


async def test_a_failure_is_that_of_one_reading() -> None:
    source = Source()
    source.proceed.set()
    shared = SharedReading(source.read)
    source.value = -1
    with pytest.raises(OSError, match="cannot be read"):
        await shared()
    source.value = 2
    assert await shared() == 2

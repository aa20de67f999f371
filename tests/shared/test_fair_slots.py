"""Clients take turns for slots."""

import asyncio

import pytest

from newswire.concurrency.fair_slots import FairSlots


async def test_a_client_that_asks_for_much_takes_turns_with_others() -> None:
    slots, turns = FairSlots(1), list[str]()

    async def work(client: str) -> None:
        await slots.take(client)
        turns.append(client)
        slots.give()

    await slots.take("first")
    waiting = [asyncio.create_task(work(client)) for client in ("a", "a", "a", "a", "b", "c")]
    await asyncio.sleep(0)
    slots.give()
    await asyncio.gather(*waiting)
    assert turns == ["a", "b", "c", "a", "a", "a"]


async def test_who_gives_up_waiting_takes_no_slot() -> None:
    slots = FairSlots(1)
    assert not await slots.take("a")
    waiting = [asyncio.create_task(slots.take(client)) for client in ("a", "b")]
    await asyncio.sleep(0)
    waiting[0].cancel()
    slots.give()
    assert await waiting[1]
    late = asyncio.create_task(slots.take("c"))
    await asyncio.sleep(0)
    slots.give()
    late.cancel()  # although it was given one
    with pytest.raises(asyncio.CancelledError):
        await late
    assert not await slots.take("d")


async def test_without_a_limit_nobody_waits() -> None:
    slots = FairSlots(0)
    assert not any([await slots.take("a") for _ in range(100)])

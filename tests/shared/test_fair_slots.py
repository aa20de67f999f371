"""Clients take turns for slots."""

import asyncio

import pytest

from newswire.concurrency.fair_slots import FairSlots


async def test_a_client_with_many_requests_alternates_with_others() -> None:
    slots, turns = FairSlots(1), list[str]()

    async def work(client: str) -> None:
        await slots.acquire(client)
        turns.append(client)
        slots.release()

    await slots.acquire("first")
    waiting = [asyncio.create_task(work(client)) for client in ("a", "a", "a", "a", "b", "c")]
    await asyncio.sleep(0)
    slots.release()
    await asyncio.gather(*waiting)
    assert turns == ["a", "b", "c", "a", "a", "a"]


async def test_a_cancelled_waiter_takes_no_slot() -> None:
    slots = FairSlots(1)
    assert not await slots.acquire("a")
    waiting = [asyncio.create_task(slots.acquire(client)) for client in ("a", "b")]
    await asyncio.sleep(0)
    waiting[0].cancel()
    slots.release()
    assert await waiting[1]
    late = asyncio.create_task(slots.acquire("c"))
    await asyncio.sleep(0)
    slots.release()
    late.cancel()  # after it was given the slot
    with pytest.raises(asyncio.CancelledError):
        await late
    assert not await slots.acquire("d")


async def test_without_a_limit_no_call_waits() -> None:
    slots = FairSlots(0)
    assert not any([await slots.acquire("a") for _ in range(100)])

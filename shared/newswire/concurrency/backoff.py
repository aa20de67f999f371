"""Waits for another attempt or for work, without delaying the shutdown of the process."""

import asyncio
import random
from collections.abc import Coroutine
from typing import TypeVar

ResultT = TypeVar("ResultT")

FIRST_DELAY_SECONDS, MAX_DELAY_SECONDS = 0.1, 10.0


async def pause(stopping: asyncio.Event, seconds: float) -> bool:
    """Wait, at most until stopping is set; return whether it is set."""
    try:
        async with asyncio.timeout(seconds):  # `wait_for` makes a task, and cancels it nearly each time
            await stopping.wait()
    except TimeoutError:
        return False
    return True


async def wait_for_any(*events: asyncio.Event, seconds: float | None = None) -> None:
    """Wait until one of the events is set, at most for so many seconds."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for each in waits:
        each.cancel()


async def ended_before(stopping: asyncio.Event, work: Coroutine[object, object, ResultT]) -> ResultT | None:
    """Return the result of work, or None where it was cancelled because stopping was set."""
    working, stop = asyncio.ensure_future(work), asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait({working, stop}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stop.cancel()
        if not working.done():
            working.cancel()
            await asyncio.wait({working})
    return None if working.cancelled() else working.result()


def delay_after(failures: int, first: float = FIRST_DELAY_SECONDS, maximum: float = MAX_DELAY_SECONDS) -> float:
    """Return the seconds to wait after a number of consecutive failures: exponential up to a limit, with jitter."""
    longest = min(maximum, first * 2 ** min(failures, 10))
    return random.uniform(longest / 2, longest)

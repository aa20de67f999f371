"""Lets time pass for the clock of the queue and for everything that expires on the server."""

from tests.notify.conftest import Desk


async def pass_time(desk: Desk, seconds: float) -> None:
    """Advance the clock, and reduce the TTL of every key of the namespace by the same time."""
    desk.clock.now += seconds
    by = int(seconds * 1000)
    async for name in desk.redis.scan_iter(f"*{desk.keys.namespace}*", count=1000):
        left = await desk.redis.pttl(name)
        if 0 <= left <= by:
            await desk.redis.delete(name)
        elif left > by:
            await desk.redis.pexpire(name, left - by)
